"""aofdoctor repair: a copy that loads."""

from typing import Annotated

import typer

from aofdoctor.analysis.examine import examine
from aofdoctor.analysis.report import Report
from aofdoctor.cli import options
from aofdoctor.cli.options import opened
from aofdoctor.cli.plans import carry_out, plan_json
from aofdoctor.cli.render import emit, progress, say
from aofdoctor.edit.manifest import rebuilt
from aofdoctor.edit.plan import Plan
from aofdoctor.edit.repair import plan_repair
from aofdoctor.edit.salvage import plan_salvage
from aofdoctor.errors import BadSelection, Refused

EPILOG = """\b
Examples:
  aofdoctor repair /var/lib/redis                    the plan: what a cut would keep and lose
  aofdoctor repair /var/lib/redis -o repaired        a copy cut before the first damage, the rest in repaired.lost
  aofdoctor repair appendonly.aof --salvage -o out   keep what stands after the damage as well
  aofdoctor repair appendonly.aof -o fixed.aof --json

\b
Exit status: 0 planned, done, or nothing to repair; 2 usage; 3 could not (a damaged RDB or manifest is refused);
130 interrupted."""


def repair(
    path: options.WritablePath,
    salvage: Annotated[bool, typer.Option("--salvage", help="Keep every whole command, after the damage too.")] = False,
    strict: Annotated[
        bool, typer.Option("--strict", help="With --salvage: leave out commands whose database is a guess.")
    ] = False,
    keep_unknown: Annotated[
        bool, typer.Option("--keep-unknown", help="With --salvage: keep commands that no server knows (renamed ones).")
    ] = False,
    output: options.Output = None,
    json: options.Json = False,
) -> None:
    """A copy that loads: everything before the first damage, or with --salvage what follows it as well.

    Transactions stay whole, or go.  Without -o it prints its plan and writes
    nothing.  What goes, later parts included, is kept in OUT.lost, with a map.
    """
    if (strict or keep_unknown) and not salvage:
        raise BadSelection("--strict and --keep-unknown go with --salvage")
    with opened(path) as aof:
        mended, inferred = rebuilt(aof) if salvage else (aof, [])
        with progress(sum(part.size or 0 for part in mended.present), "reading") as tell:
            report = examine(mended, progress=tell)
        plan = plan_salvage(report, strict, keep_unknown) if salvage else plan_repair(report)
        plan.notes[:0] = inferred
        if plan.changed or plan.lost_parts or inferred:
            carry_out(plan, output, json, "-o OUT writes a copy, and keeps what goes in OUT.lost")
        else:
            _nothing(report, plan, output, json)


def _nothing(report: Report, plan: Plan, output: str | None, json: bool) -> None:
    if output:
        raise Refused("no damage stands in it: there is nothing to repair, and nothing was written")
    if json:
        emit(plan_json(plan, None))
        return
    say("no damage stands in it: there is nothing to repair")
    for verdict in report.verdicts:
        if verdict.load_truncated and verdict.reason:
            say(f"  but {verdict.server}: {verdict.outcome.value}, {verdict.reason}")
