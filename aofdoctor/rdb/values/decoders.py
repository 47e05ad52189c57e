"""Decode the value of an RDB key to its elements: a table with one small decoder for each RDB type.

A decoder yields flat lists of whole elements (field, value, field, value ...), so that a hash of ten million fields
needs constant memory and the exporters need not take elements apart again.  `elements` converts them to typed objects
such as HashField.  A type without a row in the table cannot be decoded.

Sources: rdb.c and rdb.h of Redis 2.8 to 7.4 (with the types of its release candidates) and Valkey 9.1.  For the array
of 8.8, array.h of Redis, redis/librdb and a reader in Rust agree; for the hash templates of 8.10, the tests and the
document of Redis (hash-templates.tcl) and two readers of files that it wrote.
"""

import re
import struct
from collections.abc import Callable, Iterator
from functools import partial
from itertools import repeat
from typing import Any, NamedTuple

from aofdoctor.rdb.encoding.cursor import CorruptValue, Cursor, DecodeError, String
from aofdoctor.rdb.opcodes import SHARED_BYTES, RdbType, ValkeyRdbType
from aofdoctor.rdb.values import packed
from aofdoctor.rdb.values.hash_templates import hash_templates
from aofdoctor.rdb.values.modules import ModulePart, ModuleType, decode_module
from aofdoctor.rdb.values.streams import STREAM_VERSIONS, StreamPart, decode_stream
from aofdoctor.rdb.values.unpack import unpack_items

FlatRun = list[Any]  # one or more whole elements of a value, one after the other in one flat list
_TIME_MAX = (1 << 63) - 1
_TIME_DIGITS = 18  # digits of an expiry in milliseconds or of a template's id, at most
_SMALL_STRING_MAX = 7  # bytes of a string in an array that is stored as a small one
_PLAIN, _PACKED = 1, 2  # containers of a quicklist node
# Sizes of a score that have no text (rdbLoadDoubleValue).
_SPECIAL = {253: float("nan"), 254: float("inf"), 255: float("-inf")}
_NUMBER = re.compile(rb"[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?|[-+]?inf(inity)?|[-+]?nan", re.IGNORECASE).fullmatch


class ValueRef(NamedTuple):
    """Where a value begins in an RDB, after its key's name, with its type byte and dialect (redis or valkey)."""

    offset: int
    type: int
    dialect: str = "redis"


class SortedSetMember(NamedTuple):
    """A member of a sorted set and its score, exactly the double that the server holds."""

    member: String
    score: float


class HashField(NamedTuple):
    """A field of a hash; `expire_ms` (unix milliseconds) is None if the field has no expiry of its own."""

    name: String
    value: String
    expire_ms: int | None


class ArrayElement(NamedTuple):
    """An element of an array (Redis 8.8) and its index; the value is a number if the server holds it as a number."""

    array_index: int
    value: String | int | float


Element = String | SortedSetMember | HashField | ArrayElement | StreamPart | ModuleType | ModulePart
DecodeFunction = Callable[[Cursor], Iterator[FlatRun]]


class Decoder(NamedTuple):
    """How values of one RDB type are read: the user-visible type name, list items per element, and the function."""

    type_name: str
    width: int
    decode: DecodeFunction


def elements(cursor: Cursor, value: ValueRef) -> Iterator[Element | CorruptValue]:
    """Decode a value of an RDB and yield its elements in file order, as bytes or typed objects such as HashField.

    If the value is invalid, the elements before the defect are followed by a CorruptValue.
    """
    row = DECODERS[value.dialect].get(value.type)
    if row is None:
        yield CorruptValue(value.offset, f"type {value.type} is not one that this version reads")
        return
    make = _ELEMENT_FACTORIES.get((row.type_name, row.width), list)
    try:
        for run in flat_elements(cursor, value):
            yield from make(run)
    except DecodeError as problem:
        yield CorruptValue(problem.offset, problem.note)


