"""Opening an AOF: a manifest, a directory, one file or a pipe to parts in load order.

What a file is is told from its content; its name only says which part of a set
it is, and what an empty or ruined file was meant to be.
"""

import io
import os
import re
import stat
import sys
from collections.abc import Container, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from aofdoctor import text
from aofdoctor.aof.diagnosis import Defect, ReadWindow, diagnose_record
from aofdoctor.aof.manifest import Manifest, looks_like_manifest, parse
from aofdoctor.aof.patched_source import PatchedSource
from aofdoctor.aof.recovery.resync import find_record
from aofdoctor.errors import AmbiguousRequest, NotAnAof, RefusedEdit
from aofdoctor.rdb.preamble import is_rdb
from aofdoctor.source import FileSource, PipeSource, Source, pread

_NUMBERED = re.compile(r"(?P<set>.+)\.(?P<seq>[0-9]{1,18})\.(?P<type>base|incr)\.(?:aof|rdb)\Z", re.DOTALL)
_LEFT = re.compile(
    r"\A\..+\.[0-9a-f]{8}\.tmp\Z|\.[0-9]{8}T[0-9]{6}Z(-[0-9]+)?\.(before|undone)\Z|\.before-aofdoctor\Z", re.DOTALL
)
_TEMP = re.compile(r"temp-.*\.(aof|manifest|rdb)\Z|temp-rewriteaof.*|temp-.*\.manifest\Z", re.DOTALL)
_MANIFEST_MAX = 16 << 20
# The beginning of an AOF whose every line end was changed, as by a transfer in text mode.
_TEXT_MODE = re.compile(rb"\*[0-9]{1,9}\r{0,2}\n\$[0-9]{1,2}\r{0,2}\n([A-Za-z]{1,24})\r{0,2}\n")


@dataclass(slots=True)
class Part:
    """One file of an AOF; `source` is None where it is missing.

    `listed`: the manifest names it.  `extra`: the manifest's pairs that 7.0 does
    not know (startoffset, endoffset).
    """

    name: str
    type: str
    seq: int
    path: Path | None
    source: Source | None
    listed: bool = True
    extra: tuple[tuple[bytes, bytes], ...] = ()

    @property
    def exists(self) -> bool:
        """True if its file is there, and a file."""
        return self.source is not None

    @property
    def size(self) -> int | None:
        """Its bytes at open; None where it is missing, or a pipe that has not ended."""
        return self.source.size if self.source else None


@dataclass(slots=True)
class AOF:
    """An AOF as it was at open; `layout` is single, multi-part or rdb.

    `parts` are in load order; `history` and `strays` are other files of the set:
    history files that the manifest lists, and files that it does not.
    `leftovers` are names beside it that are evidence: temp files, dump.rdb.
    """

    path: str
    layout: str
    directory: Path | None
    parts: list[Part]
    manifest_path: Path | None = None
    manifest: Manifest | None = None
    history: list[Part] = field(default_factory=list)
    unlisted: list[Part] = field(default_factory=list)
    leftovers: list[Path] = field(default_factory=list)

    @property
    def present(self) -> list[Part]:
        """The parts that are there."""
        return [part for part in self.parts if part.exists]

    def part(self, name: str) -> list[Part]:
        """The parts whose name holds `name`; the one that is it, if one is."""
        everything = [*self.parts, *self.history, *self.unlisted]
        exact = [part for part in everything if part.name == name]
        return exact or [part for part in everything if name in part.name]

    def raise_on_read_errors(self) -> None:
        """From here on bytes that the disk does not give are an error, and no damage."""
        for part in [*self.parts, *self.history, *self.unlisted]:
            if isinstance(part.source, FileSource):
                part.source.raise_on_read_errors()

    def read_all_payloads(self) -> None:
        """From here on payloads are read too that could be stepped over: the disk may not give them."""
        for part in self.parts:
            if isinstance(part.source, FileSource):
                part.source.read_payloads = True

    def close(self) -> None:
        """Close the files of all parts."""
        for part in [*self.parts, *self.history, *self.unlisted]:
            if isinstance(part.source, FileSource | PatchedSource):
                self.file_of(part).close()

    @staticmethod
    def file_of(part: Part) -> FileSource:
        """The file behind a part."""
        if isinstance(part.source, PatchedSource):
            return part.source.file
        if not isinstance(part.source, FileSource):
            raise RefusedEdit("only files can be edited, not a pipe", "save it to a file first")
        return part.source


