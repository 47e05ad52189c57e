"""Findings about damaged bytes, about harm that a server's own truncation at load would do, and about odd records."""

from collections.abc import Iterator

from aofdoctor import text
from aofdoctor.check.report import PartReport, Report, salvage_command
from aofdoctor.damage import DAMAGE_MEANINGS, Damage, DamageKind
from aofdoctor.finding import Finding, Severity
from aofdoctor.server.verdict import TruncationHazard


def _damage(report: Report) -> Iterator[Finding]:
    """Yield a finding per damage in the files of the AOF, with its byte range and a hint for repair."""
    for part in report.parts:
        for damage in part.damage:
            severity = Severity.NOTE if damage.kind is DamageKind.IN_FLIGHT else Severity.DAMAGE
            range_text = f"{text.format_offset(damage.span.start)} to {text.format_offset(damage.span.end)}"
            guess = _guess_note(damage) if damage.end_is_guess else ""
            note = f" ({damage.note})" if damage.note else ""
            message = (
                f"{text.display_path(part.part.name)}: {DAMAGE_MEANINGS[damage.kind]}, {range_text}, "
                f"{text.format_size(damage.span.size)}{note}"
            )
            is_cured = damage.kind is not DamageKind.IN_FLIGHT
            hint = _repair_hint(part, damage) if is_cured else ""
            commands = (salvage_command(report),) if is_cured else ()
            detail = _RESTART_DETAIL if damage.kind is DamageKind.TORN_TRANSACTION else ""
            yield Finding(
                damage.kind.value, severity, message + guess, part.part.name, *damage.span, detail, hint, commands
            )
        hidden = part.damage_count - len(part.damage)
        if hidden:
            yield Finding(
                "damage-more", Severity.DAMAGE, f"{text.display_path(part.part.name)}: {hidden:,} more damages follow"
            )


_RESTART_DETAIL = (
    "A server that loads it drops every later command, or executes half of the transaction: "
    "the MULTI takes in what was written after the restart."
)


def _guess_note(damage: Damage) -> str:
    if damage.kind is DamageKind.TORN_TRANSACTION:
        return "; the place of the restart is a guess"
    return "; where records begin again is a guess"


def _repair_hint(part: PartReport, damage: Damage) -> str:
    if damage.kind is DamageKind.TORN_TRANSACTION:
        return "a salvage removes this transaction and keeps every later command"
    if part.has_damaged_rdb:
        return "a salvage keeps the keys that can be read; a replica may have them all"
    return "a salvage keeps what is whole before and after it; without --salvage, repair cuts the file here"


def _damaged_keys(report: Report) -> Iterator[Finding]:
    """Yield a finding per key of a damaged RDB that no server loads, if the key has a readable name.

    The keys of an otherwise intact RDB that no server loads are reported by `_damage`.
    """
    for part in report.parts:
        contents, rdb = part.rdb_contents, part.preamble
        if contents is None or rdb is None or rdb.is_intact:
            continue
        from aofdoctor.check.findings.rdb_values import damage_of_keys

        for damage in damage_of_keys(contents):
            name = text.display_path(part.part.name)
            place = f"{text.format_offset(damage.span.start)} to {text.format_offset(damage.span.end)}"
            message = f"{name}: {DAMAGE_MEANINGS[damage.kind]}, {place} ({damage.note})"
            yield Finding(damage.kind.value, Severity.DAMAGE, message, part.part.name, *damage.span)


_HAZARD_MESSAGES = {
    TruncationHazard.OPEN_MULTI_SWALLOWS: (
        "leaves a MULTI open: every later write is queued behind it and lost at the second restart"
    ),
    TruncationHazard.CUT_LOSES_PREAMBLE: (
        "that is before its RDB: the keys live on in memory only, and are gone at the second start"
    ),
    TruncationHazard.CUT_NOT_LAST: (
        "refuses to start, because another part follows; a second start loads the set with a silent gap"
    ),
}


def _truncation_hazards(report: Report) -> Iterator[Finding]:
    """Yield a finding per way in which truncation at load would do harm, with the server versions that would do so."""
    for hazard, sentence in _HAZARD_MESSAGES.items():
        verdicts = [v for v in (v.with_support or v for v in report.verdicts) if hazard in v.hazards]
        if verdicts:
            first = verdicts[0]
            names = ", ".join(dict.fromkeys(v.server for v in verdicts))
            message = (
                f"do not start {names} on it: it cuts {text.display_path(first.part)} at {first.offset}, and {sentence}"
            )
            hint, commands = "a salvage makes a copy that loads", (salvage_command(report),)
            yield Finding(
                hazard.value, Severity.DANGER, message, first.part, first.offset, None, hint=hint, commands=commands
            )


_REDUNDANT_SELECT = (
    "a redundant SELECT, of the database that is selected already: usually a restart of the server; "
    "it can also mean a second writer or another AOF"
)
_ODDITIES = {
    "select-invalid": (Severity.WARNING, "a SELECT of no database: later writes go to the previous one"),
    "select-again": (Severity.NOTE, _REDUNDANT_SELECT),
    "multi-nested": (Severity.WARNING, "a MULTI inside a transaction: an EXEC is lost, or two servers wrote here"),
    "exec-alone": (Severity.WARNING, "an EXEC without a MULTI: a MULTI is lost, or two servers wrote here"),
    "annotation-long": (Severity.WARNING, "an annotation longer than a server's line buffer (1,024 bytes)"),
}


def _oddities(report: Report) -> Iterator[Finding]:
    """Yield a finding per kind of odd record (such as a nested MULTI), with the number of such records."""
    for code, oddity in report.oddities.items():
        severity, sentence = _ODDITIES[code]
        times = f", {oddity.count:,} times, the first" if oddity.count > 1 else ""
        place = f"{text.display_path(oddity.part)}@{oddity.span.start}"
        message = f"{sentence}{times} at {place}"
        yield Finding(code, severity, message, oddity.part, *oddity.span)


CHECKS = (_truncation_hazards, _damage, _damaged_keys, _oddities)
