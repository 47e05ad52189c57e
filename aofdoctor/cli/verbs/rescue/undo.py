"""aofdoctor undo: reverse an edit in place, with the receipt file that the edit wrote."""

from pathlib import Path
from typing import Annotated

import typer

from aofdoctor import text
from aofdoctor.cli import options
from aofdoctor.cli.console import make_painter, print_json, print_line
from aofdoctor.cli.views.edit_text import short_path
from aofdoctor.edit.output.undo import undo as take_back

EPILOG = """\b
Examples:
  aofdoctor undo appendonly.aof.7.incr.aof.20261122T055831Z.receipt.json

\b
Exit status: 0 taken back; 3 could not: not the file that was edited, or in use; 130 interrupted."""


def undo(
    receipt: Annotated[str, typer.Argument(metavar="RECEIPT", help="The receipt that the edit left.")],
    force_in_use: Annotated[
        bool, typer.Option("--force-in-use", help="Write although the file is, or may be, in use.")
    ] = False,
    json: options.JsonOption = False,
) -> None:
    """Take an in-place edit back, byte for byte.

    The file is sought beside the receipt, then where it was; it has to hold what
    was written, with the same bytes around it.
    """
    result = take_back(Path(receipt), force_in_use)
    if json:
        print_json(
            {"files": [str(path) for path in result.files], "bytes": result.byte_count, "receipt": str(result.receipt)}
        )
        return
    names = ", ".join(text.display_path(short_path(path)) for path in result.files)
    print_line(
        make_painter()(f"taken back: {text.format_size(result.byte_count)} in {names}, on disk and read back", "good")
    )
    print_line(f"the receipt is now {text.display_path(short_path(result.receipt))}")
