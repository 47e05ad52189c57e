"""Rewrite an RDB for another version or dialect: known items are copied byte for byte, the rest is re-encoded.

A type that the target does not know becomes the simplest type that holds the
same data.  Information that the target cannot represent is recorded in a
report, by key.  Damage ends the result with a CorruptValue.  Source of the
types and opcodes by version: rdb.h of Redis 2.6 to 7.4 and Valkey 8.0 and 9.1.
"""

from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

from aofdoctor.rdb.conversion import (
    IDLE_HINT,
    KEY_METADATA_LOSS,
    SLOT_HINT,
    ConversionReport,
    clamp_expiry,
    library_name,
    opcode_loss,
    rdb_damage,
    read_key_name,
    unknown_type_damage,
)
from aofdoctor.rdb.encoding.cursor import CorruptValue, Cursor, DecodeError
from aofdoctor.rdb.encoding.writer import encode_length, rechunk
from aofdoctor.rdb.header import read_dialect
from aofdoctor.rdb.items import ItemBatch, ItemReader, KeyItem, OpcodeItem
from aofdoctor.rdb.key_prefix import has_key_meta
from aofdoctor.rdb.keydb_aux import CHANGE_STAMP_HINT, keydb_field
from aofdoctor.rdb.opcodes import FIRST_OPCODE, SHARED_BYTES, Opcode, RdbType, ValkeyOpcode, ValkeyRdbType
from aofdoctor.rdb.rewrite.assemble import assemble_rdb
from aofdoctor.rdb.rewrite.recode import ReencodedValue, reencode
from aofdoctor.rdb.values.decoders import ValueRef, type_name
from aofdoctor.rdb.walk.walker import KIND_MAGIC, KIND_UNPARSED
from aofdoctor.source import Source, pread
from aofdoctor.span import Span

_VALKEY, _METADATA_VERSION = 80, 13
_BATCH_MAX = 1 << 20  # the size up to which a batch is held in memory to shift its expiries
_EXPIRY_HEADER_SIZE = 1 + 8 + 1  # the opcode of an expiry in ms, the expiry, the type
_EXPIRE_MS, _IDLE, _FREQ = Opcode.EXPIRETIME_MS, Opcode.IDLE, Opcode.FREQ
_EOF, _TEMPLATE = int(Opcode.EOF), Opcode.HASH_TEMPLATE
# The types of hashes with expiries of single fields; type 22 is also Valkey's HASH_2.
_FIELD_EXPIRY_TYPES = tuple(range(RdbType.HASH_METADATA_PRE_GA, RdbType.HASH_LISTPACK_EX + 1))
# By type byte or opcode, the first RDB version of Redis that has it.  Valkey's RDB version 80 has those of version 11
# and those in _VALKEY_BYTES.
_FIRST_VERSION: dict[int, int] = {
    **dict.fromkeys(range(RdbType.STRING, RdbType.HASH + 1), 1),
    **dict.fromkeys(range(RdbType.HASH_ZIPMAP, RdbType.HASH_ZIPLIST + 1), 1),
    RdbType.LIST_QUICKLIST: 7,
    RdbType.ZSET_2: 8,
    RdbType.MODULE_2: 8,
    RdbType.STREAM_LISTPACKS: 9,
    **dict.fromkeys(range(RdbType.HASH_LISTPACK, RdbType.STREAM_LISTPACKS_2 + 1), 10),
    RdbType.SET_LISTPACK: 11,
    RdbType.STREAM_LISTPACKS_3: 11,
    RdbType.HASH_METADATA: 12,
    RdbType.HASH_LISTPACK_EX: 12,
    RdbType.STREAM_LISTPACKS_4: 13,
    RdbType.STREAM_LISTPACKS_5: 14,
    RdbType.ARRAY: 14,
    RdbType.HASH_TMPL_LP_REF: 15,
    RdbType.HASH_TMPL_ARRAY_REF: 15,
    RdbType.GCRA: 15,
    Opcode.EXPIRETIME: 1,
    Opcode.SELECTDB: 1,
    Opcode.EXPIRETIME_MS: 3,
    Opcode.AUX: 7,
    Opcode.RESIZEDB: 7,
    Opcode.IDLE: 9,
    Opcode.FREQ: 9,
    Opcode.MODULE_AUX: 9,
    Opcode.FUNCTION2: 10,
    Opcode.SLOT_INFO: 12,
    Opcode.KEY_META: 13,
    Opcode.HASH_TEMPLATE: 15,
}
_VALKEY_BYTES = frozenset({ValkeyRdbType.HASH_2, Opcode.SLOT_INFO, ValkeyOpcode.SLOT_IMPORT})
_FUNCTION = Opcode.FUNCTION2
_MODULE_BYTES = frozenset({int(RdbType.MODULE_PRE_GA), int(RdbType.MODULE_2), int(Opcode.MODULE_AUX)})
_AUX = int(Opcode.AUX)
_HINTS: dict[int, str] = {
    Opcode.SLOT_INFO: SLOT_HINT,
    Opcode.AUX: "words of the writer",
    Opcode.RESIZEDB: "sizes of databases",
}


