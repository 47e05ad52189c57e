"""The history as a stream of entries: forwards, backwards, or the end of it alone.

Forwards is one walk in load order.  Backwards is two: the first remembers the
context at every batch, the second reads the batches in the opposite order.
From the tail, only the end is read: where records begin there is a guess, and
what only a chain from the start can know (number, transaction, at first the
database) is None.
"""

import re
from array import array
from collections import deque
from collections.abc import Callable, Container, Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from aofdoctor.aof.discovery import AOF, AofPart
from aofdoctor.aof.reader import read_batches, read_tiles
from aofdoctor.aof.records import Preamble, RecordBatch
from aofdoctor.aof.recovery.resync import find_record
from aofdoctor.aof.scan import SLACK
from aofdoctor.damage import Damage
from aofdoctor.log.base_keys import BaseKey, base_keys, base_keys_backwards
from aofdoctor.log.ordinals import command_numbers, none_if_unknown
from aofdoctor.log.selection import Selection
from aofdoctor.server.command_table import command_table
from aofdoctor.server.context.fields import ContextField
from aofdoctor.server.context.tracker import ContextTracker
from aofdoctor.source import Source


class LogEntry(NamedTuple):
    """A command in its context: valid until the next entry is asked for."""

    part: str
    batch: RecordBatch
    i: int
    number: int | None
    db: int | None
    tx: int | None
    time: int | None


@dataclass(frozen=True, slots=True)
class DamageEntry:
    """Damage met on the way."""

    part: str
    damage: Damage


LogItem = LogEntry | DamageEntry | BaseKey
BaseKeyReader = Callable[[Selection, int, str, int, Source, Preamble], Iterator[BaseKey | Damage]]


@dataclass(frozen=True, slots=True)
class _SelectedBatch:
    """A batch in its context, and which of its records are selected."""

    part: str
    batch: RecordBatch
    tracker: ContextTracker
    commands_before: int
    selected: list[int]

    def entries(self, indexes: list[int]) -> Iterator[LogEntry]:
        batch, db, tx, time = self.batch, self.tracker.db, self.tracker.tx, self.tracker.time
        for i, number in zip(indexes, command_numbers(batch, indexes), strict=True):
            yield LogEntry(
                self.part,
                batch,
                i,
                self.commands_before + number,
                none_if_unknown(db[i]),
                none_if_unknown(tx[i]) or None,
                none_if_unknown(time[i]),
            )


def read_forward(aof: AOF, selection: Selection, with_base: bool = False) -> Iterator[LogItem]:
    """The selected commands in load order; with `base` the keys of an RDB too, before the commands of its part."""
    for item in _walk_selected(aof, selection, with_base):
        if isinstance(item, _SelectedBatch):
            yield from item.entries(item.selected)
        else:
            yield item


def _walk_selected(
    aof: AOF, selection: Selection, with_base: bool = False
) -> Iterator[_SelectedBatch | DamageEntry | BaseKey]:
    tracker, commands_before = ContextTracker(columns=True), 0
    for index, part in enumerate(aof.parts):
        if part.source is None:
            continue
        tracker.begin_part()
        for tile in read_tiles(part.source, command_table().names):
            if isinstance(tile, RecordBatch):
                commands = commands_before + tracker.state[ContextField.COMMANDS]
                tracker.track(tile)
                yield _SelectedBatch(
                    part.name, tile, tracker, commands, selection.matches(index, tile, tracker, commands)
                )
            elif isinstance(tile, Damage):
                tracker.mark_unknown()
                yield DamageEntry(part.name, tile)
            else:
                yield from _rdb_entries(aof, selection, index, commands_before, tile, base_keys if with_base else None)
                tracker.begin_after_preamble(tile.span.end)
        commands_before += tracker.state[ContextField.COMMANDS]


def _rdb_entries(
    aof: AOF,
    selection: Selection,
    part_index: int,
    commands_before: int,
    rdb: Preamble,
    read_keys: BaseKeyReader | None,
) -> Iterator[DamageEntry | BaseKey]:
    """What the history has of an RDB: its keys, if they are asked for, and what is wrong with it, where that shows."""
    part = aof.parts[part_index]
    assert part.source is not None
    damage = rdb.damage(part.size)
    for item in read_keys(selection, part_index, part.name, commands_before, part.source, rdb) if read_keys else ():
        if isinstance(item, Damage):
            damage = None
            yield DamageEntry(part.name, item)
        else:
            yield item
    if damage:
        yield DamageEntry(part.name, damage)


