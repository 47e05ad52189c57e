"""A value as the commands that make it anew, for any server line.

Big collections come in chunks of 64 elements, as the server's own rewrite
writes them (AOF_REWRITE_ITEMS_PER_CMD; rewriteAppendOnlyFileRio of aof.c).
What a target cannot be told is an Inexpressible among the commands, never left
out in silence; what is broken ends in a Corrupt.
"""

import re
from collections.abc import Callable, Iterator
from functools import partial
from math import isnan

from aofdoctor.rdb.encoding.cursor import CorruptValue, Cursor, DecodeError, String
from aofdoctor.rdb.export.capabilities import Capabilities, Command, Unsupported
from aofdoctor.rdb.export.stream_commands import stream_commands
from aofdoctor.rdb.values.decoders import DECODERS, FlatRun, Value, flat_elements
from aofdoctor.rdb.values.streams import STREAM_VERSIONS, Part, stream

CHUNK = 64
_NAME_WITHIN = 1 << 12
_NAMED = re.compile(rb"#![^\r\n]*\bname=([^\s]+)")
Said = Command | Unsupported


def commands(
    cursor: Cursor, value: Value, key: bytes, expire_ms: int | None, capabilities: Capabilities
) -> Iterator[Command | Unsupported | CorruptValue]:
    """The commands that make `key` hold a value, its expiry last; a Corrupt, where there is one, is after them."""
    row = DECODERS[value.dialect].get(value.type)
    if row is None:
        yield CorruptValue(value.offset, f"type {value.type} is not one that this version reads")
        return
    made, broken = False, None
    try:
        for said in _WRITERS[row.type_name, row.width](cursor, value, key, capabilities):
            made = made or not isinstance(said, Unsupported)
            yield said
    except DecodeError as problem:
        broken = CorruptValue(problem.offset, problem.note)
    if expire_ms is not None and made:
        yield [b"PEXPIREAT", key, b"%d" % expire_ms]
    if broken:
        yield broken


def select(db: int) -> Command:
    """The command that later ones run in another database by."""
    return [b"SELECT", b"%d" % db]


def function(code: String, capabilities: Capabilities) -> Said:
    """The command that loads a library of functions (opcode 245)."""
    return [b"FUNCTION", b"LOAD", code] if capabilities.functions else Unsupported("a library of functions")


def library(code: String) -> bytes:
    """The name of a library of functions, as the first line of its code has it; empty if it has none."""
    head = code if isinstance(code, bytes) else code.read(_NAME_WITHIN)
    found = _NAMED.match(head[:_NAME_WITHIN])
    return found[1] if found else b""


def score_text(score: float) -> bytes:
    """The shortest text that a server reads the same double from."""
    return (b"%r" % score).removesuffix(b".0")


def _string(cursor: Cursor, value: Value, key: bytes, capabilities: Capabilities) -> Iterator[Said]:
    for run in flat_elements(cursor, value):
        yield [b"SET", key, *run]


def _chunks(cursor: Cursor, value: Value, width: int) -> Iterator[FlatRun]:
    """Runs of CHUNK elements, the last one shorter; what was read before a Broken comes before it."""
    rest: FlatRun = []
    size, broken = CHUNK * width, None
    try:
        for run in flat_elements(cursor, value):
            rest = rest + run if rest else run
            if len(rest) >= size:
                whole = len(rest) - len(rest) % size
                for start in range(0, whole, size):
                    yield rest[start : start + size]
                rest = rest[whole:]
    except DecodeError as problem:
        broken = problem
    if rest:
        yield rest
    if broken:
        raise broken


def _collection(
    name: bytes, width: int, cursor: Cursor, value: Value, key: bytes, capabilities: Capabilities
) -> Iterator[Said]:
    for chunk in _chunks(cursor, value, width):
        yield [name, key, *chunk]


def _zset(cursor: Cursor, value: Value, key: bytes, capabilities: Capabilities) -> Iterator[Said]:
    for chunk in _chunks(cursor, value, 2):
        if any(map(isnan, chunk[1::2])):
            yield Unsupported("a member whose score is not a number")
            chunk = [
                piece for at in range(0, len(chunk), 2) if not isnan(chunk[at + 1]) for piece in chunk[at : at + 2]
            ]
        chunk[::2], chunk[1::2] = [score_text(score) for score in chunk[1::2]], chunk[::2]
        if chunk:
            yield [b"ZADD", key, *chunk]


def _timed_hash(cursor: Cursor, value: Value, key: bytes, capabilities: Capabilities) -> Iterator[Said]:
    lost = False
    for chunk in _chunks(cursor, value, 3):
        times: dict[int, list[String]] = {}
        for field, time in zip(chunk[::3], chunk[2::3], strict=True):
            if time is not None:
                times.setdefault(time, []).append(field)
        del chunk[2::3]
        yield [b"HMSET", key, *chunk]
        for time, fields in times.items() if capabilities.field_expiry else ():
            yield [b"HPEXPIREAT", key, b"%d" % time, b"FIELDS", b"%d" % len(fields), *fields]
        lost = lost or bool(times and not capabilities.field_expiry)
    if lost:
        yield Unsupported("when fields of a hash expire")


def _array(cursor: Cursor, value: Value, key: bytes, capabilities: Capabilities) -> Iterator[Said]:
    yield Unsupported("an array, which came with Redis 8.8")
    for _ in flat_elements(cursor, value):
        pass  # what is broken is to be known


def _stream(cursor: Cursor, value: Value, key: bytes, capabilities: Capabilities) -> Iterator[Said]:
    def parts(entries: bool) -> Iterator[Part]:
        cursor.seek(value.offset)
        return stream(cursor, STREAM_VERSIONS[value.type], entries)

    return stream_commands(parts, key, capabilities)


def _module(cursor: Cursor, value: Value, key: bytes, capabilities: Capabilities) -> Iterator[Said]:
    for run in flat_elements(cursor, value):
        yield Unsupported(f"a value of the module type {run[0].name}, which only its module can make")
        return


_WRITERS: dict[tuple[str, int], Callable[[Cursor, Value, bytes, Capabilities], Iterator[Said]]] = {
    ("string", 1): _string,
    ("list", 1): partial(_collection, b"RPUSH", 1),
    ("set", 1): partial(_collection, b"SADD", 1),
    ("zset", 2): _zset,
    ("hash", 2): partial(_collection, b"HMSET", 2),
    ("hash", 3): _timed_hash,
    ("array", 2): _array,
    ("stream", 1): _stream,
    ("module", 1): _module,
}
