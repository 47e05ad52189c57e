"""One of two histories that are compared: its units, in columns, as far as they are asked for.

The parts are read in load order as one stream.  A unit is what takes effect at
once: a transaction, a command outside of one, or a command that makes a key of
an RDB.  Equal digests mean equal effect; annotations and SELECTs are no units.

After damage the database is taken to be the one before it: to compare with a
history that is whole, a guess does better than nothing.
"""

from array import array
from collections.abc import Iterator
from itertools import pairwise

from aofdoctor.aof.discovery import AOF
from aofdoctor.aof.reader import BATCH_RECORDS, read_tiles
from aofdoctor.aof.records import Preamble, RecordBatch
from aofdoctor.damage import Damage
from aofdoctor.diff.hashing.digest import Digest, common_prefix_length, record_digests
from aofdoctor.diff.units.columns import OpenUnitField, UnitColumn, UnitKind
from aofdoctor.diff.units.rdb_commands import RdbCommandStream
from aofdoctor.diff.units.rdb_units import read_rdb_units
from aofdoctor.diff.units.unit import (
    ComparisonRules,
    DiffPosition,
    TruncatedSource,
    Unit,
    UnitRun,
    large_record_digest,
    read_pieces,
    to_signed,
)
from aofdoctor.diff.units.units import close_transaction, make_units
from aofdoctor.rdb.preamble import is_rdb
from aofdoctor.server.command_table import command_table
from aofdoctor.server.context.fields import ContextField
from aofdoctor.server.context.tracker import ContextTracker
from aofdoctor.source import Source

__all__ = [
    "ComparisonRules",
    "DiffPosition",
    "Side",
    "TruncatedSource",
    "Unit",
    "UnitRun",
    "large_record_digest",
    "read_pieces",
]

DAMAGE_MAX = 100
# Units of one sort make a run; those of sort 0 stand alone.
_RUN_CLASSES: dict[int, int] = {
    UnitKind.UNFINISHED: 0,
    UnitKind.RDB: 0,
    UnitKind.DAMAGE: 0,
    UnitKind.COMMAND: 1,
    UnitKind.TRANSACTION: 1,
    UnitKind.KEY: 2,
}


