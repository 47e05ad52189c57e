"""Find and open the files of an AOF, given a manifest, a directory, a single file or a pipe.

The kind of a file (commands, RDB or manifest) follows from its content.  Its name
only decides its place in a multi-part AOF, and the kind of an empty or destroyed
file.
"""

import io
import os
import re
import stat
import sys
from collections.abc import Container, Iterator
from pathlib import Path

from aofdoctor import text
from aofdoctor.aof.diagnosis import Defect, diagnose_record
from aofdoctor.aof.foreign_files import (
    HEAD_SIZE,
    ForeignFile,
    has_only_comments,
    recognise_archive,
    recognise_text,
    require_finite_file,
    require_finite_stream,
)
from aofdoctor.aof.generations import PART_NAME
from aofdoctor.aof.manifest import looks_like_manifest, parse_manifest
from aofdoctor.aof.model import AOF, AofPart
from aofdoctor.aof.read_window import ReadWindow
from aofdoctor.aof.recovery.embedded_rdb import RdbSearchBudget, find_leading_rdb
from aofdoctor.aof.recovery.resync import find_record
from aofdoctor.errors import AmbiguousRequest, NotAnAof
from aofdoctor.rdb.preamble import is_rdb
from aofdoctor.rdb.recovery.lost_head import lost_head
from aofdoctor.source import FileSource, PipeSource, Source, pread

_NUMBERED = PART_NAME
_EDIT_LEFTOVER = re.compile(
    r"\A\..+\.[0-9a-f]{8}\.tmp\Z|\.[0-9]{8}T[0-9]{6}Z(-[0-9]+)?\.(before|undone)\Z|\.before-aofdoctor\Z", re.DOTALL
)
_SERVER_TEMP = re.compile(r"temp-.*\.(aof|manifest|rdb)\Z|temp-rewriteaof.*|temp-.*\.manifest\Z", re.DOTALL)
_MANIFEST_MAX = 16 << 20
_DEFAULT_DIRECTORY = "appendonlydir"  # the default of appenddirname
_BACKUP_DIRECTORY = "backupdir"  # where BACKUP of Redis 8.10 writes
# The beginning of an AOF in which all line ends were changed, for example by a transfer in text mode.
_TEXT_MODE = re.compile(rb"\*[0-9]{1,9}\r{0,2}\n\$[0-9]{1,2}\r{0,2}\n([A-Za-z]{1,24})\r{0,2}\n")


def open_aof(path: str, known_names: Container[bytes]) -> AOF:
    """Open the AOF at `path`, or standard input for `-`; raises NotAnAof if it is neither an AOF nor an RDB.

    A damaged file counts as an AOF if it contains a command in `known_names` (lower case) or an RDB.
    """
    if path == "-":
        require_finite_stream(sys.stdin.fileno())
        return _open_pipe(sys.stdin.buffer, known_names)
    file_path = Path(path)
    status = os.stat(path)  # not file_path: Path("") would be the working directory
    if stat.S_ISDIR(status.st_mode):
        return _open_directory(path, file_path, known_names)
    require_finite_file(path, status)
    if not stat.S_ISREG(status.st_mode):
        return _open_pipe(open(file_path, "rb", buffering=0), known_names, path)
    source = FileSource(file_path)
    if _is_manifest(file_path, source):
        source.close()
        return _open_set(path, file_path)
    return _open_single(path, file_path, source, known_names)


# -- one file, or a pipe --


def _open_pipe(stream: object, known_names: Container[bytes], path: str = "-") -> AOF:
    assert isinstance(stream, (io.BufferedReader, io.FileIO))
    source = PipeSource(stream)
    part = AofPart(path, "single", 0, None, source)
    _require_aof(path, source, known_names)
    return AOF(path, _layout(source, path), None, [part])


def _open_single(path: str, file_path: Path, source: FileSource, known_names: Container[bytes]) -> AOF:
    _require_aof(path, source, known_names)
    numbered = _NUMBERED.match(file_path.name)
    part = AofPart(
        file_path.name,
        numbered["type"] if numbered else "single",
        int(numbered["seq"]) if numbered else 0,
        file_path,
        source,
    )
    directory = file_path.parent
    return AOF(
        path, _layout(source, file_path.name), directory, [part], leftovers=list(_leftovers(directory, file_path))
    )


def _layout(source: Source, name: str) -> str:
    """Return the layout of an AOF that is one file: "rdb" for an RDB dump by its name and content, else "single"."""
    if not name.endswith(".rdb") or _NUMBERED.match(name):
        return "single"
    if is_rdb(source):
        return "rdb"
    starts_with_record = pread(source, 1, 0) in (b"*", b"#", b"$")
    return "single" if starts_with_record or find_leading_rdb(source, RdbSearchBudget()) is not None else "rdb"


