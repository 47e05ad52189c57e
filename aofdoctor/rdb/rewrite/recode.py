"""Re-encode a value with an RDB type that older readers know, the simplest one of its data type.

The simple types begin with the number of elements, so a value is read twice
instead of held in memory.  A field expiry that the target cannot represent is
reported as a loss.
"""

import struct
from collections.abc import Callable, Iterator
from typing import NamedTuple

from aofdoctor.rdb.conversion import clamp_expiry
from aofdoctor.rdb.encoding.cursor import Cursor
from aofdoctor.rdb.encoding.writer import encode_length, encode_string
from aofdoctor.rdb.opcodes import RdbType, ValkeyRdbType
from aofdoctor.rdb.rewrite.stream_recode import reencode_stream
from aofdoctor.rdb.values.decoders import DECODERS, FlatRun, ValueRef, flat_elements
from aofdoctor.rdb.values.modules import read_module_type

_SPECIAL = {"nan": 253, "inf": 254, "-inf": 255}  # size bytes of scores that have no text


class ReencodedValue(NamedTuple):
    """A value encoded with another RDB type: the type (None if the target has none), the value's bytes, and the losses.

    The bytes are those after the key's name.  Each loss describes information that the target cannot represent.
    """

    type: int | None
    pieces: Iterator[bytes]
    losses: list[str]


def reencode(cursor: Cursor, value: ValueRef, dialect: str, version: int, shift_ms: int) -> ReencodedValue:
    """Re-encode the value of an RDB key for readers of `dialect` and RDB version `version`, with its expiries shifted.

    Raises DecodeError if the value is damaged.  Consume the pieces before you use the cursor for anything else.
    """
    row = DECODERS[value.dialect].get(value.type)
    if row is None:
        loss = f"a value of type {value.type}, which this version does not read"
        return ReencodedValue(None, iter(()), [loss])
    if row.type_name == "module":
        cursor.seek(value.offset)
        loss = f"a value of the module type {read_module_type(cursor).name}"
        return ReencodedValue(None, iter(()), [loss])
    if row.type_name == "stream":
        kind, pieces, losses = reencode_stream(cursor, value, dialect, version)
        return ReencodedValue(kind, pieces, losses)
    if row.type_name == "array":
        return ReencodedValue(None, iter(()), ["an array, which came with Redis 8.8"])
    if row.width == 3:
        return _timed_hash(cursor, value, dialect, version, shift_ms)
    kind, write = _PLAIN[row.type_name]
    if row.type_name == "zset" and version < 8:
        kind, write = RdbType.ZSET, _text_scores
    return ReencodedValue(kind, _counted_elements(cursor, value, row.width, write), [])


def _counted_elements(
    cursor: Cursor, value: ValueRef, width: int, write: Callable[[FlatRun], Iterator[bytes]]
) -> Iterator[bytes]:
    yield encode_length(sum(len(run) for run in flat_elements(cursor, value)) // width)
    for run in flat_elements(cursor, value):
        yield from write(run)


def _strings(run: FlatRun) -> Iterator[bytes]:
    for item in run:
        yield from encode_string(item)


def _scores(run: FlatRun) -> Iterator[bytes]:
    for member, score in zip(run[::2], run[1::2], strict=True):
        yield from encode_string(member)
        yield struct.pack("<d", score)


def _text_scores(run: FlatRun) -> Iterator[bytes]:
    for member, score in zip(run[::2], run[1::2], strict=True):
        yield from encode_string(member)
        text = b"%.17g" % score
        special = _SPECIAL.get(text.decode())
        yield bytes((special,)) if special else bytes((len(text),)) + text


_PLAIN = {
    "list": (RdbType.LIST, _strings),
    "set": (RdbType.SET, _strings),
    "zset": (RdbType.ZSET_2, _scores),
    "hash": (RdbType.HASH, _strings),
}


# -- hashes with field expiries --


def _timed_hash(cursor: Cursor, value: ValueRef, dialect: str, version: int, shift_ms: int) -> ReencodedValue:
    min_expire = min(
        (time for run in flat_elements(cursor, value) for time in run[2::3] if time is not None), default=None
    )

    def untimed(run: FlatRun) -> Iterator[bytes]:
        del run[2::3]
        return _strings(run)

    # In all variants the decoder yields three items per field: name, value and expiry.
    if min_expire is None:
        return ReencodedValue(RdbType.HASH, _counted_elements(cursor, value, 3, untimed), [])
    if dialect == "valkey":
        return ReencodedValue(
            ValkeyRdbType.HASH_2, _counted_elements(cursor, value, 3, lambda run: _valkey_fields(run, shift_ms)), []
        )
    if version >= 12:
        pieces = _redis_hash(cursor, value, clamp_expiry(min_expire + shift_ms), shift_ms)
        return ReencodedValue(RdbType.HASH_METADATA, pieces, [])
    return ReencodedValue(RdbType.HASH, _counted_elements(cursor, value, 3, untimed), ["when fields of a hash expire"])


def _valkey_fields(run: FlatRun, shift_ms: int) -> Iterator[bytes]:
    for field, content, time in zip(run[::3], run[1::3], run[2::3], strict=True):
        yield from encode_string(field)
        yield from encode_string(content)
        yield struct.pack("<q", -1 if time is None else clamp_expiry(time + shift_ms))


def _redis_hash(cursor: Cursor, value: ValueRef, min_expire: int, shift_ms: int) -> Iterator[bytes]:
    """Yield the bytes of a hash with field expiries in the form of Redis 7.4 (rdb.c).

    The earliest expiry comes first; each field is preceded by the distance of its expiry from that plus 1, or by 0 for
    none.
    """

    def fields(run: FlatRun) -> Iterator[bytes]:
        for field, content, time in zip(run[::3], run[1::3], run[2::3], strict=True):
            yield encode_length(0 if time is None else clamp_expiry(time + shift_ms) - min_expire + 1)
            yield from encode_string(field)
            yield from encode_string(content)

    yield struct.pack("<q", min_expire)
    yield from _counted_elements(cursor, value, 3, fields)
