"""The findings of a report: one small function a question, and the list of them.

Every message is short and factual; `hint` says what to do, and names only
verbs that there are.
"""

import os
import shlex
import stat
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from aofdoctor import text
from aofdoctor.aof.aof import Part
from aofdoctor.analysis.finding import Finding, Severity
from aofdoctor.analysis.flush import Group
from aofdoctor.analysis.report import PartReport, Report
from aofdoctor.damage import MEANING, Kind
from aofdoctor.rdb.preamble import is_rdb
from aofdoctor.server.loader import Does, Trap
from aofdoctor.source import FileSource

# In this order: each step keeps the next from being too late.
FIRST_AID = (
    "Stop rewrites, which would destroy the evidence: CONFIG SET auto-aof-rewrite-percentage 0 (and no BGREWRITEAOF).",
    "Hold failover: SENTINEL FAILOVER must not promote an empty replica; in a cluster CONFIG SET cluster-replica-no-failover yes.",
    "Detach replicas that still have data: on each, REPLICAOF NO ONE.",
    "Disable automatic restarts (systemd, Kubernetes, supervisors): a second start can hide what the first one cut.",
    "Keep appendonly yes: CONFIG SET appendonly no, a restart and yes again deletes the old set.",
    "Stop without a save: SHUTDOWN NOSAVE.",
    "Copy the whole data directory, and work on the copy or with --in-place, which can be undone.",
)


def find(report: Report) -> list[Finding]:
    """All findings, the gravest first."""
    order = list(Severity)
    return sorted((f for check in _CHECKS for f in check(report)), key=lambda f: order.index(f.severity))


def is_sound(report: Report) -> bool:
    """True if nothing is damaged or missing and the line that decides would load it whole."""
    for part in report.parts:
        if not part.part.exists or any(d.kind is not Kind.IN_FLIGHT for d in part.damage):
            return False
    loads = {v.server for v in report.verdicts if v.outcome is Does.LOADS}
    return bool(loads & report.decisive)


# -- flushes --


def _flushes(report: Report) -> Iterator[Finding]:
    for group in report.flushes.groups:
        yield Finding("flush", Severity.DANGER, _flush_message(report, group), group.first.part,
                      group.first.span.start, group.last.span.end, _flush_detail(report, group),
                      _strip_hint(report))  # fmt: skip
    hidden = report.flushes.group_count - len(report.flushes.groups)
    if hidden:
        message = f"{hidden:,} more groups of flushes stand between those listed"
        yield Finding("flush-more", Severity.DANGER, message, hint="aofdoctor log --effect flush lists them all")


def _flush_message(report: Report, group: Group) -> str:
    first = group.first
    names = first.command.upper() if group.count == 1 else f"{group.count:,} flushes from {first.command.upper()}"
    where = f"{text.name(first.part)}@{first.span.start}"
    when = f" ({when_text(first.time)})" if first.time is not None else ""
    return f"{names} at {where}{when} emptied {what_flushed(group)}; {_following(report, group)}"


def what_flushed(group: Group) -> str:
    if group.everything:
        return "every database"
    if group.count > 1:
        return "databases"
    return "an unknown database" if group.first.db is None else f"database {group.first.db}"


def _following(report: Report, group: Group) -> str:
    after = report.commands - group.last.number
    return f"{text.count(after, 'command')} follow{'s' if after == 1 else ''} it"


def _flush_detail(report: Report, group: Group) -> str:
    tx = ", inside a transaction" if group.first.tx else ""
    return f"It is command #{group.first.number}{tx}."


def _strip_hint(report: Report) -> str:
    if report.flushes.group_count > 1:
        return f"aofdoctor strip {quoted(report)} lists them; POSITION, --last or --all chooses"
    return f"aofdoctor strip {quoted(report)} shows what taking it back would change"


def _no_flush(report: Report) -> Iterator[Finding]:
    if report.flushes.seen:
        return
    others = [entry.name for entry in report.aof.leftovers] + [p.name for p in report.aof.history if p.exists]
    others += [part.name for part in report.aof.strays]
    detail = f"Other evidence: {', '.join(map(text.name, others))}." if others else "No history, temp file or dump.rdb stands beside it."
    base = next((p.preamble for p in report.parts if p.preamble), None)
    ctime = base.aux.get(b"ctime", b"") if base else b""
    if ctime.isdigit() and len(ctime) < 12:
        detail += f" The base was written at {when_text(int(ctime))}: what was before it is not in this AOF."
    yield Finding("no-flush", Severity.NOTE, "no FLUSHALL or FLUSHDB stands in it as a command", detail=detail)


# -- damage and traps --


