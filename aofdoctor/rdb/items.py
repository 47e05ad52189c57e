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
from aofdoctor.rdb import header
from aofdoctor.rdb.compressed.source import decompressed
from aofdoctor.rdb.encoding.crc64 import crc64, find_end_by_crc
from aofdoctor.rdb.encoding.short_strings import encoded_size, read_short_string
from aofdoctor.rdb.opcodes import FIRST_OPCODE, Opcode
from aofdoctor.rdb.walk.layouts import layout_of
from aofdoctor.rdb.walk.walker import KIND_MAGIC, KIND_UNPARSED, ItemColumns, StopReason
from aofdoctor.rdb.walk.window import BATCH_ITEMS, WINDOW_SIZE, WalkWindow
from aofdoctor.source import Source, pread
from aofdoctor.span import Span

NAME_LIMIT = 1 << 16
_AUX_MAX_SIZE, _AUX_MAX_FIELDS = 256, 64
_CHECKSUM_SIZE = 8


class KeyItem(NamedTuple):
    """One key: `start` is its first opcode's offset, `name_at` and `value` those of its name's and value's first byte.

    `type` is the RDB's type byte; `expire_ms` unix milliseconds, `idle` seconds,
    `freq` the logarithmic counter; they and `db` are -1 where none is known.
    """

    start: int
    name_offset: int
    value_offset: int
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
        return Span(self.name_offset, self.value_offset)

    def name(self, source: Source, limit: int = NAME_LIMIT) -> bytes:
        """Its name, or the first `limit` bytes of it."""
        return read_short_string(source, self.name_span, limit)


class OpcodeItem(NamedTuple):
    """What is no key: `kind` is its opcode, MAGIC or UNREAD; `body` the offset of what follows the opcode."""

    kind: int
    span: Span
    body_offset: int


class ItemBatch:
    """Adjacent items, those of `columns` from `first` to `stop`; valid until the next batch is asked for."""

    def __init__(self, columns: ItemColumns, first: int = 0, stop: int | None = None) -> None:
        self.columns, self.first = columns, first
        self.stop = columns.count if stop is None else stop

    def __len__(self) -> int:
        return self.stop - self.first

    @property
    def span(self) -> Span:
        """From the first item's start to the last one's end."""
        return Span(self.columns.edges[self.first], self.columns.edges[self.stop])

    @property
    def key_count(self) -> int:
        """How many of the items are keys."""
        if len(self) == self.columns.count:
            return self.columns.key_count
        return sum(name >= 0 for name in self.columns.name[self.first : self.stop])

    def span_of(self, i: int) -> Span:
        """The bytes of the item at a place in the columns."""
        return Span(self.columns.edges[i], self.columns.edges[i + 1])

    def key_indexes(self) -> list[int]:
        """Where in the columns its keys stand."""
        return [i for i, name in enumerate(self.columns.name[self.first : self.stop], self.first) if name >= 0]

    def key_at(self, i: int) -> KeyItem:
        """The key at a place in the columns."""
        c = self.columns
        return KeyItem(
            c.edges[i], c.name[i], c.value[i], c.edges[i + 1], c.kind[i], c.db[i], c.expire[i], c.idle[i], c.freq[i]
        )

    def __getitem__(self, i: int) -> KeyItem | OpcodeItem:
        if not 0 <= i < len(self):
            raise IndexError(i)
        c, i = self.columns, i + self.first
        if c.name[i] < 0:
            return OpcodeItem(c.kind[i], Span(c.edges[i], c.edges[i + 1]), c.value[i])
        return self.key_at(i)

    def __iter__(self) -> Iterator[KeyItem | OpcodeItem]:
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
    key_count: int | None = 0
    checksum: str = "unknown"
    complete: bool = False
    aux: dict[bytes, bytes] = field(default_factory=dict)
    note: str = ""
    codec: str = ""
    end_is_known: bool = False
    has_unknown_type: bool = False