def flat_elements(cursor: Cursor, value: ValueRef) -> Iterator[FlatRun]:
    """Decode a value of an RDB and yield its elements as flat lists (field, value, field, value ...).

    Raises DecodeError at a defect, and KeyError for a type that cannot be decoded.
    """
    cursor.seek(value.offset)
    return DECODERS[value.dialect][value.type].decode(cursor)


def type_name(value: ValueRef) -> str:
    """Return string, list, set, zset, hash, array, stream or module; empty for a type that cannot be decoded."""
    row = DECODERS[value.dialect].get(value.type)
    return row.type_name if row else ""


def score_text(score: float) -> bytes:
    """Return the shortest text from which a server reads the same score again."""
    return (b"%r" % score).removesuffix(b".0")


# -- decoders: each yields flat lists of whole elements --


def _string(c: Cursor) -> Iterator[FlatRun]:
    yield [c.string()]


def _strings(c: Cursor, each: int = 1) -> Iterator[FlatRun]:
    return c.strings(c.length(), each)


def _packed_elements(c: Cursor, unpack: Callable[[bytes], Iterator[FlatRun]], width: int = 1) -> Iterator[FlatRun]:
    """Decode a listpack, ziplist, intset or zipmap into whole elements of `width` items."""
    at, data, rest = c.offset, c.string(), FlatRun()
    try:
        for run in unpack(data) if isinstance(data, bytes) else unpack_items(data, unpack):
            rest += run
            complete = len(rest) - len(rest) % width
            yield rest[:complete]
            rest = rest[complete:]
    except DecodeError as problem:
        raise DecodeError(at, f"{problem.note}, at {problem.offset} of it") from problem
    if rest:
        raise DecodeError(at, f"a packed value whose items do not come in {width}s")


def _quicklist(c: Cursor) -> Iterator[FlatRun]:
    for _ in range(c.length()):
        yield from _packed_elements(c, packed.ziplist)


def _quicklist2(c: Cursor) -> Iterator[FlatRun]:
    for _ in range(c.length()):
        container = c.length()
        if container == _PACKED:
            yield from _packed_elements(c, packed.listpack)
        elif container == _PLAIN:
            if not len(element := c.string()):
                raise DecodeError(c.offset, "a list's plain node without an element")
            yield [element]
        else:
            raise DecodeError(c.offset, f"container {container} of a list's node")


def _zset(c: Cursor) -> Iterator[FlatRun]:
    """Decode a sorted set with scores as text after a size byte; the sizes 253 to 255 mean nan and the infinities."""
    for _ in range(c.length()):
        member, size = c.string(), c.byte()
        yield [member, _SPECIAL[size] if size in _SPECIAL else _score(c, c.take(size))]


def _zset2(c: Cursor) -> Iterator[FlatRun]:
    for run in c.strings(c.length(), 1, has_tail=True):
        run[1::2] = struct.unpack(f"<{len(run) // 2}d", b"".join(run[1::2]))
        yield run


def _zset_pack(c: Cursor, unpack: Callable[[bytes], Iterator[FlatRun]]) -> Iterator[FlatRun]:
    for run in _packed_elements(c, unpack, 2):
        run[1::2] = [_score(c, text) for text in run[1::2]]
        yield run


def _score(c: Cursor, text: String) -> float:
    if not isinstance(text, bytes) or not _NUMBER(text):
        raise DecodeError(c.offset, "a score that is not a number")
    return float(text)


def _hash_times(c: Cursor, relative: bool) -> Iterator[FlatRun]:
    """Decode a hash of (expiry, field, value); the expiry is 0 for a field without one.

    If `relative`, the earliest expiry comes first, and each expiry is the distance from it plus 1.
    """
    soonest = c.number() if relative else 1
    for _ in range(c.length()):
        time = c.length()
        if time and time + soonest - 1 > _TIME_MAX:
            raise DecodeError(c.offset, "an expiry of a field that no server has")
        yield [c.string(), c.string(), time + soonest - 1 if time else None]


