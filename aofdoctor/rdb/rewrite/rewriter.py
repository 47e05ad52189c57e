"""An RDB for another version or dialect: what its readers know byte for byte, the rest written anew.

A type that they do not know becomes the plainest one of its shape.  What
cannot be said goes to the tally by name; damage ends it with a Corrupt.  Which
version knows which byte: rdb.h of Redis 2.6 to 7.4 and Valkey 8.0 and 9.1.
"""

from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

from aofdoctor.rdb.encoding.cursor import CorruptValue, Cursor, DecodeError
from aofdoctor.rdb.encoding.short_strings import has_meta
from aofdoctor.rdb.encoding.writer import length, rechunk, sealed
from aofdoctor.rdb.export.commands import library
from aofdoctor.rdb.export.exporter import dialect_of, trouble, whole_name
from aofdoctor.rdb.export.report import ConversionReport
from aofdoctor.rdb.items import EOF, Item, ItemBatch, ItemReader, Key
from aofdoctor.rdb.rewrite.recode import ReencodedValue, reencode
from aofdoctor.rdb.values.decoders import Value, type_name
from aofdoctor.rdb.walk.walker import MAGIC, UNREAD
from aofdoctor.source import Source, pread
from aofdoctor.span import Span

VERSIONS = (*range(6, 13), 80)
_VALKEY, _META_SINCE = 80, 13
_HELD = 1 << 20  # bytes of a batch that are held while their expiries are moved
_BEFORE_NAME = 1 + 8 + 1  # the opcode of an expiry in ms, the expiry, the type
_OPCODES = 240  # no key's type, from here on
_EXPIRE_MS, _IDLE, _FREQ, _TEMPLATE = 252, 248, 249, 242
_TIMED = (22, 23, 24, 25)  # hashes whose fields have expiries
# The first Redis version that knows a type or an opcode; Valkey's 80 knows those of 11, and what is in _IN_VALKEY.
_SINCE = {
    **dict.fromkeys((0, 1, 2, 3, 4, 9, 10, 11, 12, 13), 1), 14: 7, 5: 8, 7: 8, 15: 9,
    **dict.fromkeys((16, 17, 18, 19), 10), 20: 11, 21: 11, 24: 12, 25: 12,
    26: 13, 27: 14, 28: 14, 30: 15, 32: 15, 33: 15,
    253: 1, 254: 1, 252: 3, 250: 7, 251: 7, 248: 9, 249: 9, 247: 9, 245: 10, 244: 12, 243: 13, 242: 15,
}  # fmt: skip
_IN_VALKEY = frozenset({22, 244, 243})
_OF_BOTH = frozenset({*range(22), *range(244, 256)})
_FUNCTION = 245
_KINDS = {_FUNCTION: "function"}
_HINTS = {244: "sizes of slots", 250: "words of the writer", 251: "sizes of databases"}
_UNSAID = {
    242: "commands between the keys", 243: "a slot import", 245: "a library of functions",
    246: "a function of a release candidate", 247: "data of a module",
}  # fmt: skip


class TargetFormat(NamedTuple):
    """Who is to read it; `shift_ms`: what every expiry is moved by."""

    dialect: str
    version: int
    shift_ms: int = 0

    @classmethod
    def of(cls, version: int, shift_ms: int = 0) -> "TargetFormat":
        """By the version alone: from 80 on it is Valkey's."""
        return cls("valkey" if version >= _VALKEY else "redis", version, shift_ms)

    @property
    def magic(self) -> bytes:
        """How it begins."""
        return b"VALKEY%03d" % self.version if self.dialect == "valkey" else b"REDIS%04d" % self.version

    def knows(self, dialect: str, byte: int) -> bool:
        """True if it gives a type or opcode the meaning that `dialect` gives it."""
        if byte not in _OF_BOTH and dialect != self.dialect:
            return False
        if self.dialect == "valkey":
            return byte in _IN_VALKEY or _SINCE.get(byte, 99) <= 11
        return _SINCE.get(byte, 99) <= self.version


def rewrite_rdb(source: Source, target: TargetFormat, report: ConversionReport) -> Iterator[bytes | CorruptValue]:
    """The RDB at the head of `source` as `aim` reads it, to its checksum."""
    items = ItemReader(source, by_window=True)
    same = (dialect_of(source), items.rdb.version) == (target.dialect, target.version)
    writer = _Writer(source, target, report, same, items.rdb.version)
    return sealed(items.rdb.magic if same else target.magic, _items(items, writer))


def _items(items: ItemReader, writer: "_Writer") -> Iterator[bytes | CorruptValue]:
    for batch in items:
        if writer.stays(batch):
            yield from writer.moved(batch)
            continue
        for item in batch:
            try:
                yield from writer.key(item) if isinstance(item, Key) else writer.other(item)
            except DecodeError as problem:
                yield CorruptValue(problem.offset, problem.note)
                return
    if wrong := trouble(items):
        yield wrong