def read_last(aof: AOF, selection: Selection, count: int, with_base: bool = False) -> list[LogItem]:
    """The last `count` commands of what `forwards` gives, each safe to keep, and the damage since the first of them."""
    last_entries = _LastEntries(count)
    for item in _walk_selected(aof, selection, with_base):
        if isinstance(item, DamageEntry):
            last_entries.add_damage(item)
        elif isinstance(item, BaseKey):
            last_entries.add_entries((item,))
        elif count:
            last_entries.add_entries(map(detach_entry, item.entries(item.selected[-count:])))
    return last_entries.items()


class _LastEntries:
    """The last commands, and the last of the damage that stands among and after them."""

    DAMAGE_MAX = 1000

    def __init__(self, count: int) -> None:
        self._entries: deque[tuple[int, LogEntry | BaseKey]] = deque(maxlen=count)
        self._damage: deque[tuple[int, DamageEntry]] = deque(maxlen=self.DAMAGE_MAX)
        self._added = 0
        self._capacity = count

    def add_entries(self, entries: Iterable[LogEntry | BaseKey]) -> None:
        for entry in entries:
            self._added += 1
            self._entries.append((self._added, entry))

    def add_damage(self, item: DamageEntry) -> None:
        self._added += 1
        self._damage.append((self._added, item))

    def items(self) -> list[LogItem]:
        first_place = self._entries[0][0] if len(self._entries) == self._capacity and self._entries else 0
        merged: list[tuple[int, LogItem]] = [*self._entries]
        merged += ((place, item) for place, item in self._damage if place > first_place)
        return [item for _, item in sorted(merged, key=lambda pair: pair[0])]


def detach_entry(entry: LogEntry) -> LogEntry:
    """An entry whose batch holds that record alone."""
    batch, i = entry.batch, entry.i
    if batch.oversized:
        return entry
    raw = bytearray(batch.raw(i)) + bytes(SLACK)
    single_batch = RecordBatch(
        batch.source, batch.record_span(i).start, 1, raw, 0, array("q", [0, len(raw) - SLACK]),
        array("I", [batch.argc[i]]), array("H", [batch.ids[i]]),
    )  # fmt: skip
    return entry._replace(batch=single_batch, i=0)


# -- backwards --


@dataclass(frozen=True, slots=True)
class _BatchCheckpoint:
    """A batch that can be read again: where it starts, and the context there."""

    part_index: int
    start: int
    end: int
    state: "array[int]"
    commands_before: int


def read_backward(aof: AOF, selection: Selection, with_base: bool = False) -> Iterator[LogItem]:
    """The selected commands, newest first, and the keys of an RDB last; of a pipe only what `last` keeps can be had."""
    checkpoints = list(_checkpoints(aof))
    for checkpoint in reversed(checkpoints):
        if isinstance(checkpoint, DamageEntry):
            yield checkpoint
        elif isinstance(checkpoint, _RdbCheckpoint):
            keys = base_keys_backwards if with_base else None
            yield from _rdb_entries(
                aof, selection, checkpoint.part_index, checkpoint.commands_before, checkpoint.rdb, keys
            )
        else:
            yield from _reread_batch(aof, selection, checkpoint)


@dataclass(frozen=True, slots=True)
class _RdbCheckpoint:
    """An RDB at the head of a part, `before` commands came before it."""

    part_index: int
    commands_before: int
    rdb: Preamble


def _checkpoints(aof: AOF) -> Iterator[_BatchCheckpoint | DamageEntry | _RdbCheckpoint]:
    tracker, commands_before = ContextTracker(), 0
    for index, part in enumerate(aof.parts):
        if part.source is None:
            continue
        tracker.begin_part()
        for tile in read_tiles(part.source, command_table().names):
            if isinstance(tile, RecordBatch):
                state = array("q", tracker.state)
                yield _BatchCheckpoint(index, *tile.span, state, commands_before + state[ContextField.COMMANDS])
                tracker.track(tile)
            elif isinstance(tile, Damage):
                tracker.mark_unknown()
                yield DamageEntry(part.name, tile)
            elif isinstance(tile, Preamble):
                yield _RdbCheckpoint(index, commands_before, tile)
                tracker.begin_after_preamble(tile.span.end)
        commands_before += tracker.state[ContextField.COMMANDS]


