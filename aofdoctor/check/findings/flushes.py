"""Findings about flushes: commands, commands in damaged records, scripts; and other evidence if there are none."""

from collections.abc import Iterator

from aofdoctor import text
from aofdoctor.check.report import Report, shell_path
from aofdoctor.finding import Finding, Severity
from aofdoctor.log.flushes import FlushGroup, describe_group, describe_scope
from aofdoctor.rdb.preamble import creation_time

_HIDDEN_FLUSHES_MAX = 100


def _flushes(report: Report) -> Iterator[Finding]:
    """Yield a finding per group of flushes that the report keeps."""
    for group in report.flushes.groups:
        yield Finding("flush", Severity.DANGER, _flush_message(report, group), group.first.part,
                      group.first.span.start, group.last.span.end, _flush_detail(report, group),
                      _strip_hint(report))  # fmt: skip
    hidden = report.flushes.group_count - len(report.flushes.groups)
    if hidden:
        message = f"{hidden:,} more groups of flushes stand between those listed"
        yield Finding("flush-more", Severity.DANGER, message, hint="aofdoctor log --effect flush lists them all")


def _flush_message(report: Report, group: FlushGroup) -> str:
    first = group.first
    place = f"{text.display_path(first.part)}@{first.span.start}"
    when = f" ({text.format_time(first.time)})" if first.time is not None else ""
    following = _describe_following(report, group)
    return f"{describe_group(group)} at {place}{when} emptied {describe_scope(group)}; {following}"


def _describe_following(report: Report, group: FlushGroup) -> str:
    after = report.commands - group.last.number
    return f"{text.format_count(after, 'command')} follow{'s' if after == 1 else ''} it"


def _flush_detail(report: Report, group: FlushGroup) -> str:
    tx = ", inside a transaction" if group.first.tx else ""
    guess = "  Damage stands before it: that it is a command, and no piece of a value, is a guess."
    return f"It is command #{group.first.number}{tx}.{guess if group.first.guess else ''}"


def _strip_hint(report: Report) -> str:
    if report.flushes.group_count > 1:
        return f"aofdoctor strip {shell_path(report)} lists them; POSITION, --last or --all chooses"
    return f"aofdoctor strip {shell_path(report)} shows what taking it back would change"


def _hidden_flushes(report: Report) -> Iterator[Finding]:
    """Yield findings about flushes in damaged records that some server versions run nevertheless."""
    for (part, offset), command in list(report.hidden_flushes.items())[:_HIDDEN_FLUSHES_MAX]:
        message = (
            f"{command.upper()} in a damaged record at {text.display_path(part)}@{offset}: servers that read on run it"
        )
        hint = f"aofdoctor repair {shell_path(report)} --salvage leaves damaged records out"
        yield Finding("flush-in-damage", Severity.DANGER, message, part, offset, None, hint=hint)


def _script_flushes(report: Report) -> Iterator[Finding]:
    """Yield findings about scripts that contain FLUSHALL or FLUSHDB."""
    for script_flush in report.script_flushes.flushes:
        place = f"{script_flush.part}@{script_flush.span.start}"
        message = (
            f"{script_flush.command} at {text.display_path(place)} runs a script with a flush in its text, "
            "at every load"
        )
        hint = (
            f"aofdoctor show {shell_path(report)} {text.shell_position(place)}; "
            "strip --from and --to that place leaves it out"
        )
        yield Finding("flush-in-script", Severity.DANGER, message, script_flush.part, *script_flush.span, hint=hint)
    hidden = report.script_flushes.count - len(report.script_flushes.flushes)
    if hidden:
        yield Finding("flush-in-script-more", Severity.DANGER, f"{hidden:,} more such scripts follow")


def _no_flush(report: Report) -> Iterator[Finding]:
    """Yield a note if the log has no flush, with the other evidence of the data's past."""
    if report.flushes.count or report.hidden_flushes or report.script_flushes.count:
        return
    evidence = [entry.name for entry in report.aof.leftovers] + [p.name for p in report.aof.history if p.exists]
    evidence += [part.name for part in report.aof.unlisted]
    detail = (
        f"Other evidence: {', '.join(map(text.display_path, evidence))}."
        if evidence
        else "No history file, temporary file or dump.rdb was found."
    )
    base = next((p.preamble for p in report.parts if p.preamble), None)
    if base and (created := creation_time(base.aux)) is not None:
        detail += f" The base was written at {text.format_time(created)}: what was before it is not in this AOF."
    yield Finding("no-flush", Severity.NOTE, "no FLUSHALL or FLUSHDB stands in it as a command", detail=detail)


CHECKS = (_flushes, _hidden_flushes, _script_flushes, _no_flush)
