"""Streams: entries, groups, consumers, pending entries, in the order of the file.

Types 15, 19, 21 (Redis 5.0, 7.0, 7.2: rdb.c, t_stream.c); 26 and 27 (8.6, 8.8) add
what idempotent producers were told and entries that no consumer owns: three
independent public readers of those types agree on this layout; no server at
hand writes them.  An entry whose id does not grow, or whose length backwards
is wrong, is Broken: no server would take it.
"""

from collections.abc import Iterator
from itertools import chain, islice
from typing import Any, NamedTuple

from aofdoctor.rdb.encoding.cursor import Cursor, DecodeError, String
from aofdoctor.rdb.values.packed import listpack
from aofdoctor.rdb.values.pending_entries import PendingEntries
from aofdoctor.rdb.values.unpack import unfolded

STREAM_VERSIONS = {15: 1, 19: 2, 21: 3, 26: 4, 27: 5}
_U64 = (1 << 64) - 1  # and -1, for entries read: not known
_DELETED, _SAME_FIELDS = 1, 2


class Id(NamedTuple):
    """An entry's id; `raw` is how it stands in a file, and sorts the same."""

    ms: int
    seq: int

    @property
    def raw(self) -> bytes:
        """Its sixteen bytes."""
        return self.ms.to_bytes(8, "big") + self.seq.to_bytes(8, "big")

    def __bytes__(self) -> bytes:
        return b"%d-%d" % self


class Entry(NamedTuple):
    """One entry: fields and values in turn."""

    id: Id
    items: list[String]


class Meta(NamedTuple):
    """What stands after the entries; `first`, `max_deleted`, `added` are None before Redis 7.0."""

    length: int
    last: Id
    first: Id | None = None
    max_deleted: Id | None = None
    added: int | None = None


class Group(NamedTuple):
    """A consumer group; `read` is None where it is not known."""

    name: String
    last: Id
    read: int | None


class Consumer(NamedTuple):
    """A consumer of the group before it; `active_ms` is None before Redis 7.2, and where it never was."""

    name: String
    seen_ms: int
    active_ms: int | None


class Pending(NamedTuple):
    """An entry that was delivered, to the consumer before it (`owned`), and not acknowledged."""

    id: Id
    delivered_ms: int
    deliveries: int
    owned: bool = True


class Produced(NamedTuple):
    """What an idempotent producer was told: its own id of an entry, and the entry's."""

    producer: String
    own: String
    id: Id


class Producers(NamedTuple):
    """The settings for them, and how many of what they sent is known, was added, was there already."""

    duration: int
    most: int
    known: int
    added: int
    duplicates: int


Part = Entry | Meta | Group | Consumer | Pending | Produced | Producers


def stream(c: Cursor, version: int, entries: bool = True) -> Iterator[Part]:
    """The parts of a stream; without its `entries` if they are not wanted."""
    last = Id(0, -1)
    for _ in range(c.length()):
        at = c.offset
        master = _raw_id(at, c.string())
        node = c.string()
        for entry in _node(at, master, node) if entries else ():
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


def _raw_id(at: int, data: String) -> Id:
    if not isinstance(data, bytes) or len(data) != 16:
        raise DecodeError(at, f"a stream's id of {len(data)} bytes")
    return raw_id(data)


def raw_id(data: bytes | bytearray) -> Id:
    """An id by its sixteen bytes."""
    return Id(int.from_bytes(data[:8], "big"), int.from_bytes(data[8:], "big"))


def _id(c: Cursor) -> Id:
    return Id(c.length(), c.length())


def _meta(c: Cursor, version: int) -> Meta:
    length, last = c.length(), _id(c)
    return Meta(length, last) if version == 1 else Meta(length, last, _id(c), _id(c), c.length())


def _group(c: Cursor, version: int) -> Iterator[Part]:
    name, last = c.string(), _id(c)
    read = c.length() if version >= 2 else _U64
    yield Group(name, last, None if read == _U64 else read)
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
    if pending.left:
        raise DecodeError(c.offset, f"{pending.left} pending entries of a group that nobody owns")


def _consumer(c: Cursor, version: int) -> Consumer:
    name, seen = c.string(), c.number()
    active = c.number(signed=True) if version >= 3 else -1
    return Consumer(name, seen, active if active >= 0 else None)


def _pending(c: Cursor, pending: PendingEntries, owned: bool) -> Pending:
    """The server's own check too: an entry is pending once, and its group knows of it."""
    at, raw = c.offset, c.take(16)
    if (found := pending.take(raw)) is None:
        raise DecodeError(at, "a pending entry of a consumer that is not its group's")
    return Pending(_raw_id(at, raw), *found, owned)


def _producers(c: Cursor) -> Iterator[Part]:
    duration, most, known = c.length(), c.length(), 0
    for _ in range(c.length()):
        producer = c.string()
        for _ in range(c.length()):
            yield Produced(producer, c.string(), _id(c))
            known += 1
    yield Producers(duration, most, known, c.length(), c.length())


def _node(at: int, master: Id, data: String) -> Iterator[Entry]:
    """The entries of one listpack that are not deleted: first what they share, then what each has of its own."""
    items = chain.from_iterable(unfolded(data, listpack))
    try:
        live, deleted = _int(items), _int(items)
        fields = [next(items) for _ in range(_int(items))]
        if _int(items):
            raise DecodeError(at, "a stream's node whose fields have no end")
        for item in items:
            flags = int(item)
            gone = bool(flags & _DELETED)
            live, deleted = live - (not gone), deleted - gone
            entry = _entry(items, master, flags, fields)
            if not gone:
                yield entry
    except (StopIteration, ValueError, TypeError) as problem:
        raise DecodeError(at, "a stream's node that ends inside an entry, or has text for a number") from problem
    if live or deleted:
        raise DecodeError(at, "a stream's node that has not as many entries as it says")


def _int(items: Iterator[Any]) -> int:
    return int(next(items))


def _entry(items: Iterator[String], master: Id, flags: int, fields: list[String]) -> Entry:
    ms, seq = master.ms + _int(items), master.seq + _int(items)  # differences wrap around
    if flags & _SAME_FIELDS:
        values = list(islice(items, len(fields)))
        pairs = [piece for pair in zip(fields, values, strict=True) for piece in pair]
        size = 3 + len(values)
    else:
        pairs = list(islice(items, 2 * _int(items)))
        size = 4 + len(pairs)
    if _int(items) != size or not pairs:
        raise ValueError
    return Entry(Id(ms & _U64, seq & _U64), pairs)
