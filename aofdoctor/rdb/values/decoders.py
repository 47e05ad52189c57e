"""The elements of a value: one row a type byte, one small decoder each.

A decoder gives flat lists (field, value, field, value ...), each of whole
elements, so that a hash of ten million fields passes by in constant memory and
commands.py need not take values apart again; `elements` makes values of them.
A type that has no row is not read.  Sources: rdb.c and rdb.h of Redis 2.8 to
7.4 (22 and 23 are those of the 7.4 release candidates) and Valkey 9.1.  For 28
(8.8) array.h of Redis, redis/librdb and a reader in Rust agree; for 30 and 32
(8.10) the tests and the document of Redis (hash-templates.tcl) and two readers
of files that it wrote.
"""

import re
import struct
from collections.abc import Callable, Iterator
from functools import partial
from itertools import repeat
from typing import Any, NamedTuple

from aofdoctor.rdb.encoding.cursor import CorruptValue, Cursor, DecodeError, String
from aofdoctor.rdb.values import packed
from aofdoctor.rdb.values.hash_templates import hash_templates
from aofdoctor.rdb.values.modules import ModulePart, ModuleType, decode_module
from aofdoctor.rdb.values.streams import STREAM_VERSIONS, StreamPart, decode_stream
from aofdoctor.rdb.values.unpack import unpack_items

FlatRun = list[Any]
_TIME_MAX = (1 << 63) - 1
_TIME_DIGITS = 18  # of an expiry in milliseconds, or a template's number
_PLAIN, _PACKED = 1, 2  # containers of a quicklist's node
_SPECIAL = {253: float("nan"), 254: float("inf"), 255: float("-inf")}
_NUMBER = re.compile(rb"[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?|[-+]?inf(inity)?|[-+]?nan", re.IGNORECASE).fullmatch


class ValueRef(NamedTuple):
    """Where a value begins, after its key, and what says how to read it; `dialect` is redis or valkey."""

    offset: int
    type: int
    dialect: str = "redis"


class SortedSetMember(NamedTuple):
    """A member of a sorted set; a score is exactly the double that the server holds."""

    member: String
    score: float


class HashField(NamedTuple):
    """A field of a hash; `expire_ms` is None where it has no expiry of its own."""

    name: String
    value: String
    expire_ms: int | None


class ArrayElement(NamedTuple):
    """An element of an array, and the index that it is at; a number is one that the server holds as a number."""

    array_index: int
    value: String | int | float


Element = String | SortedSetMember | HashField | ArrayElement | StreamPart | ModuleType | ModulePart
DecodeFunction = Callable[[Cursor], Iterator[FlatRun]]


class Decoder(NamedTuple):
    """How a type is read: what it is to a user, how many items of a run are one, and its decoder."""

    type_name: str
    width: int
    decode: DecodeFunction


def elements(cursor: Cursor, value: ValueRef) -> Iterator[Element | CorruptValue]:
    """The elements in the order of the file; a Corrupt, if the bytes are not what they promise, is the last."""
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
    """The same as flat lists; raises Broken, which is this room's own."""
    cursor.seek(value.offset)
    return DECODERS[value.dialect][value.type].decode(cursor)


def type_name(value: ValueRef) -> str:
    """string, list, set, zset, hash, array, stream, module; empty for a type that is not read."""
    row = DECODERS[value.dialect].get(value.type)
    return row.type_name if row else ""


# -- decoders --


def _string(c: Cursor) -> Iterator[FlatRun]:
    yield [c.string()]


def _strings(c: Cursor, each: int = 1) -> Iterator[FlatRun]:
    return c.strings(c.length(), each)


def _packed_elements(c: Cursor, unpack: Callable[[bytes], Iterator[FlatRun]], width: int = 1) -> Iterator[FlatRun]:
    """The items of one packed string, in whole elements of `width`."""
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
            yield [c.string()]
        else:
            raise DecodeError(c.offset, f"container {container} of a list's node")


