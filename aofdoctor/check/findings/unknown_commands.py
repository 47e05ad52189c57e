"""Findings about commands that a judged server does not know, and about a writer that is newer than the table."""

from collections.abc import Iterator

from aofdoctor import text
from aofdoctor.check.report import Report, shell_path
from aofdoctor.check.unknown_commands import UnknownName
from aofdoctor.finding import Finding, Severity
from aofdoctor.server.module_commands import BUNDLED_WITH_REDIS_8
from aofdoctor.server.versions import VERSIONS, is_newer_than_table, newest_version


def _renamed_flushes(report: Report) -> Iterator[Finding]:
    """Yield a finding per unknown command that looks like a renamed FLUSHALL."""
    for unknown in report.unknown.commands.values():
        if unknown.first_flush_like is None:
            continue
        part, span = unknown.first_flush_like
        times = f", {unknown.flush_like:,} times, first" if unknown.flush_like > 1 else ""
        message = (
            f"{text.quote(unknown.name)} at {_place(part, span.start)}{times}: no server has this command, and it has "
            "the form of a FLUSHALL: probably one that rename-command has renamed"
        )
        detail = "If so, it removed every key before it; a server without that rename-command refuses the file."
        path, name = shell_path(report), unknown.name.decode("ascii", "replace")
        hint = ""
        if text.shell_word(name) == name and "=" not in name and "\ufffd" not in name:
            hint = f"aofdoctor strip {path} --rename {name}=FLUSHALL plans to remove it as a flush"
        yield Finding("renamed-flush", Severity.WARNING, message, part, *span, detail=detail, hint=hint)


def _unknown_commands(report: Report) -> Iterator[Finding]:
    """Yield a note per command that a judged version does not know."""
    for unknown in report.unknown.commands.values():
        name = text.quote(unknown.name.upper())
        message = f"{name}: {_count_and_place(unknown, 'command')}{_origin(unknown)}; {_refusal(unknown)}"
        yield Finding("unknown-command", Severity.NOTE, message, unknown.part, *unknown.span)
    for unknown in report.unknown.annotations.values():
        message = (
            f"annotation {text.quote(unknown.name)}: {_count_and_place(unknown, 'line')}, of a kind that this version "
            "of aofdoctor does not know; servers since 7.0 skip annotations"
        )
        yield Finding("unknown-annotation", Severity.NOTE, message, unknown.part, *unknown.span)
    if report.unknown.uncounted:
        message = f"{text.format_count(report.unknown.uncounted, 'more record')} with unknown names not listed here"
        yield Finding("unknown-command-more", Severity.NOTE, message)


def _writer(report: Report) -> Iterator[Finding]:
    """Yield a note if the writer is newer than the table, or older than the layout of the files."""
    if is_newer_than_table(report.writer):
        product = report.writer.partition(" ")[0].lower()
        judged = VERSIONS[newest_version(product)].title
        message = f"written by {report.writer}, newer than this version of aofdoctor; judged as {judged}"
        yield Finding("writer-newer", Severity.NOTE, message)
    elif report.is_adopted:
        message = (
            f"the base was written by {report.writer}, which loads single files only: "
            "a server since 7.0 adopted it, and the verdicts are those of such servers"
        )
        yield Finding("base-adopted", Severity.NOTE, message)


def _count_and_place(unknown: UnknownName, noun: str) -> str:
    first = "first at" if unknown.count > 1 else "at"
    return f"{text.format_count(unknown.count, noun)}, {first} {_place(unknown.part, unknown.span.start)}"


def _place(part: str, offset: int) -> str:
    return f"{text.display_path(part)}@{offset}"


def _origin(unknown: UnknownName) -> str:
    if unknown.module:
        bundled = ", which packages of Redis 8 include" if unknown.module in BUNDLED_WITH_REDIS_8 else ""
        return f", module {unknown.module}{bundled}"
    if unknown.since:
        announced = {version.title for version in VERSIONS.values() if version.is_announced}
        names = [f"announced for {title}" if title in announced else f"since {title}" for title in unknown.since]
        return f", {' and '.join(names)}"
    return ", in no command table: of a module or a newer server, or renamed"


def _refusal(unknown: UnknownName) -> str:
    titles = [VERSIONS[name].title for name in unknown.lacking]
    titles_text = titles[0] if len(titles) == 1 else f"{', '.join(titles[:-1])} and {titles[-1]}"
    verb = "refuses" if len(titles) == 1 else "refuse"
    return f"{titles_text} {verb} it" + (" without that module" if unknown.module else "")


CHECKS = (_renamed_flushes, _unknown_commands, _writer)
