"""aofdoctor apply: carry out an edit that an editing verb has saved with --plan."""

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from aofdoctor.cli.console import progress_bar
from aofdoctor.cli.edit_runner import run_edit
from aofdoctor.cli.options import open_path
from aofdoctor.cli.output_options import OutputOptions, with_output_options
from aofdoctor.edit.saved_plan import edit_from_plan, read_plan, renames_of, require_place
from aofdoctor.server.command_table import renamed_commands

EPILOG = """\b
Examples:
  aofdoctor strip /var/lib/redis --plan plan.json    save a plan, for somebody else to read
  aofdoctor apply plan.json                          show it again, made anew
  aofdoctor apply plan.json -o rescued --prove       carry it out
  aofdoctor apply plan.json /var/lib/redis --in-place    if the plan is elsewhere

\b
Exit status: 0 shown or done; 2 usage; 3 could not: no plan, or the files are not those it was made for;
130 interrupted."""


@partial(with_output_options, without=("plan",))
def apply(
    saved: Annotated[str, typer.Argument(metavar="PLAN", help="What --plan has saved.")],
    path: Annotated[
        str | None, typer.Argument(metavar="[PATH]", help="The AOF, as the plan names it.", show_default=False)
    ] = None,
    *,
    output_options: OutputOptions,
) -> None:
    """Carry out a saved plan, if the files are still those it was made for.

    The plan is made anew from what was asked, and has to come to the same.
    Without -o or --in-place it is only shown.
    """
    saved_plan = read_plan(Path(saved))
    if output_options.in_place or path is not None:
        require_place(Path(saved), saved_plan, path)
    renames = renames_of(saved_plan)
    with renamed_commands(renames), open_path(saved_plan["path"], read_errors_are_damage=True) as aof:
        edit = edit_from_plan(saved_plan, aof, output_options.writes, progress_bar)
        run_edit(edit, output_options, is_dry_run_done=True)