def _hash_pack_times(c: Cursor, soonest: bool) -> Iterator[FlatRun]:
    """Decode a hash stored as a listpack of (field, value, expiry); the expiry is 0 for a field without one.

    With `soonest`, the earliest expiry precedes the listpack; it is not needed.
    """
    if soonest:
        c.number()
    for run in _packed_elements(c, packed.listpack, 3):
        if not all(map(_is_number, run[2::3])):
            raise DecodeError(c.offset, "an expiry of a field that is not a number")
        run[2::3] = [int(time) or None for time in run[2::3]]
        yield run


def _is_number(text: String) -> bool:
    return isinstance(text, bytes) and text.isdigit() and len(text) <= _TIME_DIGITS


def _hash2(c: Cursor) -> Iterator[FlatRun]:
    """Decode Valkey 9.0's hash of (field, value, expiry in unix milliseconds or -1 for none).

    A server refuses an expiry below -1.
    """
    for run in c.strings(c.length(), 2, has_tail=True):
        times = struct.unpack(f"<{len(run) // 3}q", b"".join(run[2::3]))
        if min(times, default=0) < -1:
            raise DecodeError(c.offset, f"a field that expires at {min(times)}")
        run[2::3] = [time if time >= 0 else None for time in times]
        yield run


def _template_pack(c: Cursor) -> Iterator[FlatRun]:
    """Decode a hash stored as a listpack: the id of a hash template, which has the field names, then the values."""
    at, names, missing = c.offset, None, 0
    for run in _packed_elements(c, packed.listpack):
        if names is None:
            if not _is_number(run[0]):
                raise DecodeError(at, "a hash whose template has no number")
            missing, names = hash_templates(c.source).fields(c.source, int(run.pop(0)))
        missing -= len(run)
        if missing < 0:
            break
        yield [piece for value in run for piece in (next(names), value)]
    if names is None or missing:
        raise DecodeError(at, "a hash that has not as many values as its template has fields")


def _template_values(c: Cursor) -> Iterator[FlatRun]:
    """Decode a hash stored as the id of a hash template, which has the field names, and one string per value."""
    count, names = hash_templates(c.source).fields(c.source, c.length())
    for run in c.strings(count):
        yield [piece for value in run for piece in (next(names), value)]


def _array(c: Cursor) -> Iterator[FlatRun]:
    """Decode an array to (index, value) pairs; an optional insert index at its start is skipped."""
    count = c.length()
    if (flag := c.length()) > 1:
        raise DecodeError(c.offset, f"{flag} where an array says whether it has an index to insert at")
    if flag:
        c.length()
    for _ in range(count):
        index, tag = c.length(), c.length()
        if tag >= len(_ARRAY_TAGS):
            raise DecodeError(c.offset, f"tag {tag} of an array's element")
        yield [index, _ARRAY_TAGS[tag](c)]


def _small_string(c: Cursor) -> String:
    """Decode a string that the server holds inside a pointer."""
    at, value = c.offset, c.string()
    if len(value) > _SMALL_STRING_MAX:
        raise DecodeError(at, f"a small string of {len(value)} bytes in an array")
    return value


_ARRAY_TAGS: tuple[Callable[[Cursor], String | int | float], ...] = (
    Cursor.string,
    lambda c: c.number(signed=True),
    lambda c: float(struct.unpack("<d", c.take(8))[0]),
    _small_string,
)


def _stream(c: Cursor, version: int) -> Iterator[FlatRun]:
    for part in decode_stream(c, version):
        yield [part]


def _stream_decoder(type_byte: RdbType) -> Decoder:
    return Decoder("stream", 1, partial(_stream, version=STREAM_VERSIONS[type_byte]))


