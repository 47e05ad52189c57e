"""The keys of an RDB base into a census: of each what its value is, however it is encoded.

The digest of a set, hash or sorted set does not depend on the order in which
its server keeps it; that of a list or string does not depend on how it is
packed.  A stream is told as commands, as the server's own rewrite tells it.  Of
a type that is not read, and of a value that is broken, it is that of the bytes.
"""

from collections.abc import Callable, Iterator
from struct import pack

from aofdoctor.aof.records import Preamble
from aofdoctor.damage import Damage
from aofdoctor.diff.hashing.digest import Digest
from aofdoctor.diff.key_table.constants import mix_digest
from aofdoctor.diff.key_table.effects import DigestTag, KeyOp, command_digest, name_digest, value_digest
from aofdoctor.diff.key_table.slots import fold_elements
from aofdoctor.diff.key_table.table import KeyTable, pack_position
from aofdoctor.diff.keys.stream_commands import rewrite_stream
from aofdoctor.log.base_keys import BaseKeySelection, rdb_batches
from aofdoctor.log.selection import Selection
from aofdoctor.rdb.compressed.source import decompressed
from aofdoctor.rdb.encoding.cursor import Cursor, DecodeError, LargeString, String
from aofdoctor.rdb.items import KeyItem
from aofdoctor.rdb.values.decoders import DECODERS, FlatRun, ValueRef, flat_elements, type_name
from aofdoctor.source import Source, pread
from aofdoctor.span import Span

_PIECE = 1 << 20
_STRING_TYPE = 0  # the type


def add_rdb_keys(
    table: KeyTable, selection: Selection, part: int, commands_before: int, source: Source, rdb: Preamble
) -> Iterator[Damage]:
    """Put the selected keys of an RDB into a table; the damage in it comes as it is met."""
    source = decompressed(source)
    key_selection, digester = (
        BaseKeySelection(selection, part, commands_before, source, rdb),
        _ValueDigester(table.key, source, rdb.dialect),
    )
    if rdb.complete and key_selection.selects_none:
        return
    selects_all = selection.selects_all
    for batch in rdb_batches(source, rdb):
        if isinstance(batch, Damage):
            yield batch
            continue
        for item in batch:
            if isinstance(item, KeyItem) and (selects_all or key_selection.matches(item)):
                expire = max(item.expire_ms, 0)
                place = pack_position(part, item.start, is_record=False)
                table.put(digester.name_digest(item), digester(item), expire, place, max(item.db, 0), KeyOp.SET)


class _ValueDigester:
    """The digests of the values of one RDB."""

    def __init__(self, key: bytes, source: Source, dialect: str) -> None:
        self.key, self.source, self.dialect = key, source, dialect
        self.cursor = Cursor(source)

    def name_digest(self, key: KeyItem) -> int:
        """The digest of a key's name."""
        return name_digest(self.key, read_name(self.cursor, key.name_offset))

    def __call__(self, key: KeyItem) -> int:
        value = ValueRef(key.value_offset, key.type, self.dialect)
        try:
            if key.type == _STRING_TYPE:  # most keys: done here, in one step
                self.cursor.seek(key.value_offset)
                return self._fold_elements(DigestTag.STRING, [self.cursor.string()], 1, 0, False)
            digester = _DIGESTERS.get(type_name(value))
            return digester(self, value) if digester else self._digest_raw(key)
        except DecodeError:
            return self._digest_raw(key)

    def digest_elements(self, value: ValueRef, tag: int, width: int, ordered: bool = False) -> int:
        """A collection; `width` strings are an element."""
        content = 0
        for run in flat_elements(self.cursor, value):
            content = self._fold_elements(tag, run, width, content, ordered)
        return content

    def digest_zset(self, value: ValueRef) -> int:
        content = 0
        for run in flat_elements(self.cursor, value):
            run[::2], run[1::2] = [pack("<d", score + 0.0) for score in run[1::2]], run[::2]
            content = self._fold_elements(DigestTag.ZSET, run, 2, content, False)
        return content

    def digest_hash(self, value: ValueRef) -> int:
        if DECODERS[value.dialect][value.type].width == 2:
            return self.digest_elements(value, DigestTag.HASH, 2)
        content = 0
        for run in flat_elements(self.cursor, value):
            times = [
                (pack("<q", time), field) for field, time in zip(run[::3], run[2::3], strict=True) if time is not None
            ]
            del run[2::3]
            content = self._fold_elements(DigestTag.HASH, run, 2, content, False)
            if times:
                content = self._fold_elements(
                    DigestTag.FIELD_EXPIRY, [word for pair in times for word in pair], 2, content, False
                )
        return content

    def _fold_elements(self, tag: int, run: FlatRun, width: int, content: int, ordered: bool) -> int:
        if not any(isinstance(word, LargeString) for word in run):
            return fold_elements(self.key, tag, run, width, content, ordered)
        for at in range(0, len(run), width):
            digest = value_digest(self.key, tag, *run[at : at + width])
            content = mix_digest(digest, content) if ordered else (content + digest) % (1 << 64)
        return content or 1

    def digest_stream(self, value: ValueRef) -> int:
        content = 0
        for command_words in rewrite_stream(part for run in flat_elements(self.cursor, value) for part in run):
            names = 2 if command_words[0] == b"XGROUP" else 1
            content = mix_digest(command_digest(self.key, command_words, (names,), names), content)
        return content

    def _digest_raw(self, key: KeyItem) -> int:
        """The bytes of a value, and its type."""
        digest = Digest(self.key).add_number(DigestTag.RAW).add_number(key.type).add_number(key.end - key.value_offset)
        span = Span(key.value_offset, key.end)
        for at in range(span.start, span.end, _PIECE):
            digest.add_bytes(pread(self.source, min(_PIECE, span.end - at), at))
        return digest.value() or 1


def read_name(cursor: Cursor, offset: int) -> String:
    """A key's name, as it is or where it is."""
    cursor.seek(offset)
    try:
        return cursor.string()
    except DecodeError:
        return b""


_Digester = Callable[[_ValueDigester, ValueRef], int]
_DIGESTERS: dict[str, _Digester] = {
    "list": lambda values, value: values.digest_elements(value, DigestTag.LIST, 1, ordered=True),
    "set": lambda values, value: values.digest_elements(value, DigestTag.SET, 1),
    "zset": _ValueDigester.digest_zset,
    "hash": _ValueDigester.digest_hash,
    "stream": _ValueDigester.digest_stream,
}