def _damage(report: Report) -> Iterator[Finding]:
    for part in report.parts:
        for damage in part.damage:
            severity = Severity.NOTE if damage.kind is Kind.IN_FLIGHT else Severity.DAMAGE
            where = f"{text.place(damage.span.start)} to {text.place(damage.span.end)}"
            guess = "; where records begin again is a guess" if damage.guess else ""
            note = f" ({damage.note})" if damage.note else ""
            message = f"{text.name(part.part.name)}: {MEANING[damage.kind]}, {where}, {text.size(damage.span.size)}{note}"
            hint = "" if damage.kind is Kind.IN_FLIGHT else _repair_hint(report, part)
            yield Finding(damage.kind.value, severity, message + guess, part.part.name, *damage.span, hint=hint)
        hidden = part.damage_count - len(part.damage)
        if hidden:
            yield Finding("damage-more", Severity.DAMAGE, f"{text.name(part.part.name)}: {hidden:,} more damages follow")


def _repair_hint(report: Report, part: PartReport) -> str:
    if part.preamble and (not part.preamble.complete or part.preamble.checksum == "bad"):
        return "no verb mends a damaged RDB yet: keep the file, look for a replica or a backup of the base"
    return f"aofdoctor repair {quoted(report)} shows what a cut would keep and lose"


_TRAPS = {
    Trap.SWALLOWS: "cuts {part} at {offset} and leaves a MULTI open: every later write is queued behind it and lost at the second restart",
    Trap.LOSES_PREAMBLE: "cuts {part} at {offset}, before its RDB: the keys live on in memory only and are gone at the second start",
    Trap.NOT_LAST: "cuts {part} at {offset} and refuses to start; a second start loads the set with a silent gap",
}


def _traps(report: Report) -> Iterator[Finding]:
    for trap, sentence in _TRAPS.items():
        verdicts = [v for v in report.verdicts if trap in v.traps]
        if verdicts:
            first = verdicts[0]
            names = ", ".join(dict.fromkeys(v.server for v in verdicts))
            does = sentence.format(part=text.name(first.part), offset=first.offset)
            yield Finding(trap.value, Severity.DANGER, f"do not start {names} on it: it {does}", first.part, first.offset,
                          None, hint=f"aofdoctor repair {quoted(report)} makes a copy that loads")  # fmt: skip


_ODD = {
    "unknown": ("unknown-command", Severity.DAMAGE, "a command that no server line knows: {name}"),
    "select-invalid": ("select-invalid", Severity.WARNING, "a SELECT that names no database: later writes go to the previous one"),
    "multi-nested": ("multi-nested", Severity.WARNING, "a MULTI inside a transaction: an EXEC is lost, or two servers wrote this file"),
    "exec-alone": ("exec-alone", Severity.WARNING, "an EXEC without a MULTI: a MULTI is lost, or two servers wrote this file"),
    "annotation-long": ("annotation-long", Severity.WARNING, "an annotation longer than a server's line buffer of 1,024 bytes"),
}  # fmt: skip


def _oddities(report: Report) -> Iterator[Finding]:
    for kind, odd in report.odd.items():
        code, severity, sentence = _ODD[kind]
        times = f", {odd.count:,} times, the first" if odd.count > 1 else ""
        message = f"{sentence.format(name=text.word(odd.name))}{times} at {text.name(odd.part)}@{odd.span.start}"
        detail = "Its name looks like a module's." if b"." in odd.name else ""
        yield Finding(code, severity, message, odd.part, *odd.span, detail=detail)


# -- the set and its files --


def _manifest(report: Report) -> Iterator[Finding]:
    aof = report.aof
    if aof.layout != "multi-part":
        return
    if aof.manifest is None:
        yield Finding(
            "manifest-missing", Severity.DANGER,
            "the manifest is missing: a server would start with nothing and write over these files",
            hint="do not start a server in this directory; copy it first",
        )  # fmt: skip
        return
    name = aof.manifest_path.name if aof.manifest_path else ""
    for problem in aof.manifest.problems:
        line = f" line {problem.line}" if problem.line else ""
        message = f"{text.name(name)}{line}: {problem.message}; a server refuses the set"
        yield Finding("manifest-line", Severity.DAMAGE, message, name)
    if not aof.manifest.problems and not aof.manifest.load_order:
        message = f"{text.name(name)} names no file to load: a server would start with nothing"
        yield Finding("manifest-no-files", Severity.DANGER, message, name)


def _files(report: Report) -> Iterator[Finding]:
    aof = report.aof
    for part in aof.parts:
        if not part.exists:
            yield Finding("part-missing", Severity.DAMAGE, f"{text.name(part.name)} is in the manifest, and missing", part.name)
        elif part.size == 0 and part.type == "base" and part.name.endswith(".rdb"):
            message = f"{text.name(part.name)} is empty: a server writes an RDB base with a header"
            yield Finding("part-empty", Severity.WARNING, message, part.name)
        elif part.size == 0 and part is not aof.parts[-1] and part.type == "incr":
            message = f"{text.name(part.name)} is empty, and another incremental file follows it"
            yield Finding("part-empty", Severity.WARNING, message, part.name)
    names = [part.name for part in [*aof.parts, *aof.history]]
    for name in dict.fromkeys(n for n in names if names.count(n) > 1):
        message = f"{text.name(name)} is listed {names.count(name)} times: its commands would run again"
        yield Finding("part-twice", Severity.DANGER, message, name)
    for part in aof.strays:
        message = f"{text.name(part.name)} ({text.size(part.size or 0)}) is not in the manifest: no server loads it"
        yield Finding("part-unlisted", Severity.WARNING, message, part.name)


