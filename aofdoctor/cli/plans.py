"""What strip and repair say of a plan, and of what became of it."""

import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from aofdoctor import text
from aofdoctor.aof.aof import AOF
from aofdoctor.cli.render import Paint
from aofdoctor.edit.apply import Receipt
from aofdoctor.edit.plan import Plan

_SHOWN = 20


def plan_json(
    plan: Plan, output: str | None, receipt: Path | None = None, changed_in_place: bool = False
) -> dict[str, Any]:
    """The contract of strip --json and repair --json; `output` is None for a plan that was not carried out."""
    totals = plan.totals()
    if changed_in_place:  # a PING stands in the place of each flush
        totals["bytes"] |= {"after": plan.size, "dropped": 0}
    return {
        "path": plan.aof.path, "output": output, "changed": plan.changed, **totals, "dropped": plan.shown_json(),
        "notes": plan.notes, "receipt": str(receipt) if receipt else None,
    }  # fmt: skip


def plan_lines(plan: Plan, paint: Paint) -> Iterator[str]:
    """What goes and what stays, in commands, bytes and percent."""
    yield paint(f"{plan.verb} {text.name(plan.aof.path)}", "strong")
    yield f"  before  {text.count(plan.commands, 'command')}, {text.size(plan.size)}"
    for drop in plan.shown[:_SHOWN]:
        where = f"{text.name(plan.aof.parts[drop.part].name)}@{drop.span.start}"
        yield paint(
            f"  - {where}  {text.count(drop.commands, 'command')}, {text.size(drop.span.size)}  {drop.reason}", "gone"
        )
    if plan.count > _SHOWN:
        yield paint(f"  - and {plan.count - _SHOWN:,} more ranges", "gone")
    after_commands, after_bytes = plan.commands - plan.dropped_commands, plan.size - plan.dropped_bytes
    yield (
        f"  after   {text.count(after_commands, 'command')} ({_percent(after_commands, plan.commands)}), "
        f"{text.size(after_bytes)} ({_percent(after_bytes, plan.size)})"
    )
    for note in plan.notes:
        yield f"  {note}"


def done_lines(plan: Plan, receipt: Receipt, paint: Paint) -> Iterator[str]:
    """What was written, and how to put it in the source's place."""
    yield (
        paint(f"written: {text.name(str(receipt.output))}", "good")
        + "  on disk, read again, the same but for what went"
    )
    yield f"receipt: {text.name(str(receipt.path))}"
    if receipt.lost:
        yield f"what went is kept in {text.name(str(receipt.lost))}, with a map"
    for warning in receipt.warnings:
        yield paint(f"WARNING  {warning}", "warning")
    yield ""
    yield "To use it:"
    for number, step in enumerate(_swap_in(plan.aof, receipt.output), 1):
        yield f"  {number}. {text.name(step)}"


def _percent(part: int, whole: int) -> str:
    """Never rounded up to 100 where something is missing."""
    if part == whole:
        return "100%"
    tenths = min(999, part * 1000 // whole) if whole else 0
    return f"{tenths / 10:.1f}%"


def _swap_in(aof: AOF, output: Path) -> list[str]:
    """The exact steps that put an output in the source's place, as lines."""
    where = aof.directory if aof.layout == "multi-part" else Path(aof.parts[0].path or aof.path)
    place, new = shlex.quote(str(where)), shlex.quote(str(output))
    return [
        "stop the server:   redis-cli SHUTDOWN NOSAVE   (and keep its supervisor from starting it)",
        f"keep the old one:  mv {place} {place}.before-aofdoctor",
        f"put this in place: mv {new} {place}",
        f"check it there:    aofdoctor check {place}",
        "start the server with appendonly yes, look at DBSIZE, and only then rewrite: BGREWRITEAOF",
    ]
