"""aofdoctor rewind: a copy as it was at a moment."""

from typing import Annotated

import typer

from aofdoctor.analysis.position import parse_time
from aofdoctor.cli import options
from aofdoctor.cli.options import opened
from aofdoctor.cli.plans import carry_out
from aofdoctor.edit.repair import demand_whole_set
from aofdoctor.edit.rewind import after_time, before_position, plan_rewind
from aofdoctor.errors import BadSelection

EPILOG = """\b
Examples:
  aofdoctor rewind /var/lib/redis --to -10m          the plan: ten minutes before the end of the log
  aofdoctor rewind /var/lib/redis --to 2026-11-22T05:58:30 -o then
  aofdoctor rewind appendonly.aof --before 2405 -o before.aof

\b
Exit status: 0 planned or done; 2 usage, or nothing is past that moment; 3 could not; 130 interrupted."""


def rewind(
    path: options.WritablePath,
    to: Annotated[
        str | None, typer.Option("--to", metavar="TIME", help="Keep what was written up to this second.")
    ] = None,
    before: Annotated[
        str | None, typer.Option("--before", metavar="POSITION", help="Keep what stands before this record.")
    ] = None,
    output: options.Output = None,
    json: options.Json = False,
) -> None:
    """A copy as it was at a moment, across parts.

    Without -o it prints its plan and writes nothing.  A transaction stays whole or
    goes; parts that were written later leave the manifest.  TIME needs #TS
    annotations (aof-timestamp-enabled).
    """
    if (to is None) == (before is None):
        raise BadSelection("--to TIME or --before POSITION, one of them")
    with opened(path) as aof:
        if before is not None:
            plan = plan_rewind(aof, before_position(options.loaded_position(before, aof)))
        else:
            assert to is not None
            seconds = parse_time(to, options.end_of_log(aof, [to]))
            plan = plan_rewind(aof, after_time(seconds), seconds)
        if output:
            demand_whole_set(aof)
        carry_out(plan, output, json, "-o OUT writes a copy")
