"""Build a key table from one AOF.

For each key the table holds a digest of its value, if the value is known: a
string, the elements pushed to a list, the members of a set, or a key of a base
file in any encoding.  Otherwise it holds a digest of the key's writes, in order,
since the last one that replaced the value.  A write that reads other keys
includes their digests.  Equal digests mean equal values; different digests mean
different writes, and therefore probably, but not certainly, different values.

Commands that a server drops do not count: those of a transaction without EXEC.
Scripts, and SORT with a key pattern, may access more keys than they name.  These
commands are counted, so that the caller can report how many there are.
"""

import re
from bisect import bisect_left

from aofdoctor.aof.reader import read_batches, read_tiles
from aofdoctor.aof.records import Preamble, RecordBatch
from aofdoctor.damage import Damage
from aofdoctor.diff.key_table.table import PARTS_MAX, KeyTable
from aofdoctor.diff.keys.rdb_values import add_rdb_keys
from aofdoctor.diff.keys.writes import KeyWrites
from aofdoctor.diff.units.side import Side
from aofdoctor.diff.units.unit import DiffPosition
from aofdoctor.diff.units.unit_commands import leading_arguments
from aofdoctor.errors import RefusedEdit
from aofdoctor.log.selection import Selection
from aofdoctor.rdb.preamble import is_rdb
from aofdoctor.server.command_table import command_table
from aofdoctor.server.context.fields import ContextField
from aofdoctor.server.context.tracker import ContextTracker
from aofdoctor.source import Source

_EXEC = command_table().names.ids[b"exec"]
_SORT = command_table().names.ids[b"sort"]
_UNNAMED_KEY_COMMANDS = (_SORT, *(command_table().names.ids[name] for name in (b"eval", b"evalsha", b"fcall")))
_match_rewritten_base = re.compile(r".*\.\d+\.base\.aof").fullmatch  # the file name that a server gives to its rewrite


class KeyTableBuilder:
    """Fills a key table from the selected commands of a side.

    `unnamed_key_commands` counts the commands, from `count_unnamed_from` on, that may access keys they do not name.
    """

    def __init__(self, side: Side, selection: Selection, key_table: KeyTable) -> None:
        self.side, self.selection, self.table = side, selection, key_table
        self._writes = KeyWrites(key_table, selection)
        self.count_unnamed_from: DiffPosition | None = None  # None: not counted
        self.unnamed_key_commands = 0

    def add_range(self, begin: DiffPosition, end: DiffPosition | None = None) -> None:
        """Apply the commands between two positions of the AOF to the key table."""
        side, tracker, before = self.side, ContextTracker(columns=True), begin.commands
        if len(side.sources) > PARTS_MAX:
            raise RefusedEdit(f"it has more than {PARTS_MAX:,} parts")
        for index in range(begin.part, len(side.sources)):
            source, start = side.sources[index], begin.offset if index == begin.part else 0
            stop = end.offset if end and index == end.part else None
            if source is None or (end and index > end.part) or start == stop:
                continue
            tracker.begin_part()
            if start:
                tracker.state[ContextField.DB], tracker.state[ContextField.TIME] = begin.db, begin.time
            _PartReader(self, index, source, tracker, before).read_range(start, stop)
            before += tracker.state[ContextField.COMMANDS]

    def finish(self) -> None:
        """Apply the events that are still queued to the key table; no further commands may follow."""
        self.table.finish()


class _PartReader:
    """Reads the commands and RDB keys of one file of an AOF into a key table."""

    def __init__(
        self, builder: KeyTableBuilder, index: int, source: Source, tracker: ContextTracker, commands_before: int
    ) -> None:
        self.builder, self.index, self.source = builder, index, source
        self.tracker, self.commands_before = tracker, commands_before
        part = builder.side.aof.parts[index]
        self.is_base = part.type == "base" and bool(_match_rewritten_base(part.name)) and not is_rdb(source)
        self._unexecuted, self._checked = 0, 0  # ordinals of transactions

    def read_range(self, start: int, stop: int | None) -> None:
        """Apply the commands of a file from one offset to another, or to its end, to the key table."""
        for tile in read_tiles(self.source, command_table().names, start):
            if isinstance(tile, RecordBatch):
                self._add_batch(tile if stop is None else _truncate_batch(tile, stop))
            elif isinstance(tile, Damage):
                self.builder.side.record_damage(self.index, tile)
                self.tracker.state[ContextField.TX] = 0
            else:
                self._add_rdb(tile)
            if stop is not None and tile.span.end >= stop:
                return

    def _add_rdb(self, rdb: Preamble) -> None:
        builder = self.builder
        for damage in add_rdb_keys(
            builder.table, builder.selection, self.index, self.commands_before, self.source, rdb
        ):
            builder.side.record_damage(self.index, damage)

    def _add_batch(self, batch: RecordBatch) -> None:
        tracker, selection = self.tracker, self.builder.selection
        commands = self.commands_before + tracker.state[ContextField.COMMANDS]
        tracker.track(batch)
        selected = None
        if not selection.selects_all:
            selected = bytearray(batch.count)
            for i in selection.matches(self.index, batch, tracker, commands):
                selected[i] = 1
        selected = self._without_unexecuted(batch, selected)
        if self.builder.count_unnamed_from is not None:
            self._count_unnamed(batch, selected, self.builder.count_unnamed_from)
        self.builder._writes.apply_batch(self.index, batch, tracker.db, selected, self.is_base)

    def _count_unnamed(self, batch: RecordBatch, selected: bytearray | None, since: DiffPosition) -> None:
        for number in _UNNAMED_KEY_COMMANDS:
            at, ids = -1, batch.ids[: batch.count]
            for _ in range(ids.count(number)):
                at = ids.index(number, at + 1)
                is_counted = (self.index, batch.record_span(at).start) >= (since.part, since.offset)
                if (
                    is_counted
                    and (selected is None or selected[at])
                    and (number != _SORT or _stores_by_pattern(batch, at))
                ):
                    self.builder.unnamed_key_commands += 1

    def _without_unexecuted(self, batch: RecordBatch, selected: bytearray | None) -> bytearray | None:
        """Deselect the commands of a transaction that has no EXEC."""
        last = self.tracker.state[ContextField.TX]
        if last > 0 and last != self._checked:
            self._checked = last
            if not _is_executed(self.source, batch.span.end):
                self._unexecuted = last
        if not self._unexecuted or self._unexecuted not in self.tracker.tx[: batch.count]:
            return selected
        selected = bytearray([1]) * batch.count if selected is None else selected
        for i in range(batch.count):
            if self.tracker.tx[i] == self._unexecuted:
                selected[i] = 0
        return selected


def _stores_by_pattern(batch: RecordBatch, i: int) -> bool:
    """Whether a SORT stores a result made from keys that it finds by a pattern (BY and GET)."""
    words = leading_arguments(batch, i)[2:]
    return any(b"*" in word for word in words) and any(word.lower() == b"store" for word in words)


def _is_executed(source: Source, start: int) -> bool:
    """Whether EXEC follows the open transaction at `start` before damage or the end of the part."""
    return any(_EXEC in batch.ids[: batch.count] for batch in read_batches(source, command_table().names, start))


def _truncate_batch(batch: RecordBatch, end: int) -> RecordBatch:
    count = bisect_left(batch.edges, end - batch.base, 0, batch.count)
    return RecordBatch(
        batch.source, batch.base, count, batch.buffer, batch.origin, batch.edges, batch.argc, batch.ids, batch.oversized
    )