class _Writer:
    def __init__(
        self, source: Source, target: TargetFormat, report: ConversionReport, same: bool, version: int
    ) -> None:
        self.source, self.target, self.report = source, target, report
        self.cursor, self.dialect = Cursor(source), dialect_of(source)
        self.known = frozenset(byte for byte in range(256) if same or target.knows(self.dialect, byte))
        # What stands before a key's type is no item of its own, so a batch does not tell of it.
        self.meta = self.dialect == "redis" and not 0 < version < _META_SINCE
        self.each = not {_IDLE, _FREQ} <= self.known or (self.meta and not same)

    def stays(self, batch: ItemBatch) -> bool:
        """True if a batch can be copied as it is, but for its expiries; its keys are counted then."""
        columns, count = batch.columns, batch.stop
        if self.each or not self.known.issuperset(columns.kind[:count]) or EOF in columns.kind[:count]:
            return False
        if self.target.shift_ms and not self._can_shift_in_place(batch):
            return False
        for (db, kind), many in Counter(zip(columns.db[:count], columns.kind[:count], strict=True)).items():
            if kind < _OPCODES:
                self._count(db, kind, many)
        return True

    def _can_shift_in_place(self, batch: ItemBatch) -> bool:
        """True if expiries are all that stands before the types of keys, where any does, and fields have none."""
        columns = batch.columns
        if self.meta or batch.span.size > _HELD:
            return False
        for i in batch.key_places():
            alone = columns.idle[i] == columns.freq[i] == -1 and columns.name[i] == columns.edges[i] + _BEFORE_NAME
            if columns.kind[i] in _TIMED or (columns.expire[i] != -1 and not alone):
                return False
        return True

    def moved(self, batch: ItemBatch) -> Iterator[bytes]:
        """A batch as it is, with its expiries moved in their places."""
        if not self.target.shift_ms:
            yield from self.copied(batch.span)
            return
        columns, data = batch.columns, bytearray(pread(self.source, batch.span.size, batch.span.start))
        for i in range(batch.stop):
            if columns.expire[i] != -1 and columns.name[i] >= 0:
                at = columns.edges[i] - batch.span.start + 1
                data[at : at + 8] = self._moved(columns.expire[i])
        yield bytes(data)

    def _moved(self, expire_ms: int) -> bytes:
        """An expiry where it is to stand, as eight bytes."""
        time = max(0, expire_ms + self.target.shift_ms) if self.target.shift_ms else expire_ms
        return min(time, (1 << 63) - 1).to_bytes(8, "little", signed=True)

    def copied(self, span: Span) -> Iterator[bytes]:
        """Bytes as they are."""
        for at in range(span.start, span.end, 1 << 18):
            yield pread(self.source, min(1 << 18, span.end - at), at)

    def key(self, key: Key) -> Iterator[bytes]:
        """A key with its opcodes, as it is or anew."""
        value = Value(key.value, key.type, self.dialect)
        self._beside(key)
        if key.type in self.known and not (self.target.shift_ms and key.type in _TIMED):
            yield self._opcodes(key) + bytes((key.type,))
            yield from self.copied(Span(key.name_at, key.end))
            self._count(key.db, key.type)
            return
        found = reencode(self.cursor, value, self.target.dialect, self.target.version, self.target.shift_ms)
        for why in found.lost:
            self._record_loss(key, why)
        if found.type is not None:
            yield from self._anew(key, found.type, found)

    def _anew(self, key: Key, kind: int, found: ReencodedValue) -> Iterator[bytes]:
        yield self._opcodes(key) + bytes((kind,))
        yield from self.copied(key.name_span)
        yield from rechunk(found.pieces)
        self.report.reencoded_keys += 1
        self._count(key.db, key.type)

    def other(self, item: Item) -> Iterator[bytes | CorruptValue]:
        """What is no key."""
        if item.kind in (MAGIC, EOF):
            return
        if item.kind == UNREAD:
            yield CorruptValue(item.span.start, "a type that this version does not read stands here, and all after it")
        elif item.kind in self.known:
            yield from self.copied(item.span)
        elif item.kind in _HINTS:
            self.report.dropped_hints[_HINTS[item.kind]] += 1
        elif item.kind != _TEMPLATE or self.dialect != "redis":  # a template's names are in each hash anew
            kind, why = _KINDS.get(item.kind, f"opcode {item.kind}"), _UNSAID.get(item.kind, "it is not known there")
            self.report.record_loss(0, self._library(item), kind, why)

    def _library(self, item: Item) -> bytes:
        if item.kind != _FUNCTION:
            return b""
        self.cursor.seek(item.body)
        return library(self.cursor.string())

    def _opcodes(self, key: Key) -> bytes:
        """What stands before a key's type: its expiry, and how lately or often it was used."""
        out = b""
        if key.expire_ms != -1:
            out += bytes((_EXPIRE_MS,)) + self._moved(key.expire_ms)
        if _IDLE in self.known:
            out += bytes((_IDLE,)) + length(key.idle) if key.idle >= 0 else b""
            out += bytes((_FREQ, key.freq)) if key.freq >= 0 else b""
        return out

    def _beside(self, key: Key) -> None:
        if (key.idle >= 0 or key.freq >= 0) and _IDLE not in self.known:
            self.report.dropped_hints["idle times or frequencies of keys"] += 1
        if self.meta and has_meta(self.source, key.start, key.name_at):
            self._record_loss(key, "the metadata of a key")

    def _record_loss(self, key: Key, why: str) -> None:
        kind = type_name(Value(0, key.type, self.dialect)) or f"type {key.type}"
        self.report.record_loss(key.db, whole_name(self.cursor, key), kind, why)

    def _count(self, db: int, kind: int, many: int = 1) -> None:
        self.report.keys[max(db, 0), type_name(Value(0, kind, self.dialect)) or f"type {kind}"] += many
