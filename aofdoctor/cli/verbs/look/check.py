"""aofdoctor check: what is wrong, and what each server would do with it."""

from typing import Annotated, Any

import typer

from aofdoctor import text
from aofdoctor.aof.model import AofPart
from aofdoctor.check.examine import examine
from aofdoctor.check.findings import FIRST_AID, collect_findings, is_sound
from aofdoctor.check.report import PartReport, Report, shell_path
from aofdoctor.cli import options
from aofdoctor.cli.console import Paint, make_painter, print_json, print_line, progress_bar
from aofdoctor.cli.options import open_path, parse_server_names
from aofdoctor.cli.views.rdb_summary import key_count_lines, preamble_json, rdb_description
from aofdoctor.damage import DamageKind
from aofdoctor.finding import Finding, Severity
from aofdoctor.server.verdict import Outcome, Verdict
from aofdoctor.server.versions import VERSIONS

EPILOG = """\b
Examples:
  aofdoctor check /var/lib/redis                     the data directory
  aofdoctor check appendonly.aof --server redis-6.2  judged by the server it is for
  aofdoctor check appendonlydir --server all --json
  zstd -dc backup.aof.zst | aofdoctor check -

\b
Exit status: 0 sound; 1 damage, or the server that wrote it (or the one named) would not load it whole; 2 usage;
3 could not read; 130 interrupted.  A flush is a finding and does not change the status."""

_LISTED_MAX = 20  # findings of one severity, for people


def check(
    path: options.PathArgument,
    server: Annotated[
        list[str] | None,
        typer.Option("--server", metavar="LINE", help=f"Judge by this line as well: {', '.join(VERSIONS)}, or all."),
    ] = None,
    json: options.JsonOption = False,
) -> None:
    """What is wrong, and what each server would do with it.

    Nothing is written.  All parts are read from the first byte to the last.
    """
    server_names, explicit_names = (
        parse_server_names(server),
        parse_server_names([name for name in server or () if name != "all"]),
    )
    with open_path(path, read_errors_are_damage=True) as aof:
        total = sum(part.size or 0 for part in aof.existing_parts)
        with progress_bar(total, "reading") as on_progress:
            report = examine(aof, server_names, on_progress, explicit_names)
        findings = collect_findings(report)
        if json:
            print_json(_report_json(report, findings))
        else:
            _print_report(report, findings, make_painter())
        sound = is_sound(report)
    raise typer.Exit(0 if sound else 1)


# -- JSON --


def _report_json(report: Report, findings: list[Finding]) -> dict[str, Any]:
    return {
        "path": report.aof.path,
        "layout": report.aof.layout,
        "sound": is_sound(report),
        "writer": report.writer or None,
        "parts": [_part_json(part) for part in report.parts] + [_history_part_json(p) for p in report.aof.history],
        "verdicts": [_verdict_json(verdict) for verdict in report.verdicts],
        "findings": [finding_json(finding) for finding in findings],
        "first_aid": list(FIRST_AID) if report.flushes.count else [],
    }


def _part_json(part: PartReport) -> dict[str, Any]:
    return {
        "name": part.part.name,
        "type": part.part.type,
        "exists": part.part.exists,
        "size": part.size if part.part.exists else None,
        "commands": part.commands,
        "annotations": part.annotations,
        "preamble": preamble_json(part.preamble) if part.preamble else None,
        "first_time": part.first_time,
        "last_time": part.last_time,
        "ok_up_to": part.ok_up_to,
        "damage": [
            {"kind": d.kind.value, "start": d.span.start, "end": d.span.end, "guess": d.end_is_guess, "note": d.note}
            for d in part.damage
        ],
    }


def _history_part_json(part: AofPart) -> dict[str, Any]:
    """A history file: named, not read."""
    return {
        "name": part.name, "type": part.type, "exists": part.exists, "size": part.size, "commands": None,
        "annotations": None, "preamble": None, "first_time": None, "last_time": None, "ok_up_to": None, "damage": [],
    }  # fmt: skip


def _verdict_json(verdict: Verdict) -> dict[str, Any]:
    return {
        "server": verdict.server, "load_truncated": verdict.load_truncated, "outcome": verdict.outcome.value,
        "part": verdict.part or None, "offset": verdict.offset, "reason": verdict.reason or None,
    }  # fmt: skip


def finding_json(finding: Finding) -> dict[str, Any]:
    """A finding as check --json has it."""
    return {
        "code": finding.code, "severity": finding.severity.value, "part": finding.part or None,
        "start": finding.start, "end": finding.end, "message": finding.message, "detail": finding.detail or None,
        "hint": finding.hint or None,
    }  # fmt: skip


# -- for people: facts first, in one screen, then what to do --


def _print_report(report: Report, findings: list[Finding], paint: Paint) -> None:
    if report.flushes.count:
        _print_first_aid(paint)
    print_line(paint(_title(report), "strong"))
    print_line()
    for part in report.parts:
        print_line(_part_line(part, paint))
        for line in key_count_lines(part.preamble) if part.preamble else ():
            print_line(f"          {line}")
    print_line()
    for severity in Severity:
        _print_findings([f for f in findings if f.severity is severity], severity, paint)
    for line in _verdict_lines(report):
        print_line(line)
    steps = _next_steps(report)
    if steps:
        print_line()
        print_line("Next:  " + "\n       ".join(steps))


