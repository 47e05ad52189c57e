"""Findings about DEL and UNLINK of many keys with one prefix, with the command that takes them back."""

from collections.abc import Iterator

from aofdoctor import text
from aofdoctor.check.report import Report, shell_path
from aofdoctor.finding import Finding, Severity
from aofdoctor.log.glob import escape_glob
from aofdoctor.log.mass_deletions import MANY_KEYS, DeletionBurst, PrefixDeletions

_LISTED_MAX = 20


def _mass_deletions(report: Report) -> Iterator[Finding]:
    """Yield a finding per key prefix of which at least 100 keys were deleted."""
    if report.deletions is None:
        return
    at_least = "at least " if report.deletions.unread else ""
    if at_least and report.deletions.found():
        read = report.deletions.count - report.deletions.unread
        message = (
            f"{text.format_count(report.deletions.count, 'DEL or UNLINK command')}, of which {read:,} were examined: "
            "the numbers of deleted keys are lower bounds"
        )
        yield Finding("deletions-sampled", Severity.NOTE, message)
    for deletions in report.deletions.found()[:_LISTED_MAX]:
        burst = deletions.largest
        if burst and burst.keys >= MANY_KEYS:
            yield _burst_finding(report, deletions, burst, at_least)
        else:
            yield _scattered_finding(report, deletions, at_least)


_HINT = "show what taking them back would change"


def _burst_finding(report: Report, deletions: PrefixDeletions, burst: DeletionBurst, at_least: str) -> Finding:
    place = f"{text.display_path(burst.part)}@{burst.start}"
    when = "in a row" if burst.time is None else f"within one second ({text.format_time(burst.time)})"
    message = (
        f"{_command_names(deletions)} removed {at_least}{text.format_count(burst.keys, 'key')} of the prefix "
        f"{text.quote(deletions.prefix)} {when}{_database(deletions)}, from {place}"
    )
    command, bounds, detail = _strip_command(report, deletions), "", ""
    if burst.keys < deletions.keys:
        first, last = f"{burst.part}@{burst.start}", f"{burst.last_part}@{burst.last}"
        bounds = f" --from {text.shell_position(first)} --to {text.shell_position(last)}"
        detail = f"In all, {at_least}{deletions.keys:,} keys of the prefix were removed: {command} selects all of them."
    return Finding(
        "mass-delete", Severity.WARNING, message, burst.part, burst.start, None, detail, _HINT, (f"{command}{bounds}",)
    )


def _scattered_finding(report: Report, deletions: PrefixDeletions, at_least: str) -> Finding:
    message = (
        f"{_command_names(deletions)} removed {at_least}{text.format_count(deletions.keys, 'key')} of the prefix "
        f"{text.quote(deletions.prefix)}{_database(deletions)}, spread over the log"
    )
    detail = "Evictions, expired keys and deletions of the application look the same in a log."
    command = _strip_command(report, deletions)
    return Finding("deleted-keys", Severity.NOTE, message, detail=detail, hint=_HINT, commands=(command,))


def _command_names(deletions: PrefixDeletions) -> str:
    return " and ".join(sorted(deletions.commands))


def _database(deletions: PrefixDeletions) -> str:
    return "" if deletions.db is None else f" in database {deletions.db}"


def _strip_command(report: Report, deletions: PrefixDeletions) -> str:
    """Return the `aofdoctor strip` command that removes the deletions of keys with a prefix in one database."""
    names = " ".join(f"--cmd {name.lower()}" for name in sorted(deletions.commands))
    pattern = text.shell_word((escape_glob(deletions.prefix) + b"*").decode("utf-8", "surrogateescape"))
    db = "" if deletions.db is None else f" --db {deletions.db}"
    return f"aofdoctor strip {shell_path(report)} {names} --key {pattern}{db}"


CHECKS = (_mass_deletions,)
