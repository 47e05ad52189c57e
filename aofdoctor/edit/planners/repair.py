"""Plan repair: keep everything before the first damage of the AOF, or with --salvage also what follows it.

A cut never splits a transaction.
"""

from collections.abc import Iterator
from typing import Any

from aofdoctor import text
from aofdoctor.aof.model import AOF
from aofdoctor.check.examine import examine
from aofdoctor.check.findings.unknown_commands import kept_unknown_commands
from aofdoctor.check.report import Report
from aofdoctor.damage import DAMAGE_MEANINGS, DamageKind
from aofdoctor.edit.drops import Drop, Reconstruction
from aofdoctor.edit.edit import OpenProgress
from aofdoctor.edit.plan import Plan
from aofdoctor.edit.preconditions import require_parts, require_sound_manifest
from aofdoctor.edit.reconstruction.vector_adds import replace_crashing_vector_adds
from aofdoctor.edit.salvage.estimate import estimate_salvage
from aofdoctor.edit.salvage.salvage import ExamineAof, plan_salvage, rdb_keys
from aofdoctor.edit.set_totals import KeyTotals, unused_files
from aofdoctor.errors import InvalidSelection, NothingReadable, RefusedEdit
from aofdoctor.server.verdict import Outcome
from aofdoctor.span import Span


def plan_from_recipe(aof: AOF, recipe: dict[str, Any], open_progress: OpenProgress) -> Plan:
    """Plan repair from a recipe (the user's request as JSON).

    The recipe has salvage, strict, drop_unknown and partial_values. Saved plans of earlier versions lack the last two.
    """
    salvage, strict = recipe["salvage"], recipe["strict"]
    drop_unknown, partial_values = bool(recipe.get("drop_unknown")), bool(recipe.get("partial_values"))
    if (strict or drop_unknown or partial_values) and not salvage:
        raise InvalidSelection("--strict, --drop-unknown and --partial-values go with --salvage")

    def examine_with_progress(aof: AOF) -> Report:
        with open_progress(sum(part.size or 0 for part in aof.existing_parts), "reading") as on_progress:
            return examine(aof, progress=on_progress, deep=salvage)

    plan, report = _plan(aof, examine_with_progress, salvage, strict, drop_unknown, partial_values)
    if report.replay.vector_adds.crash_count:
        replaced, replacements = replace_crashing_vector_adds(aof)
        plan, report = _plan(replaced, examine_with_progress, salvage, strict, drop_unknown, partial_values)
        _add_replacements(plan, replacements)
    if not salvage:
        _require_something_left(plan, report)
    plan.notes += _renamed_flush_notes(report, drop_unknown)
    if salvage and not drop_unknown:
        plan.notes += kept_unknown_commands(report.unknown.commands.values())
    if not salvage and (estimate := estimate_salvage(report)):
        plan.notes.append(f"repair --salvage keeps {estimate}")
    if not plan.has_changes:
        plan.notes += [
            f"{verdict.server}: {verdict.outcome.value}, {verdict.reason}"
            for verdict in report.verdicts if verdict.load_truncated and verdict.reason
        ]  # fmt: skip
    return plan


def _require_something_left(plan: Plan, report: Report) -> None:
    """Raise RefusedEdit if a cut leaves nothing although a salvage keeps something, or nobody can read anything."""
    if not plan.size or plan.dropped_bytes != plan.size:
        return
    path = text.display_path(plan.aof.path)
    if (estimate := estimate_salvage(report)) and (estimate.keys or estimate.commands):
        hint = f"aofdoctor repair {text.shell_quote(plan.aof.path)} --salvage keeps {estimate}"
        raise RefusedEdit(f"nothing stands before the first damage of {path}: the copy would be empty", hint)
    raise RefusedEdit(
        f"nothing can be read in {path}: no command and no key would be left",
        "look for a backup, a replica, or other files of the same server",
    )


def _renamed_flush_notes(report: Report, drop_unknown: bool) -> list[str]:
    """Notes about unknown commands that may be a renamed FLUSHALL: whether the plan keeps them, and the consequence."""
    fate = "dropped: the keys that it removed would come back" if drop_unknown else "kept"
    return [
        f"{text.quote(name.name)} at {text.display_path(name.first_flush_like[0])}@{name.first_flush_like[1].start} is "
        f"probably a FLUSHALL that rename-command has renamed; it is {fate}"
        for name in report.unknown.commands.values()
        if name.first_flush_like
    ]


def _plan(
    aof: AOF, examine_aof: ExamineAof, salvage: bool, strict: bool, drop_unknown: bool, partial_values: bool
) -> tuple[Plan, Report]:
    if salvage:
        return plan_salvage(aof, examine_aof, strict, drop_unknown, partial_values)
    report = examine_aof(aof)
    return plan_repair(report), report