def _print_first_aid(paint: Paint) -> None:
    print_line(paint("First aid, in this order, if a server still runs on these files:", "danger"))
    for number, step in enumerate(FIRST_AID, 1):
        print_line(f"  {number}. {step}")
    print_line()


def _title(report: Report) -> str:
    facts = [text.display_path(report.aof.path), {"multi-part": "multi part"}.get(report.aof.layout, report.aof.layout)]
    if report.writer:
        facts.append(f"base written by {report.writer}")
    facts.append(
        f"{text.format_count(len(report.parts), 'part')}, {text.format_size(report.size)}, {text.format_count(report.commands, 'command')}"
    )
    times = [t for part in report.parts for t in (part.first_time, part.last_time) if t is not None]
    if times:
        facts.append(f"{text.format_time(times[0])} to {text.format_time(times[-1])}")
    return "  ".join(facts)


def _part_line(part: PartReport, paint: Paint) -> str:
    head = f"  {part.part.type:<8}{text.display_path(part.part.name)}  "
    if not part.part.exists:
        return head + paint("missing", "damage")
    facts = [text.format_size(part.size)]
    if part.preamble:
        facts.append(rdb_description(part.preamble))
    if part.commands or not part.preamble:
        facts.append(text.format_count(part.commands, "command"))
    if part.annotations:
        facts.append(text.format_count(part.annotations, "annotation"))
    line = head + ", ".join(facts)
    if part.damage:
        line += paint(
            f"  whole up to {text.format_offset(part.ok_up_to)}, {text.format_count(part.damage_count, 'damage')}",
            "damage",
        )
    return line


def _print_findings(findings: list[Finding], severity: Severity, paint: Paint) -> None:
    for finding in findings[:_LISTED_MAX]:
        print_line(f"{paint(severity.value.upper(), severity.value)}  {finding.message}")
        for line in (
            finding.detail,
            f"Hint: {finding.hint}" if finding.hint and severity is not Severity.DANGER else "",
        ):
            if line:
                print_line(f"        {line}")
    if len(findings) > _LISTED_MAX:
        print_line(f"        and {len(findings) - _LISTED_MAX:,} more of these; --json lists them")
    if findings:
        print_line()


def _verdict_lines(report: Report) -> list[str]:
    """One line for each outcome, with the servers that share it."""
    groups: dict[tuple[object, ...], list[Verdict]] = {}
    for verdict in report.verdicts:
        if verdict.load_truncated or not VERSIONS[verdict.server].has_load_truncated:
            key = (verdict.outcome, verdict.part, verdict.offset, verdict.reason)
            groups.setdefault(key, []).append(verdict)
    return [_verdict_line([VERSIONS[v.server].title for v in group], group[0], report) for group in groups.values()]


def _verdict_line(servers: list[str], verdict: Verdict, report: Report) -> str:
    server_list = servers[0] if len(servers) == 1 else ", ".join(servers[:-1]) + " and " + servers[-1]
    subject_text = f"{server_list} would "
    where = f"{text.display_path(verdict.part)}@{verdict.offset}" if verdict.part and verdict.offset is not None else ""
    if verdict.outcome is Outcome.LOADS:
        return subject_text + "load it as it is" + (", flush included." if report.flushes.count else ".")
    if verdict.outcome is Outcome.TRUNCATES:
        cut = f"cut {text.display_path(verdict.part)} at {verdict.offset} and start: {verdict.reason}."
        return f"{subject_text}{cut}  With aof-load-truncated no it would refuse."
    if verdict.outcome is Outcome.STARTS_EMPTY:
        return subject_text + f"start empty: {verdict.reason}."
    if verdict.outcome is Outcome.NOT_APPLICABLE:
        return f"{server_list} cannot read it: {verdict.reason}."
    verb = "refuse it" if verdict.outcome is Outcome.REFUSES else "do what nobody can foretell with it"
    return subject_text + f"{verb}{f' at {where}' if where else ''}: {verdict.reason}."


def _next_steps(report: Report) -> list[str]:
    path, steps = shell_path(report), []
    damaged = any(d.kind is not DamageKind.IN_FLIGHT for part in report.parts for d in part.damage)
    if report.flushes.group_count == 1:
        steps.append(f"aofdoctor strip {path} --in-place    take the flush back where it stands (reversible)")
        steps.append(f"aofdoctor strip {path} -o OUT        or into a copy ({text.format_size(report.size)} needed)")
    elif report.flushes.group_count > 1:
        groups = f"{report.flushes.group_count:,} groups of flushes"
        steps.append(f"aofdoctor strip {path}               list the {groups}, then choose")
    if any(part.preamble and not part.preamble.is_intact for part in report.parts):
        steps.append(f"aofdoctor repair {path} --salvage -o OUT   every key that can be read, and what follows")
    elif damaged:
        steps.append(
            f"aofdoctor repair {path} -o OUT       a copy cut before the first damage; --salvage keeps what follows"
        )
    pipe = any(part.source and part.source.size is None for part in report.aof.parts) or report.aof.path == "-"
    return ["save it to a file first: a pipe cannot be edited"] if pipe and steps else steps
