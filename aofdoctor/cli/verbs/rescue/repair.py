"""aofdoctor repair: write a copy of a damaged AOF that a server loads, without the damage or what follows it."""

from typing import Annotated

import typer

from aofdoctor.cli import options
from aofdoctor.cli.console import print_json, print_line, progress_bar
from aofdoctor.cli.edit_runner import edit_json, run_edit
from aofdoctor.cli.options import open_path
from aofdoctor.cli.output_options import OutputOptions, with_output_options
from aofdoctor.cli.views.edit_text import WRITE_HINT
from aofdoctor.edit.plan import Plan
from aofdoctor.edit.planners.repair import plan_from_recipe
from aofdoctor.edit.recipes import make_edit
from aofdoctor.errors import RefusedEdit

EPILOG = """\b
Examples:
  aofdoctor repair /var/lib/redis                    the plan: what a cut would keep and lose
  aofdoctor repair /var/lib/redis -o repaired        a copy cut before the first damage, the rest in repaired.lost
  aofdoctor repair appendonly.aof --salvage -o out   keep what stands after the damage as well
  aofdoctor repair appendonly.aof -o fixed.aof --json

\b
Exit status: 0 planned, done, or nothing to repair; 2 usage; 3 could not (a damaged RDB or manifest is
refused without --salvage); 130 interrupted."""


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
            _report_no_damage(plan, output_options)


def _report_no_damage(plan: Plan, output_options: OutputOptions) -> None:
    if output_options.writes or output_options.plan:
        raise RefusedEdit("no damage stands in it: there is nothing to repair, and nothing was written")
    if output_options.json:
        print_json(edit_json(plan, None))
        return
    print_line("no damage stands in it: there is nothing to repair")
    for note in plan.notes:
        print_line(f"  but {note}")
