"""Findings about the files of an AOF: the manifest, and missing, repeated, swapped or unreadable files."""

import os
import stat
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise

from aofdoctor import text
from aofdoctor.aof.model import AofPart
from aofdoctor.check.report import Report, salvage_command
from aofdoctor.finding import Finding, Severity
from aofdoctor.rdb.preamble import is_rdb
from aofdoctor.source import FileSource


def _manifest_findings(report: Report) -> Iterator[Finding]:
    """Yield findings about a missing manifest, invalid lines of the manifest, or one that names no file to load."""
    aof = report.aof
    if aof.layout != "multi-part":
        return
    if aof.manifest is None:
        yield Finding(
            "manifest-missing", Severity.DANGER,
            "the manifest is missing: a server would start with nothing and write over these files",
            detail="Do not start a server in this directory; copy it first.",
            hint="a salvage writes a new manifest", commands=(salvage_command(report),),
        )  # fmt: skip
        return
    name = aof.manifest_path.name if aof.manifest_path else ""
    for problem in aof.manifest.problems:
        line = f" line {problem.line}" if problem.line else ""
        message = f"{text.display_path(name)}{line}: {problem.message}; a server refuses the set"
        yield Finding("manifest-line", Severity.DAMAGE, message, name)
    if not aof.manifest.problems and not aof.manifest.load_order:
        message = f"{text.display_path(name)} names no file to load: a server would start with nothing"
        yield Finding("manifest-no-files", Severity.DANGER, message, name)


def _file_findings(report: Report) -> Iterator[Finding]:
    """Yield findings about files of the AOF that are missing, empty, or listed more than once in the manifest."""
    aof = report.aof
    for part in aof.parts:
        if not part.exists:
            yield Finding(
                "part-missing",
                Severity.DAMAGE,
                f"{text.display_path(part.name)} is in the manifest, and missing",
                part.name,
            )
        elif part.size == 0 and part.type == "base" and part.name.endswith(".rdb"):
            message = f"{text.display_path(part.name)} is empty: a server writes an RDB base with a header"
            yield Finding("part-empty", Severity.WARNING, message, part.name)
        elif part.size == 0 and part is not aof.parts[-1] and part.type == "incr":
            message = f"{text.display_path(part.name)} is empty, and another incremental file follows it"
            yield Finding("part-empty", Severity.WARNING, message, part.name)
    for name, count in Counter(part.name for part in [*aof.parts, *aof.history]).items():
        if count > 1:
            message = f"{text.display_path(name)} is listed {count:,} times: its commands would run again"
            yield Finding("part-twice", Severity.DANGER, message, name)
    yield from _same_files(aof.parts)


def _same_files(parts: list[AofPart]) -> Iterator[Finding]:
    """Yield a finding for each file of the AOF that is a link to another of its files."""
    first_names: dict[tuple[int, int], str] = {}
    for part in parts:
        if isinstance(part.source, FileSource):
            file = part.source.stat.st_dev, part.source.stat.st_ino
            first = first_names.setdefault(file, part.name)
            if first != part.name:
                names = f"{text.display_path(part.name)} and {text.display_path(first)}"
                message = f"{names} are the same file: its commands would run twice"
                yield Finding("part-twice", Severity.DANGER, message, part.name)


def _swapped_files(report: Report) -> Iterator[Finding]:
    """Yield findings about files of the AOF with contents or #TS times that do not match their names."""
    for part in report.parts:
        source = part.part.source
        if source is None or not part.size or not part.part.path:
            continue
        named_rdb = part.part.name.endswith(".rdb")
        if part.part.type in ("base", "incr") and named_rdb != is_rdb(source):
            contents = "an RDB" if is_rdb(source) else "commands"
            if not (
                part.part.name.endswith(".aof")
                and part.part.type == "base"
                and is_rdb(source)
                and _is_upgraded_file(part.part)
            ):
                message = f"{text.display_path(part.part.name)} holds {contents}: files may have been swapped"
                yield Finding("part-swapped", Severity.WARNING, message, part.part.name)
    timed = [part for part in report.parts if part.first_time is not None and part.last_time is not None]
    for earlier, later in pairwise(timed):
        assert earlier.last_time is not None
        assert later.first_time is not None
        if later.first_time < earlier.last_time:
            message = (
                f"{text.display_path(later.part.name)} begins at {text.format_time(later.first_time)}, before "
                f"{text.display_path(earlier.part.name)} ends at {text.format_time(earlier.last_time)}: "
                "files may have been swapped"
            )
            yield Finding("part-swapped", Severity.WARNING, message, later.part.name)


