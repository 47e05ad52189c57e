"""A stream as commands, exactly: its ids, its counters, its groups and what is pending in them.

A server takes an entry for pending only while the entry is there.  So what is
pending and gone is added in its place, claimed, and taken away again: from the
head by XTRIM, which leaves no trace, from the middle by XDEL, which is how it
went.  Needs the pending ids before the entries, which stand before them in the
file: the value is read twice, and the ids are held, in 16 bytes each.  Source:
rewriteStreamObject of aof.c (Redis 7.0), xclaimCommand of t_stream.c.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from aofdoctor.rdb.encoding.cursor import DecodeError, String
from aofdoctor.rdb.export.capabilities import Capabilities, Command, Unsupported
from aofdoctor.rdb.values.pending_entries import ID, IdSet
from aofdoctor.rdb.values.streams import Consumer, Entry, Group, Id, Meta, Part, Pending, Produced, Producers, raw_id

_CHUNK = 64
_NONE, _FIRST = Id(0, 0), Id(0, 1)
_FILLER = [b"x", b"y"]


@dataclass(slots=True)
class _State:
    """What has been written: how many entries, which in place of one that is gone, and where we stand.

    `missing` are the ids that may have to be put in yet, after `next`, which is
    empty when there are no more.
    """

    key: bytes
    capabilities: Capabilities
    missing: Iterator[bytes]
    next: bytes = b""
    live: int = 0
    early: int = 0
    late: bytearray = field(default_factory=bytearray)
    meta: Meta | None = None
    group: String = b""
    consumer: String = b""
    unsaid: bool = False


def stream_commands(
    parts: Callable[[bool], Iterator[Part]], key: bytes, capabilities: Capabilities
) -> Iterator[Command | Unsupported]:
    """The commands that make a stream; `parts(entries)` reads it from its start, with its entries or without."""
    if not capabilities.streams:
        yield Unsupported("a stream")
        return
    state = _State(key, capabilities, _pending_ids(parts(False)))
    state.next = next(state.missing, b"")
    broken = None
    try:
        for part in parts(True):
            yield from _WRITERS[type(part)](state, part)
    except DecodeError as problem:
        broken = problem
    yield from _take_away(state)
    if broken:
        raise broken


def _pending_ids(parts: Iterator[Part]) -> Iterator[bytes]:
    ids = IdSet()
    try:
        for part in parts:
            if isinstance(part, Pending) and part.owned:
                ids.add(part.id.raw)
    except DecodeError:
        pass  # the second reading comes to the same place and says so
    return iter(ids)


def _entry(state: _State, entry: Entry) -> Iterator[Command]:
    if state.next:
        yield from _fill(state, entry.id.raw)
        if state.next == entry.id.raw:
            state.next = next(state.missing, b"")
    state.live += 1
    yield [b"XADD", state.key, bytes(entry.id), *entry.items]


def _fill(state: _State, before: bytes) -> Iterator[Command]:
    """Entries in place of those that are pending and gone, up to an id."""
    while state.next and state.next < before:
        gone, state.next = state.next, next(state.missing, b"")
        if state.live:
            state.late += gone
        else:
            state.early += 1
        yield [b"XADD", state.key, bytes(raw_id(gone)), *_FILLER]


def _meta(state: _State, meta: Meta) -> Iterator[Command | Unsupported]:
    state.meta = meta
    yield from _fill(state, meta.last.raw + b"\0")
    state.missing, state.next = iter(()), b""  # what is left of them is not held while the groups are read
    if not state.live + state.early:
        yield [b"XADD", state.key, b"MAXLEN", b"0", bytes(_FIRST), *_FILLER]
    yield _set_id(state, meta, state.live + state.early + len(state.late) // ID)
    counted = meta.added is not None and (meta.added != meta.length or meta.max_deleted != _NONE)
    if counted and not state.capabilities.counters:
        yield Unsupported("how many entries a stream had, and which went last")


def _set_id(state: _State, meta: Meta, entries: int) -> Command:
    command: Command = [b"XSETID", state.key, bytes(meta.last)]
    if state.capabilities.counters:
        added = max(entries, meta.length if meta.added is None else meta.added)
        command += [b"ENTRIESADDED", b"%d" % added, b"MAXDELETEDID", bytes(meta.max_deleted or _NONE)]
    return command


def _group(state: _State, group: Group) -> Iterator[Command | Unsupported]:
    yield from _idle(state)
    state.group = group.name
    command: Command = [b"XGROUP", b"CREATE", state.key, group.name, bytes(group.last)]
    if state.capabilities.counters:
        command += [b"ENTRIESREAD", b"%d" % (-1 if group.read is None else group.read)]
    yield command


def _consumer(state: _State, consumer: Consumer) -> Iterator[Command | Unsupported]:
    yield from _idle(state)
    state.consumer, state.unsaid = consumer.name, True


def _idle(state: _State) -> Iterator[Command | Unsupported]:
    """The consumer before, if no XCLAIM has made it: one that has nothing pending."""
    if not state.unsaid:
        return
    state.unsaid = False
    if state.capabilities.consumers:
        yield [b"XGROUP", b"CREATECONSUMER", state.key, state.group, state.consumer]
    else:
        yield Unsupported("a consumer that has nothing pending")


def _pending(state: _State, pending: Pending) -> Iterator[Command | Unsupported]:
    assert state.meta is not None, "groups stand after it"
    if not pending.owned or not _NONE < pending.id <= state.meta.last:
        yield Unsupported(f"that {bytes(pending.id).decode()} is pending in a group, and no consumer's")
        return
    state.unsaid = False
    time, deliveries = b"%d" % pending.delivered_ms, b"%d" % pending.deliveries
    yield [
        b"XCLAIM", state.key, state.group, state.consumer, b"0", bytes(pending.id),
        b"TIME", time, b"RETRYCOUNT", deliveries, b"JUSTID", b"FORCE",
    ]  # fmt: skip


def _producers(state: _State, producers: Producers) -> Iterator[Unsupported]:
    if producers.known:
        yield Unsupported(f"{producers.known} ids that idempotent producers have used")


def _take_away(state: _State) -> Iterator[Command | Unsupported]:
    """The entries in place of those that are gone, and again the counters that this has moved."""
    yield from _idle(state)
    if state.early:
        yield [b"XTRIM", state.key, b"MAXLEN", b"%d" % (state.live + len(state.late) // ID)]
    for start in range(0, len(state.late), _CHUNK * ID):
        ends = range(start, min(start + _CHUNK * ID, len(state.late)), ID)
        yield [b"XDEL", state.key, *(bytes(raw_id(state.late[at : at + ID])) for at in ends)]
    if state.meta and (state.early or state.late):
        yield _set_id(state, state.meta, state.live)


_WRITERS: dict[type, Callable[[_State, Any], Iterable[Command | Unsupported]]] = {
    Entry: _entry,
    Meta: _meta,
    Group: _group,
    Consumer: _consumer,
    Pending: _pending,
    Produced: lambda state, produced: (),
    Producers: _producers,
}
