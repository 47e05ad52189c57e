"""Keep the readable elements of damaged collections in an RDB: those before the defect, encoded as a plain value.

The new keys are placed before the RDB's new EOF opcode. Lists, sets, sorted sets and hashes have a form that every
server version reads; of strings, streams, arrays and values of modules nothing is kept.
"""

import math
import struct
from collections.abc import Iterator
from itertools import islice
from typing import Any, NamedTuple

from aofdoctor.check.rdb_examination import DUPLICATE_KEY_REASON, DamagedKey
from aofdoctor.rdb.encoding.cursor import Cursor, DecodeError
from aofdoctor.rdb.encoding.writer import encode_length
from aofdoctor.rdb.header import dialect_of, version_of
from aofdoctor.rdb.opcodes import Opcode, RdbType
from aofdoctor.rdb.recovery.key_head import KeyHead, read_key_head
from aofdoctor.rdb.values.decoders import DECODERS, ValueRef, flat_elements
from aofdoctor.source import Source

_ENCODED_MAX = 1 << 24  # bytes of readable elements that are kept of one key, and of all keys together
_BINARY_SCORES_VERSION = 8  # RDB version from which scores can be binary
_PLAIN_TYPES = {"list": RdbType.LIST, "set": RdbType.SET, "hash": RdbType.HASH, "zset": RdbType.ZSET_2}


class PartialKey(NamedTuple):
    """A damaged RDB key with its readable elements encoded again.

    It has the number of its elements, and the bytes of the key with its SELECTDB before it.
    """

    key: DamagedKey
    elements: int
    data: bytes


def readable_parts(source: Source, keys: list[DamagedKey], magic: bytes) -> list[PartialKey]:
    """The readable elements of damaged RDB keys, encoded again, each name once; keys without any are left out."""
    out, names, size = list[PartialKey](), set[tuple[int, bytes]](), 0
    for key in keys:
        if key.is_library or key.db < 0 or key.reason == DUPLICATE_KEY_REASON or (key.db, key.name) in names:
            continue
        partial = _readable_part(source, key, magic)
        if partial is not None and size + len(partial.data) <= _ENCODED_MAX:
            size += len(partial.data)
            names.add((key.db, key.name))
            out.append(partial)
    return out


def _readable_part(source: Source, key: DamagedKey, magic: bytes) -> PartialKey | None:
    head = read_key_head(source, key.span.start)
    decoder = DECODERS[dialect_of(magic)].get(head.type) if head else None
    kind = _PLAIN_TYPES.get(decoder.type_name) if decoder else None
    if head is None or decoder is None or kind is None:
        return None
    if kind is RdbType.ZSET_2 and 0 < version_of(magic) < _BINARY_SCORES_VERSION:
        kind = RdbType.ZSET
    value = ValueRef(head.value_offset, head.type, dialect_of(magic))
    body, count, members = bytearray(), 0, set[bytes]()
    for element in _elements(source, value, decoder.width):
        encoded = _encode_element(kind, element)
        if encoded is None or len(body) + len(encoded) > _ENCODED_MAX:
            break
        if kind is not RdbType.LIST:
            if element[0] in members:
                continue
            members.add(element[0])
        body += encoded
        count += 1
    return PartialKey(key, count, _head_bytes(key, head, kind) + encode_length(count) + bytes(body)) if count else None


def _elements(source: Source, value: ValueRef, width: int) -> Iterator[tuple[Any, ...]]:
    """Yield the elements of a collection in an RDB up to its defect."""
    try:
        for run in flat_elements(Cursor(source), value):
            items = iter(run)
            while element := tuple(islice(items, width)):
                yield element
    except DecodeError:
        return


def _encode_element(kind: RdbType, element: tuple[Any, ...]) -> bytes | None:
    """Encode an element of a collection in plain form; None if it is too large, or a score that no server loads."""
    strings = element[:2] if kind is RdbType.HASH else element[:1]
    if not all(isinstance(item, bytes) for item in strings):
        return None
    encoded = b"".join(encode_length(len(item)) + item for item in strings)
    if kind in (RdbType.ZSET, RdbType.ZSET_2):
        score = element[1]
        if math.isnan(score):
            return None
        encoded += struct.pack("<d", score) if kind is RdbType.ZSET_2 else _score_text(score)
    return encoded


def _score_text(score: float) -> bytes:
    """Encode a sorted set's score as text, as older RDB versions do.

    It is a size byte and digits, or one byte for an infinity.
    """
    if math.isinf(score):
        return b"\xfe" if score > 0 else b"\xff"
    digits = b"%.17g" % score
    return bytes((len(digits),)) + digits


def _head_bytes(key: DamagedKey, head: KeyHead, kind: RdbType) -> bytes:
    expiry = b""
    if head.expire_ms >= 0:
        expiry = bytes((Opcode.EXPIRETIME_MS,)) + head.expire_ms.to_bytes(8, "little")
    name = encode_length(len(head.name)) + head.name
    return bytes((Opcode.SELECTDB,)) + encode_length(key.db) + expiry + bytes((kind,)) + name