def _zset(c: Cursor) -> Iterator[FlatRun]:
    """Scores as text with their length; 253 to 255 stand for nan and the infinities."""
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
    """Expiry, field, value; an expiry is 0 for none, else it counts from the soonest, which stands first, plus 1."""
    soonest = c.number() if relative else 1
    for _ in range(c.length()):
        time = c.length()
        if time and time + soonest - 1 > _TIME_MAX:
            raise DecodeError(c.offset, "an expiry of a field that no server has")
        yield [c.string(), c.string(), time + soonest - 1 if time else None]


def _hash_pack_times(c: Cursor, soonest: bool) -> Iterator[FlatRun]:
    """Field, value, expiry; 0 for none.  The soonest expiry stands before it, and is not needed."""
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
    """Valkey 9.0: field, value, expiry in ms, -1 for none."""
    for run in c.strings(c.length(), 2, has_tail=True):
        times = struct.unpack(f"<{len(run) // 3}q", b"".join(run[2::3]))
        run[2::3] = [time if time >= 0 else None for time in times]
        yield run


def _template_pack(c: Cursor) -> Iterator[FlatRun]:
    """A listpack: the number of its template, then its values."""
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
    """The number of its template, and its values."""
    count, names = hash_templates(c.source).fields(c.source, c.length())
    for run in c.strings(count):
        yield [piece for value in run for piece in (next(names), value)]


def _array(c: Cursor) -> Iterator[FlatRun]:
    """Index and value; the index that the next insert would take, which may stand first, is no element."""
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


_ARRAY_TAGS: tuple[Callable[[Cursor], String | int | float], ...] = (
    Cursor.string,
    lambda c: c.number(signed=True),
    lambda c: float(struct.unpack("<d", c.take(8))[0]),
    Cursor.string,
)


def _stream(c: Cursor, version: int) -> Iterator[FlatRun]:
    for part in decode_stream(c, version):
        yield [part]


_COMMON: dict[int, Decoder] = {
    0: Decoder("string", 1, _string),
    1: Decoder("list", 1, _strings),
    2: Decoder("set", 1, _strings),
    3: Decoder("zset", 2, _zset),
    4: Decoder("hash", 2, partial(_strings, each=2)),
    5: Decoder("zset", 2, _zset2),
    7: Decoder("module", 1, decode_module),
    9: Decoder("hash", 2, partial(_packed_elements, unpack=packed.zipmap, width=2)),
    10: Decoder("list", 1, partial(_packed_elements, unpack=packed.ziplist)),
    11: Decoder("set", 1, partial(_packed_elements, unpack=packed.intset)),
    12: Decoder("zset", 2, partial(_zset_pack, unpack=packed.ziplist)),
    13: Decoder("hash", 2, partial(_packed_elements, unpack=packed.ziplist, width=2)),
    14: Decoder("list", 1, _quicklist),
    16: Decoder("hash", 2, partial(_packed_elements, unpack=packed.listpack, width=2)),
    17: Decoder("zset", 2, partial(_zset_pack, unpack=packed.listpack)),
    18: Decoder("list", 1, _quicklist2),
    20: Decoder("set", 1, partial(_packed_elements, unpack=packed.listpack)),
    **{kind: Decoder("stream", 1, partial(_stream, version=STREAM_VERSIONS[kind])) for kind in (15, 19, 21)},
}

DECODERS: dict[str, dict[int, Decoder]] = {
    "redis": _COMMON
    | {
        22: Decoder("hash", 3, partial(_hash_times, relative=False)),
        23: Decoder("hash", 3, partial(_hash_pack_times, soonest=False)),
        24: Decoder("hash", 3, partial(_hash_times, relative=True)),
        25: Decoder("hash", 3, partial(_hash_pack_times, soonest=True)),
        **{kind: Decoder("stream", 1, partial(_stream, version=STREAM_VERSIONS[kind])) for kind in (26, 27)},
        28: Decoder("array", 2, _array),
        30: Decoder("hash", 2, _template_pack),
        32: Decoder("hash", 2, _template_values),
    },
    "valkey": _COMMON | {22: Decoder("hash", 3, _hash2)},
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


def score_text(score: float) -> bytes:
    """The shortest text that a server reads the same double from."""
    return (b"%r" % score).removesuffix(b".0")
