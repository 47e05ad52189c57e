"""A stream for older readers: its nodes byte for byte, without the counters and times that they do not know.

What goes is said where it is not what an older server would take it for
anyway: 2 (Redis 7.0) added counters, 3 (7.2) when a consumer was last active,
4 and 5 (8.6, 8.8) what producers sent and entries that nobody owns.
"""

from collections.abc import Iterator

from aofdoctor.rdb.encoding.cursor import Cursor
from aofdoctor.rdb.encoding.writer import length, string
from aofdoctor.rdb.values.decoders import Value
from aofdoctor.rdb.values.pending_entries import ID, IdSet
from aofdoctor.rdb.values.streams import STREAM_VERSIONS, Consumer, Meta, Pending, Producers, stream

_TYPES = {1: 15, 2: 19, 3: 21}
_ZERO = (0, 0)


def reencode_stream(
    cursor: Cursor, value: Value, dialect: str, version: int
) -> tuple[int | None, Iterator[bytes], list[str]]:
    """(the type, its bytes, what is lost); the type is None where readers know no streams."""
    to = 3 if dialect == "valkey" or version >= 11 else 2 if version == 10 else 1 if version == 9 else 0
    if not to:
        return None, iter(()), ["a stream"]
    was = STREAM_VERSIONS[value.type]
    return _TYPES[to], _pieces(cursor, value, was, to), list(_lost(cursor, value, was, to))


def _lost(cursor: Cursor, value: Value, was: int, to: int) -> Iterator[str]:
    cursor.seek(value.offset)
    said: set[str] = set()
    for part in stream(cursor, was, entries=False):
        if isinstance(part, Meta) and to < 2 and (part.added != part.length or part.max_deleted != _ZERO):
            said.add("how many entries a stream had, and which went last")
        elif isinstance(part, Consumer) and to < 3 and part.active_ms not in (None, part.seen_ms):
            said.add("when a consumer was last active")
        elif isinstance(part, Pending) and not part.owned:
            said.add("entries that are pending in a group, and no consumer's")
        elif isinstance(part, Producers) and part.known:
            said.add("ids that idempotent producers have used")
    yield from sorted(said)


def _pieces(cursor: Cursor, value: Value, was: int, to: int) -> Iterator[bytes]:
    cursor.seek(value.offset)
    count = cursor.length()
    yield length(count)
    for _ in range(2 * count):
        yield from string(cursor.string())
    yield from map(length, (cursor.length() for _ in range(3)))
    counters = [cursor.length() for _ in range(5 if was >= 2 else 0)]
    if to >= 2:
        yield from map(length, counters)
    groups = cursor.length()
    yield length(groups)
    for _ in range(groups):
        yield from _group(cursor, was, to)


def _group(cursor: Cursor, was: int, to: int) -> Iterator[bytes]:
    """Name, last id, how much was read; pending entries; consumers with theirs."""
    yield from string(cursor.string())
    yield from map(length, (cursor.length() for _ in range(2)))
    read = cursor.length() if was >= 2 else 0
    if to >= 2:
        yield length(read)
    start, nacked = cursor.offset, _nacked(cursor, was) if was >= 5 else IdSet()
    cursor.seek(start)
    count = cursor.length()
    yield length(count - nacked.count)
    gone = iter(nacked)  # in order, as those of the group are
    left_out = next(gone, b"")
    for _ in range(count):
        raw, time, deliveries = cursor.take(ID), cursor.take(8), cursor.length()
        if raw == left_out:
            left_out = next(gone, b"")
        else:
            yield raw + time + length(deliveries)
    consumers = cursor.length()
    yield length(consumers)
    for _ in range(consumers):
        yield from _consumer(cursor, was, to)
    for _ in range(cursor.length() if was >= 5 else 0):
        cursor.take(ID)


def _nacked(cursor: Cursor, was: int) -> IdSet:
    """The ids that no consumer owns: they stand behind everything else of the group."""
    for _ in range(cursor.length()):
        cursor.take(ID + 8)
        cursor.length()
    for _ in range(cursor.length()):
        for _ in _consumer(cursor, was, was):
            pass
    nacked = IdSet()
    for _ in range(cursor.length()):
        nacked.add(cursor.take(ID))
    return nacked


def _consumer(cursor: Cursor, was: int, to: int) -> Iterator[bytes]:
    """Its name and times, the ids that are pending with it."""
    yield from string(cursor.string())
    seen = cursor.take(8)
    active = cursor.take(8) if was >= 3 else seen
    yield seen + (active if to >= 3 else b"")
    count = cursor.length()
    yield length(count)
    for _ in range(count):
        yield cursor.take(ID)
