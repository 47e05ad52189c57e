"""Add the keys of an RDB to a key table, with a digest of each value that does not depend on its encoding.

The digest of a set, hash or sorted set does not depend on the order of its
elements, and that of a list or string does not depend on its packing.  A stream
is digested as the commands of a server's AOF rewrite.  A value of an unsupported
type, or one that cannot be decoded, is digested as bytes.
"""

from collections.abc import Callable, Iterator
from struct import pack

from aofdoctor.aof.records import Preamble
from aofdoctor.damage import Damage
from aofdoctor.diff.hashing.arguments import feed_span
from aofdoctor.diff.hashing.digest import Digest
from aofdoctor.diff.key_table.constants import even, mix_digest
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
from aofdoctor.source import Source
from aofdoctor.span import Span

_STRING_TYPE = 0  # RDB_TYPE_STRING


def add_rdb_keys(
    table: KeyTable, selection: Selection, part: int, commands_before: int, source: Source, rdb: Preamble
) -> Iterator[Damage]:
    """Add the selected keys of an RDB to a table; yield the damage found on the way."""
    source = decompressed(source)
    key_selection = BaseKeySelection(selection, part, commands_before, source, rdb)
    digester = _ValueDigester(table.key, source, rdb.dialect)
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
                position = pack_position(part, item.start, is_record=False)
                table.put(digester.name_digest(item), digester(item), expire, position, max(item.db, 0), KeyOp.SET)


class _ValueDigester:
    """Computes the digests of the keys and values of one RDB."""

    def __init__(self, key: bytes, source: Source, dialect: str) -> None:
        self.key, self.source, self.dialect = key, source, dialect
        self.cursor = Cursor(source)

    def name_digest(self, key: KeyItem) -> int:
        """Return the digest of a key's name."""
        return name_digest(self.key, read_name(self.cursor, key.name_offset))

    def __call__(self, key: KeyItem) -> int:
        value = ValueRef(key.value_offset, key.type, self.dialect)
        try:
            if key.type == _STRING_TYPE:  # The most frequent type has a short path.
                self.cursor.seek(key.value_offset)
                return self._fold_elements(DigestTag.STRING, [self.cursor.string()], 1, 0, False)
            digester = _DIGESTERS.get(type_name(value))
            return digester(self, value) if digester else self._digest_raw(key)
        except DecodeError:
            return self._digest_raw(key)

    def digest_elements(self, value: ValueRef, tag: int, width: int, ordered: bool = False) -> int:
        """Return the digest of a collection in an RDB; an element is `width` strings (2 for a hash)."""
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
            content = mix_digest(digest, content) if ordered else even((content + even(digest)) % (1 << 64))
        return content or 2

    def digest_stream(self, value: ValueRef) -> int:
        content = 0
        for command_words in rewrite_stream(part for run in flat_elements(self.cursor, value) for part in run):
            names = 2 if command_words[0] == b"XGROUP" else 1
            content = mix_digest(command_digest(self.key, command_words, (names,), names), content)
        return content

    def _digest_raw(self, key: KeyItem) -> int:
        """Return the digest of the type and the encoded bytes of a value that cannot be decoded."""
        digest = Digest(self.key).add_number(DigestTag.RAW).add_number(key.type).add_number(key.end - key.value_offset)
        return feed_span(digest, self.source, Span(key.value_offset, key.end)).value() or 1


def read_name(cursor: Cursor, offset: int) -> String:
    """Return a key's name, or a reference to it if it is large; empty if it cannot be decoded."""
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
