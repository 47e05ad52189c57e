"""What strip and repair say of a plan, and of what became of it."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from aofdoctor import text
from aofdoctor.aof.aof import AOF
from aofdoctor.cli.render import Paint, emit, painter, progress, say
from aofdoctor.edit.apply import Receipt, write_copy
from aofdoctor.edit.inplace import Target
from aofdoctor.edit.plan import Plan

_SHOWN = 20
_ADOPTED = "a server of 7.0 or later takes a single file over only where its appenddirname has no manifest"


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


def carry_out(plan: Plan, output: str | None, json: bool, how: str) -> None:
    """Show a plan and, where an output is named, write the copy; `how` says what would."""
    paint = painter()
    for line in () if json else plan_lines(plan, paint):
        say(line)
    if not output:
        emit(plan_json(plan, None)) if json else say(f"  nothing was written: {how}")
        return
    with progress(plan.size, "writing") as tell:
        receipt = write_copy(plan, Path(output), tell)
    if json:
        emit(plan_json(plan, output, receipt.path))
        return
    for line in ("", *done_lines(plan, receipt, paint)):
        say(line)


def plan_lines(plan: Plan, paint: Paint) -> Iterator[str]:
    """What goes and what stays, in commands, bytes and percent."""
    yield paint(f"{plan.verb} {text.name(plan.aof.path)}", "strong")
    yield f"  before  {text.count(plan.commands_before, 'command')}, {text.size(plan.size)}"
    for drop in plan.shown[:_SHOWN]:
        where = f"{text.name(plan.aof.parts[drop.part].name)}@{drop.span.start}"
        what = f"{text.count(drop.commands, 'command')}, {text.size(drop.span.size)}"
        yield paint(f"  - {where}  {what}  {drop.reason}", "gone")
    if plan.count > _SHOWN:
        yield paint(f"  - and {plan.count - _SHOWN:,} more ranges", "gone")
    after_commands, after_bytes = plan.commands_before - plan.dropped_commands, plan.size - plan.dropped_bytes
    yield (
        f"  after   {text.count(after_commands, 'command')} ({_percent(after_commands, plan.commands_before)}), "
        f"{text.size(after_bytes)} ({_percent(after_bytes, plan.size)})"
    )
    yield from (f"  {note}" for note in plan.notes)


def overwrite_lines(plan: Plan, todo: list[Target], paint: Paint) -> Iterator[str]:
    """What an edit in place would change; everything else stays as it is."""
    yield paint(f"{plan.verb} {text.name(plan.aof.path)}, in place", "strong")
    edits = [(target.path.name, edit) for target in todo for edit in target.edits]
    for name, edit in edits[:_SHOWN]:
        words = f"{text.escaped(edit.old[:40])} becomes {text.escaped(edit.new[:40])}"
        yield paint(f"  ~ {text.name(name)}@{edit.start}  {text.size(len(edit.old))}  {words}", "changed")
    if len(edits) > _SHOWN:
        yield paint(f"  ~ and {len(edits) - _SHOWN:,} more", "changed")
    yield from (f"  {note}" for note in plan.notes)


def near(path: Path) -> str:
    """A path as short as it can be typed here."""
    short = os.path.relpath(path)
    return str(path) if short.startswith("..") else short


def done_lines(plan: Plan, receipt: Receipt, paint: Paint) -> Iterator[str]:
    """What was written, and how to put it in the source's place."""
    yield (
        paint(f"written: {text.name(near(receipt.output))}", "good")
        + "  on disk, read again, the same but for what went"
    )
    yield f"receipt: {text.name(near(receipt.path))}"
    if receipt.lost:
        yield f"what went is kept in {text.name(near(receipt.lost))}, with a map"
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
    place, new = text.shell(str(where)), text.shell(str(output))
    adopted = [] if aof.layout == "multi-part" else [_ADOPTED]
    return [
        "stop the server:   redis-cli SHUTDOWN NOSAVE   (and keep its supervisor from starting it)",
        f"keep the old one:  mv {place} {place}.before-aofdoctor",
        f"put this in place: mv {new} {place}",
        f"keep its owner:    chown -R --reference={place}.before-aofdoctor {place}",
        f"check it there:    aofdoctor check {place}",
        *adopted,
        "start the server with appendonly yes, look at DBSIZE, and only then rewrite: BGREWRITEAOF",
    ]
