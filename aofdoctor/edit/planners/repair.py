"""What repair keeps: everything before the first damage, whole transactions, in whichever part it is."""

from collections.abc import Iterator

from aofdoctor import text
from aofdoctor.aof.model import AOF
from aofdoctor.check.report import Report
from aofdoctor.damage import DAMAGE_MEANINGS, DamageKind
from aofdoctor.edit.plan import Drop, Plan
from aofdoctor.errors import RefusedEdit
from aofdoctor.server.verdict import Outcome
from aofdoctor.span import Span


def plan_repair(report: Report) -> Plan:
    """Cut before the first damage; what follows goes, later parts included.

    Raises Refused where a cut cannot help: a damaged RDB, a ruined manifest.
    """
    _require_repairable(report)
    place = _first_damaged_part(report)
    plan = Plan(report.aof, "repair", lambda: _drops(report, place), report.commands, report.size, keep_dropped=True)
    if place is not None:
        missing = not report.parts[place].part.exists
        plan.omitted_parts = frozenset(range(place if missing else place + 1, len(report.parts)))
        plan.notes += _notes(report, place)
    plan.compute_totals()
    if report.aof.layout == "multi-part" and plan.dropped_bytes == plan.size:
        raise RefusedEdit(
            f"nothing would be left: {plan.notes[0]}",
            f"aofdoctor repair {text.shell_quote(report.aof.path)} --salvage keeps what is whole in the other parts",
        )
    return plan


def _first_damaged_part(report: Report) -> int | None:
    """The first part, in load order, that is damaged or missing."""
    for place, part in enumerate(report.parts):
        if part.damage or not part.part.exists:
            return place
    return None


def _drops(report: Report, place: int | None) -> Iterator[Drop]:
    if place is None:
        return
    part = report.parts[place]
    if part.part.exists and part.ok_up_to < part.size:
        dropped_commands = part.commands - part.ok_commands
        yield Drop(place, Span(part.ok_up_to, part.size), dropped_commands, part.damage[0].kind.value)
    for later, after in enumerate(report.parts[place + 1 :], place + 1):
        if after.size:
            yield Drop(later, Span(0, after.size), after.commands, "after the damage")


def _notes(report: Report, place: int) -> list[str]:
    part = report.parts[place]
    if not part.part.exists:
        first = f"{text.display_path(part.part.name)} is missing"
    else:
        damage = part.damage[0]
        first = f"{text.display_path(part.part.name)}: {DAMAGE_MEANINGS[damage.kind]} at {text.format_offset(damage.span.start)}"
    notes = [f"the first damage: {first}"]
    intact = sum(p.commands for p in report.parts[place:]) - part.ok_commands
    if intact:
        notes.append(
            f"{text.format_count(intact, 'whole command')} stand after it: what a salvage could keep of what goes"
        )
    notes += _remaining_refusals(report, place)
    if any(d.kind is DamageKind.IN_FLIGHT for d in part.damage):
        notes.append("a server is still writing this file: stop it first")
    return notes


def _remaining_refusals(report: Report, place: int) -> list[str]:
    """What a server would refuse the copy for: it stands before the damage, whole."""
    order = {part.part.name: number for number, part in enumerate(report.parts)}
    notes: dict[tuple[str, int | None, str], list[str]] = {}
    for verdict in report.verdicts:
        if not verdict.load_truncated or verdict.outcome not in (Outcome.REFUSES, Outcome.UNDEFINED):
            continue
        where = (order.get(verdict.part, -1), verdict.offset or 0)
        if verdict.part and where < (place, report.parts[place].ok_up_to):
            notes.setdefault((verdict.part, verdict.offset, verdict.reason), []).append(verdict.server)
    return [
        f"{', '.join(servers)} would not load the copy: {reason} at {text.display_path(part)}@{offset} stays "
        "(--salvage leaves out what no server takes)"
        for (part, offset, reason), servers in notes.items()
    ]


def _require_repairable(report: Report) -> None:
    aof = report.aof
    for part in report.parts:
        rdb = part.preamble
        if rdb and not rdb.is_intact:
            raise RefusedEdit(
                f"the RDB at the head of {text.display_path(part.part.name)} is damaged ({rdb.note}): "
                "cutting behind it would not help, and cutting it away would lose every key in it",
                "a replica, a backup or dump.rdb may have them all; "
                f"aofdoctor repair {text.shell_quote(report.aof.path)} --salvage keeps the keys that can be read",
            )
    require_sound_manifest(aof)
    require_parts(report)


def require_sound_manifest(aof: AOF) -> None:
    """Raise Refused where which files belong to a set is not certain."""
    if aof.layout == "multi-part" and (aof.manifest is None or aof.manifest.problems):
        condition = "is missing" if aof.manifest is None else f"is damaged ({aof.manifest.problems[0].message})"
        raise RefusedEdit(
            f"the manifest of {text.display_path(aof.path)} {condition}: which files belong to the set is not certain",
            f"aofdoctor repair {text.shell_quote(aof.path)} --salvage makes it anew from the files",
        )
    names = [part.name for part in aof.parts]
    repeated_name = next((name for name in names if names.count(name) > 1), None)
    if repeated_name:
        raise RefusedEdit(
            f"the manifest lists {text.display_path(repeated_name)} twice",
            f"aofdoctor repair {text.shell_quote(aof.path)} --salvage lists it once",
        )


def require_complete_set(aof: AOF) -> None:
    """Raise Refused where a copy would leave out, without a word, what a server would refuse the set for."""
    require_sound_manifest(aof)
    for part in aof.parts:
        if not part.exists:
            raise RefusedEdit(
                f"{text.display_path(part.name)} is missing: a copy without it would load, and hide that",
                f"aofdoctor repair {text.shell_quote(aof.path)} says what can be kept; do that first",
            )


def require_parts(report: Report) -> None:
    """Raise Refused where no file is left to keep anything of."""
    aof = report.aof
    if not aof.existing_parts:
        raise RefusedEdit(f"no part of {text.display_path(aof.path)} is there")