_REDIS: dict[RdbType, Decoder] = {
    RdbType.STRING: Decoder("string", 1, _string),
    RdbType.LIST: Decoder("list", 1, _strings),
    RdbType.SET: Decoder("set", 1, _strings),
    RdbType.ZSET: Decoder("zset", 2, _zset),
    RdbType.HASH: Decoder("hash", 2, partial(_strings, each=2)),
    RdbType.ZSET_2: Decoder("zset", 2, _zset2),
    RdbType.MODULE_2: Decoder("module", 1, decode_module),
    RdbType.HASH_ZIPMAP: Decoder("hash", 2, partial(_packed_elements, unpack=packed.zipmap, width=2)),
    RdbType.LIST_ZIPLIST: Decoder("list", 1, partial(_packed_elements, unpack=packed.ziplist)),
    RdbType.SET_INTSET: Decoder("set", 1, partial(_packed_elements, unpack=packed.intset)),
    RdbType.ZSET_ZIPLIST: Decoder("zset", 2, partial(_zset_pack, unpack=packed.ziplist)),
    RdbType.HASH_ZIPLIST: Decoder("hash", 2, partial(_packed_elements, unpack=packed.ziplist, width=2)),
    RdbType.LIST_QUICKLIST: Decoder("list", 1, _quicklist),
    RdbType.STREAM_LISTPACKS: _stream_decoder(RdbType.STREAM_LISTPACKS),
    RdbType.HASH_LISTPACK: Decoder("hash", 2, partial(_packed_elements, unpack=packed.listpack, width=2)),
    RdbType.ZSET_LISTPACK: Decoder("zset", 2, partial(_zset_pack, unpack=packed.listpack)),
    RdbType.LIST_QUICKLIST_2: Decoder("list", 1, _quicklist2),
    RdbType.STREAM_LISTPACKS_2: _stream_decoder(RdbType.STREAM_LISTPACKS_2),
    RdbType.SET_LISTPACK: Decoder("set", 1, partial(_packed_elements, unpack=packed.listpack)),
    RdbType.STREAM_LISTPACKS_3: _stream_decoder(RdbType.STREAM_LISTPACKS_3),
    RdbType.HASH_METADATA_PRE_GA: Decoder("hash", 3, partial(_hash_times, relative=False)),
    RdbType.HASH_LISTPACK_EX_PRE_GA: Decoder("hash", 3, partial(_hash_pack_times, soonest=False)),
    RdbType.HASH_METADATA: Decoder("hash", 3, partial(_hash_times, relative=True)),
    RdbType.HASH_LISTPACK_EX: Decoder("hash", 3, partial(_hash_pack_times, soonest=True)),
    RdbType.STREAM_LISTPACKS_4: _stream_decoder(RdbType.STREAM_LISTPACKS_4),
    RdbType.STREAM_LISTPACKS_5: _stream_decoder(RdbType.STREAM_LISTPACKS_5),
    RdbType.ARRAY: Decoder("array", 2, _array),
    RdbType.HASH_TMPL_LP_REF: Decoder("hash", 2, _template_pack),
    RdbType.HASH_TMPL_ARRAY_REF: Decoder("hash", 2, _template_values),
}
_VALKEY = {ValkeyRdbType.HASH_2: Decoder("hash", 3, _hash2)}

# By dialect and type byte.  The keys are plain ints, because they are looked up once for every key of an RDB.
DECODERS: dict[str, dict[int, Decoder]] = {
    "redis": {int(type_byte): row for type_byte, row in _REDIS.items()},
    "valkey": {int(type_byte): row for type_byte, row in _REDIS.items() if type_byte in SHARED_BYTES}
    | {int(type_byte): row for type_byte, row in _VALKEY.items()},
}


def _sorted_set_members(run: FlatRun) -> Iterator[SortedSetMember]:
    return map(SortedSetMember, run[::2], run[1::2])


def _array_elements(run: FlatRun) -> Iterator[ArrayElement]:
    return map(ArrayElement, run[::2], run[1::2])


def _hash_fields(run: FlatRun) -> Iterator[HashField]:
    return map(HashField, run[::2], run[1::2], repeat(None))


def _hash_fields_with_expiry(run: FlatRun) -> Iterator[HashField]:
    return map(HashField, run[::3], run[1::3], run[2::3])


_ELEMENT_FACTORIES: dict[tuple[str, int], Callable[[FlatRun], Any]] = {
    ("zset", 2): _sorted_set_members,
    ("array", 2): _array_elements,
    ("hash", 2): _hash_fields,
    ("hash", 3): _hash_fields_with_expiry,
}