def _is_upgraded_file(part: AofPart) -> bool:
    """Whether a base is the single AOF of an older server, which Redis 7.0 adopts as its base under the old name."""
    return ".base." not in part.name


def _clock_went_back(report: Report) -> Iterator[Finding]:
    """Yield a note per AOF file in which the time of #TS annotations decreases."""
    for part in report.parts:
        if part.clock_went_back:
            message = f"{text.display_path(part.part.name)}: #TS annotations go back in time somewhere"
            yield Finding("clock-back", Severity.NOTE, message, part.part.name)


def _unfinished_rewrite(report: Report) -> Iterator[Finding]:
    """Yield a finding if the manifest lists several incremental files because a rewrite has not finished.

    A rewrite starts a new incremental file, and lists the older ones as history when its base is finished.  A file with
    an endoffset was closed by BACKUP or belongs to a set that was loaded with preload-file (8.10).
    """
    aof = report.aof
    if aof.manifest is None or aof.manifest.problems:
        return
    incr = [part for part in aof.parts if part.type == "incr" and part.listed]
    open_files = [part for part in incr[:-1] if not any(name.lower() == b"endoffset" for name, _ in part.extra)]
    if not open_files:
        return
    base = max((part.seq for part in aof.parts if part.type == "base"), default=0)
    newer = [part for part in aof.unlisted if part.type == "base" and part.seq > base and part.exists]
    if newer:
        name = text.display_path(newer[-1].name)
        message = f"{len(incr)} incremental files: a rewrite wrote {name}, and did not list it in the manifest"
    else:
        message = f"{len(incr)} incremental files: a rewrite began and has not finished"
    detail = "Whether its fork came before a flush decides what the next base would hold."
    yield Finding("rewrite-unfinished", Severity.WARNING, message, incr[-1].name, detail=detail)


def _owners(report: Report) -> Iterator[Finding]:
    """Yield findings about AOF files that the owner of their directory, usually the server's user, cannot open."""
    directory = report.aof.directory
    if directory is None or report.aof.layout != "multi-part":
        return
    directory_stat = os.stat(directory)
    for part in report.aof.existing_parts:
        source = part.source
        if (
            isinstance(source, FileSource)
            and directory_stat.st_uid
            and not _owner_can_open(source.stat, directory_stat)
        ):
            message = (
                f"{text.display_path(part.name)} is {stat.filemode(source.stat.st_mode)} of uid {source.stat.st_uid}: "
                f"a server that runs as uid {directory_stat.st_uid}, as the directory's owner, cannot open it"
            )
            command = f"sudo chown {directory_stat.st_uid}:{directory_stat.st_gid} {text.shell_quote(str(part.path))}"
            hint = "give it the owner of the directory"
            yield Finding("owner", Severity.WARNING, message, part.name, hint=hint, commands=(command,))


def _owner_can_open(file_stat: os.stat_result, directory_stat: os.stat_result) -> bool:
    """Whether the owner of the directory may read and write a file of the AOF, by the mode bits of the file."""
    shift = 6 if file_stat.st_uid == directory_stat.st_uid else 3 if file_stat.st_gid == directory_stat.st_gid else 0
    return file_stat.st_mode >> shift & 6 == 6


CHECKS = (
    _manifest_findings,
    _file_findings,
    _swapped_files,
    _unfinished_rewrite,
    _owners,
    _clock_went_back,
)
