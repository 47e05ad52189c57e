"""Findings about commands that fail when a server loads the AOF, or that crash it, and about its configuration."""

from collections.abc import Iterator
from dataclasses import replace

from aofdoctor import text
from aofdoctor.check.replay_errors import (
    CROSS_SLOT,
    OPTIONS_UNKNOWN,
    PAYLOAD_UNREADABLE,
    SCRIPT_UNDEFINED,
    SELECT_OUT_OF_RANGE,
    ReplayError,
)
from aofdoctor.check.report import Report, needs_salvage, salvage_command, shell_path
from aofdoctor.check.vector_adds import CRASH_REASON
from aofdoctor.finding import Finding, Severity
from aofdoctor.server.verdict import Outcome, Verdict
from aofdoctor.server.versions import VERSIONS


def _databases(report: Report) -> Iterator[Finding]:
    """Yield a finding if the AOF has keys in a database number that the judged server configuration does not have."""
    highest, configuration = report.replay.highest_database, report.configuration
    if highest < configuration.selectable_databases:
        return
    first = next((e for e in report.replay.errors.values() if e.code == SELECT_OUT_OF_RANGE), None)
    in_log = f" ({text.format_count(first.count, 'SELECT')}, first at {_place(first)})" if first else ""
    needed = f"the log needs databases {highest + 1}: the highest database is {highest}{in_log}"
    setting = f"with databases {configuration.databases}"
    detail = (
        f"Set databases {highest + 1} before the server starts.  "
        f"aofdoctor check {shell_path(report)} --databases {highest + 1} judges by that."
    )
    if configuration.cluster:
        needed = f"a cluster has only database 0, and the log uses up to database {highest}{in_log}"
        setting, detail = "in a cluster", "Move these keys to database 0, or do not use cluster mode."
    result = f"{setting}, SELECT fails and the next writes change keys in the database selected before"
    if first is None:
        result = f"{setting}, a server refuses the RDB"
    message = f"{needed}; {result}"
    if first:
        yield _finding(replace(first, code="databases"), Severity.DANGER, message, detail)
    else:
        yield Finding("databases", Severity.DANGER, message, detail=detail)


def _scripts(report: Report) -> Iterator[Finding]:
    """Yield a finding if EVALSHA commands run scripts that the AOF does not define."""
    for error in _errors(report, SCRIPT_UNDEFINED):
        message = (
            f"{_commands(error)} cannot run: their script is not defined in this log, first at {_place(error)}"
            if error.count > 1
            else f"1 command cannot run: its script is not defined in this log, at {_place(error)}"
        )
        detail = "A server replies NOSCRIPT at load and continues: the writes of the script are missing."
        yield _finding(error, Severity.WARNING, message, detail)


def _options(report: Report) -> Iterator[Finding]:
    """Yield a finding per group of server versions that do not know the options of some SET or EXPIRE commands."""
    for error in _errors(report, OPTIONS_UNKNOWN):
        command = error.reason.partition(" ")[0]
        at_least = "at least " if report.replay.options_uncounted else ""
        if set(error.versions) >= {version.name for version in report.replay.versions}:
            message = (
                f"{at_least}{_count(error, command)} with options that no judged server knows, first at "
                f"{_place(error)}: probably the log of another program"
            )
        else:
            message = (
                f"{at_least}{_count(error, command)} with options that are unknown to {_titles(error)}, "
                f"first at {_place(error)}"
            )
        detail = "Such a server starts, replies with a syntax error and does not execute them: their keys are missing."
        yield _finding(error, Severity.WARNING, message, detail)


def _payloads(report: Report) -> Iterator[Finding]:
    """Yield a finding per kind of RESTORE payload in the AOF that some server versions cannot read."""
    for error in _errors(report, PAYLOAD_UNREADABLE):
        verb = "fail" if error.count > 1 else "fails"
        first = "first at" if error.count > 1 else "at"
        message = (
            f"{text.format_count(error.count, 'RESTORE command')} {verb} in {_titles(error)}, {first} {_place(error)}: "
            f"{error.reason}"
        )
        yield _finding(error, Severity.WARNING, message, "The server continues, and these keys are missing.")


