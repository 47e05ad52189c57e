"""aofdoctor apply: carry out an edit that an editing verb has saved with --plan."""

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from aofdoctor.cli.console import progress_bar
from aofdoctor.cli.edit_runner import run_edit
from aofdoctor.cli.options import open_path
from aofdoctor.cli.output_options import OutputOptions, with_output_options
from aofdoctor.edit.saved_plan import edit_from_plan, read_plan
from aofdoctor.errors import InvalidSelection
from aofdoctor.server.command_table import renamed_commands

EPILOG = """\b
Examples:
  aofdoctor strip /var/lib/redis --plan plan.json    save a plan, for somebody else to read
  aofdoctor apply plan.json                          show it again, made anew
  aofdoctor apply plan.json -o rescued --prove       carry it out

\b
Exit status: 0 shown or done; 2 usage; 3 could not: no plan, or the files are not those it was made for;
130 interrupted."""


@partial(with_output_options, without=("plan",))
def apply(
    saved: Annotated[str, typer.Argument(metavar="PLAN", help="What --plan has saved.")],
    *,
    output_options: OutputOptions,
) -> None:
    """Carry out a saved plan, if the files are still those it was made for.

    The plan is made anew from what was asked, and has to come to the same.
    Without -o or --in-place it is only shown.
    """
    saved_plan = read_plan(Path(saved))
    renames = saved_plan["recipe"].get("rename") or {}
    if not isinstance(renames, dict) or not all(isinstance(name, str) for pair in renames.items() for name in pair):
        raise InvalidSelection("the plan has an impossible rename")
    with renamed_commands(renames), open_path(str(saved_plan["path"]), read_errors_are_damage=True) as aof:
        edit = edit_from_plan(saved_plan, aof, output_options.writes, progress_bar)
        run_edit(edit, output_options, is_dry_run_done=True)