def _require_aof(path: str, source: Source, known_names: Container[bytes]) -> None:
    """Raise NotAnAof unless a file is empty or contains a command, an annotation, an RDB, or the beginning of one."""
    head = pread(source, HEAD_SIZE, 0)
    if archive := recognise_archive(head, path):
        raise _not_an_aof(path, archive)
    if has_only_comments(head) and (comments := recognise_text(head)):
        raise _not_an_aof(path, comments)
    diagnosis = diagnose_record(ReadWindow(source), 0)
    is_record_start = diagnosis.is_complete or (
        diagnosis.defect in (Defect.EOF, Defect.PAST_EOF) and (diagnosis.argc > 0 or source.size in (0, 1))
    )
    if is_record_start or is_rdb(source) or _is_text_mode_aof(source, known_names) or _is_all_nuls(source):
        return
    if find_record(source, 1, known_names) is not None or find_leading_rdb(source, RdbSearchBudget()) is not None:
        return
    if foreign := recognise_text(head):
        raise _not_an_aof(path, foreign)
    if lost_head(source) is not None:
        return
    raise NotAnAof(
        f"{text.display_path(path)} is not an AOF: no command, annotation or RDB stands anywhere in it",
        "give the AOF, its manifest or its directory (CONFIG GET dir, appenddirname and appendfilename name them)",
    )


def _not_an_aof(path: str, foreign: ForeignFile) -> NotAnAof:
    return NotAnAof(f"{text.display_path(path)} is {foreign.kind}, not an AOF or RDB", foreign.advice)


def _is_text_mode_aof(source: Source, known_names: Container[bytes]) -> bool:
    match = _TEXT_MODE.match(pread(source, 64, 0))
    return match is not None and match[1].lower() in known_names


def _is_all_nuls(source: Source) -> bool:
    at = 0
    while piece := pread(source, 1 << 16, at):
        if piece.strip(b"\0"):
            return False
        at += len(piece)
    return True


# -- directories and manifests --


def _is_manifest(file_path: Path, source: FileSource) -> bool:
    """Whether a file is a manifest by its content, or by its name if its content is neither a manifest nor an AOF."""
    head = pread(source, 1 << 12, 0)
    if looks_like_manifest(head):
        return True
    return file_path.name.endswith(".manifest") and head[:1] not in (b"*", b"$") and not is_rdb(source)


def _open_directory(path: str, directory: Path, known_names: Container[bytes]) -> AOF:
    sets = [*_find_sets(directory)]
    for folder in sorted(entry for entry in directory.iterdir() if entry.is_dir() and not _is_edit_leftover(entry)):
        try:
            sets += [
                entry_path
                for entry_path in _find_sets(folder)
                if entry_path.name.endswith(".manifest") or _NUMBERED.match(entry_path.name)
            ]
        except PermissionError:
            continue
    if not sets:
        return _open_dumps(path, directory)
    entry_point, other_sets = _choose_set(path, directory, sets)
    aof = _open_entry_point(path, entry_point, known_names)
    aof.other_sets = other_sets
    return aof


def _open_entry_point(path: str, entry_point: Path, known_names: Container[bytes]) -> AOF:
    if entry_point.name.endswith(".manifest"):
        return _open_set(path, entry_point)
    if _NUMBERED.match(entry_point.name):
        return _open_unlisted(path, entry_point)
    return _open_single(path, entry_point, FileSource(entry_point), known_names)


def _choose_set(path: str, directory: Path, sets: list[Path]) -> tuple[Path, list[Path]]:
    """Choose among several AOFs in a data directory; return (path of the one that a server loads, paths of the others).

    The AOF in `appendonlydir` comes first.  An AOF is not chosen if none of its files exists, if it is in the backup
    directory of Redis 8.10, if aofdoctor wrote it as a copy, or if it can be the base of another one.  Raises
    AmbiguousRequest if several remain.
    """
    named = [entry for entry in sets if entry.parent.name == _DEFAULT_DIRECTORY and entry.parent != directory]
    candidates = named or sets
    for is_secondary in (_is_hollow, _is_backup, _is_copy, _is_base_of_numbered_files):
        if len(candidates) > 1:
            candidates = [entry for entry in candidates if not is_secondary(entry)] or candidates
    if len(candidates) > 1:
        names = ", ".join(text.display_path(str(entry)) for entry in candidates)
        raise AmbiguousRequest(f"{text.display_path(path)} holds {len(candidates)} AOFs: {names}", "name one of them")
    return candidates[0], [entry for entry in sets if entry != candidates[0]]


