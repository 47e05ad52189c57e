"""A census of the keys of a history: by digest, what made each.

Of each key a digest is kept of its value where that is known: a string, what
was pushed to a list, the members of a set; a key of a base, however its server
encoded it.  Else it is one of its writes since something replaced it whole, in
their order; a write that names several keys takes in what made each.  Equal
digests mean equal values; other digests mean other writes, and most likely,
but not surely, other values.

What a server drops does not count: a transaction without its EXEC.  Of what a
script does, or a SORT that reads keys by a pattern, only the keys that it names
are known: such commands are counted, since nobody can say what else they touch.
"""

import re
from bisect import bisect_left

from aofdoctor.aof.reader import read_batches, read_tiles
from aofdoctor.aof.records import Preamble, RecordBatch
from aofdoctor.damage import Damage
from aofdoctor.diff.key_table.table import PARTS_MAX, KeyTable
from aofdoctor.diff.keys.rdb_values import base_into
from aofdoctor.diff.keys.writes import KeyWrites
from aofdoctor.diff.units.side import DiffPosition, Side
from aofdoctor.diff.units.unit_commands import heads
from aofdoctor.errors import RefusedEdit
from aofdoctor.log.selection import Selection
from aofdoctor.rdb.preamble import is_rdb
from aofdoctor.server.command_table import table
from aofdoctor.server.context._pytracker import ContextField
from aofdoctor.server.context.tracker import ContextTracker
from aofdoctor.source import Source

_EXEC = table().names.ids[b"exec"]
_SORT = table().names.ids[b"sort"]
_UNNAMED = (_SORT, *(table().names.ids[name] for name in (b"eval", b"evalsha", b"fcall")))
_REWRITTEN = re.compile(r".*\.\d+\.base\.aof").fullmatch  # as a server names what it writes


class KeyTableBuilder:
    """The keys of a history, in a table."""

    def __init__(self, side: Side, selection: Selection, table_: KeyTable) -> None:
        self.side, self.selection, self.table = side, selection, table_
        self._writes = KeyWrites(table_, selection)
        self.since: DiffPosition | None = None  # from here on commands that may touch any key are counted
        self.unnamed = 0

    def feed(self, begin: DiffPosition, end: DiffPosition | None = None) -> None:
        """Go over the history from one place to another."""
        side, tracker, before = self.side, ContextTracker(columns=True), begin.commands
        if len(side.sources) > PARTS_MAX:
            raise RefusedEdit(f"it has more than {PARTS_MAX:,} parts")
        for index in range(begin.part, len(side.sources)):
            source, start = side.sources[index], begin.offset if index == begin.part else 0
            stop = end.offset if end and index == end.part else None
            if source is None or (end and index > end.part) or start == stop:
                continue
            tracker.begin()
            if start:
                tracker.state[ContextField.DB], tracker.state[ContextField.TIME] = begin.db, begin.time
            _Part(self, index, source, tracker, before).feed(start, stop)
            before += tracker.state[ContextField.COMMANDS]

    def finish(self) -> None:
        """All of it has been read."""
        self.table.finish()


class _Part:
    """One part of a history."""

    def __init__(
        self, builder: KeyTableBuilder, index: int, source: Source, tracker: ContextTracker, before: int
    ) -> None:
        self.builder, self.index, self.source, self.tracker, self.before = builder, index, source, tracker, before
        part = builder.side.aof.parts[index]
        self.base = part.type == "base" and bool(_REWRITTEN(part.name)) and not is_rdb(source)
        self._dropped, self._judged = 0, 0  # transactions, by their ordinal

    def feed(self, start: int, stop: int | None) -> None:
        """From one record to another."""
        for tile in read_tiles(self.source, table().names, start):
            if isinstance(tile, RecordBatch):
                self._batch(tile if stop is None else _up_to(tile, stop))
            elif isinstance(tile, Damage):
                self.builder.side.damage_met(self.index, tile)
                self.tracker.state[ContextField.TX] = 0
            else:
                self._rdb(tile)
            if stop is not None and tile.span.end >= stop:
                return

    def _rdb(self, rdb: Preamble) -> None:
        builder = self.builder
        for damage in base_into(builder.table, builder.selection, self.index, self.before, self.source, rdb):
            builder.side.damage_met(self.index, damage)

    def _batch(self, batch: RecordBatch) -> None:
        tracker, selection = self.tracker, self.builder.selection
        commands = self.before + tracker.state[ContextField.COMMANDS]
        tracker.run(batch)
        wanted = None
        if not selection.selects_all:
            wanted = bytearray(batch.count)
            for i in selection.matches(self.index, batch, tracker, commands):
                wanted[i] = 1
        wanted = self._without_dropped(batch, wanted)
        if self.builder.since is not None:
            self._count_unnamed(batch, wanted, self.builder.since)
        self.builder._writes.batch(self.index, batch, tracker.db, wanted, self.base)

    def _count_unnamed(self, batch: RecordBatch, wanted: bytearray | None, since: DiffPosition) -> None:
        for number in _UNNAMED:
            at, ids = -1, batch.ids[: batch.count]
            for _ in range(ids.count(number)):
                at = ids.index(number, at + 1)
                past = (self.index, batch.record_span(at).start) >= (since.part, since.offset)
                if past and (wanted is None or wanted[at]) and (number != _SORT or _is_by_pattern(batch, at)):
                    self.builder.unnamed += 1

    def _without_dropped(self, batch: RecordBatch, wanted: bytearray | None) -> bytearray | None:
        """Without the commands of a transaction that has no EXEC."""
        last = self.tracker.state[ContextField.TX]
        if last > 0 and last != self._judged:
            self._judged = last
            if not _is_executed(self.source, batch.span.end):
                self._dropped = last
        if not self._dropped or self._dropped not in self.tracker.tx[: batch.count]:
            return wanted
        wanted = bytearray([1]) * batch.count if wanted is None else wanted
        for i in range(batch.count):
            if self.tracker.tx[i] == self._dropped:
                wanted[i] = 0
        return wanted


def _is_by_pattern(batch: RecordBatch, i: int) -> bool:
    """True of a SORT that stores what it makes of keys that a pattern finds (BY and GET)."""
    words = heads(batch, i)[2:]
    return any(b"*" in word for word in words) and any(word.lower() == b"store" for word in words)


def _is_executed(source: Source, start: int) -> bool:
    """True if the transaction that is open at `start` comes to its EXEC before anything else than records."""
    return any(_EXEC in batch.ids[: batch.count] for batch in read_batches(source, table().names, start))


def _up_to(batch: RecordBatch, end: int) -> RecordBatch:
    count = bisect_left(batch.edges, end - batch.base, 0, batch.count)
    return RecordBatch(
        batch.source, batch.base, count, batch.buffer, batch.origin, batch.edges, batch.argc, batch.ids, batch.oversized
    )
