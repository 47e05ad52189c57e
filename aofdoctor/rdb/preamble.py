"""Where an RDB at the head of a file ends, and whether its checksum is right.

Strategy: walk the structure, so that keys can be counted and a truncation
named; where a type is not known, find the end by the checksum alone: the first
0xff that is followed by the CRC of all that is before.  Values are stepped
over, never held.  It does not know what the values are.
"""

import re
from dataclasses import dataclass, field

from aofdoctor.rdb.crc64 import crc64, find_end
from aofdoctor.rdb.types import LAYOUTS, OPCODES, Unreadable
from aofdoctor.source import Source, pread

_MAGIC = re.compile(rb"REDIS[0-9]{4}|VALKEY[0-9]{3}")
_WRITER = re.compile(rb".{9}\xfa.{1,2}(redis|valkey)-ver", re.DOTALL)
_EOF, _AUX = 255, 250
_AUX_MAX = 256


@dataclass(slots=True)
class Rdb:
    """What a walk found; `end` is the byte after it, or the last key boundary before it went wrong.

    `checksum`: ok, off, bad, unknown.  `keys` is None where they could not be counted.
    """

    magic: bytes
    version: int
    end: int = 0
    keys: int | None = 0
    checksum: str = "unknown"
    complete: bool = False
    aux: dict[bytes, bytes] = field(default_factory=dict)
    note: str = ""


class _Truncated(Exception):
    pass


def is_rdb(source: Source) -> bool:
    """True if the head is an RDB's, be it torn, or one whose magic was damaged."""
    head = pread(source, 64, 0)
    torn = len(head) < 9 and head[:5] in (b"REDIS", b"VALKE")
    return torn or bool(_MAGIC.match(head) or _WRITER.match(head)) or head[:6] in (b"REDIS0", b"VALKEY")


def walk(source: Source) -> Rdb:
    """Walk an RDB from the start of `source`."""
    magic = pread(source, 9, 0)
    rdb = Rdb(magic, int(magic[-3:]) if _MAGIC.fullmatch(magic) else 0)
    if len(magic) < 9:
        rdb.note = "the file ends inside the magic"
        return rdb
    if not _MAGIC.fullmatch(magic):
        rdb.note = f"the magic is {magic!r}"
    walker = _Walker(source, rdb)
    try:
        walker.run()
    except _Truncated:
        rdb.note = rdb.note or f"the file ends inside the record at {rdb.end}"
    except Unreadable as problem:
        rdb.note = rdb.note or str(problem)
        _end_by_checksum(source, rdb)
    return rdb


def read_aux(source: Source) -> dict[bytes, bytes]:
    """The writer's own words at the head of an RDB, without walking it."""
    magic = pread(source, 9, 0)
    rdb = Rdb(magic, 0)
    walker = _Walker(source, rdb)
    try:
        walker.skip(9)
        while walker.byte() == _AUX:
            walker.aux()
    except (_Truncated, Unreadable):
        pass
    return rdb.aux


def _end_by_checksum(source: Source, rdb: Rdb) -> None:
    crc, at, window = 0, 0, 1 << 20
    while len(data := pread(source, window + 8, at)) > 8:
        found, crc = find_end(data, crc)
        if found < len(data) - 8:
            rdb.end, rdb.keys, rdb.checksum, rdb.complete = at + found + 9, None, "ok", True
            return
        at += found


