"""Read the selected commands of an AOF as a stream of log entries: in load order, newest first, or only the end.

Reading forward is one pass.  Reading backward takes two: the first keeps a checkpoint of the context at every batch of
commands, the second rereads the batches in the opposite order, each from its checkpoint.  Reading only the end starts
near the end of the file, so the first record boundary is a guess, and values that depend on everything before (the
command number, the transaction, and the database up to the first SELECT) are None.

This module selects and orders entries; it does not render them.
"""

import re
from array import array
from collections import deque
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from aofdoctor.aof.model import AOF, AofPart
from aofdoctor.aof.reader import read_batches
from aofdoctor.aof.records import Preamble, RecordBatch
from aofdoctor.aof.recovery.resync import find_record
from aofdoctor.aof.scan import SLACK
from aofdoctor.damage import Damage
from aofdoctor.log.base_keys import BaseKey, base_keys, base_keys_backwards
from aofdoctor.log.command_numbers import command_numbers
from aofdoctor.log.context_walk import none_if_unknown, walk_aof, walk_part
from aofdoctor.log.selection import Selection
from aofdoctor.server.command_table import command_table
from aofdoctor.server.context.fields import ContextField
from aofdoctor.server.context.tracker import ContextTracker
from aofdoctor.source import Source


class LogEntry(NamedTuple):
    """A command or annotation of an AOF file (record `i` of `batch`), with its number, database, transaction and time.

    It is valid until the next entry is read, because batches are reused.  `number` counts the commands of the AOF in
    load order from 1; `tx` is the number of the transaction, None outside of one; `time` is in unix seconds.  A value
    that is not known is None.
    """

    part: str
    batch: RecordBatch
    i: int
    number: int | None
    db: int | None
    tx: int | None
    time: int | None


@dataclass(frozen=True, slots=True)
class DamageEntry:
    """Damage in an AOF file, as an item of the log between the commands before and after it."""

    part: str
    damage: Damage


LogItem = LogEntry | DamageEntry | BaseKey
BaseKeyReader = Callable[[Selection, int, str, int, Source, Preamble], Iterator[BaseKey | Damage]]


@dataclass(frozen=True, slots=True)
class _SelectedBatch:
    """A batch of AOF records with the indexes of those that the user's filters select, and the data to number them.

    `tracker` is the ContextTracker after the batch, with the database, transaction and time of each record.
    `commands_before` is the number of commands before the batch.
    """

    part: str
    batch: RecordBatch
    tracker: ContextTracker
    commands_before: int
    selected: list[int]

    def entries(self, indexes: list[int]) -> Iterator[LogEntry]:
        return entries_at(self.part, self.batch, self.tracker, self.commands_before, indexes)


def entries_at(
    part: str, batch: RecordBatch, tracker: ContextTracker, commands_before: int, indexes: Sequence[int]
) -> Iterator[LogEntry]:
    """Yield the records of a batch at the given ascending indexes as log entries, with their context.

    `tracker` is the ContextTracker after the batch, with the database, transaction and time of each record.
    `commands_before` is the number of commands before the batch, in all files.  An annotation gets the number of the
    command before it.
    """
    db, tx, time = tracker.db, tracker.tx, tracker.time
    for i, number in zip(indexes, command_numbers(batch, indexes), strict=True):
        yield LogEntry(
            part,
            batch,
            i,
            commands_before + number,
            none_if_unknown(db[i]),
            none_if_unknown(tx[i]) or None,
            none_if_unknown(time[i]),
        )


def read_forward(aof: AOF, selection: Selection, with_base: bool = False) -> Iterator[LogItem]:
    """Yield the selected commands and all damage of an AOF in load order.

    `with_base` adds the selected keys of each RDB, before the commands of the same file.
    """
    for item in _walk_selected(aof, selection, with_base):
        if isinstance(item, _SelectedBatch):
            yield from item.entries(item.selected)
        else:
            yield item


def _walk_selected(
    aof: AOF, selection: Selection, with_base: bool = False
) -> Iterator[_SelectedBatch | DamageEntry | BaseKey]:
    """Yield, in load order, batches of AOF records with the selected indexes, all damage, and the selected RDB keys."""
    tracker = ContextTracker(columns=True)
    for index, part, tile, commands_before in walk_aof(aof, tracker):
        if isinstance(tile, RecordBatch):
            tracker.track(tile)
            selected = selection.matches(index, tile, tracker, commands_before)
            yield _SelectedBatch(part.name, tile, tracker, commands_before, selected)
        elif isinstance(tile, Damage):
            yield DamageEntry(part.name, tile)
        else:
            yield from _rdb_entries(aof, selection, index, commands_before, tile, base_keys if with_base else None)


