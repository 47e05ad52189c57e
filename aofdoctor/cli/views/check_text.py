"""The report of `check` as text: facts, findings, verdicts of server versions, and what to run next."""

from collections.abc import Iterable

from aofdoctor import text
from aofdoctor.check.collect import FIRST_AID
from aofdoctor.check.report import PartReport, Report
from aofdoctor.cli.console import Paint, print_line
from aofdoctor.cli.views.rdb_summary import key_count_lines, rdb_description
from aofdoctor.damage import DamageKind
from aofdoctor.finding import Finding, Severity
from aofdoctor.server.verdict import Outcome, Verdict
from aofdoctor.server.versions import VERSIONS

_LISTED_MAX = 20  # findings of one severity that are printed


def print_report(
    report: Report,
    findings: list[Finding],
    paint: Paint,
    further_facts: Iterable[str] = (),
    is_readable: bool = True,
) -> None:
    """Print the facts first, on one screen, then the findings, the verdicts and the next commands to run.

    `further_facts` are lines that follow the findings.  If nothing `is_readable`, no repair is suggested.
    """
    if report.flushes.count:
        _print_first_aid(paint)
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
    steps = _next_steps(report) if is_readable else []
    if steps:
        print_line()
        print_line("Next:  " + "\n       ".join(steps))


def _print_first_aid(paint: Paint) -> None:
    print_line(paint("First aid, in this order, if a server still runs on these files:", "danger"))
    for number, step in enumerate(FIRST_AID, 1):
        print_line(f"  {number}. {step}")
    print_line()


def _title(report: Report) -> str:
    """The AOF in one line: path, layout, writer of the base, totals and times."""
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
    """One part on a line: type, name, size, contents, and the offset of the first damage."""
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
    """One line for each outcome, naming the server versions that share it.

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


def _next_steps(report: Report) -> list[str]:
    """The commands that the report suggests to run next, each with a remark."""
    path, steps = text.shell_quote(report.aof.path), []
    damaged = any(d.kind is not DamageKind.IN_FLIGHT for part in report.parts for d in part.damage)
    if report.flushes.group_count == 1:
        steps.append(f"aofdoctor strip {path} --in-place    take the flush back where it stands (reversible)")
        steps.append(f"aofdoctor strip {path} -o OUT        or into a copy ({text.format_size(report.size)} needed)")
    elif report.flushes.group_count > 1:
        groups = f"{report.flushes.group_count:,} groups of flushes"
        steps.append(f"aofdoctor strip {path}               list the {groups}, then choose")
    if any(part.has_damaged_rdb for part in report.parts):
        steps.append(f"aofdoctor repair {path} --salvage -o OUT   every key that can be read, and what follows")
    elif damaged:
        steps.append(
            f"aofdoctor repair {path} -o OUT       a copy cut before the first damage; --salvage keeps what follows"
        )
    pipe = any(part.source and part.source.size is None for part in report.aof.parts) or report.aof.path == "-"
    return ["save it to a file first: a pipe cannot be edited"] if pipe and steps else steps
