"""aofdoctor undo: reverse an edit in place, with the receipt file that the edit wrote."""

from pathlib import Path
from typing import Annotated

import typer

from aofdoctor import text
from aofdoctor.cli import options
from aofdoctor.cli.console import make_painter, outcome_on_failed_output, print_json, print_line
from aofdoctor.cli.views.edit_text import short_path
from aofdoctor.edit.output.undoing.undo import undo as take_back

EPILOG = """\b
Examples:
  aofdoctor undo appendonly.aof.7.incr.aof.20261122T055831Z.receipt.json
  aofdoctor undo /backup/receipt.json /var/lib/redis/appendonly.aof

\b
Exit status: 0 taken back, or nothing to undo; 3 could not: not the file that was edited, or in use; 130 interrupted."""


def undo(
    receipt: Annotated[str, typer.Argument(metavar="RECEIPT", help="The receipt that the edit left.")],
    files: Annotated[
        list[str] | None,
        typer.Argument(metavar="[FILE]...", help="The edited files, if they are not in the receipt's directory."),
    ] = None,
    force_in_use: Annotated[
        bool, typer.Option("--force-in-use", help="Write although the file is, or may be, in use.")
    ] = False,
    json: options.JsonOption = False,
) -> None:
    """Take an in-place edit back, byte for byte.

    The edited file must be in the receipt's directory or below it, or be named.
    It must hold what the edit wrote, with the same bytes around it.
    """
    result = take_back(Path(receipt), [Path(file) for file in files or ()], force_in_use)
    done = "the edit is undone" if result.is_changed else "nothing was changed"
    with outcome_on_failed_output(f"{done}, receipt {text.display_path(str(result.receipt))}", is_done=True):
        if json:
            print_json(
                {
                    "files": [str(path) for path in result.files],
                    "bytes": result.byte_count,
                    "receipt": str(result.receipt),
                    "changed": result.is_changed,
                }
            )
            return
        names = ", ".join(text.display_path(short_path(path)) for path in result.files)
        if not result.is_changed:
            print_line(f"nothing to undo: the old content of {names} is in place")
        else:
            size = text.format_size(result.byte_count)
            print_line(make_painter()(f"taken back: {size} in {names}, on disk and read back", "good"))
        print_line(f"the receipt is now {text.display_path(short_path(result.receipt))}")