def _reread_batch(aof: AOF, selection: Selection, checkpoint: _BatchCheckpoint) -> Iterator[LogEntry]:
    part = aof.parts[checkpoint.part_index]
    assert part.source is not None
    tracker = ContextTracker(columns=True)
    tracker.state[:] = checkpoint.state
    entries: list[LogEntry] = []
    commands_before = checkpoint.commands_before - checkpoint.state[ContextField.COMMANDS]
    for batch in read_batches(part.source, command_table().names, checkpoint.start):
        commands = commands_before + tracker.state[ContextField.COMMANDS]
        tracker.track(batch)
        selected = [
            i
            for i in selection.matches(checkpoint.part_index, batch, tracker, commands)
            if batch.record_span(i).start < checkpoint.end
        ]
        entries += map(detach_entry, _SelectedBatch(part.name, batch, tracker, commands, selected).entries(selected))
        if batch.span.end >= checkpoint.end:
            break
    yield from reversed(entries)


# -- from the tail --

_TAIL_BLOCK = 1 << 18
_TAIL_BLOCK_MAX = 1 << 24


def read_tail(aof: AOF, selection: Selection, count: int) -> list[LogItem]:
    """The last `count` selected commands, oldest first, read from the end; what is not known is None."""
    items: list[LogItem] = []
    for index, part in reversed(list(enumerate(aof.parts))):
        if part.source is not None and _count_commands(items) < count:
            items = _read_part_tail(part, index, part.source, selection, count - _count_commands(items)) + items
    last_entries = _LastEntries(count)
    for item in items:
        if isinstance(item, DamageEntry):
            last_entries.add_damage(item)
        else:
            last_entries.add_entries((item,))
    return last_entries.items()


def _count_commands(items: Iterable[LogItem]) -> int:
    return sum(isinstance(item, LogEntry) for item in items)


def _read_part_tail(part: AofPart, part_index: int, source: Source, selection: Selection, count: int) -> list[LogItem]:
    items: list[LogItem] = []
    end, block = source.size or 0, _TAIL_BLOCK
    while end > 0 and _count_commands(items) < count:
        start = _find_run_start(source, max(0, end - block), command_table().names.ids)
        if start is None or start >= end:
            start = _find_run_start(source, max(0, end - block), _AnyCommandName())
        if start is None or start >= end:
            start = find_record(source, max(0, end - block), command_table().names.ids)
        if start is None or start >= end:
            start = 0 if end <= block else end
        if start < end:
            items = _read_segment(part, part_index, source, selection, start, end, count) + items
            end = start
        block = min(4 * block, _TAIL_BLOCK_MAX) if start < end else 4 * block
    return items


def _find_run_start(source: Source, offset: int, names: Container[bytes]) -> int | None:
    """A record at or after `offset` that begins a run; the start is certain."""
    return 0 if offset == 0 else find_record(source, offset, names, run=True)


class _AnyCommandName:
    """Every name that a command could have: a module's, say."""

    def __contains__(self, name: object) -> bool:
        return isinstance(name, bytes) and _COMMAND_NAME.fullmatch(name) is not None


_COMMAND_NAME = re.compile(rb"[a-z][a-z0-9_.|-]{1,40}")


def _read_segment(
    part: AofPart, part_index: int, source: Source, selection: Selection, start: int, end: int, count: int
) -> list[LogItem]:
    tracker = ContextTracker(columns=True)
    tracker.begin_part()
    if start:
        tracker.mark_unknown()
    last_entries = _LastEntries(count)
    for tile in read_tiles(source, command_table().names, start):
        span = tile.span
        if isinstance(tile, RecordBatch):
            tracker.track(tile)
            selected = [i for i in selection.matches(part_index, tile, tracker, 0) if tile.record_span(i).start < end]
            entries = _SelectedBatch(part.name, tile, tracker, 0, selected[-count:]).entries(selected[-count:])
            last_entries.add_entries(detach_entry(entry._replace(number=None, tx=None)) for entry in entries)
        elif isinstance(tile, Damage) and span.start < end:
            tracker.mark_unknown()
            last_entries.add_damage(DamageEntry(part.name, tile))
        if span.end >= end:
            break
    return last_entries.items()
