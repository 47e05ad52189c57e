"""Findings about commands that a judged server version does not know, and about writers newer than all known ones."""

from collections.abc import Iterable, Iterator

from aofdoctor import text
from aofdoctor.check.report import Report, output_name, shell_path
from aofdoctor.check.unknown_commands import UnknownName
from aofdoctor.finding import Finding, Severity
from aofdoctor.server.module_commands import BUNDLED_WITH_REDIS_8
from aofdoctor.server.versions import VERSIONS, is_newer_than_table, newest_version

_NAMED_MAX = 5  # unknown commands that the notes of a plan name


def _renamed_flushes(report: Report) -> Iterator[Finding]:
    """Yield a finding per unknown command that looks like a FLUSHALL under a name given by rename-command."""
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
        commands: tuple[str, ...] = ()
        if text.shell_quote(name) == name and "=" not in name and "\ufffd" not in name:
            hint = "show what removing it as a flush would change"
            commands = (f"aofdoctor strip {path} --rename {name}=FLUSHALL",)
        yield Finding(
            "renamed-flush", Severity.WARNING, message, part, *span, detail=detail, hint=hint, commands=commands
        )


def _unknown_commands(report: Report) -> Iterator[Finding]:
    """Yield a note per command that a judged server version does not know, and per unknown kind of annotation."""
    for unknown in report.unknown.commands.values():
        name = text.quote(unknown.name.upper())
        message = f"{name}: {_count_and_place(unknown, 'command')}{_origin(unknown)}; {_refusal(unknown)}"
        output = text.shell_quote(output_name(report, "repaired"))
        command = f"aofdoctor repair {shell_path(report)} --salvage --drop-unknown -o {output}"
        hint, commands = ("leave it out", (command,)) if unknown.is_in_no_table else ("", ())
        yield Finding(
            "unknown-command",
            Severity.NOTE,
            message,
            unknown.part,
            *unknown.span,
            _near_detail(unknown),
            hint,
            commands,
        )
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
    """Yield a note if the server that wrote the AOF is newer than all known ones, or too old for multi-part AOFs."""
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


def _near_detail(unknown: UnknownName) -> str:
    if not unknown.near:
        return ""
    near = unknown.near
    return f"{near} differs from this name in one letter and takes as many arguments: probably a damaged {near}."


def kept_unknown_commands(names: Iterable[UnknownName], option: str = "--drop-unknown") -> Iterator[str]:
    """Yield a note per unknown command that an output keeps although no judged server loads it.

    `option` is what leaves them out.
    """
    unknown_names = [name for name in names if name.is_in_no_table]
    for unknown in unknown_names[:_NAMED_MAX]:
        is_one = unknown.count == 1
        near = f" (probably a damaged {unknown.near})" if unknown.near else ""
        yield (
            f"{text.quote(unknown.name.upper())}: {_count_and_place(unknown, 'unknown command')}{near}, "
            f"{'stays' if is_one else 'stay'}; {_refusal(unknown, '' if is_one else 'them')}. {option} leaves "
            f"{'it' if is_one else 'them'} out"
        )
    if len(unknown_names) > _NAMED_MAX:
        yield f"{text.format_count(len(unknown_names) - _NAMED_MAX, 'more unknown command name')}; check lists all"


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


def _refusal(unknown: UnknownName, object_: str = "") -> str:
    titles = [VERSIONS[name].title for name in unknown.lacking]
    titles_text = titles[0] if len(titles) == 1 else f"{', '.join(titles[:-1])} and {titles[-1]}"
    verb = "refuses" if len(titles) == 1 else "refuse"
    return f"{titles_text} {verb} {object_ or 'it'}" + (" without that module" if unknown.module else "")


CHECKS = (_renamed_flushes, _unknown_commands, _writer)
