"""Re-encode a stream for an older RDB version: copy its listpacks, and drop counters and times that it does not have.

Stream format 2 (Redis 7.0) added counters, 3 (7.2) the active time of consumers,
4 and 5 (8.6, 8.8) the ids of producers and pending entries without a consumer.
Dropped information is reported as a loss, unless an older server assumes the
same value by default.
"""

from collections.abc import Iterator

from aofdoctor.rdb.encoding.cursor import Cursor
from aofdoctor.rdb.encoding.writer import encode_length, encode_string
from aofdoctor.rdb.opcodes import RdbType
from aofdoctor.rdb.values.decoders import ValueRef
from aofdoctor.rdb.values.pending_entries import ID_SIZE
from aofdoctor.rdb.values.stream_id_set import StreamIdSet
from aofdoctor.rdb.values.streams import (
    STREAM_VERSIONS,
    Consumer,
    PendingEntry,
    ProducerSummary,
    StreamMeta,
    decode_stream,
)

_TYPES = {1: RdbType.STREAM_LISTPACKS, 2: RdbType.STREAM_LISTPACKS_2, 3: RdbType.STREAM_LISTPACKS_3}
_ZERO = (0, 0)


def reencode_stream(
    cursor: Cursor, value: ValueRef, dialect: str, version: int
) -> tuple[int | None, Iterator[bytes], list[str]]:
    """Re-encode a stream for readers of `dialect` and RDB version `version`; return (type byte, value bytes, losses).

    The type byte is None if the readers do not know streams; each loss describes dropped information.
    """
    to_version = 3 if dialect == "valkey" or version >= 11 else 2 if version == 10 else 1 if version == 9 else 0
    if not to_version:
        return None, iter(()), ["a stream"]
    from_version = STREAM_VERSIONS[value.type]
    return (
        _TYPES[to_version],
        _pieces(cursor, value, from_version, to_version),
        list(_losses(cursor, value, from_version, to_version)),
    )


def _losses(cursor: Cursor, value: ValueRef, from_version: int, to_version: int) -> Iterator[str]:
    cursor.seek(value.offset)
    losses: set[str] = set()
    for part in decode_stream(cursor, from_version, entries=False):
        if (
            isinstance(part, StreamMeta)
            and to_version < 2
            and (part.entries_added != part.length or part.max_deleted_id != _ZERO)
        ):
            losses.add("how many entries a stream had, and which went last")
        elif isinstance(part, Consumer) and to_version < 3 and part.active_ms not in (None, part.seen_ms):
            losses.add("when a consumer was last active")
        elif isinstance(part, PendingEntry) and not part.is_owned:
            losses.add("entries that are pending in a group, and no consumer's")
        elif isinstance(part, ProducerSummary) and part.known:
            losses.add("ids that idempotent producers have used")
    yield from sorted(losses)


def _pieces(cursor: Cursor, value: ValueRef, from_version: int, to_version: int) -> Iterator[bytes]:
    cursor.seek(value.offset)
    count = cursor.length()
    yield encode_length(count)
    for _ in range(2 * count):
        yield from encode_string(cursor.string())
    yield from map(encode_length, (cursor.length() for _ in range(3)))
    counters = [cursor.length() for _ in range(5 if from_version >= 2 else 0)]
    if to_version >= 2:
        yield from map(encode_length, counters)
    groups = cursor.length()
    yield encode_length(groups)
    for _ in range(groups):
        yield from _group(cursor, from_version, to_version)


def _group(cursor: Cursor, from_version: int, to_version: int) -> Iterator[bytes]:
    """Yield a consumer group in the older format: name, last id, entries read, pending entries, consumers."""
    yield from encode_string(cursor.string())
    yield from map(encode_length, (cursor.length() for _ in range(2)))
    read = cursor.length() if from_version >= 2 else 0
    if to_version >= 2:
        yield encode_length(read)
    start, nacked = cursor.offset, _read_nacked(cursor, from_version) if from_version >= 5 else StreamIdSet()
    cursor.seek(start)
    count = cursor.length()
    yield encode_length(count - nacked.count)
    nacked_ids = iter(nacked)  # in the same order as the pending entries of the group
    next_nacked = next(nacked_ids, b"")
    for _ in range(count):
        raw, time, deliveries = cursor.take(ID_SIZE), cursor.take(8), cursor.length()
        if raw == next_nacked:
            next_nacked = next(nacked_ids, b"")
        else:
            yield raw + time + encode_length(deliveries)
    consumers = cursor.length()
    yield encode_length(consumers)
    for _ in range(consumers):
        yield from _consumer(cursor, from_version, to_version)
    for _ in range(cursor.length() if from_version >= 5 else 0):
        cursor.take(ID_SIZE)


def _read_nacked(cursor: Cursor, from_version: int) -> StreamIdSet:
    """Return the ids of a group's pending entries that have no consumer; they are stored at the end of the group."""
    for _ in range(cursor.length()):
        cursor.take(ID_SIZE + 8)
        cursor.length()
    for _ in range(cursor.length()):
        for _ in _consumer(cursor, from_version, from_version):
            pass
    nacked = StreamIdSet()
    for _ in range(cursor.length()):
        nacked.add(cursor.take(ID_SIZE))
    return nacked


def _consumer(cursor: Cursor, from_version: int, to_version: int) -> Iterator[bytes]:
    """Yield a consumer in the older format: name, times, ids of its pending entries."""
    yield from encode_string(cursor.string())
    seen_time = cursor.take(8)
    active_time = cursor.take(8) if from_version >= 3 else seen_time
    yield seen_time + (active_time if to_version >= 3 else b"")
    count = cursor.length()
    yield encode_length(count)
    for _ in range(count):
        yield cursor.take(ID_SIZE)
