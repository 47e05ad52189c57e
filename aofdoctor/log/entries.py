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
from aofdoctor.server.command_table import table
from aofdoctor.server.context._pytracker import ContextField
from aofdoctor.server.context.tracker import ContextTracker
from aofdoctor.source import Source


class Entry(NamedTuple):
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


Item = Entry | DamageEntry | BaseKey
Keys = Callable[[Selection, int, str, int, Source, Preamble], Iterator[BaseKey | Damage]]


@dataclass(frozen=True, slots=True)
class _Selected:
    """A batch in its context, and which of its records are selected."""

    part: str
    batch: RecordBatch
    tracker: ContextTracker
    before: int
    chosen: list[int]

    def entries(self, chosen: list[int]) -> Iterator[Entry]:
        batch, db, tx, time = self.batch, self.tracker.db, self.tracker.tx, self.tracker.time
        for i, number in zip(chosen, command_numbers(batch, chosen), strict=True):
            yield Entry(
                self.part,
                batch,
                i,
                self.before + number,
                none_if_unknown(db[i]),
                none_if_unknown(tx[i]) or None,
                none_if_unknown(time[i]),
            )


def forwards(aof: AOF, selection: Selection, base: bool = False) -> Iterator[Item]:
    """The selected commands in load order; with `base` the keys of an RDB too, before the commands of its part."""
    for item in _walk(aof, selection, base):
        if isinstance(item, _Selected):
            yield from item.entries(item.chosen)
        else:
            yield item


def _walk(aof: AOF, selection: Selection, base: bool = False) -> Iterator[_Selected | DamageEntry | BaseKey]:
    tracker, before = ContextTracker(columns=True), 0
    for index, part in enumerate(aof.parts):
        if part.source is None:
            continue
        tracker.begin()
        for tile in read_tiles(part.source, table().names):
            if isinstance(tile, RecordBatch):
                commands = before + tracker.state[ContextField.COMMANDS]
                tracker.run(tile)
                yield _Selected(part.name, tile, tracker, commands, selection.matches(index, tile, tracker, commands))
            elif isinstance(tile, Damage):
                tracker.mark_unknown()
                yield DamageEntry(part.name, tile)
            else:
                yield from _of_rdb(aof, selection, index, before, tile, base_keys if base else None)
                tracker.preamble(tile.span.end)
        before += tracker.state[ContextField.COMMANDS]


def _of_rdb(
    aof: AOF, selection: Selection, index: int, before: int, rdb: Preamble, keys: Keys | None
) -> Iterator[DamageEntry | BaseKey]:
    """What the history has of an RDB: its keys, if they are asked for, and what is wrong with it, where that shows."""
    part = aof.parts[index]
    assert part.source is not None
    hurt = rdb.damage(part.size)
    for item in keys(selection, index, part.name, before, part.source, rdb) if keys else ():
        if isinstance(item, Damage):
            hurt = None
            yield DamageEntry(part.name, item)
        else:
            yield item
    if hurt:
        yield DamageEntry(part.name, hurt)


def last(aof: AOF, selection: Selection, count: int, base: bool = False) -> list[Item]:
    """The last `count` commands of what `forwards` gives, each safe to keep, and the damage since the first of them."""
    kept = _Last(count)
    for item in _walk(aof, selection, base):
        if isinstance(item, DamageEntry):
            kept.broken(item)
        elif isinstance(item, BaseKey):
            kept.entries((item,))
        elif count:
            kept.entries(map(keep, item.entries(item.chosen[-count:])))
    return kept.items()


class _Last:
    """The last commands, and the last of the damage that stands among and after them."""

    DAMAGE = 1000

    def __init__(self, count: int) -> None:
        self._entries: deque[tuple[int, Entry | BaseKey]] = deque(maxlen=count)
        self._damage: deque[tuple[int, DamageEntry]] = deque(maxlen=self.DAMAGE)
        self._seen = 0
        self._full = count

    def entries(self, entries: Iterable[Entry | BaseKey]) -> None:
        for entry in entries:
            self._seen += 1
            self._entries.append((self._seen, entry))

    def broken(self, item: DamageEntry) -> None:
        self._seen += 1
        self._damage.append((self._seen, item))

    def items(self) -> list[Item]:
        since = self._entries[0][0] if len(self._entries) == self._full and self._entries else 0
        both: list[tuple[int, Item]] = [*self._entries]
        both += ((place, item) for place, item in self._damage if place > since)
        return [item for _, item in sorted(both, key=lambda pair: pair[0])]


def keep(entry: Entry) -> Entry:
    """An entry whose batch holds that record alone."""
    batch, i = entry.batch, entry.i
    if batch.oversized:
        return entry
    raw = bytearray(batch.raw(i)) + bytes(SLACK)
    alone = RecordBatch(
        batch.source, batch.record_span(i).start, 1, raw, 0, array("q", [0, len(raw) - SLACK]),
        array("I", [batch.argc[i]]), array("H", [batch.ids[i]]),
    )  # fmt: skip
    return entry._replace(batch=alone, i=0)


# -- backwards --


@dataclass(frozen=True, slots=True)
class _Mark:
    """A batch that can be read again: where it starts, and the context there."""

    index: int
    start: int
    end: int
    state: "array[int]"
    before: int