def _add_replacements(plan: Plan, replacements: list[Reconstruction]) -> None:
    """Record in a plan the VADD commands that were replaced in its AOF, and add a note about them."""
    plan.add_reconstructions([*replacements, *plan.reconstructions], plan.commands_regained)
    count = text.format_count(len(replacements), "VADD command")
    plan.notes.append(f"{count} with CAS, which can crash Redis 8.2 to 8.10 at load, replaced by the same without CAS")


def plan_repair(report: Report) -> Plan:
    """Plan to drop everything from the first damage of the AOF on, later files included.

    Raises RefusedEdit if a cut cannot help: for a damaged RDB or manifest, and if nothing would be left.
    """
    _require_repairable(report)
    index = _first_damaged_part(report)
    plan = Plan(report.aof, "repair", lambda: _drops(report, index), report.commands, report.size, keep_dropped=True)
    plan.keys = KeyTotals.unchanged(rdb_keys(report))
    if index is not None:
        plan.unused_files = list(unused_files(report.aof))
        missing = not report.parts[index].part.exists
        plan.omitted_parts = frozenset(range(index if missing else index + 1, len(report.parts)))
        plan.notes += _notes(report, index)
    plan.compute_totals()
    if report.aof.layout == "rdb" and plan.dropped_bytes == plan.size > 0:
        raise NothingReadable(
            f"nothing would be left of {text.display_path(report.aof.path)}: {plan.notes[0]}",
            "a replica, a backup or another file of the same server may have its keys",
        )
    if report.aof.layout == "multi-part" and plan.dropped_bytes == plan.size:
        raise RefusedEdit(
            f"nothing would be left: {plan.notes[0]}",
            f"aofdoctor repair {text.shell_quote(report.aof.path)} --salvage keeps what is whole in the other parts",
        )
    return plan


def _first_damaged_part(report: Report) -> int | None:
    """The index in load order of the first file of the AOF that is damaged or missing; None if there is none."""
    for index, part in enumerate(report.parts):
        if part.damage or not part.part.exists:
            return index
    return None


def _drops(report: Report, index: int | None) -> Iterator[Drop]:
    if index is None:
        return
    part = report.parts[index]
    if part.part.exists and part.ok_up_to < part.size:
        dropped_commands = part.commands - part.ok_commands
        yield Drop(index, Span(part.ok_up_to, part.size), dropped_commands, part.damage[0].kind.value)
    for later, after in enumerate(report.parts[index + 1 :], index + 1):
        if after.size:
            yield Drop(later, Span(0, after.size), after.commands, "after the damage")


def _notes(report: Report, index: int) -> list[str]:
    part = report.parts[index]
    if not part.part.exists:
        first = f"{text.display_path(part.part.name)} is missing"
    else:
        damage = part.damage[0]
        place = f"at {text.format_offset(damage.span.start)}"
        first = f"{text.display_path(part.part.name)}: {DAMAGE_MEANINGS[damage.kind]} {place}"
    notes = [f"the first damage: {first}"]
    intact = sum(p.commands for p in report.parts[index:]) - part.ok_commands
    if intact:
        verb = "stands" if intact == 1 else "stand"
        notes.append(f"{text.format_count(intact, 'whole command')} {verb} after it")
    notes += _remaining_refusals(report, index)
    if any(d.kind is DamageKind.IN_FLIGHT for d in part.damage):
        notes.append("a server is still writing this file: stop it first")
    return notes


def _remaining_refusals(report: Report, index: int) -> list[str]:
    """Notes about intact commands before the damage that servers would refuse to load."""
    order = {part.part.name: number for number, part in enumerate(report.parts)}
    notes: dict[tuple[str, int | None, str, bool], list[str]] = {}
    for verdict in report.verdicts:
        if not verdict.load_truncated or verdict.outcome not in (Outcome.REFUSES, Outcome.UNDEFINED):
            continue
        where = (order.get(verdict.part, -1), verdict.offset or 0)
        if verdict.part and where < (index, report.parts[index].ok_up_to):
            is_lacking = verdict.with_support is not None
            notes.setdefault((verdict.part, verdict.offset, verdict.reason, is_lacking), []).append(verdict.server)
    return [
        f"{', '.join(servers)} would not load the copy: {reason} at {text.display_path(part)}@{offset} stays "
        + (
            "(a server that has it does; --salvage --drop-unknown leaves it out)"
            if is_lacking
            else "(--salvage leaves out what no server takes)"
        )
        for (part, offset, reason, is_lacking), servers in notes.items()
    ]


def _require_repairable(report: Report) -> None:
    aof = report.aof
    for part in report.parts:
        rdb = part.preamble
        damage = rdb and next((d for d in part.damage if d.span.start < rdb.span.end), None)
        if rdb and damage:
            raise RefusedEdit(
                f"the RDB at the head of {text.display_path(part.part.name)} is damaged ({damage.note}): "
                "cutting behind it would not help, and cutting it away would lose every key in it",
                "a replica, a backup or dump.rdb may have them all; "
                f"aofdoctor repair {text.shell_quote(report.aof.path)} --salvage keeps the keys that can be read",
            )
    require_sound_manifest(aof)
    require_parts(report)