def open_aof(path: str, known: Container[bytes]) -> AOF:
    """Open what stands at `path`; `-` is standard input.  `known` are the names that make a record believable."""
    if path == "-":
        return _open_pipe(sys.stdin.buffer, known)
    where = Path(path)
    status = os.stat(path)  # an empty path is nothing, not the directory that we are in
    if stat.S_ISDIR(status.st_mode):
        return _open_directory(path, where, known)
    if not stat.S_ISREG(status.st_mode):
        return _open_pipe(open(where, "rb", buffering=0), known, path)
    source = FileSource(where)
    if _is_manifest(where, source):
        source.close()
        return _open_set(path, where)
    return _open_single(path, where, source, known)


# -- one file, or a pipe --


def _open_pipe(stream: object, known: Container[bytes], path: str = "-") -> AOF:
    assert isinstance(stream, (io.BufferedReader, io.FileIO))
    source = PipeSource(stream)
    part = Part(path, "single", 0, None, source)
    _require_aof(path, source, known)
    return AOF(path, _layout(source, path), None, [part])


def _open_single(path: str, where: Path, source: FileSource, known: Container[bytes]) -> AOF:
    _require_aof(path, source, known)
    numbered = _NUMBERED.match(where.name)
    part = Part(
        where.name, numbered["type"] if numbered else "single", int(numbered["seq"]) if numbered else 0, where, source
    )
    directory = where.parent
    return AOF(path, _layout(source, where.name), directory, [part], leftovers=list(_leftovers(directory, where)))


def _layout(source: Source, name: str) -> str:
    return "rdb" if name.endswith(".rdb") and not _NUMBERED.match(name) and is_rdb(source) else "single"


def _require_aof(path: str, source: Source, known: Container[bytes]) -> None:
    """Raise NotAnAof unless a record, an RDB or the torn beginning of one stands in it; nothing at all passes."""
    diagnosis = diagnose_record(ReadWindow(source), 0)
    begins = diagnosis.whole or (
        diagnosis.defect in (Defect.EOF, Defect.PAST_EOF) and (diagnosis.argc > 0 or source.size in (0, 1))
    )
    if begins or is_rdb(source) or _text_mode(source, known) or _only_nuls(source):
        return
    if find_record(source, 1, known) is not None:
        return
    raise NotAnAof(
        f"{text.name(path)} is not an AOF: no command, annotation or RDB stands anywhere in it",
        "give the AOF, its manifest or its directory (CONFIG GET dir, appenddirname and appendfilename name them)",
    )


def _text_mode(source: Source, known: Container[bytes]) -> bool:
    match = _TEXT_MODE.match(pread(source, 64, 0))
    return match is not None and match[1].lower() in known


def _only_nuls(source: Source) -> bool:
    at = 0
    while piece := pread(source, 1 << 16, at):
        if piece.strip(b"\0"):
            return False
        at += len(piece)
    return True


# -- directories and manifests --


def _is_manifest(where: Path, source: FileSource) -> bool:
    """By content; a ruined one by its name."""
    head = pread(source, 1 << 12, 0)
    if looks_like_manifest(head):
        return True
    return where.name.endswith(".manifest") and head[:1] not in (b"*", b"$") and not is_rdb(source)


def _open_directory(path: str, where: Path, known: Container[bytes]) -> AOF:
    sets = [*_sets_in(where)]
    for folder in sorted(entry for entry in where.iterdir() if entry.is_dir() and not _ours(entry)):
        try:
            sets += [
                found for found in _sets_in(folder) if found.name.endswith(".manifest") or _NUMBERED.match(found.name)
            ]
        except PermissionError:
            continue
    if not sets:
        dump = " (dump.rdb is there: an RDB, not an AOF)" if (where / "dump.rdb").exists() else ""
        raise NotAnAof(
            f"no AOF in {text.name(path)}{dump}",
            "give the directory that CONFIG GET dir names, or the one that appenddirname names in it",
        )
    if len(sets) > 1:
        names = ", ".join(text.name(str(found)) for found in sets)
        raise AmbiguousRequest(f"{text.name(path)} holds {len(sets)} AOFs: {names}", "name one of them")
    found = sets[0]
    if found.name.endswith(".manifest"):
        return _open_set(path, found)
    if _NUMBERED.match(found.name):
        return _open_unlisted(path, found)
    return _open_single(path, found, FileSource(found), known)


def _ours(folder: Path) -> bool:
    """True of what an edit left: lost bytes, a source that was exchanged or moved away, the scratch of one killed."""
    return (folder / "map.jsonl").exists() or bool(_LEFT.search(folder.name))