class TargetFormat(NamedTuple):
    """The RDB format to write: dialect (redis or valkey), RDB version, and a shift of all expiries in ms.

    `keeps_modules`: values and auxiliary data of modules are kept, because the server that reads them has the modules.
    """

    dialect: str
    version: int
    shift_ms: int = 0
    keeps_modules: bool = True

    @classmethod
    def from_version(cls, version: int, shift_ms: int = 0, keeps_modules: bool = True) -> "TargetFormat":
        """Derive the dialect from the version: 80 and above are Valkey's."""
        return cls("valkey" if version >= _VALKEY else "redis", version, shift_ms, keeps_modules)

    @property
    def magic(self) -> bytes:
        """The magic of an RDB in this format, its first nine bytes."""
        return b"VALKEY%03d" % self.version if self.dialect == "valkey" else b"REDIS%04d" % self.version

    def supports(self, dialect: str, byte: int) -> bool:
        """Whether a type byte or opcode exists in this format with the same meaning that it has in `dialect`."""
        if byte not in SHARED_BYTES and dialect != self.dialect:
            return False
        if self.dialect == "valkey":
            return byte in _VALKEY_BYTES or _FIRST_VERSION.get(byte, 99) <= 11
        return _FIRST_VERSION.get(byte, 99) <= self.version


def rewrite_rdb(source: Source, target: TargetFormat, report: ConversionReport) -> Iterator[bytes | CorruptValue]:
    """Yield the RDB at the beginning of `source` in the target format; at damage, a CorruptValue comes last.

    An intact RDB ends with a new checksum.  `report` records counts and losses.
    """
    items = ItemReader(source, stop_at_window_end=True)
    same_format = (read_dialect(source), items.rdb.version) == (target.dialect, target.version)
    writer = _ItemRewriter(source, target, report, same_format, items.rdb.version)
    return assemble_rdb(items.rdb.magic if same_format else target.magic, _rewrite_items(items, writer))


def _rewrite_items(items: ItemReader, writer: "_ItemRewriter") -> Iterator[bytes | CorruptValue]:
    for batch in items:
        if writer.copies_whole_batch(batch):
            yield from writer.copy_shifted(batch)
            continue
        for item in batch:
            try:
                yield from writer.rewrite_key(item) if isinstance(item, KeyItem) else writer.rewrite_item(item)
            except DecodeError as problem:
                yield CorruptValue(problem.offset, problem.note)
                return
    if damage := rdb_damage(items):
        yield damage


