"""aofdoctor rewind: write a copy of an AOF with everything up to a position or a time."""

from typing import Annotated

import typer

from aofdoctor.cli import options
from aofdoctor.cli.console import progress_bar
from aofdoctor.cli.edit_runner import run_edit
from aofdoctor.cli.options import open_path
from aofdoctor.cli.output_options import OutputOptions, with_output_options
from aofdoctor.edit.planners.rewind import plan_from_recipe
from aofdoctor.edit.recipes import make_edit

EPILOG = """\b
Examples:
  aofdoctor rewind /var/lib/redis --to -10m          the plan: ten minutes before the end of the log
  aofdoctor rewind /var/lib/redis --to 2026-11-22T05:58:30 -o then
  aofdoctor rewind appendonly.aof --before 2405 -o before.aof

\b
Exit status: 0 planned, done, or nothing is past that moment; 2 usage; 3 could not; 130 interrupted."""


@with_output_options
def rewind(
    path: options.WritablePathArgument,
    to: Annotated[
        str | None, typer.Option("--to", metavar="TIME", help="Keep what was written up to this second.")
    ] = None,
    before: Annotated[
        str | None, typer.Option("--before", metavar="POSITION", help="Keep what stands before this record.")
    ] = None,
    *,
    output_options: OutputOptions,
) -> None:
    """A copy as it was at a moment, across parts.

    Without -o or --in-place it prints its plan and writes nothing.  A transaction stays whole or
    goes; parts that were written later leave the manifest.  TIME needs #TS
    annotations (aof-timestamp-enabled).
    """
    with open_path(path) as aof:
        recipe = {"to": to, "before": before}
        run_edit(
            make_edit(plan_from_recipe, "rewind", aof, recipe, output_options.writes, progress_bar), output_options
        )