STOP_NOTES = {
    StopReason.DONE: "an end where none should be, after {0}",
    StopReason.UNKNOWN_TYPE: "no type that this version reads, at {0}",
    StopReason.NOT_A_LENGTH: "no length where one should be, after {0}",
    StopReason.BAD_LENGTH: "a byte that begins no length, after {0}",
    StopReason.BAD_STRING: "a string in no known encoding, after {0}",
    StopReason.BAD_CASE: "a value of no known kind, after {0}",
    StopReason.UNKNOWN_TEMPLATE: "a hash template that was not defined, after {0}",
    StopReason.BAD_NUMBER: "no command where one should be, after {0}",
    StopReason.END_OF_DATA: "the file ends inside the record at {0}",
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
        self,
        source: Source,
        window_size: int = WINDOW_SIZE,
        batch_items: int = BATCH_ITEMS,
        verify: bool = True,
        stop_at_window_end: bool = False,
    ) -> None:
        source = decompressed(source)
        magic = pread(source, header.MAGIC_SIZE, 0)
        self.source, self.rdb = source, RdbInfo(magic, header.version_of(magic))
        if len(magic) < header.MAGIC_SIZE:
            self.rdb.note = "the file ends inside the magic"
        elif not self.rdb.version and not header.MAGIC_PATTERN.fullmatch(magic):
            self.rdb.note = f"the magic is {magic!r}"
        self.window = WalkWindow(
            source, layout_of(magic), header.MAGIC_SIZE, 0, window_size, max(batch_items, 2), verify
        )
        self.window.stop_at_window_end = stop_at_window_end

    def __iter__(self) -> Iterator[ItemBatch]:
        if len(self.rdb.magic) < header.MAGIC_SIZE:
            return
        window, columns = self.window, self.window.columns
        window.crc = crc64(self.rdb.magic)
        columns.append(KIND_MAGIC, header.MAGIC_SIZE, header.MAGIC_SIZE)
        while (reason := window.run()[0]) == StopReason.FULL:
            yield from self._flush_batch(columns)
        if reason == StopReason.DONE and self._is_real_end():
            yield from self._finish(columns)
            return
        yield from self._flush_batch(columns)
        self._record_stop(reason)
        if reason != StopReason.END_OF_DATA:
            yield from self._find_end_by_checksum(columns)

    def _flush_batch(self, columns: ItemColumns) -> Iterator[ItemBatch]:
        rdb = self.rdb
        if not columns.count:
            return
        rdb.end = columns.edges[columns.count]
        if rdb.key_count is not None:
            rdb.key_count += columns.key_count
        if columns.key_count < columns.count and len(rdb.aux) < _AUX_MAX_FIELDS:
            for i in range(columns.count):
                if columns.kind[i] == Opcode.AUX:
                    self._read_aux_field(columns.value[i], columns.edges[i + 1])
        yield ItemBatch(columns)
        columns.truncate(0)
        columns.edges[0] = rdb.end

    def _read_aux_field(self, name: int, end: int) -> None:
        data = pread(self.source, min(end - name, 2 * _AUX_MAX_SIZE), name)
        value = name + encoded_size(data)
        if value < end:
            first, second = Span(name, value), Span(value, end)
            self.rdb.aux[_read_aux_string(self.source, first)] = _read_aux_string(self.source, second)

    def _is_real_end(self) -> bool:
        """False of an EOF in the middle: its checksum is wrong, and neither the end nor a command follows.

        A type that was hit can read as EOF, and so can any byte where the walk has lost its way.
        """
        at = self.window.offset
        if (
            not header.has_checksum(self.rdb.magic)
            or len(stored := pread(self.source, _CHECKSUM_SIZE, at)) < _CHECKSUM_SIZE
        ):
            return True
        known = not self.window.verify or stored in (
            bytes(_CHECKSUM_SIZE),
            self.window.checksum().to_bytes(8, "little"),
        )
        return known or bool(header.CAN_FOLLOW_RDB.match(pread(self.source, 24, at + _CHECKSUM_SIZE)))

    def _finish(self, columns: ItemColumns) -> Iterator[ItemBatch]:
        """The item EOF, and what its checksum says."""
        rdb, window = self.rdb, self.window
        body, end = window.offset, window.offset
        stored = pread(self.source, _CHECKSUM_SIZE, body) if header.has_checksum(rdb.magic) else b""
        if header.has_checksum(rdb.magic):
            end += _CHECKSUM_SIZE
            if len(stored) < _CHECKSUM_SIZE:
                yield from self._flush_batch(columns)
                self._record_stop(StopReason.END_OF_DATA)
                return
        columns.append(Opcode.EOF, body, end)
        yield from self._flush_batch(columns)
        rdb.complete = True
        rdb.checksum = self._checksum_status(stored)

    def _checksum_status(self, stored: bytes) -> str:
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

    def _record_stop(self, reason: StopReason) -> None:
        rdb = self.rdb
        rdb.has_unknown_type = reason == StopReason.UNKNOWN_TYPE
        if rdb.has_unknown_type:
            kind = self.window.walker.kind
            label = f"type {kind}" if kind < FIRST_OPCODE else f"opcode {kind}"
            note = f"{label} at {rdb.end} is not one that this version reads{self._name_of_unknown_item()}"
        else:
            note = STOP_NOTES[reason].format(rdb.end)
        rdb.note = rdb.note or note

    def _name_of_unknown_item(self) -> str:
        """The name of the key whose type is not known, where one seems to stand."""
        at = self.window.offset + 1
        data = pread(self.source, _AUX_MAX_SIZE, at)
        size = encoded_size(data)
        name = _read_aux_string(self.source, Span(at, at + size)) if 1 < size <= len(data) else b""
        return f": key {text.escape(name)}" if name and all(0x20 <= byte < 0x7F for byte in name) else ""

    def _find_end_by_checksum(self, columns: ItemColumns) -> Iterator[ItemBatch]:
        rdb, start = self.rdb, self.rdb.end
        end = _search_checksum_end(self.source, start)
        if end is None:
            return
        columns.edges[0] = start
        columns.append(KIND_UNPARSED, start, end - _CHECKSUM_SIZE - 1)
        columns.append(Opcode.EOF, end - _CHECKSUM_SIZE, end)
        rdb.key_count = None
        yield from self._flush_batch(columns)
        rdb.checksum, rdb.complete = "ok", True


def _search_checksum_end(source: Source, start: int) -> int | None:
    """Where an RDB ends whose CRC follows the first 0xff after `start` that it fits."""
    crc, at, window = 0, 0, 1 << 20
    while at < start and (data := pread(source, min(window, start - at), at)):
        crc, at = crc64(data, crc), at + len(data)
    while len(data := pread(source, window + _CHECKSUM_SIZE, at)) > _CHECKSUM_SIZE:
        index, crc = find_end_by_crc(data, crc)
        if index < len(data) - _CHECKSUM_SIZE:
            return at + index + 1 + _CHECKSUM_SIZE
        at += index
    return None


def _read_aux_string(source: Source, span: Span) -> bytes:
    """A string's bytes, empty if it is long or packed."""
    first = pread(source, 1, span.start)
    packed = first >= b"\xc3"
    return b"" if packed or span.size > _AUX_MAX_SIZE + 5 else read_short_string(source, span, _AUX_MAX_SIZE)
