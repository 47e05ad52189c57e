"""Every item of an RDB, in order: they tile it from the magic to the checksum.

An item is a key, with the opcodes that belong to it (expiry, idle time,
frequency, metadata), or what stands between keys: the writer's own words, the
choice of a database, functions, the end.  They travel in batches of columns;
a Key is a view that is made on demand.  What a value is, is not known here.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from aofdoctor import text
from aofdoctor.rdb import header as head
from aofdoctor.rdb.compressed.source import decompressed
from aofdoctor.rdb.encoding.crc64 import crc64, find_end
from aofdoctor.rdb.encoding.short_strings import length, short_string
from aofdoctor.rdb.walk.layouts import layout_of
from aofdoctor.rdb.walk.walker import MAGIC, UNREAD, Columns, StopReason
from aofdoctor.rdb.walk.window import ROOM, WINDOW, WalkWindow
from aofdoctor.source import Source, pread
from aofdoctor.span import Span

AUX, EOF = 250, 255
NAME_LIMIT = 1 << 16
_AUX_MAX, _AUX_MANY = 256, 64
_CHECKSUM = 8


class Key(NamedTuple):
    """One key: `start` is its first opcode's offset, `name_at` and `value` those of its name's and value's first byte.

    `type` is the RDB's type byte; `expire_ms` unix milliseconds, `idle` seconds,
    `freq` the logarithmic counter; they and `db` are -1 where none is known.
    """

    start: int
    name_at: int
    value: int
    end: int
    type: int
    db: int
    expire_ms: int
    idle: int
    freq: int

    @property
    def span(self) -> Span:
        """All its bytes."""
        return Span(self.start, self.end)

    @property
    def name_span(self) -> Span:
        """Its name as it is encoded, length and all."""
        return Span(self.name_at, self.value)

    def name(self, source: Source, limit: int = NAME_LIMIT) -> bytes:
        """Its name, or the first `limit` bytes of it."""
        return short_string(source, self.name_span, limit)


class Item(NamedTuple):
    """What is no key: `kind` is its opcode, MAGIC or UNREAD; `body` the offset of what follows the opcode."""

    kind: int
    span: Span
    body: int


class ItemBatch:
    """Adjacent items, those of `columns` from `first` to `stop`; valid until the next batch is asked for."""

    def __init__(self, columns: Columns, first: int = 0, stop: int | None = None) -> None:
        self.columns, self.first = columns, first
        self.stop = columns.count if stop is None else stop

    def __len__(self) -> int:
        return self.stop - self.first

    @property
    def span(self) -> Span:
        """From the first item's start to the last one's end."""
        return Span(self.columns.edges[self.first], self.columns.edges[self.stop])

    @property
    def keys(self) -> int:
        """How many of the items are keys."""
        if len(self) == self.columns.count:
            return self.columns.keys
        return sum(name >= 0 for name in self.columns.name[self.first : self.stop])

    def span_of(self, i: int) -> Span:
        """The bytes of the item at a place in the columns."""
        return Span(self.columns.edges[i], self.columns.edges[i + 1])

    def key_places(self) -> list[int]:
        """Where in the columns its keys stand."""
        return [i for i, name in enumerate(self.columns.name[self.first : self.stop], self.first) if name >= 0]

    def key(self, i: int) -> Key:
        """The key at a place in the columns."""
        c = self.columns
        return Key(
            c.edges[i], c.name[i], c.value[i], c.edges[i + 1], c.kind[i], c.db[i], c.expire[i], c.idle[i], c.freq[i]
        )

    def __getitem__(self, i: int) -> Key | Item:
        if not 0 <= i < len(self):
            raise IndexError(i)
        c, i = self.columns, i + self.first
        if c.name[i] < 0:
            return Item(c.kind[i], Span(c.edges[i], c.edges[i + 1]), c.value[i])
        return self.key(i)

    def __iter__(self) -> Iterator[Key | Item]:
        return map(self.__getitem__, range(len(self)))


@dataclass(slots=True)
class RdbInfo:
    """What a walk found; `end` is the byte after it, or the last item boundary before it went wrong.

    `checksum`: ok, off, bad, unknown.  `keys` is None where they could not be counted.
    `codec` is what it is compressed by, empty if it is not; `bounded`: its end is
    known though it is not whole; `unread`: a type that is not known has ended the walk.
    """

    magic: bytes
    version: int
    end: int = 0
    keys: int | None = 0
    checksum: str = "unknown"
    complete: bool = False
    aux: dict[bytes, bytes] = field(default_factory=dict)
    note: str = ""
    codec: str = ""
    bounded: bool = False
    unread: bool = False


NOTES = {
    StopReason.DONE: "an end where none should be, after {0}",
    StopReason.TYPE: "no type that this version reads, at {0}",
    StopReason.LENGTH: "no length where one should be, after {0}",
    StopReason.HEAD: "a byte that begins no length, after {0}",
    StopReason.STRING: "a string in no known encoding, after {0}",
    StopReason.CASE: "a value of no known kind, after {0}",
    StopReason.LOST_TEMPLATE: "a hash template that was not defined, after {0}",
    StopReason.NUMBER: "no command where one should be, after {0}",
    StopReason.SHORT: "the file ends inside the record at {0}",
}


class ItemReader:
    """The items of an RDB at the head of `source`, to be iterated once; `rdb` grows, and is whole at the end.

    Iteration ends early at damage: `rdb.complete` is False then.  Where a type is
    not known, the end is found by the checksum alone, and all before it is one
    item UNREAD.  Without `verify`, large payloads are not read and the checksum
    is unknown.  Offsets are those of `rdb_in(source)`, which is what comes out
    of a compressed stream.  With `by_window` a batch stands in `sweep.buffer`, but
    for the beginning of its first item.
    """

    def __init__(
        self, source: Source, window: int = WINDOW, room: int = ROOM, verify: bool = True, by_window: bool = False
    ) -> None:
        source = decompressed(source)
        magic = pread(source, head.SIZE, 0)
        self.source, self.rdb = source, RdbInfo(magic, head.version_of(magic))
        if len(magic) < head.SIZE:
            self.rdb.note = "the file ends inside the magic"
        elif not self.rdb.version and not head.MAGIC.fullmatch(magic):
            self.rdb.note = f"the magic is {magic!r}"
        self.window = WalkWindow(source, layout_of(magic), head.SIZE, 0, window, max(room, 2), verify)
        self.window.by_window = by_window

    def __iter__(self) -> Iterator[ItemBatch]:
        if len(self.rdb.magic) < head.SIZE:
            return
        window, columns = self.window, self.window.columns
        window.crc = crc64(self.rdb.magic)
        columns.put(MAGIC, head.SIZE, head.SIZE)
        while (why := window.run()[0]) == StopReason.FULL:
            yield from self._batch(columns)
        if why == StopReason.DONE and self._ends():
            yield from self._last(columns)
            return
        yield from self._batch(columns)
        self._stopped(why)
        if why != StopReason.SHORT:
            yield from self._end_by_checksum(columns)

    def _batch(self, columns: Columns) -> Iterator[ItemBatch]:
        rdb = self.rdb
        if not columns.count:
            return
        rdb.end = columns.edges[columns.count]
        if rdb.keys is not None:
            rdb.keys += columns.keys
        if columns.keys < columns.count and len(rdb.aux) < _AUX_MANY:
            for i in range(columns.count):
                if columns.kind[i] == AUX:
                    self._aux(columns.value[i], columns.edges[i + 1])
        yield ItemBatch(columns)
        columns.cut(0)
        columns.edges[0] = rdb.end

    def _aux(self, name: int, end: int) -> None:
        data = pread(self.source, min(end - name, 2 * _AUX_MAX), name)
        value = name + _encoded_size(data)
        if value < end:
            first, second = Span(name, value), Span(value, end)
            self.rdb.aux[_short(self.source, first)] = _short(self.source, second)

    def _ends(self) -> bool:
        """False of an EOF in the middle: its checksum is wrong, and neither the end nor a command follows.

        A type that was hit can read as EOF, and so can any byte where the walk has lost its way.
        """
        at = self.window.offset
        if not head.has_checksum(self.rdb.magic) or len(stored := pread(self.source, _CHECKSUM, at)) < _CHECKSUM:
            return True
        known = not self.window.verify or stored in (bytes(_CHECKSUM), self.window.checksum().to_bytes(8, "little"))
        return known or bool(head.AFTER.match(pread(self.source, 24, at + _CHECKSUM)))

    def _last(self, columns: Columns) -> Iterator[ItemBatch]:
        """The item EOF, and what its checksum says."""
        rdb, window = self.rdb, self.window
        body, end = window.offset, window.offset
        stored = pread(self.source, _CHECKSUM, body) if head.has_checksum(rdb.magic) else b""
        if head.has_checksum(rdb.magic):
            end += _CHECKSUM
            if len(stored) < _CHECKSUM:
                yield from self._batch(columns)
                self._stopped(StopReason.SHORT)
                return
        columns.put(EOF, body, end)
        yield from self._batch(columns)
        rdb.complete = True
        rdb.checksum = self._checksum(stored)

    def _checksum(self, stored: bytes) -> str:
        value = int.from_bytes(stored, "little")
        if not value:
            return "off"
        if not self.window.verify:
            return "unknown"
        crc = self.window.checksum()
        if value == crc:
            return "ok"
        self.rdb.note = self.rdb.note or f"the checksum is {value:016x}, the bytes give {crc:016x}"
        return "bad"

    def _stopped(self, why: StopReason) -> None:
        rdb = self.rdb
        rdb.unread = why == StopReason.TYPE
        if rdb.unread:
            kind = self.window.walker.kind
            what = f"type {kind}" if kind < 240 else f"opcode {kind}"
            note = f"{what} at {rdb.end} is not one that this version reads{self._named()}"
        else:
            note = NOTES[why].format(rdb.end)
        rdb.note = rdb.note or note

    def _named(self) -> str:
        """The name of the key whose type is not known, where one seems to stand."""
        at = self.window.offset + 1
        data = pread(self.source, _AUX_MAX, at)
        size = _encoded_size(data)
        name = _short(self.source, Span(at, at + size)) if 1 < size <= len(data) else b""
        return f": key {text.escape(name)}" if name and all(0x20 <= byte < 0x7F for byte in name) else ""

    def _end_by_checksum(self, columns: Columns) -> Iterator[ItemBatch]:
        rdb, start = self.rdb, self.rdb.end
        end = _checksum_end(self.source, start)
        if end is None:
            return
        columns.edges[0] = start
        columns.put(UNREAD, start, end - _CHECKSUM - 1)
        columns.put(EOF, end - _CHECKSUM, end)
        rdb.keys = None
        yield from self._batch(columns)
        rdb.checksum, rdb.complete = "ok", True


def _checksum_end(source: Source, start: int) -> int | None:
    """Where an RDB ends whose CRC follows the first 0xff after `start` that it fits."""
    crc, at, window = 0, 0, 1 << 20
    while at < start and (data := pread(source, min(window, start - at), at)):
        crc, at = crc64(data, crc), at + len(data)
    while len(data := pread(source, window + _CHECKSUM, at)) > _CHECKSUM:
        found, crc = find_end(data, crc)
        if found < len(data) - _CHECKSUM:
            return at + found + 1 + _CHECKSUM
        at += found
    return None


def _encoded_size(data: bytes) -> int:
    """How many bytes the string at the head of `data` takes, as it is encoded."""
    first = data[0] if data else 0
    if first < 0xC0:
        size, at = length(data, 0)
        return at + size
    if first < 0xC3:
        return 1 + (1 << (first & 3))
    size, at = length(data, 1)
    return length(data, at)[1] + size


def _short(source: Source, span: Span) -> bytes:
    """A string's bytes, empty if it is long or packed."""
    first = pread(source, 1, span.start)
    packed = first >= b"\xc3"
    return b"" if packed or span.size > _AUX_MAX + 5 else short_string(source, span, _AUX_MAX)
