"""aofdoctor repair: write a copy of a damaged AOF that a server loads, without the damage or what follows it."""

from typing import Annotated

import typer

from aofdoctor import text
from aofdoctor.cli import options
from aofdoctor.cli.console import progress_bar
from aofdoctor.cli.edit_runner import edit_json, run_edit
from aofdoctor.cli.options import open_path
from aofdoctor.cli.output_options import OutputOptions, with_output_options
from aofdoctor.cli.views.edit_text import WRITE_HINT
from aofdoctor.edit.plan import Plan
from aofdoctor.edit.planners.repair import plan_from_recipe
from aofdoctor.edit.recipes import make_edit
from aofdoctor.errors import NothingToDo

EPILOG = """\b
Examples:
  aofdoctor repair /var/lib/redis                    the plan: what a cut would keep and lose
  aofdoctor repair /var/lib/redis -o repaired        a copy cut before the first damage, the rest in repaired.lost
  aofdoctor repair appendonly.aof --salvage -o out   keep what stands after the damage as well
  aofdoctor repair appendonly.aof -o fixed.aof --json

\b
Exit status: 0 planned, done, or nothing to repair; 2 usage; 3 could not (nothing can be read, or a damaged RDB
or manifest without --salvage); 130 interrupted."""


@with_output_options
def repair(
    path: options.WritablePathArgument,
    salvage: Annotated[
        bool, typer.Option("--salvage", help="Keep every whole command and key, after the damage too.")
    ] = False,
    strict: Annotated[
        bool,
        typer.Option(
            "--strict", help="With --salvage: leave out what is a guess: a database, or keys of a damaged RDB."
        ),
    ] = False,
    keep_unknown: Annotated[
        bool, typer.Option("--keep-unknown", hidden=True, help="Without effect: unknown commands are kept.")
    ] = False,
    drop_unknown: Annotated[
        bool,
        typer.Option("--drop-unknown", help="With --salvage: drop commands that are in no table (newer, renamed)."),
    ] = False,
    partial_values: Annotated[
        bool,
        typer.Option("--partial-values", help="With --salvage: keep the readable elements of damaged collections too."),
    ] = False,
    *,
    output_options: OutputOptions,
) -> None:
    """A copy that loads: everything before the first damage, or with --salvage what follows it as well.

    Transactions stay whole, or go.  Without -o or --in-place it prints its plan and writes
    nothing.  What goes, later parts included, is kept in OUT.lost, with a map.
    Of a damaged RDB --salvage keeps the keys that can be read.
    """
    recipe = {
        "salvage": salvage,
        "strict": strict,
        "drop_unknown": drop_unknown,
        "partial_values": partial_values,
    }
    with open_path(path, read_errors_are_damage=True) as aof:
        plan = make_edit(plan_from_recipe, "repair", aof, recipe, output_options.writes, progress_bar)
        if plan.changes_output:
            run_edit(plan, output_options, f"{WRITE_HINT}; what goes is kept in OUT.lost")
        else:
            raise NothingToDo(_no_damage_text(plan), "", edit_json(plan, None))


def _no_damage_text(plan: Plan) -> str:
    """That nothing was repaired, and the notes of the plan about what remains."""
    found = f"no damage found in {text.display_path(plan.aof.path)}: nothing to repair, nothing was written"
    return "\n  but ".join((found, *plan.notes))