def _rdb_entries(
    aof: AOF,
    selection: Selection,
    part_index: int,
    commands_before: int,
    rdb: Preamble,
    read_keys: BaseKeyReader | None,
) -> Iterator[DamageEntry | BaseKey]:
    """Yield the damage of the RDB at the start of an AOF file and, if `read_keys` is given, its selected keys.

    Reading the keys finds damage more precisely, so the damage of the RDB as a whole is only yielded otherwise.
    """
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
    """Return the last `count` selected commands of an AOF, oldest first, and the damage among them; reads all files.

    The entries are copies, which stay valid.  `with_base` includes the selected keys of each RDB.
    """
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
    """Keeps the last `count` log entries that are added, in order, and the last damage among and after them."""

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
        """Return the kept entries and damage in the order of the log.

        If older entries were dropped, damage before the first kept entry is dropped too.
        """
        first_place = self._entries[0][0] if len(self._entries) == self._capacity and self._entries else 0
        merged: list[tuple[int, LogItem]] = [*self._entries]
        merged += ((place, item) for place, item in self._damage if place > first_place)
        return [item for _, item in sorted(merged, key=lambda pair: pair[0])]


def detach_entry(entry: LogEntry) -> LogEntry:
    """Return a log entry with its record copied into a batch of its own, so that it stays valid.

    A record that is too large to hold in memory is not copied, because it is read from the file on demand.
    """
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
    """What is needed to read a batch of AOF records again: its offsets in the file, and the context at its start.

    `state` is the state of the ContextTracker before the batch.
    """

    part_index: int
    start: int
    end: int
    state: "array[int]"
    commands_before: int


def read_backward(aof: AOF, selection: Selection, with_base: bool = False) -> Iterator[LogItem]:
    """Yield the selected commands and all damage of an AOF, newest first; `with_base` adds the selected RDB keys.

    The files must be seekable (for pipes: `read_last`).
    """
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
    """What is needed to read the keys of an RDB at the start of an AOF file later."""

    part_index: int
    commands_before: int
    rdb: Preamble


def _checkpoints(aof: AOF) -> Iterator[_BatchCheckpoint | DamageEntry | _RdbCheckpoint]:
    """Read the AOF once and yield, in load order, what is needed to read it again backwards: checkpoints and damage."""
    tracker = ContextTracker()
    for index, part, tile, commands_before in walk_aof(aof, tracker):
        if isinstance(tile, RecordBatch):
            yield _BatchCheckpoint(index, *tile.span, array("q", tracker.state), commands_before)
            tracker.track(tile)
        elif isinstance(tile, Damage):
            yield DamageEntry(part.name, tile)
        else:
            yield _RdbCheckpoint(index, commands_before, tile)


def _reread_batch(aof: AOF, selection: Selection, checkpoint: _BatchCheckpoint) -> Iterator[LogEntry]:
    """Read a batch of AOF records again from its checkpoint, and yield the selected ones, newest first."""
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
    """Return the last `count` selected commands of an AOF, oldest first, and the damage among them; reads only the end.

    Command numbers and transactions are None in these entries, because they depend on all that comes before.
    """
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
    """Return the last `count` selected commands of an AOF file, and damage, reading growing blocks from its end."""
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
    """Return the offset of the first record at or after `offset` that is followed by further valid records, or None.

    `names` are the command names that such a record may have.
    """
    return 0 if offset == 0 else find_record(source, offset, names, run=True)


class _AnyCommandName:
    """Contains every possible command name, so that a search for records finds the commands of modules too."""

    def __contains__(self, name: object) -> bool:
        return isinstance(name, bytes) and _COMMAND_NAME.fullmatch(name) is not None


_COMMAND_NAME = re.compile(rb"[a-z][a-z0-9_.|-]{1,40}")


def _read_segment(
    part: AofPart, part_index: int, source: Source, selection: Selection, start: int, end: int, count: int
) -> list[LogItem]:
    """Return the last `count` selected commands, and damage, between the offsets `start` and `end` of an AOF file."""
    tracker = ContextTracker(columns=True)
    last_entries = _LastEntries(count)
    for tile in walk_part(source, tracker, start):
        span = tile.span
        if isinstance(tile, RecordBatch):
            tracker.track(tile)
            selected = [i for i in selection.matches(part_index, tile, tracker, 0) if tile.record_span(i).start < end]
            entries = _SelectedBatch(part.name, tile, tracker, 0, selected[-count:]).entries(selected[-count:])
            last_entries.add_entries(detach_entry(entry._replace(number=None, tx=None)) for entry in entries)
        elif isinstance(tile, Damage) and span.start < end:
            last_entries.add_damage(DamageEntry(part.name, tile))
        if span.end >= end:
            break
    return last_entries.items()
