"""Export the value of one RDB key as the commands that recreate it on a server with given capabilities.

Collections are split into chunks of 64 elements, as in the server's own rewrite
(AOF_REWRITE_ITEMS_PER_CMD; rewriteAppendOnlyFileRio of aof.c).  A part of a value
that the target cannot represent is reported as an Unsupported among the
commands, never dropped silently.  Damage ends the commands with a CorruptValue.
"""

from collections.abc import Callable, Iterator
from functools import partial
from math import isnan

from aofdoctor.rdb.capabilities import Capabilities
from aofdoctor.rdb.encoding.cursor import CorruptValue, Cursor, DecodeError, String
from aofdoctor.rdb.export.command_args import CommandArgs, Unsupported
from aofdoctor.rdb.export.stream_commands import stream_commands
from aofdoctor.rdb.values.decoders import DECODERS, FlatRun, ValueRef, flat_elements, score_text
from aofdoctor.rdb.values.streams import STREAM_VERSIONS, StreamPart, decode_stream

ITEMS_PER_CMD = 64
CommandOrUnsupported = CommandArgs | Unsupported


def value_commands(
    cursor: Cursor, value: ValueRef, key: bytes, expire_ms: int | None, capabilities: Capabilities
) -> Iterator[CommandArgs | Unsupported | CorruptValue]:
    """Yield the commands that set `key` to a value of an RDB, then a PEXPIREAT if `expire_ms` (unix ms) is not None.

    Parts that the target cannot represent are yielded as Unsupported.  If the value is damaged, the commands contain
    what could be read before the damage, and a CorruptValue comes last.
    """
    row = DECODERS[value.dialect].get(value.type)
    if row is None:
        yield CorruptValue(value.offset, f"type {value.type} is not one that this version reads")
        return
    any_command, broken = False, None
    try:
        for command in _WRITERS[row.type_name, row.width](cursor, value, key, capabilities):
            any_command = any_command or not isinstance(command, Unsupported)
            yield command
    except DecodeError as problem:
        broken = CorruptValue(problem.offset, problem.note)
    if expire_ms is not None and any_command:
        yield [b"PEXPIREAT", key, b"%d" % expire_ms]
    if broken:
        yield broken


def select_command(db: int) -> CommandArgs:
    """Build the command SELECT `db`."""
    return [b"SELECT", b"%d" % db]


def function_load_command(code: String, capabilities: Capabilities) -> CommandOrUnsupported:
    """Build FUNCTION LOAD for a library in an RDB (RDB_OPCODE_FUNCTION2, 245); Unsupported for older targets."""
    return [b"FUNCTION", b"LOAD", code] if capabilities.has_functions else Unsupported("a library of functions")


def _string(cursor: Cursor, value: ValueRef, key: bytes, capabilities: Capabilities) -> Iterator[CommandOrUnsupported]:
    for run in flat_elements(cursor, value):
        yield [b"SET", key, *run]


def _chunks(cursor: Cursor, value: ValueRef, width: int) -> Iterator[FlatRun]:
    """Yield the elements of a collection in chunks of ITEMS_PER_CMD elements, each a flat list; the last is shorter.

    An element has `width` items.  Damage raises DecodeError after the elements before it.
    """
    rest: FlatRun = []
    size, broken = ITEMS_PER_CMD * width, None
    try:
        for run in flat_elements(cursor, value):
            rest = rest + run if rest else run
            if len(rest) >= size:
                complete = len(rest) - len(rest) % size
                for start in range(0, complete, size):
                    yield rest[start : start + size]
                rest = rest[complete:]
    except DecodeError as problem:
        broken = problem
    if rest:
        yield rest
    if broken:
        raise broken


def _collection(
    name: bytes, width: int, cursor: Cursor, value: ValueRef, key: bytes, capabilities: Capabilities
) -> Iterator[CommandOrUnsupported]:
    for chunk in _chunks(cursor, value, width):
        yield [name, key, *chunk]


def _zset(cursor: Cursor, value: ValueRef, key: bytes, capabilities: Capabilities) -> Iterator[CommandOrUnsupported]:
    for chunk in _chunks(cursor, value, 2):
        if any(map(isnan, chunk[1::2])):
            yield Unsupported("a member whose score is not a number")
            chunk = [
                piece for at in range(0, len(chunk), 2) if not isnan(chunk[at + 1]) for piece in chunk[at : at + 2]
            ]
        chunk[::2], chunk[1::2] = [score_text(score) for score in chunk[1::2]], chunk[::2]
        if chunk:
            yield [b"ZADD", key, *chunk]


def _timed_hash(
    cursor: Cursor, value: ValueRef, key: bytes, capabilities: Capabilities
) -> Iterator[CommandOrUnsupported]:
    any_expiry_lost = False
    for chunk in _chunks(cursor, value, 3):
        times: dict[int, list[String]] = {}
        for field, time in zip(chunk[::3], chunk[2::3], strict=True):
            if time is not None:
                times.setdefault(time, []).append(field)
        del chunk[2::3]
        yield [b"HMSET", key, *chunk]
        for time, fields in times.items() if capabilities.has_field_expiry else ():
            yield [b"HPEXPIREAT", key, b"%d" % time, b"FIELDS", b"%d" % len(fields), *fields]
        any_expiry_lost = any_expiry_lost or bool(times and not capabilities.has_field_expiry)
    if any_expiry_lost:
        yield Unsupported("when fields of a hash expire")


def _array(cursor: Cursor, value: ValueRef, key: bytes, capabilities: Capabilities) -> Iterator[CommandOrUnsupported]:
    yield Unsupported("an array, which came with Redis 8.8")
    for _ in flat_elements(cursor, value):
        pass  # the value is decoded to find damage in it


def _stream(cursor: Cursor, value: ValueRef, key: bytes, capabilities: Capabilities) -> Iterator[CommandOrUnsupported]:
    def parts(entries: bool) -> Iterator[StreamPart]:
        cursor.seek(value.offset)
        return decode_stream(cursor, STREAM_VERSIONS[value.type], entries)

    return stream_commands(parts, key, capabilities)


def _module(cursor: Cursor, value: ValueRef, key: bytes, capabilities: Capabilities) -> Iterator[CommandOrUnsupported]:
    for run in flat_elements(cursor, value):
        yield Unsupported(f"a value of the module type {run[0].name}, which only its module can make")
        return


_WRITERS: dict[tuple[str, int], Callable[[Cursor, ValueRef, bytes, Capabilities], Iterator[CommandOrUnsupported]]] = {
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
