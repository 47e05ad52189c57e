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
from typing import TYPE_CHECKING

from aofdoctor.aof.discovery import AOF
from aofdoctor.aof.reader import BATCH_RECORDS, read_tiles
from aofdoctor.aof.records import Preamble, RecordBatch
from aofdoctor.damage import Damage
from aofdoctor.diff.hashing.digest import Digest, common, records
from aofdoctor.diff.units._pyunits import Column, Kind, Open
from aofdoctor.diff.units.rdb_commands import RdbCommandStream
from aofdoctor.diff.units.rdb_units import told_units
from aofdoctor.diff.units.unit import (
    ComparisonRules,
    DiffPosition,
    Run,
    TruncatedSource,
    Unit,
    large_record_digest,
    pieces,
    signed,
)
from aofdoctor.rdb.preamble import is_rdb
from aofdoctor.server.command_table import table
from aofdoctor.server.context._pytracker import ContextField
from aofdoctor.server.context.tracker import ContextTracker
from aofdoctor.source import Source

if TYPE_CHECKING:
    from aofdoctor.diff.units._pyunits import close, run
else:
    try:
        from aofdoctor.diff.units._units import close, run
    except ImportError:
        from aofdoctor.diff.units._pyunits import close, run

__all__ = ["TruncatedSource", "DiffPosition", "ComparisonRules", "Run", "Side", "Unit", "large_record_digest", "pieces"]

DAMAGE_KEPT = 100
# Units of one sort make a run; those of sort 0 stand alone.
_SORTS: dict[int, int] = {
    Kind.UNFINISHED: 0, Kind.RDB: 0, Kind.DAMAGE: 0, Kind.COMMAND: 1, Kind.TRANSACTION: 1, Kind.KEY: 2,
}  # fmt: skip


