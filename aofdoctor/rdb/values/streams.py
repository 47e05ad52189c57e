"""Decode streams of an RDB: entries, groups, consumers and pending entries, in file order.

The first three stream formats are those of Redis 5.0, 7.0 and 7.2 (rdb.c, t_stream.c).  The fourth (8.6) adds the ids
of idempotent producers, and the fifth (8.8) pending entries that no consumer owns; three independent public readers
agree on their layout, but no file of a real server was available.  An entry with an id that does not grow, or with a
wrong backward length, is an error, because no server would load it.
"""

from collections.abc import Iterator
from itertools import chain, islice
from typing import Any, NamedTuple

from aofdoctor.rdb.encoding.cursor import Cursor, DecodeError, String
from aofdoctor.rdb.opcodes import RdbType
from aofdoctor.rdb.values.packed import listpack
from aofdoctor.rdb.values.pending_entries import PendingEntries
from aofdoctor.rdb.values.unpack import unpack_items

STREAM_VERSIONS: dict[int, int] = {  # the stream format of each type byte
    RdbType.STREAM_LISTPACKS: 1,
    RdbType.STREAM_LISTPACKS_2: 2,
    RdbType.STREAM_LISTPACKS_3: 3,
    RdbType.STREAM_LISTPACKS_4: 4,
    RdbType.STREAM_LISTPACKS_5: 5,
}
_U64 = (1 << 64) - 1  # as a number of entries read it is -1, which means unknown
_DELETED, _SAME_FIELDS = 1, 2  # flags of an entry: it was deleted; it has the field names of its listpack's first entry


class StreamId(NamedTuple):
    """The id of a stream entry: unix milliseconds and sequence number."""

    ms: int
    seq: int

    @property
    def raw(self) -> bytes:
        """The stream id as the 16 bytes of an RDB file, which sort in the order of ids."""
        return self.ms.to_bytes(8, "big") + self.seq.to_bytes(8, "big")

    def __bytes__(self) -> bytes:
        return b"%d-%d" % self


class StreamEntry(NamedTuple):
    """An entry of a stream; `items` are its fields and values alternately."""

    id: StreamId
    items: list[String]


class StreamMeta(NamedTuple):
    """The counters of a stream, which an RDB stores after its entries; the last three are None before Redis 7.0."""

    length: int
    last_id: StreamId
    first_id: StreamId | None = None
    max_deleted_id: StreamId | None = None
    entries_added: int | None = None


class ConsumerGroup(NamedTuple):
    """A consumer group of a stream; `entries_read` is None if the server does not know it."""

    name: String
    last_id: StreamId
    entries_read: int | None


class Consumer(NamedTuple):
    """A consumer of the consumer group decoded before it; times are in unix milliseconds.

    `active_ms` is None before Redis 7.2 and if the consumer was never active.
    """

    name: String
    seen_ms: int
    active_ms: int | None


class PendingEntry(NamedTuple):
    """A stream entry that was delivered and not acknowledged.

    Its consumer is the one decoded before it, or none if `is_owned` is False.  `delivered_ms` is in unix milliseconds.
    """

    id: StreamId
    delivered_ms: int
    deliveries: int
    is_owned: bool = True


class ProducerEntry(NamedTuple):
    """An entry of an idempotent producer (Redis 8.6): the id that the producer chose for it, and its stream id."""

    producer: String
    idempotent_id: String
    id: StreamId


class ProducerSummary(NamedTuple):
    """A stream's settings for idempotent producers (Redis 8.6), and counts of their ids.

    `known` ids are stored, `added` were added in total, and `duplicates` were rejected.
    """

    duration: int
    max_size: int
    known: int
    added: int
    duplicates: int


StreamPart = StreamEntry | StreamMeta | ConsumerGroup | Consumer | PendingEntry | ProducerEntry | ProducerSummary


def decode_stream(c: Cursor, version: int, entries: bool = True) -> Iterator[StreamPart]:
    """Decode a stream in stream format `version`: yield its entries, counters, groups, consumers and pending entries.

    Without its entries if `entries` is False.  Raises DecodeError at a defect.
    """
    last = StreamId(0, -1)
    for _ in range(c.length()):
        at = c.offset
        master = _require_stream_id(at, c.string())
        node = c.string()
        for entry in _decode_node(at, master, node) if entries else ():
            if entry.id <= last:
                raise DecodeError(
                    at, f"entry {bytes(entry.id).decode()} of a stream does not come after the one before"
                )
            last = entry.id
            yield entry
    yield _meta(c, version)
    for _ in range(c.length()):
        yield from _group(c, version)
    if version >= 4:
        yield from _producers(c)