def _swapped(report: Report) -> Iterator[Finding]:
    for part in report.parts:
        source = part.part.source
        if source is None or not part.size or not part.part.path:
            continue
        named_rdb = part.part.name.endswith(".rdb")
        if part.part.type in ("base", "incr") and named_rdb != is_rdb(source):
            what = "an RDB" if is_rdb(source) else "commands"
            if not (part.part.name.endswith(".aof") and part.part.type == "base" and is_rdb(source) and _upgraded(part.part)):
                message = f"{text.name(part.part.name)} holds {what}: files may have been swapped"
                yield Finding("part-swapped", Severity.WARNING, message, part.part.name)
    timed = [part for part in report.parts if part.first_time is not None and part.last_time is not None]
    for earlier, later in zip(timed, timed[1:], strict=False):
        assert earlier.last_time is not None and later.first_time is not None
        if later.first_time < earlier.last_time:
            message = (
                f"{text.name(later.part.name)} begins at {when_text(later.first_time)}, before "
                f"{text.name(earlier.part.name)} ends at {when_text(earlier.last_time)}: files may have been swapped"
            )
            yield Finding("part-swapped", Severity.WARNING, message, later.part.name)


def _upgraded(part: Part) -> bool:
    """True of the single file of an older server that 7.0 took over as base under its old name."""
    return ".base." not in part.name


def _clock(report: Report) -> Iterator[Finding]:
    for part in report.parts:
        if part.clock_back:
            message = f"{text.name(part.part.name)}: #TS annotations go back in time somewhere"
            yield Finding("clock-back", Severity.NOTE, message, part.part.name)


def _rewrite(report: Report) -> Iterator[Finding]:
    incr = [part for part in report.aof.parts if part.type == "incr"]
    if len(incr) < 2:
        return
    message = f"{len(incr)} incremental files: a rewrite began and has not finished"
    detail = "Whether its fork came before a flush decides what the next base would hold."
    yield Finding("rewrite-unfinished", Severity.WARNING, message, incr[-1].name, detail=detail)


def _leftovers(report: Report) -> Iterator[Finding]:
    for path in report.aof.leftovers:
        size = _size(path)
        if size is not None:
            message = f"{text.name(path.name)} ({text.size(size)}) stands beside it: evidence of what was before"
            yield Finding("leftover", Severity.NOTE, message, str(path))
    for part in report.aof.history:
        if part.exists:
            message = f"{text.name(part.name)} ({text.size(part.size or 0)}) is a history file: what a rewrite has replaced"
            yield Finding("history", Severity.NOTE, message, part.name)


def _owners(report: Report) -> Iterator[Finding]:
    """A server runs as the owner of its directory; a file that it cannot open keeps it from starting."""
    directory = report.aof.directory
    if directory is None or report.aof.layout != "multi-part":
        return
    folder = os.stat(directory)
    for part in report.aof.present:
        source = part.source
        if isinstance(source, FileSource) and folder.st_uid and not _may_open(source.stat, folder):
            message = (
                f"{text.name(part.name)} belongs to uid {source.stat.st_uid} with mode {stat.filemode(source.stat.st_mode)}: "
                f"a server that runs as uid {folder.st_uid}, as the directory's owner, cannot open it"
            )
            hint = f"chown {folder.st_uid}:{folder.st_gid} {shlex.quote(str(part.path))}"
            yield Finding("owner", Severity.WARNING, message, part.name, hint=hint)


def _may_open(file: os.stat_result, folder: os.stat_result) -> bool:
    """True if the directory's owner may read and write a file."""
    shift = 6 if file.st_uid == folder.st_uid else 3 if file.st_gid == folder.st_gid else 0
    return file.st_mode >> shift & 6 == 6


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except OSError:
        return None


def when_text(seconds: int) -> str:
    """A time of the log, in the local zone."""
    try:
        return datetime.fromtimestamp(seconds, UTC).astimezone().strftime("%Y-%m-%d %H:%M:%S")
    except (OverflowError, OSError, ValueError):
        return f"{seconds} s"


def quoted(report: Report) -> str:
    """The path as the user gave it, for a command line."""
    return text.name(shlex.quote(report.aof.path))


_CHECKS = (
    _flushes, _traps, _manifest, _files, _damage, _oddities, _swapped, _rewrite, _owners, _clock, _leftovers, _no_flush,
)  # fmt: skip
