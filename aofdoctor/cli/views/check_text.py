"""Print the report of `check` as text: facts, findings, how server versions would load the AOF, and next commands."""

from collections.abc import Iterable

from aofdoctor import text
from aofdoctor.advice.after_check import CheckAdvice
from aofdoctor.advice.step import Step
from aofdoctor.check.report import PartReport, Report
from aofdoctor.cli.console import Paint, print_line
from aofdoctor.cli.views.rdb_summary import key_count_lines, rdb_description
from aofdoctor.cli.views.steps import step_lines
from aofdoctor.finding import Finding, Severity
from aofdoctor.server.verdict import Outcome, Verdict
from aofdoctor.server.versions import VERSIONS

_LISTED_MAX = 20  # findings of one severity that are printed


def print_report(
    report: Report, findings: list[Finding], advice: CheckAdvice, paint: Paint, further_facts: Iterable[str] = ()
) -> None:
    """Print the facts first, on one screen, then the findings, the verdicts, first aid and the next steps.

    `further_facts` are lines to print after the findings.
    """
    print_line(paint(_title(report), "strong"))
    print_line()
    for part in report.parts:
        print_line(_part_line(part, paint))
        for line in key_count_lines(part.preamble, part.rdb_contents) if part.preamble else ():
            print_line(f"          {line}")
    print_line()
    for severity in Severity:
        _print_findings([f for f in findings if f.severity is severity], severity, paint)
    for line in (*further_facts, *_verdict_lines(report)):
        print_line(line)
    if advice.first_aid:
        _print_steps(_first_aid_title(advice), advice.first_aid, paint)
    if advice.next:
        _print_steps(f"Next{', after that' if advice.first_aid else ''}:", advice.next, paint)


def _first_aid_title(advice: CheckAdvice) -> str:
    if not advice.servers:
        return "First aid, in this order, if a server still uses these files:"
    names = ", ".join(server.title for server in advice.servers)
    return f"First aid, in this order, because {names} still uses these files:"


def _print_steps(title: str, steps: list[Step], paint: Paint) -> None:
    print_line()
    print_line(paint(title, "strong"))
    for line in step_lines(steps, paint):
        print_line(line)


def _title(report: Report) -> str:
    """Return the first line of the report about an AOF: path, layout, writer of the base, totals and times."""
    facts = [text.display_path(report.aof.path), {"multi-part": "multi part"}.get(report.aof.layout, report.aof.layout)]
    if report.writer:
        facts.append(f"base written by {report.writer}")
    facts.append(
        f"{text.format_count(len(report.parts), 'part')}, {text.format_size(report.size)}, "
        f"{text.format_count(report.commands, 'command')}"
    )
    times = [t for part in report.parts for t in (part.first_time, part.last_time) if t is not None]
    if times:
        facts.append(f"{text.format_time(times[0])} to {text.format_time(times[-1])}")
    return "  ".join(facts)


def _part_line(part: PartReport, paint: Paint) -> str:
    """Return the line about one file of the AOF: type, name, size, contents, and the offset of the first damage."""
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
        if finding.detail:
            print_line(f"        {finding.detail}")
        if finding.hint:
            end = ":" if finding.commands else ""
            print_line(f"        Hint: {finding.hint}{end}")
        for command in finding.commands:
            print_line(f"          {command}")
    if len(findings) > _LISTED_MAX:
        print_line(f"        and {len(findings) - _LISTED_MAX:,} more of these; --json lists them")
    if findings:
        print_line()


def _verdict_lines(report: Report) -> list[str]:
    """Return one line for each outcome of loading the AOF in a server, with the server versions that share it.

    Versions that have the option aof-load-truncated are shown with its default, yes.
    """
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
    if verdict.outcome is Outcome.REPLAY_ERRORS:
        return f"{subject_text}start with errors: {verdict.reason} (at {where})."
    verb = "refuse it" if verdict.outcome is Outcome.REFUSES else "do what nobody can foretell with it"
    return subject_text + f"{verb}{f' at {where}' if where else ''}: {verdict.reason}."