def backwards(aof: AOF, selection: Selection, base: bool = False) -> Iterator[Item]:
    """The selected commands, newest first, and the keys of an RDB last; of a pipe only what `last` keeps can be had."""
    marks = list(_marks(aof))
    for mark in reversed(marks):
        if isinstance(mark, DamageEntry):
            yield mark
        elif isinstance(mark, _Rdb):
            keys = base_keys_backwards if base else None
            yield from _of_rdb(aof, selection, mark.index, mark.before, mark.rdb, keys)
        else:
            yield from _again(aof, selection, mark)


@dataclass(frozen=True, slots=True)
class _Rdb:
    """An RDB at the head of a part, `before` commands came before it."""

    index: int
    before: int
    rdb: Preamble


def _marks(aof: AOF) -> Iterator[_Mark | DamageEntry | _Rdb]:
    tracker, before = ContextTracker(), 0
    for index, part in enumerate(aof.parts):
        if part.source is None:
            continue
        tracker.begin()
        for tile in read_tiles(part.source, table().names):
            if isinstance(tile, RecordBatch):
                state = array("q", tracker.state)
                yield _Mark(index, *tile.span, state, before + state[ContextField.COMMANDS])
                tracker.run(tile)
            elif isinstance(tile, Damage):
                tracker.mark_unknown()
                yield DamageEntry(part.name, tile)
            elif isinstance(tile, Preamble):
                yield _Rdb(index, before, tile)
                tracker.preamble(tile.span.end)
        before += tracker.state[ContextField.COMMANDS]


def _again(aof: AOF, selection: Selection, mark: _Mark) -> Iterator[Entry]:
    part = aof.parts[mark.index]
    assert part.source is not None
    tracker = ContextTracker(columns=True)
    tracker.state[:] = mark.state
    entries: list[Entry] = []
    before = mark.before - mark.state[ContextField.COMMANDS]
    for batch in read_batches(part.source, table().names, mark.start):
        commands = before + tracker.state[ContextField.COMMANDS]
        tracker.run(batch)
        inside = [
            i for i in selection.matches(mark.index, batch, tracker, commands) if batch.record_span(i).start < mark.end
        ]
        entries += map(keep, _Selected(part.name, batch, tracker, commands, inside).entries(inside))
        if batch.span.end >= mark.end:
            break
    yield from reversed(entries)


# -- from the tail --

_BLOCK = 1 << 18
_BLOCK_MAX = 1 << 24


def from_tail(aof: AOF, selection: Selection, count: int) -> list[Item]:
    """The last `count` selected commands, oldest first, read from the end; what is not known is None."""
    found: list[Item] = []
    for index, part in reversed(list(enumerate(aof.parts))):
        if part.source is not None and _commands(found) < count:
            found = _tail_of(part, index, part.source, selection, count - _commands(found)) + found
    kept = _Last(count)
    for item in found:
        if isinstance(item, DamageEntry):
            kept.broken(item)
        else:
            kept.entries((item,))
    return kept.items()


def _commands(items: Iterable[Item]) -> int:
    return sum(isinstance(item, Entry) for item in items)


def _tail_of(part: AofPart, index: int, source: Source, selection: Selection, count: int) -> list[Item]:
    found: list[Item] = []
    end, block = source.size or 0, _BLOCK
    while end > 0 and _commands(found) < count:
        start = _record_near(source, max(0, end - block), table().names.ids)
        if start is None or start >= end:
            start = _record_near(source, max(0, end - block), _AnyName())
        if start is None or start >= end:
            start = find_record(source, max(0, end - block), table().names.ids)
        if start is None or start >= end:
            start = 0 if end <= block else end
        if start < end:
            found = _segment(part, index, source, selection, start, end, count) + found
            end = start
        block = min(4 * block, _BLOCK_MAX) if start < end else 4 * block
    return found


def _record_near(source: Source, offset: int, names: Container[bytes]) -> int | None:
    """A record at or after `offset` that begins a run; the start is certain."""
    return 0 if offset == 0 else find_record(source, offset, names, run=True)


class _AnyName:
    """Every name that a command could have: a module's, say."""

    def __contains__(self, name: object) -> bool:
        return isinstance(name, bytes) and _NAME.fullmatch(name) is not None


_NAME = re.compile(rb"[a-z][a-z0-9_.|-]{1,40}")


def _segment(
    part: AofPart, index: int, source: Source, selection: Selection, start: int, end: int, count: int
) -> list[Item]:
    tracker = ContextTracker(columns=True)
    tracker.begin()
    if start:
        tracker.mark_unknown()
    found = _Last(count)
    for tile in read_tiles(source, table().names, start):
        span = tile.span
        if isinstance(tile, RecordBatch):
            tracker.run(tile)
            inside = [i for i in selection.matches(index, tile, tracker, 0) if tile.record_span(i).start < end]
            entries = _Selected(part.name, tile, tracker, 0, inside[-count:]).entries(inside[-count:])
            found.entries(keep(entry._replace(number=None, tx=None)) for entry in entries)
        elif isinstance(tile, Damage) and span.start < end:
            tracker.mark_unknown()
            found.broken(DamageEntry(part.name, tile))
        if span.end >= end:
            break
    return found.items()