class Side:
    """A history up to `end` (part, offset), or all of it; units are read when asked for, and dropped when done with."""

    def __init__(self, aof: AOF, rules: ComparisonRules, end: tuple[int, int] | None = None) -> None:
        self.aof, self.rules, self.end = aof, rules, end
        parts = aof.parts if end is None else aof.parts[: end[0] + 1]
        self.sources: list[Source | None] = [
            TruncatedSource(part.source, end[1] if end and index == end[0] else None) if part.source else None
            for index, part in enumerate(parts)
        ]
        self.columns = [array("q") for _ in Column]
        self.dropped = self.transactions = self.damaged = 0
        self._first = 0  # what stands before it in the columns is dropped
        self.damage: dict[tuple[int, int], Damage] = {}
        self.rdbs: dict[int, Preamble] = {}  # by part, once it was read
        self._rdb_streams: dict[int, RdbCommandStream] = {}
        self._tracker = ContextTracker(columns=True)
        self._digests = array("Q", bytes(8 * BATCH_RECORDS))
        self._out = [array("q", bytes(8 * (BATCH_RECORDS + 1))) for _ in Column]
        self.seek(DiffPosition())

    def seek(self, position: DiffPosition) -> None:
        """Go on reading at a place; what was read is dropped."""
        self._open = array("q", bytes(8 * len(Open)))
        self._open[Open.SEEN], self._open[Open.EXACT] = position.commands, self.rules.exact
        self.transactions = self._tracker.state[ContextField.TRANSACTIONS] = position.transactions
        self._first = 0
        for column in self.columns:
            del column[:]
        self.ended = False
        self._walk = self._read(position)

    def reopen_at(self, position: DiffPosition) -> "Side":
        """The same history, read by somebody else from a place."""
        other = Side(self.aof, self.rules, self.end)
        other.rdbs = self.rdbs
        other.seek(position)
        return other

    def rdb(self, part: int) -> Preamble | None:
        """The RDB at the head of a part."""
        source = self.sources[part]
        if part not in self.rdbs and source and is_rdb(source):
            tile = next(read_tiles(source, table().names), None)
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
        return self._open[Open.SEEN]

    def read_units(self, count: int) -> None:
        """Read until there are so many units, or all there are."""
        if self.count < count and not self.ended:
            for column in self.columns:
                del column[: self._first]
            self._first = 0
        while self.count < count and not self.ended:
            self.ended = next(self._walk, True)

    def discard(self, count: int) -> None:
        """Let go of the first units."""
        if count:
            self.transactions = max(self.transactions, max(self.column(Column.TX, count)))
            self.dropped += count
            self._first += count

    def column(self, which: Column, count: int) -> "array[int]":
        """What the first units have in one column."""
        return self.columns[which][self._first : self._first + count]

    def common_prefix(self, other: "Side") -> int:
        """How many of the first units are equal on both sides."""
        one, two = self.columns[Column.DIGEST], other.columns[Column.DIGEST]
        return common(one, 8 * self._first, two, 8 * other._first, 8 * min(self.count, other.count)) // 8

    def unit(self, i: int) -> Unit:
        """A unit, counted from the first that is not dropped."""
        i += self._first
        return Unit(*[column[i] for column in self.columns])

    def runs(self, start: int, end: int) -> Iterator[Run]:
        """The units start to end, in as few runs as can be."""
        begin, stop = self._first + start, self._first + end
        parts, kinds = self.columns[Column.PART][begin:stop], self.columns[Column.KIND][begin:stop]
        if not parts:
            return
        edges = [0, len(parts)]
        if parts[0] != parts[-1] or max(kinds) >= Kind.UNFINISHED:
            sorts = [_SORTS[kind] for kind in kinds]
            edges[1:1] = [
                i for i in range(1, len(parts)) if parts[i] != parts[i - 1] or sorts[i] != sorts[i - 1] or not sorts[i]
            ]
        for one, two in pairwise(edges):
            commands = sum(self.columns[Column.COMMANDS][begin + one : begin + two])
            yield Run(self.unit(start + one), self.unit(start + two - 1), commands, two - one)

    def position(self) -> DiffPosition:
        """The place of the first unit."""
        return self.unit(0).position(self.transactions)

    def damage_met(self, part: int, damage: Damage) -> None:
        """Remember damage; the first of much."""
        known = (part, damage.span.start)
        if known not in self.damage:
            self.damaged += 1
            if len(self.damage) < DAMAGE_KEPT:
                self.damage[known] = damage

    # -- reading --

    def _read(self, position: DiffPosition) -> Iterator[bool]:
        tracker = self._tracker
        for index in range(position.part, len(self.sources)):
            source, at = (
                self.sources[index],
                position if index == position.part else DiffPosition(index, commands=self.commands),
            )
            tracker.begin()
            self._open[Open.PART] = index
            if source is None:
                continue
            rdb, start = self.rdb(index), at.offset
            if rdb and start < rdb.span.end:
                yield from self._tell(at)
                start = rdb.span.end
            elif start:
                tracker.state[ContextField.DB], tracker.state[ContextField.TIME] = at.db, at.time
            for tile in read_tiles(source, table().names, start):
                if isinstance(tile, RecordBatch):
                    self._batch(tile)
                elif isinstance(tile, Damage):
                    self._damage(index, source, tile)
                yield False
            self._close()

    def _tell(self, position: DiffPosition) -> Iterator[bool]:
        for rows in told_units(self.rules, self.open_rdb_commands(position.part), position):
            for column, new in zip(self.columns, rows, strict=True):
                column += new
            yield False

    def _batch(self, batch: RecordBatch) -> None:
        tracker, rules = self._tracker, self.rules
        tracker.run(batch)
        if batch.oversized:
            self._digests[0] = large_record_digest(rules, batch)
        else:
            records(rules.key, batch, rules.names, rules.exact, self._digests)
        self._put(
            run(rules.key, self._open, batch, self._digests, tracker.db, tracker.tx, tracker.time, rules.act, self._out)
        )

    def _damage(self, index: int, source: Source, tile: Damage) -> None:
        self._close()
        state = self._tracker.state
        self.damage_met(index, tile)
        state[ContextField.TX] = 0
        digest = Digest(self.rules.key).number(-Kind.DAMAGE)
        for piece in pieces(source, tile.span):
            digest.piece(piece)
        db, time, number = state[ContextField.DB], state[ContextField.TIME], self.commands
        row = (signed(digest.value()), index, *tile.span, db, 0, time, number + 1, 0, Kind.DAMAGE, number, 0)
        for column, value in zip(self.columns, row, strict=True):
            column.append(value)

    def _close(self) -> None:
        self._put(close(self.rules.key, self._open, False, self._out))

    def _put(self, count: int) -> None:
        for column, new in zip(self.columns, self._out, strict=True):
            column += new[:count]