def _is_hollow(entry: Path) -> bool:
    """Whether `entry` is a manifest of which no listed file and no other numbered file exists."""
    if not entry.name.endswith(".manifest"):
        return False
    listed = {os.fsdecode(line.name) for line in parse_manifest(_read(entry)).entries}
    prefix = entry.name.removesuffix(".manifest")
    names = (found.name for found in entry.parent.iterdir() if found != entry)
    return not any(
        name in listed or ((match := _NUMBERED.match(name)) is not None and match["set"] == prefix) for name in names
    )


def _is_backup(entry: Path) -> bool:
    return entry.parent.name == _BACKUP_DIRECTORY


def _is_copy(entry: Path) -> bool:
    """Whether an AOF is the output of an aofdoctor edit: a receipt (.receipt.json) with its name is next to it."""
    place = entry.parent if entry.name.endswith(".manifest") or _NUMBERED.match(entry.name) else entry
    return place.with_name(f"{place.name}.receipt.json").exists()


def _is_base_of_numbered_files(entry: Path) -> bool:
    """Whether a single AOF file can be the base of the incremental files in its directory, which have no other base."""
    if entry.name.endswith(".manifest") or _NUMBERED.match(entry.name):
        return False
    types = {match["type"] for found in entry.parent.iterdir() if (match := _NUMBERED.match(found.name))}
    return types == {"incr"} and _unnumbered_files(entry.parent) == [entry]


def _open_dumps(path: str, directory: Path) -> AOF:
    """Open dump.rdb, or the largest RDB file, of a data directory without an AOF; raise NotAnAof if it has none."""
    dumps = [entry for entry in directory.iterdir() if entry.name.endswith(".rdb") and entry.is_file()]
    if not dumps:
        raise NotAnAof(
            f"no AOF and no RDB file in {text.display_path(path)}",
            "give the directory that CONFIG GET dir names, or the one that appenddirname names in it",
        )

    def preference(entry: Path) -> tuple[bool, bool, int, str]:
        return entry.name == "dump.rdb", not _SERVER_TEMP.match(entry.name), entry.stat().st_size, entry.name

    dump = max(dumps, key=preference)
    source = FileSource(dump)
    part = AofPart(dump.name, "single", 0, dump, source)
    others = [entry for entry in sorted(dumps) if entry != dump]
    return AOF(path, _layout(source, dump.name), directory, [part], leftovers=others)


def _is_edit_leftover(folder: Path) -> bool:
    """Whether an aofdoctor edit left a directory: dropped bytes, a replaced original, or temporary files of a crash."""
    return (folder / "map.jsonl").exists() or bool(_EDIT_LEFTOVER.search(folder.name))


def _find_sets(folder: Path) -> Iterator[Path]:
    """Yield one path for each AOF in a directory: its manifest, its first numbered file, or the single file."""
    names = sorted(entry.name for entry in folder.iterdir() if entry.is_file() and not _SERVER_TEMP.match(entry.name))
    sets_found, listed = set(), set()
    for name in names:
        if name.endswith(".manifest"):
            sets_found.add(name.removesuffix(".manifest"))
            listed |= {os.fsdecode(entry.name) for entry in parse_manifest(_read(folder / name)).entries}
            yield folder / name
    for name in names:
        match = _NUMBERED.match(name)
        if match and match["set"] not in sets_found and name not in listed:
            sets_found.add(match["set"])
            yield folder / name
    for name in names:
        if name.endswith(".aof") and not _NUMBERED.match(name) and name not in sets_found | listed:
            yield folder / name


def _open_set(path: str, manifest_path: Path) -> AOF:
    """Open a multi-part AOF by its manifest; if the manifest is damaged, the file names complete it."""
    directory = manifest_path.parent
    manifest = parse_manifest(_read(manifest_path))
    aof = AOF(path, "multi-part", directory, [], manifest_path, manifest)
    for entry in manifest.load_order:
        aof.parts.append(_open_part(directory, os.fsdecode(entry.name), entry.type, entry.seq, entry.extra))
    _continue_upgrade(aof)
    for entry in manifest.of_type("history"):
        aof.history.append(_open_part(directory, os.fsdecode(entry.name), "history", entry.seq, entry.extra))
    _add_unlisted(aof, manifest_path.name.removesuffix(".manifest"))
    if not aof.existing_parts and not aof.history and not aof.unlisted:
        _add_only_other_set(aof)
    if manifest.problems:
        _add_unnumbered_base(aof)
    if not aof.parts and manifest.problems:
        aof.parts, aof.unlisted = _guess_load_order(aof.unlisted)
    aof.leftovers += [*_leftovers(directory, manifest_path), *_leftovers(directory.parent, directory)]
    return aof


