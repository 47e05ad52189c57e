"""Read the commands of an AOF for the tests: a strict parser that shares no code with the package.

Each command has the database that it runs in, its transaction, its number, and the second of the annotation before it.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from aofdoctor.rdb.encoding.crc64 import crc64

STRUCTURE = (b"SELECT", b"MULTI", b"EXEC")


class NotWhole(ValueError):
    """The bytes at `at` are not a record."""

    def __init__(self, at: int) -> None:
        super().__init__(f"no record at {at}")
        self.at = at


@dataclass(frozen=True)
class Record:
    """A command or annotation: `words` are empty for an annotation; `transaction` and `number` count from 1."""

    start: int
    raw: bytes
    words: list[bytes]
    part: int = 0
    db: int = 0
    transaction: int = 0
    number: int = 0
    time: int = -1

    @property
    def end(self) -> int:
        return self.start + len(self.raw)

    @property
    def is_annotation(self) -> bool:
        return not self.words

    @property
    def name(self) -> bytes:
        return self.words[0].upper() if self.words else b""

    @property
    def is_structure(self) -> bool:
        return self.name in STRUCTURE


@dataclass(frozen=True)
class Part:
    """A file of an AOF: an RDB of `rdb_end` bytes, which can be 0, and the records that follow it."""

    name: str
    data: bytes
    rdb_end: int
    records: list[Record]


@dataclass
class Log:
    """The files of an AOF in load order."""

    parts: list[Part] = field(default_factory=list)

    @property
    def records(self) -> list[Record]:
        return [record for part in self.parts for record in part.records]

    @property
    def commands(self) -> list[Record]:
        """The records without annotations and without SELECT, MULTI and EXEC."""
        return [record for record in self.records if record.words and not record.is_structure]

    @property
    def rdb(self) -> bytes:
        """The RDB at the head of the first file."""
        return self.parts[0].data[: self.parts[0].rdb_end] if self.parts else b""


def parse_records(data: bytes, start: int) -> list[Record]:
    """Parse records up to the end of the bytes; raises NotWhole."""
    return list(_iter_records(data, start))


def is_framed(data: bytes, start: int) -> bool:
    """Whether nothing but whole records follows an offset."""
    try:
        parse_records(data, start)
    except NotWhole:
        return False
    return True


def begins_with_record(data: bytes, start: int) -> bool:
    """Whether a whole record begins at an offset."""
    try:
        return next(_iter_records(data, start), None) is not None
    except NotWhole:
        return False


def _iter_records(data: bytes, at: int) -> Iterator[Record]:
    while at < len(data):
        start, words = at, list[bytes]()
        if data[at : at + 1] == b"#":
            at = data.find(b"\n", at) + 1  # A server needs no CR there.
            if not at:
                raise NotWhole(start)
            yield Record(start, data[start:at], words)
            continue
        count, at = _number(data, at, b"*", start)
        for _ in range(count):
            size, at = _number(data, at, b"$", start)
            if data[at + size : at + size + 2] != b"\r\n":
                raise NotWhole(start)
            words.append(data[at : at + size])
            at += size + 2
        if not words:
            raise NotWhole(start)
        yield Record(start, data[start:at], words)


_TIMESTAMP = re.compile(rb"#TS:(\d+)\r\n\Z")
_NUMBER = re.compile(rb"([*$])(\d{1,19})\r\n")


def _number(data: bytes, at: int, sign: bytes, start: int) -> tuple[int, int]:
    match = _NUMBER.match(data, at)
    if not match or match[1] != sign:
        raise NotWhole(start)
    return int(match[2]), match.end()


def rdb_end(data: bytes) -> int:
    """Return the size of the RDB at the head of a file, by its checksum; 0 if there is none."""
    if not data.startswith((b"REDIS", b"VALKEY")):
        return 0
    at = 0
    while (at := data.find(b"\xff", at)) >= 0:
        end = at + 9
        is_border = end == len(data) or data[end : end + 1] in (b"*", b"#")
        if is_border and crc64(data[: at + 1]) == int.from_bytes(data[at + 1 : end], "little"):
            return end
        at += 1
    raise ValueError("the RDB has no end")


def read_log(path: Path) -> Log:
    """Read a file, or a directory with a manifest."""
    if path.is_file():
        return make_log([(path.name, path.read_bytes())])
    return make_log([(name, (path / name).read_bytes()) for name in manifest_files(path)])


def manifest_files(folder: Path) -> list[str]:
    """Return the names of the base file and the incremental files of a manifest, in load order."""
    manifest = next(folder.glob("*.manifest"))
    rows = re.findall(r'^file (?:"([^"]+)"|(\S+)) seq \d+ type ([bi])', manifest.read_text(), re.MULTILINE)
    return [quoted or plain for quoted, plain, kind in sorted(rows, key=lambda row: row[2])]


def make_log(files: list[tuple[str, bytes]]) -> Log:
    """Parse files that a server loads one after the other."""
    log, number, transactions, time = Log(), 0, 0, -1
    for index, (name, data) in enumerate(files):
        head, db, is_open = rdb_end(data), 0, False
        records = []
        for record in parse_records(data, head):
            if stamp := _TIMESTAMP.match(record.raw):
                time = int(stamp[1])
            number += not record.is_annotation
            if record.name == b"SELECT":
                db = int(record.words[1])
            if record.name == b"MULTI":
                is_open, transactions = True, transactions + 1
            current = transactions if is_open else 0
            records.append(replace(record, part=index, db=db, transaction=current, number=number, time=time))
            if record.name == b"EXEC":
                is_open = False
        log.parts.append(Part(name, data, head, records))
    return log