def _require_stream_id(at: int, data: String) -> StreamId:
    if not isinstance(data, bytes) or len(data) != 16:
        raise DecodeError(at, f"a stream's id of {len(data)} bytes")
    return parse_stream_id(data)


def parse_stream_id(data: bytes | bytearray) -> StreamId:
    """Convert the 16 bytes of a stream id in an RDB to a StreamId."""
    return StreamId(int.from_bytes(data[:8], "big"), int.from_bytes(data[8:], "big"))


def _id(c: Cursor) -> StreamId:
    return StreamId(c.length(), c.length())


def _meta(c: Cursor, version: int) -> StreamMeta:
    length, last = c.length(), _id(c)
    return StreamMeta(length, last) if version == 1 else StreamMeta(length, last, _id(c), _id(c), c.length())


def _group(c: Cursor, version: int) -> Iterator[StreamPart]:
    name, last = c.string(), _id(c)
    read = c.length() if version >= 2 else _U64
    yield ConsumerGroup(name, last, None if read == _U64 else read)
    pending = PendingEntries()
    for _ in range(c.length()):
        if not pending.add(c.take(16), c.number(), c.length()):
            raise DecodeError(c.offset, "pending entries of a group that are not in the order of their ids")
    for _ in range(c.length()):
        yield _consumer(c, version)
        for _ in range(c.length()):
            yield _pending(c, pending, owned=True)
    for _ in range(c.length() if version >= 5 else 0):
        yield _pending(c, pending, owned=False)
    if pending.remaining:
        raise DecodeError(c.offset, f"{pending.remaining} pending entries of a group that nobody owns")


def _consumer(c: Cursor, version: int) -> Consumer:
    name, seen = c.string(), c.number()
    active = c.number(signed=True) if version >= 3 else -1
    return Consumer(name, seen, active if active >= 0 else None)


def _pending(c: Cursor, pending: PendingEntries, owned: bool) -> PendingEntry:
    """Decode a pending entry of a consumer; raises DecodeError if its group lacks it, or it has another owner."""
    at, raw = c.offset, c.take(16)
    if (delivery := pending.take(raw)) is None:
        raise DecodeError(at, "a pending entry of a consumer that is not its group's")
    return PendingEntry(_require_stream_id(at, raw), *delivery, owned)


def _producers(c: Cursor) -> Iterator[StreamPart]:
    duration, most, known = c.length(), c.length(), 0
    for _ in range(c.length()):
        producer = c.string()
        for _ in range(c.length()):
            yield ProducerEntry(producer, c.string(), _id(c))
            known += 1
    yield ProducerSummary(duration, most, known, c.length(), c.length())


def _decode_node(at: int, master: StreamId, data: String) -> Iterator[StreamEntry]:
    """Yield the entries of one listpack of a stream that are not deleted.

    The listpack begins with the field names that its entries can share, followed by the entries.
    """
    items = chain.from_iterable(unpack_items(data, listpack))
    try:
        live, deleted = _next_int(items), _next_int(items)
        fields = [next(items) for _ in range(_next_int(items))]
        if _next_int(items):
            raise DecodeError(at, "a stream's node whose fields have no end")
        for item in items:
            flags = int(item)
            is_deleted = bool(flags & _DELETED)
            live, deleted = live - (not is_deleted), deleted - is_deleted
            entry = _entry(items, master, flags, fields)
            if not is_deleted:
                yield entry
    except (StopIteration, ValueError, TypeError) as problem:
        raise DecodeError(at, "a stream's node that ends inside an entry, or has text for a number") from problem
    if live or deleted:
        raise DecodeError(at, "a stream's node that has not as many entries as it says")


def _next_int(items: Iterator[Any]) -> int:
    return int(next(items))


def _entry(items: Iterator[String], master: StreamId, flags: int, fields: list[String]) -> StreamEntry:
    ms, seq = (
        master.ms + _next_int(items),
        master.seq + _next_int(items),
    )  # The differences are signed and can wrap around.
    if flags & _SAME_FIELDS:
        values = list(islice(items, len(fields)))
        pairs = [piece for pair in zip(fields, values, strict=True) for piece in pair]
        size = 3 + len(values)
    else:
        pairs = list(islice(items, 2 * _next_int(items)))
        size = 4 + len(pairs)
    if _next_int(items) != size or not pairs:
        raise ValueError
    return StreamEntry(StreamId(ms & _U64, seq & _U64), pairs)