def _open_unlisted(path: str, first: Path) -> AOF:
    """Open a multi-part AOF that has no manifest, by the names of its files; `first` is any one of them."""
    match = _NUMBERED.match(first.name)
    assert match
    aof = AOF(path, "multi-part", first.parent, [])
    _add_unlisted(aof, match["set"])
    _add_unnumbered_base(aof)
    aof.parts, aof.unlisted = _guess_load_order(aof.unlisted)
    aof.leftovers += [*_leftovers(first.parent, first), *_leftovers(first.parent.parent, first.parent)]
    return aof


def _continue_upgrade(aof: AOF) -> None:
    """If a manifest lists only a base that is missing, use the file of that name one directory above.

    A server that is interrupted while it upgrades a single file to a multi-part AOF leaves this state.
    Source: loadAppendOnlyFiles in aof.c, 7.0 (the third of the cases in which it upgrades).
    """
    assert aof.directory is not None
    if [part.type for part in aof.parts] == ["base"] and not aof.parts[0].exists:
        outside = _open_part(aof.directory.parent, aof.parts[0].name, "base", aof.parts[0].seq)
        aof.parts = [outside] if outside.exists else aof.parts


def _open_part(directory: Path, name: str, kind: str, seq: int, extra: tuple[tuple[bytes, bytes], ...] = ()) -> AofPart:
    file_path = directory / name
    try:
        source = FileSource(file_path) if stat.S_ISREG(os.stat(file_path).st_mode) else None
    except FileNotFoundError:
        source = None
    return AofPart(name, kind, seq, file_path, source, True, extra)


def _add_unlisted(aof: AOF, prefix: str) -> None:
    assert aof.directory is not None
    listed = {part.name for part in [*aof.parts, *aof.history]}
    for entry in sorted(aof.directory.iterdir()):
        match = _NUMBERED.match(entry.name)
        if match and match["set"] == prefix and entry.name not in listed and entry.is_file():
            part = _open_part(aof.directory, entry.name, match["type"], int(match["seq"]))
            part.listed = False
            aof.unlisted.append(part)


def _add_only_other_set(aof: AOF) -> None:
    """Add the numbered files in the directory to `aof.unlisted`, if all of them have the same name prefix.

    This is for a manifest of which no listed file exists: it cannot be right.
    """
    assert aof.directory is not None
    matches = [match for entry in aof.directory.iterdir() if (match := _NUMBERED.match(entry.name))]
    prefixes = {match["set"] for match in matches}
    if len(prefixes) == 1:
        _add_unlisted(aof, prefixes.pop())


def _add_unnumbered_base(aof: AOF) -> None:
    """Add the only other AOF or RDB file in the directory to `aof.unlisted` as the base, if the AOF has no base.

    The base of an upgraded or preloaded AOF keeps the name of its source file (Redis 7.0, 8.10).
    """
    assert aof.directory is not None
    if any(part.type == "base" and part.exists for part in [*aof.parts, *aof.unlisted]):
        return
    known = {part.name for part in [*aof.parts, *aof.history, *aof.unlisted]}
    candidates = [entry for entry in _unnumbered_files(aof.directory) if entry.name not in known]
    if len(candidates) == 1:
        part = _open_part(aof.directory, candidates[0].name, "base", 0)
        part.listed = False
        aof.unlisted.append(part)


def _unnumbered_files(folder: Path) -> list[Path]:
    """Return the files that, by their names, can be the base of a multi-part AOF that was upgraded or preloaded."""
    return [
        entry
        for entry in sorted(folder.iterdir())
        if entry.suffix in (".aof", ".rdb") and entry.is_file() and entry.name != "dump.rdb"
        and not _NUMBERED.match(entry.name) and not _SERVER_TEMP.match(entry.name)
    ]  # fmt: skip


def _guess_load_order(parts: list[AofPart]) -> tuple[list[AofPart], list[AofPart]]:
    """Guess the content of a lost manifest; return (newest base and all incremental files in order, older bases)."""
    bases = sorted((part for part in parts if part.type == "base"), key=lambda part: part.seq)
    incr = sorted((part for part in parts if part.type == "incr"), key=lambda part: part.seq)
    loaded = bases[-1:] + incr
    return loaded, bases[:-1]


def _leftovers(folder: Path, itself: Path) -> Iterator[Path]:
    """Yield a server's temporary files and dump.rdb in a directory, except `itself`: they can hold earlier data."""
    try:
        entries = sorted(folder.iterdir())
    except OSError:
        return
    for entry in entries:
        if entry != itself and (_SERVER_TEMP.match(entry.name) or entry.name == "dump.rdb"):
            yield entry


def _read(path: Path) -> bytes:
    with open(path, "rb") as file:
        return file.read(_MANIFEST_MAX)