class Side:
    """A history up to `end` (part, offset), or all of it; units are read when asked for, and dropped when done with."""

    def __init__(self, aof: AOF, rules: ComparisonRules, end: tuple[int, int] | None = None) -> None:
        self.aof, self.rules, self.end = aof, rules, end
        parts = aof.parts if end is None else aof.parts[: end[0] + 1]
        self.sources: list[Source | None] = [
            TruncatedSource(part.source, end[1] if end and index == end[0] else None) if part.source else None
            for index, part in enumerate(parts)
        ]
        self.columns = [array("q") for _ in UnitColumn]
        self.discarded_units = self.transactions = self.damage_count = 0
        self._first = 0  # what stands before it in the columns is dropped
        self.damage: dict[tuple[int, int], Damage] = {}
        self.rdbs: dict[int, Preamble] = {}  # by part, once it was read
        self._rdb_streams: dict[int, RdbCommandStream] = {}
        self._tracker = ContextTracker(columns=True)
        self._digests = array("Q", bytes(8 * BATCH_RECORDS))
        self._out = [array("q", bytes(8 * (BATCH_RECORDS + 1))) for _ in UnitColumn]
        self.seek(DiffPosition())

    def seek(self, position: DiffPosition) -> None:
        """Go on reading at a place; what was read is dropped."""
        self._open_unit = array("q", bytes(8 * len(OpenUnitField)))
        self._open_unit[OpenUnitField.COMMANDS_READ], self._open_unit[OpenUnitField.EXACT] = (
            position.commands,
            self.rules.exact,
        )
        self.transactions = self._tracker.state[ContextField.TRANSACTIONS] = position.transactions
        self._first = 0
        for column in self.columns:
            del column[:]
        self.at_end = False
        self._reader = self._read(position)

    def reopen_at(self, position: DiffPosition) -> "Side":
        """The same history, read by somebody else from a place."""
        reopened = Side(self.aof, self.rules, self.end)
        reopened.rdbs = self.rdbs
        reopened.seek(position)
        return reopened

    def rdb(self, part: int) -> Preamble | None:
        """The RDB at the head of a part."""
        source = self.sources[part]
        if part not in self.rdbs and source and is_rdb(source):
            tile = next(read_tiles(source, command_table().names), None)
            if isinstance(tile, Preamble):
                self.rdbs[part] = tile
        return self.rdbs.get(part)

    def rdb_commands(self, part: int) -> RdbCommandStream:
        """What tells the RDB of a part again, beside those who read on."""
        if part not in self._rdb_streams:
            self._rdb_streams[part] = self.open_rdb_commands(part)
        return self._rdb_streams[part]

    def open_rdb_commands(self, part: int) -> RdbCommandStream:
        """The same for somebody who goes on where he has stopped."""
        source = self.sources[part]
        assert source is not None
        return RdbCommandStream(self.aof.parts[part].name, source, self.rdbs[part])

    @property
    def count(self) -> int:
        """How many units are read and not dropped."""
        return len(self.columns[0]) - self._first

    @property
    def commands(self) -> int:
        """How many commands were read, from the first on."""
        return self._open_unit[OpenUnitField.COMMANDS_READ]

    def read_units(self, count: int) -> None:
        """Read until there are so many units, or all there are."""
        if self.count < count and not self.at_end:
            for column in self.columns:
                del column[: self._first]
            self._first = 0
        while self.count < count and not self.at_end:
            self.at_end = next(self._reader, True)

    def discard(self, count: int) -> None:
        """Let go of the first units."""
        if count:
            self.transactions = max(self.transactions, max(self.column(UnitColumn.TX, count)))
            self.discarded_units += count
            self._first += count

    def column(self, column_id: UnitColumn, count: int) -> "array[int]":
        """What the first units have in one column."""
        return self.columns[column_id][self._first : self._first + count]

    def common_prefix(self, other: "Side") -> int:
        """How many of the first units are equal on both sides."""
        one, two = self.columns[UnitColumn.DIGEST], other.columns[UnitColumn.DIGEST]
        return common_prefix_length(one, 8 * self._first, two, 8 * other._first, 8 * min(self.count, other.count)) // 8

    def unit(self, i: int) -> Unit:
        """A unit, counted from the first that is not dropped."""
        i += self._first
        return Unit(*[column[i] for column in self.columns])

    def runs(self, start: int, end: int) -> Iterator[UnitRun]:
        """The units start to end, in as few runs as can be."""
        begin, stop = self._first + start, self._first + end
        parts, kinds = self.columns[UnitColumn.PART][begin:stop], self.columns[UnitColumn.KIND][begin:stop]
        if not parts:
            return
        edges = [0, len(parts)]
        if parts[0] != parts[-1] or max(kinds) >= UnitKind.UNFINISHED:
            classes = [_RUN_CLASSES[kind] for kind in kinds]
            edges[1:1] = [
                i
                for i in range(1, len(parts))
                if parts[i] != parts[i - 1] or classes[i] != classes[i - 1] or not classes[i]
            ]
        for one, two in pairwise(edges):
            commands = sum(self.columns[UnitColumn.COMMANDS][begin + one : begin + two])
            yield UnitRun(self.unit(start + one), self.unit(start + two - 1), commands, two - one)

    def position(self) -> DiffPosition:
        """The place of the first unit."""
        return self.unit(0).position(self.transactions)

    def record_damage(self, part: int, damage: Damage) -> None:
        """Remember damage; the first of much."""
        known = (part, damage.span.start)
        if known not in self.damage:
            self.damage_count += 1
            if len(self.damage) < DAMAGE_MAX:
                self.damage[known] = damage

    # -- reading --

    def _read(self, position: DiffPosition) -> Iterator[bool]:
        tracker = self._tracker
        for index in range(position.part, len(self.sources)):
            source, at = (
                self.sources[index],
                position if index == position.part else DiffPosition(index, commands=self.commands),
            )
            tracker.begin_part()
            self._open_unit[OpenUnitField.PART] = index
            if source is None:
                continue
            rdb, start = self.rdb(index), at.offset
            if rdb and start < rdb.span.end:
                yield from self._read_rdb(at)
                start = rdb.span.end
            elif start:
                tracker.state[ContextField.DB], tracker.state[ContextField.TIME] = at.db, at.time
            for tile in read_tiles(source, command_table().names, start):
                if isinstance(tile, RecordBatch):
                    self._add_batch(tile)
                elif isinstance(tile, Damage):
                    self._add_damage(index, source, tile)
                yield False
            self._close_transaction()

    def _read_rdb(self, position: DiffPosition) -> Iterator[bool]:
        for rows in read_rdb_units(self.rules, self.open_rdb_commands(position.part), position):
            for column, new in zip(self.columns, rows, strict=True):
                column += new
            yield False

    def _add_batch(self, batch: RecordBatch) -> None:
        tracker, rules = self._tracker, self.rules
        tracker.track(batch)
        if batch.oversized:
            self._digests[0] = large_record_digest(rules, batch)
        else:
            record_digests(rules.key, batch, rules.name_counts, rules.exact, self._digests)
        self._append_units(
            make_units(
                rules.key,
                self._open_unit,
                batch,
                self._digests,
                tracker.db,
                tracker.tx,
                tracker.time,
                rules.actions,
                self._out,
            )
        )

    def _add_damage(self, index: int, source: Source, tile: Damage) -> None:
        self._close_transaction()
        state = self._tracker.state
        self.record_damage(index, tile)
        state[ContextField.TX] = 0
        digest = Digest(self.rules.key).add_number(-UnitKind.DAMAGE)
        for piece in read_pieces(source, tile.span):
            digest.add_bytes(piece)
        db, time, number = state[ContextField.DB], state[ContextField.TIME], self.commands
        row = (to_signed(digest.value()), index, *tile.span, db, 0, time, number + 1, 0, UnitKind.DAMAGE, number, 0)
        for column, value in zip(self.columns, row, strict=True):
            column.append(value)

    def _close_transaction(self) -> None:
        self._append_units(close_transaction(self.rules.key, self._open_unit, False, self._out))

    def _append_units(self, count: int) -> None:
        for column, new in zip(self.columns, self._out, strict=True):
            column += new[:count]