class _Walker:
    """A cursor over the source that computes the CRC of what it has passed."""

    WINDOW = 1 << 18

    def __init__(self, source: Source, rdb: Rdb) -> None:
        self.source, self.rdb = source, rdb
        self.base, self.at, self.crc = 0, 0, 0
        self.data = b""
        self.layouts = LAYOUTS["valkey" if rdb.magic.startswith(b"VALKEY") else "redis"]

    def run(self) -> None:
        self.skip(9)
        keys = 0
        while True:
            self.rdb.end, self.rdb.keys = self.base + self.at, keys
            kind = self.byte()
            if kind == _EOF:
                return self._finish()
            if kind == _AUX:
                self.aux()
            elif kind in OPCODES:
                OPCODES[kind](self)
            elif kind in self.layouts:
                self.string()
                self.layouts[kind](self)
                keys += 1
            else:
                raise Unreadable(f"type {kind} at {self.rdb.end} is not one that this version reads")

    def _finish(self) -> None:
        rdb = self.rdb
        if 0 < rdb.version < 5 and rdb.magic.startswith(b"REDIS"):
            rdb.end, rdb.checksum, rdb.complete = self.base + self.at, "off", True
            return
        crc = crc64(memoryview(self.data)[: self.at], self.crc)
        stored = int.from_bytes(self._take(8), "little")
        rdb.end, rdb.complete = self.base + self.at, True
        rdb.checksum = "off" if stored == 0 else "ok" if stored == crc else "bad"
        if rdb.checksum == "bad":
            rdb.note = rdb.note or f"the checksum is {stored:016x}, the bytes give {crc:016x}"

    def aux(self) -> None:
        name, value = self._short_string(), self._short_string()
        if len(self.rdb.aux) < 64:
            self.rdb.aux[name] = value

    # -- the steps that layouts are made of --

    def byte(self) -> int:
        if self.at >= len(self.data):
            self._load(1)
        self.at += 1
        return self.data[self.at - 1]

    def length(self) -> int:
        size, encoding = self._length()
        if encoding is not None:
            raise Unreadable(f"no length where one should be, after {self.rdb.end}")
        return size

    def string(self) -> None:
        size, encoding = self._length()
        if encoding is None:
            self.skip(size)
        elif encoding == 3:
            packed = self.length()
            self.length()
            self.skip(packed)
        elif encoding < 3:
            self.skip(1 << encoding)
        else:
            raise Unreadable(f"string encoding {encoding} after {self.rdb.end}")

    def skip(self, size: int) -> None:
        if self.at + size <= len(self.data):
            self.at += size
            return
        if self.source.size is not None and self.base + self.at + size > self.source.size:
            raise _Truncated
        size -= len(self.data) - self.at
        self.at = len(self.data)
        while size:
            self._load(1)
            self.at = min(size, len(self.data))
            size -= self.at

    def _length(self) -> tuple[int, int | None]:
        first = self.byte()
        kind = first >> 6
        if kind == 0:
            return first, None
        if kind == 1:
            return (first & 63) << 8 | self.byte(), None
        if kind == 3:
            return 0, first & 63
        if first > 0x81:
            raise Unreadable(f"length encoding {first:#x} after {self.rdb.end}")
        return int.from_bytes(self._take(4 if first == 0x80 else 8), "big"), None

    def _short_string(self) -> bytes:
        """A string's bytes, empty if it is long or packed; an integer as its digits."""
        size, encoding = self._length()
        if encoding is None:
            if size <= _AUX_MAX:
                return self._take(size)
            self.skip(size)
        elif encoding < 3:
            return b"%d" % int.from_bytes(self._take(1 << encoding), "little", signed=True)
        elif encoding == 3:
            packed = self.length()
            self.length()
            self.skip(packed)
        else:
            raise Unreadable(f"string encoding {encoding} after {self.rdb.end}")
        return b""

    def _take(self, size: int) -> bytes:
        if self.at + size > len(self.data):
            self._load(size)
        self.at += size
        return self.data[self.at - size : self.at]

    def _load(self, need: int) -> None:
        """Drop what has been passed and read on; at least `need` bytes or it is truncated."""
        self.crc = crc64(memoryview(self.data)[: self.at], self.crc)
        rest, self.base = self.data[self.at :], self.base + self.at
        self.at = 0
        self.data = rest + pread(self.source, self.WINDOW, self.base + len(rest))
        if len(self.data) < need:
            raise _Truncated