def _sets_in(folder: Path) -> Iterator[Path]:
    """One path for each AOF in a directory: its manifest, its first numbered file, or itself."""
    names = sorted(entry.name for entry in folder.iterdir() if entry.is_file() and not _TEMP.match(entry.name))
    seen, listed = set(), set()
    for name in names:
        if name.endswith(".manifest"):
            seen.add(name.removesuffix(".manifest"))
            listed |= {os.fsdecode(entry.name) for entry in parse(_read(folder / name)).entries}
            yield folder / name
    for name in names:
        match = _NUMBERED.match(name)
        if match and match["set"] not in seen and name not in listed:
            seen.add(match["set"])
            yield folder / name
    for name in names:
        if name.endswith(".aof") and not _NUMBERED.match(name) and name not in seen | listed:
            yield folder / name


def _open_set(path: str, manifest_path: Path) -> AOF:
    """A multi part AOF by its manifest, be it ruined."""
    directory = manifest_path.parent
    manifest = parse(_read(manifest_path))
    aof = AOF(path, "multi-part", directory, [], manifest_path, manifest)
    for entry in manifest.load_order:
        aof.parts.append(_part(directory, os.fsdecode(entry.name), entry.type, entry.seq, entry.extra))
    _continue_upgrade(aof)
    for entry in manifest.of_type("history"):
        aof.history.append(_part(directory, os.fsdecode(entry.name), "history", entry.seq, entry.extra))
    _add_unlisted(aof, manifest_path.name.removesuffix(".manifest"))
    if not aof.parts and manifest.problems:
        aof.parts, aof.unlisted = _in_load_order(aof.unlisted)
    aof.leftovers += [*_leftovers(directory, manifest_path), *_leftovers(directory.parent, directory)]
    return aof


def _open_unlisted(path: str, first: Path) -> AOF:
    """A set whose manifest is missing: its parts by their names."""
    match = _NUMBERED.match(first.name)
    assert match
    aof = AOF(path, "multi-part", first.parent, [])
    _add_unlisted(aof, match["set"])
    aof.parts, aof.unlisted = _in_load_order(aof.unlisted)
    aof.leftovers += [*_leftovers(first.parent, first), *_leftovers(first.parent.parent, first.parent)]
    return aof


def _continue_upgrade(aof: AOF) -> None:
    """An upgrade from a single file that stopped between the manifest and the move: the file is still outside.

    Source: loadAppendOnlyFiles in aof.c, 7.0 (the third of the cases in which it upgrades).
    """
    assert aof.directory is not None
    if [part.type for part in aof.parts] == ["base"] and not aof.parts[0].exists:
        outside = _part(aof.directory.parent, aof.parts[0].name, "base", aof.parts[0].seq)
        aof.parts = [outside] if outside.exists else aof.parts


def _part(directory: Path, name: str, kind: str, seq: int, extra: tuple[tuple[bytes, bytes], ...] = ()) -> Part:
    where = directory / name
    try:
        source = FileSource(where) if stat.S_ISREG(os.stat(where).st_mode) else None
    except FileNotFoundError:
        source = None
    return Part(name, kind, seq, where, source, True, extra)


def _add_unlisted(aof: AOF, prefix: str) -> None:
    assert aof.directory is not None
    listed = {part.name for part in [*aof.parts, *aof.history]}
    for entry in sorted(aof.directory.iterdir()):
        match = _NUMBERED.match(entry.name)
        if match and match["set"] == prefix and entry.name not in listed and entry.is_file():
            part = _part(aof.directory, entry.name, match["type"], int(match["seq"]))
            part.listed = False
            aof.unlisted.append(part)


def _in_load_order(parts: list[Part]) -> tuple[list[Part], list[Part]]:
    """(the newest base and what was written since, the rest): what a manifest would most likely have named."""
    bases = sorted((part for part in parts if part.type == "base"), key=lambda part: part.seq)
    incr = sorted((part for part in parts if part.type == "incr"), key=lambda part: part.seq)
    loaded = bases[-1:] + incr
    return loaded, bases[:-1]


def _leftovers(folder: Path, itself: Path) -> Iterator[Path]:
    """Temp files and RDBs in a directory: evidence of what was before."""
    try:
        entries = sorted(folder.iterdir())
    except OSError:
        return
    for entry in entries:
        if entry != itself and (_TEMP.match(entry.name) or entry.name == "dump.rdb"):
            yield entry


def _read(path: Path) -> bytes:
    with open(path, "rb") as file:
        return file.read(_MANIFEST_MAX)
