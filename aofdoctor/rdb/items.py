"""Read all items of an RDB in file order, from the magic to the checksum, without gaps.

An item is either a key together with the opcodes that belong to it (expiry, idle time, frequency, metadata), or one of
the other records between keys: an AUX field, a SELECTDB, a function library, the EOF opcode.  Items are delivered in
batches, as columns of numbers; KeyItem and OpcodeItem objects are made from the columns only on demand.  Values are
not decoded here.
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
_AUX = int(Opcode.AUX)  # a plain int, because it is compared once for every item
_AUX_MAX_SIZE, _AUX_MAX_FIELDS = 256, 64
_CHECKSUM_SIZE = 8


class KeyItem(NamedTuple):
    """One key of an RDB: where its parts lie, its type, database and expiry.

    `start` is the offset of its first opcode, `name_offset` and `value_offset` are those of its encoded name and of its
    value, `end` is the offset after the value.  `type` is the RDB type byte, `expire_ms` is in unix milliseconds,
    `idle` in seconds, `freq` the LFU counter.  `db`, `expire_ms`, `idle` and `freq` are -1 where unknown or absent.
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
        """The bytes of the key in the RDB, from its first opcode to the end of its value."""
        return Span(self.start, self.end)

    @property
    def name_span(self) -> Span:
        """The bytes of the key's encoded name in the RDB, including its length prefix."""
        return Span(self.name_offset, self.value_offset)

    def name(self, source: Source, limit: int = NAME_LIMIT) -> bytes:
        """Read the key's name from the RDB, or the first `limit` bytes of a longer one."""
        return read_short_string(source, self.name_span, limit)


class OpcodeItem(NamedTuple):
    """An item of an RDB that is not a key, such as an AUX field or a SELECTDB.

    `kind` is its opcode, or KIND_MAGIC or KIND_UNPARSED; `body_offset` is the file offset of the first byte after the
    opcode.
    """

    kind: int
    span: Span
    body_offset: int


class ItemBatch:
    """A run of adjacent RDB items: those in `columns` from index `first` up to, not including, `stop`.

    The reader reuses the columns, so a batch is valid only until the next one is requested.
    """

    def __init__(self, columns: ItemColumns, first: int = 0, stop: int | None = None) -> None:
        self.columns, self.first = columns, first
        self.stop = columns.count if stop is None else stop

    def __len__(self) -> int:
        return self.stop - self.first

    @property
    def span(self) -> Span:
        """The range of the RDB from the start of the batch's first item to the end of its last."""
        return Span(self.columns.edges[self.first], self.columns.edges[self.stop])

    @property
    def key_count(self) -> int:
        """The number of RDB items in this batch that are keys."""
        if len(self) == self.columns.count:
            return self.columns.key_count
        return sum(name >= 0 for name in self.columns.name[self.first : self.stop])

    def span_of(self, i: int) -> Span:
        """Return the range of the RDB that the item at column index `i` occupies."""
        return Span(self.columns.edges[i], self.columns.edges[i + 1])

    def key_indexes(self) -> list[int]:
        """Return the column indexes of those RDB items of the batch that are keys."""
        return [i for i, name in enumerate(self.columns.name[self.first : self.stop], self.first) if name >= 0]

    def key_at(self, i: int) -> KeyItem:
        """Build the KeyItem for column index `i`, which must be a key."""
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
    """What reading an RDB has found out about it; `end` is the offset after it, or after the last intact item.

    `checksum` is ok, off (the writer computed none), bad, or unknown.  `key_count` is None if the keys could not be
    counted.  `aux` maps names of AUX fields to values.  `note` describes the damage.  `codec` is LZ4 or Zstd for an RDB
    that Valkey compressed as a whole, else empty.  `end_is_known`: the end was found although the RDB is not complete.
    `has_unknown_type`: reading stopped at a type byte that this version cannot read.
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


# The description of damage by the reason why the walker stopped; {0} is the file offset of the item in question.
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
    """Iterate once over the items of the RDB at the start of `source`, in batches; `rdb` is filled in on the way.

    Iteration ends early at damage, and `rdb.complete` stays False.  After an unknown type the end is searched by the
    checksum alone, and everything up to it becomes one item of kind KIND_UNPARSED.  After any other stop this range is
    damage, although the checksum is right.  Without `verify`, large strings are skipped and the checksum remains
    unknown.  Offsets count decompressed bytes if the RDB is compressed.  With `stop_at_window_end`, every item of a
    batch lies in `window.buffer`, except for the start of the first one.
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
                if columns.kind[i] == _AUX:
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
        """Decide whether an EOF opcode is the real end of the RDB; the alternative is damage that reads as 0xff.

        It is not the end if its checksum is wrong and neither the end of the file nor a command follows.  A damaged
        type byte can read as EOF, and so can any byte after a damaged length.
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
        """Yield the remaining items, the EOF opcode last, and record in `rdb` whether the checksum is right."""
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
        """Return `: key NAME` for an item of unknown type, if a printable name follows its type byte; else ""."""
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
        if not rdb.has_unknown_type:
            # The right checksum only proves that the damage is older than the file.
            rdb.end, rdb.end_is_known, rdb.checksum = end, True, "ok"
            return
        columns.edges[0] = start
        columns.append(KIND_UNPARSED, start, end - _CHECKSUM_SIZE - 1)
        columns.append(Opcode.EOF, end - _CHECKSUM_SIZE, end)
        rdb.key_count = None
        yield from self._flush_batch(columns)
        rdb.checksum, rdb.complete = "ok", True


def _search_checksum_end(source: Source, start: int) -> int | None:
    """Search the end of an RDB by its checksum alone; return the offset after the checksum, or None.

    The end is after the first 0xff (EOF opcode) from `start` on that is followed by the CRC-64 of everything up to it.
    """
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
    """Read the name or value of an AUX field; empty if it is longer than 256 bytes or compressed with LZF."""
    first = pread(source, 1, span.start)
    packed = first >= b"\xc3"
    return b"" if packed or span.size > _AUX_MAX_SIZE + 5 else read_short_string(source, span, _AUX_MAX_SIZE)