def _cross_slot(report: Report) -> Iterator[Finding]:
    """Yield a finding about commands with keys in several hash slots, if the AOF is judged for a cluster."""
    for error in _errors(report, CROSS_SLOT):
        first, have = ("first at", "have") if error.count > 1 else ("at", "has")
        message = (
            f"{_commands(error)} {have} keys in more than one slot, {first} {_place(error)}: a cluster refuses "
            f"{'them' if error.count > 1 else 'it'} from a client (CROSSSLOT)"
        )
        detail = "A node that loads the file executes them, even for keys that belong to another node."
        yield _finding(error, Severity.WARNING, message, detail)


def _crashes(report: Report) -> Iterator[Finding]:
    """Yield a finding per command or RDB that can crash a judged server version when it loads the AOF."""
    by_place: dict[tuple[str, int | None, str], list[str]] = {}
    for verdict in _loading_verdicts(report):
        if verdict.outcome is Outcome.UNDEFINED:
            titles = by_place.setdefault((verdict.part, verdict.offset, verdict.reason), [])
            titles.append(VERSIONS[verdict.server].title)
    for (part, offset, reason), titles in by_place.items():
        servers = _joined(list(dict.fromkeys(titles)))
        message = f"{servers} can crash while loading {text.display_path(part)}, at {offset}: {reason}"
        repair = f"aofdoctor repair {shell_path(report)}"
        if reason == CRASH_REASON:
            detail = f"{repair} replaces each such VADD by the same command without CAS, of the same size."
        else:
            detail = f"{repair} --salvage drops commands with a number of arguments that no server accepts."
        yield Finding("crashes-at-load", Severity.DANGER, message, part, offset, None, detail=detail)


def _corrupt_tail_option(report: Report) -> Iterator[Finding]:
    """Yield a warning where a server's log would suggest aof-load-corrupt-tail-max-size, which would lose data."""
    by_cut: dict[tuple[str, int], list[str]] = {}
    for verdict in _loading_verdicts(report):
        if verdict.corrupt_tail_cut is not None:
            titles = by_cut.setdefault((verdict.part, verdict.corrupt_tail_cut), [])
            titles.append(VERSIONS[verdict.server].title)
    sizes = {part.part.name: part.size for part in report.parts}
    for (part, cut), titles in by_cut.items():
        name, lost = text.display_path(part), text.format_size(sizes.get(part, cut) - cut)
        message = (
            f"do not set aof-load-corrupt-tail-max-size, which the log of {_joined(list(dict.fromkeys(titles)))} "
            f"suggests: it would cut {name} to {cut:,} bytes in place and lose {lost}"
        )
        if cut == 0:
            message += ", the whole file; the next start is then nearly empty"
        commands = (salvage_command(report),) if needs_salvage(report) else ()
        hint = "a salvage works on a copy instead" if commands else ""
        yield Finding("corrupt-tail-option", Severity.WARNING, message, part, cut, None, hint=hint, commands=commands)


# -- helpers --


def _loading_verdicts(report: Report) -> Iterator[Verdict]:
    """Yield the verdicts (how server versions load the AOF) for aof-load-truncated yes.

    If a server version lacks a command, the verdict is that of a server that has it, such as from a module.
    """
    for verdict in report.verdicts:
        if verdict.load_truncated or not VERSIONS[verdict.server].has_load_truncated:
            yield verdict.with_support or verdict


def _errors(report: Report, code: str) -> Iterator[ReplayError]:
    return (error for error in report.replay.errors.values() if error.code == code)


def _finding(error: ReplayError, severity: Severity, message: str, detail: str) -> Finding:
    return Finding(error.code, severity, message, error.part, *error.span, detail=detail)


def _commands(error: ReplayError) -> str:
    return text.format_count(error.count, "command")


def _count(error: ReplayError, command: str) -> str:
    return text.format_count(error.count, f"{command} command")


def _place(error: ReplayError) -> str:
    return f"{text.display_path(error.part)}@{error.span.start}"


def _titles(error: ReplayError) -> str:
    return _joined([VERSIONS[name].title for name in error.versions])


def _joined(titles: list[str]) -> str:
    return titles[0] if len(titles) == 1 else f"{', '.join(titles[:-1])} and {titles[-1]}"


CHECKS = (_databases, _scripts, _options, _payloads, _cross_slot, _crashes, _corrupt_tail_option)