class _ItemRewriter:
    """Rewrites the items of an RDB in the target format, one at a time or a batch at once.

    `supported` are the type bytes and opcodes that can be copied unchanged.
    """

    def __init__(
        self, source: Source, target: TargetFormat, report: ConversionReport, same_format: bool, version: int
    ) -> None:
        self.source, self.target, self.report = source, target, report
        self.cursor, self.dialect = Cursor(source), read_dialect(source)
        without = frozenset() if target.keeps_modules else _MODULE_BYTES
        self.supported = (
            frozenset(byte for byte in range(256) if same_format or target.supports(self.dialect, byte)) - without
        )
        # The metadata before a key's type is not an item of its own, so the columns of a batch do not show it.
        self.may_have_metadata = self.dialect == "redis" and not 0 < version < _METADATA_VERSION
        self.item_by_item = not {_IDLE, _FREQ} <= self.supported or (self.may_have_metadata and not same_format)

    def copies_whole_batch(self, batch: ItemBatch) -> bool:
        """Whether a batch can be copied unchanged except for its expiries; if so, its keys are added to the report."""
        columns, count = batch.columns, batch.stop
        if self.item_by_item or not self.supported.issuperset(columns.kind[:count]) or _EOF in columns.kind[:count]:
            return False
        if self.target.shift_ms and not self._can_shift_in_place(batch):
            return False
        if _AUX in columns.kind[:count]:
            return False
        for (db, kind), many in Counter(zip(columns.db[:count], columns.kind[:count], strict=True)).items():
            if kind < FIRST_OPCODE:
                self._count(db, kind, many)
        return True

    def _can_shift_in_place(self, batch: ItemBatch) -> bool:
        """Whether the expiries in a batch of RDB items can be changed without moving bytes.

        Keys may have nothing but an expiry in ms before their type byte, and no field may have an expiry.
        """
        columns = batch.columns
        if self.may_have_metadata or batch.span.size > _BATCH_MAX:
            return False
        for i in batch.key_indexes():
            alone = (
                columns.idle[i] == columns.freq[i] == -1 and columns.name[i] == columns.edges[i] + _EXPIRY_HEADER_SIZE
            )
            if columns.kind[i] in _FIELD_EXPIRY_TYPES or (columns.expire[i] != -1 and not alone):
                return False
        return True

    def copy_shifted(self, batch: ItemBatch) -> Iterator[bytes]:
        """Yield the bytes of a batch of RDB items, in which only the expiries of its keys are changed."""
        if not self.target.shift_ms:
            yield from self.copy_bytes(batch.span)
            return
        columns, data = batch.columns, bytearray(pread(self.source, batch.span.size, batch.span.start))
        for i in range(batch.stop):
            if columns.expire[i] != -1 and columns.name[i] >= 0:
                at = columns.edges[i] - batch.span.start + 1
                data[at : at + 8] = self._expiry_bytes(columns.expire[i])
        yield bytes(data)

    def _expiry_bytes(self, expire_ms: int) -> bytes:
        """Return a key's expiry, shifted, as the eight bytes of an RDB; unlike in a command, 0 is valid here."""
        shifted = clamp_expiry(expire_ms + self.target.shift_ms, minimum=0) if self.target.shift_ms else expire_ms
        return shifted.to_bytes(8, "little", signed=True)

    def copy_bytes(self, span: Span) -> Iterator[bytes]:
        """Yield the bytes in a range of the source RDB unchanged, in pieces."""
        for at in range(span.start, span.end, 1 << 18):
            yield pread(self.source, min(1 << 18, span.end - at), at)

    def rewrite_key(self, key: KeyItem) -> Iterator[bytes]:
        """Yield the bytes of an RDB key, with its opcodes, in the target format, copied or re-encoded.

        Information that the target cannot represent is recorded in the report.
        """
        value = ValueRef(key.value_offset, key.type, self.dialect)
        self._count_hints(key)
        if key.type in self.supported and not (self.target.shift_ms and key.type in _FIELD_EXPIRY_TYPES):
            yield self._opcodes(key) + bytes((key.type,))
            yield from self.copy_bytes(Span(key.name_offset, key.end))
            self._count(key.db, key.type)
            return
        reencoded = reencode(self.cursor, value, self.target.dialect, self.target.version, self.target.shift_ms)
        for reason in reencoded.losses:
            self._record_loss(key, reason)
        if reencoded.type is not None:
            yield from self._rewrite_reencoded(key, reencoded.type, reencoded)

    def _rewrite_reencoded(self, key: KeyItem, kind: int, reencoded: ReencodedValue) -> Iterator[bytes]:
        yield self._opcodes(key) + bytes((kind,))
        yield from self.copy_bytes(key.name_span)
        yield from rechunk(reencoded.pieces)
        self.report.reencoded_keys += 1
        self._count(key.db, key.type)

    def rewrite_item(self, item: OpcodeItem) -> Iterator[bytes | CorruptValue]:
        """Yield the bytes of an RDB item that is not a key if the target knows its opcode; else record the loss."""
        if item.kind in (KIND_MAGIC, _EOF):
            return
        if item.kind == KIND_UNPARSED:
            yield unknown_type_damage(item.span.start)
        elif item.kind == _AUX and keydb_field(self.source, item.body_offset):
            self.report.dropped_hints[CHANGE_STAMP_HINT] += 1
        elif item.kind in self.supported:
            yield from self.copy_bytes(item.span)
        elif item.kind in _HINTS:
            self.report.dropped_hints[_HINTS[item.kind]] += 1
        elif item.kind != _TEMPLATE or self.dialect != "redis":  # a template's names are written with each hash
            kind, why = opcode_loss(self.cursor, item, "it is not known there")
            self.report.record_loss(0, self._library_name(item), "function" if item.kind == _FUNCTION else kind, why)

    def _library_name(self, item: OpcodeItem) -> bytes:
        if item.kind != _FUNCTION:
            return b""
        self.cursor.seek(item.body_offset)
        return library_name(self.cursor.string())

    def _opcodes(self, key: KeyItem) -> bytes:
        """Return the bytes before a key's type byte: the opcodes for its expiry, idle time and frequency."""
        out = b""
        if key.expire_ms != -1:
            out += bytes((_EXPIRE_MS,)) + self._expiry_bytes(key.expire_ms)
        if _IDLE in self.supported:
            out += bytes((_IDLE,)) + encode_length(key.idle) if key.idle >= 0 else b""
            out += bytes((_FREQ, key.freq)) if key.freq >= 0 else b""
        return out

    def _count_hints(self, key: KeyItem) -> None:
        if (key.idle >= 0 or key.freq >= 0) and _IDLE not in self.supported:
            self.report.dropped_hints[IDLE_HINT] += 1
        if self.may_have_metadata and has_key_meta(self.source, key.start, key.name_offset):
            self._record_loss(key, KEY_METADATA_LOSS)

    def _record_loss(self, key: KeyItem, reason: str) -> None:
        kind = type_name(ValueRef(0, key.type, self.dialect)) or f"type {key.type}"
        self.report.record_loss(key.db, read_key_name(self.cursor, key), kind, reason)

    def _count(self, db: int, kind: int, many: int = 1) -> None:
        self.report.keys[max(db, 0), type_name(ValueRef(0, kind, self.dialect)) or f"type {kind}"] += many
