"""Export a stream as commands that restore its ids, counters, consumer groups and pending entries exactly.

XCLAIM makes an entry pending only while the entry exists.  Therefore an entry that is
pending but was deleted is added with a placeholder content (a "filler"), then claimed,
and removed at the end: fillers before the first real entry with XTRIM, which leaves no
trace, the others with XDEL, as the original entry was deleted.  The fillers need the
pending ids before the entries, but the file has them after the entries: the value is
read twice, and the ids are held in 16 bytes each.  Source: rewriteStreamObject of aof.c
(Redis 7.0), xclaimCommand of t_stream.c.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from aofdoctor.rdb.capabilities import Capabilities
from aofdoctor.rdb.encoding.cursor import DecodeError, String
from aofdoctor.rdb.export.command_args import CommandArgs, Unsupported
from aofdoctor.rdb.values.pending_entries import ID_SIZE
from aofdoctor.rdb.values.stream_id_set import StreamIdSet
from aofdoctor.rdb.values.streams import (
    Consumer,
    ConsumerGroup,
    PendingEntry,
    ProducerEntry,
    ProducerSummary,
    StreamEntry,
    StreamId,
    StreamMeta,
    StreamPart,
    parse_stream_id,
)

_IDS_PER_CMD = 64
_NONE, _FIRST = StreamId(0, 0), StreamId(0, 1)
_FILLER = [b"x", b"y"]  # the field and value of a filler


@dataclass(slots=True)
class _StreamState:
    """The state while one stream is exported; a filler is a placeholder entry for a pending entry that was deleted.

    `next_deleted` is the next pending id that could need a filler, empty if none
    is left, and `deleted_pending` yields the ones after it.  `entry_count` counts
    the real entries so far, `leading_fillers` the fillers before the first of
    them; `inner_filler_ids` holds the ids of the others, 16 bytes each.
    """

    key: bytes
    capabilities: Capabilities
    deleted_pending: Iterator[bytes]
    next_deleted: bytes = b""
    entry_count: int = 0
    leading_fillers: int = 0
    inner_filler_ids: bytearray = field(default_factory=bytearray)
    meta: StreamMeta | None = None
    group: String = b""
    consumer: String = b""
    consumer_not_created: bool = False


def stream_commands(
    parts: Callable[[bool], Iterator[StreamPart]], key: bytes, capabilities: Capabilities
) -> Iterator[CommandArgs | Unsupported]:
    """Yield the commands that recreate the stream `key`, and an Unsupported for each part that no command can recreate.

    `parts(entries)` decodes the stream from the start, with its entries or without.
    """
    if not capabilities.has_streams:
        yield Unsupported("a stream")
        return
    state = _StreamState(key, capabilities, _pending_ids(parts(False)))
    state.next_deleted = next(state.deleted_pending, b"")
    error = None
    try:
        for part in parts(True):
            yield from _WRITERS[type(part)](state, part)
    except DecodeError as problem:
        error = problem
    yield from _remove_fillers(state)
    if error:
        raise error


def _pending_ids(parts: Iterator[StreamPart]) -> Iterator[bytes]:
    ids = StreamIdSet()
    try:
        for part in parts:
            if isinstance(part, PendingEntry) and part.is_owned:
                ids.add(part.id.raw)
    except DecodeError:
        pass  # the second pass meets the same damage and reports it
    return iter(ids)


def _write_entry(state: _StreamState, entry: StreamEntry) -> Iterator[CommandArgs]:
    if state.next_deleted:
        yield from _add_fillers(state, entry.id.raw)
        if state.next_deleted == entry.id.raw:
            state.next_deleted = next(state.deleted_pending, b"")
    state.entry_count += 1
    yield [b"XADD", state.key, bytes(entry.id), *entry.items]


def _add_fillers(state: _StreamState, before: bytes) -> Iterator[CommandArgs]:
    """Add placeholder entries for the deleted pending entries with ids below `before` (16 bytes)."""
    while state.next_deleted and state.next_deleted < before:
        deleted, state.next_deleted = state.next_deleted, next(state.deleted_pending, b"")
        if state.entry_count:
            state.inner_filler_ids += deleted
        else:
            state.leading_fillers += 1
        yield [b"XADD", state.key, bytes(parse_stream_id(deleted)), *_FILLER]


def _write_meta(state: _StreamState, meta: StreamMeta) -> Iterator[CommandArgs | Unsupported]:
    state.meta = meta
    yield from _add_fillers(state, meta.last_id.raw + b"\0")
    # The remaining ids are released before the groups are read, to save memory.
    state.deleted_pending, state.next_deleted = iter(()), b""
    if not state.entry_count + state.leading_fillers:
        yield [b"XADD", state.key, b"MAXLEN", b"0", bytes(_FIRST), *_FILLER]
    yield _xsetid(state, meta, state.entry_count + state.leading_fillers + len(state.inner_filler_ids) // ID_SIZE)
    counted = meta.entries_added is not None and (meta.entries_added != meta.length or meta.max_deleted_id != _NONE)
    if counted and not state.capabilities.has_stream_counters:
        yield Unsupported("how many entries a stream had, and which went last")


def _xsetid(state: _StreamState, meta: StreamMeta, entries: int) -> CommandArgs:
    command: CommandArgs = [b"XSETID", state.key, bytes(meta.last_id)]
    if state.capabilities.has_stream_counters:
        added = max(entries, meta.length if meta.entries_added is None else meta.entries_added)
        command += [b"ENTRIESADDED", b"%d" % added, b"MAXDELETEDID", bytes(meta.max_deleted_id or _NONE)]
    return command


def _write_group(state: _StreamState, group: ConsumerGroup) -> Iterator[CommandArgs | Unsupported]:
    yield from _create_idle_consumer(state)
    state.group = group.name
    command: CommandArgs = [b"XGROUP", b"CREATE", state.key, group.name, bytes(group.last_id)]
    if state.capabilities.has_stream_counters:
        command += [b"ENTRIESREAD", b"%d" % (-1 if group.entries_read is None else group.entries_read)]
    yield command


def _enter_consumer(state: _StreamState, consumer: Consumer) -> Iterator[CommandArgs | Unsupported]:
    yield from _create_idle_consumer(state)
    state.consumer, state.consumer_not_created = consumer.name, True


def _create_idle_consumer(state: _StreamState) -> Iterator[CommandArgs | Unsupported]:
    """Create the previous consumer of the group if no XCLAIM has created it, because it has no pending entries."""
    if not state.consumer_not_created:
        return
    state.consumer_not_created = False
    if state.capabilities.has_createconsumer:
        yield [b"XGROUP", b"CREATECONSUMER", state.key, state.group, state.consumer]
    else:
        yield Unsupported("a consumer that has nothing pending")


def _write_pending(state: _StreamState, pending: PendingEntry) -> Iterator[CommandArgs | Unsupported]:
    assert state.meta is not None, "groups follow the metadata"
    if not pending.is_owned or not _NONE < pending.id <= state.meta.last_id:
        yield Unsupported(f"that {bytes(pending.id).decode()} is pending in a group, and no consumer's")
        return
    state.consumer_not_created = False
    time, deliveries = b"%d" % pending.delivered_ms, b"%d" % pending.deliveries
    yield [
        b"XCLAIM", state.key, state.group, state.consumer, b"0", bytes(pending.id),
        b"TIME", time, b"RETRYCOUNT", deliveries, b"JUSTID", b"FORCE",
    ]  # fmt: skip


def _report_producers(state: _StreamState, producers: ProducerSummary) -> Iterator[Unsupported]:
    if producers.known:
        yield Unsupported(f"{producers.known} ids that idempotent producers have used")


def _remove_fillers(state: _StreamState) -> Iterator[CommandArgs | Unsupported]:
    """Remove the placeholder entries, and set the stream's counters again, which the removal changes."""
    yield from _create_idle_consumer(state)
    if state.leading_fillers:
        yield [b"XTRIM", state.key, b"MAXLEN", b"%d" % (state.entry_count + len(state.inner_filler_ids) // ID_SIZE)]
    for start in range(0, len(state.inner_filler_ids), _IDS_PER_CMD * ID_SIZE):
        ends = range(start, min(start + _IDS_PER_CMD * ID_SIZE, len(state.inner_filler_ids)), ID_SIZE)
        yield [b"XDEL", state.key, *(bytes(parse_stream_id(state.inner_filler_ids[at : at + ID_SIZE])) for at in ends)]
    if state.meta and (state.leading_fillers or state.inner_filler_ids):
        yield _xsetid(state, state.meta, state.entry_count)


_WRITERS: dict[type, Callable[[_StreamState, Any], Iterable[CommandArgs | Unsupported]]] = {
    StreamEntry: _write_entry,
    StreamMeta: _write_meta,
    ConsumerGroup: _write_group,
    Consumer: _enter_consumer,
    PendingEntry: _write_pending,
    ProducerEntry: lambda state, produced: (),
    ProducerSummary: _report_producers,
}
