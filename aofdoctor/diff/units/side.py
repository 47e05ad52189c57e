"""Read one of the two AOFs of a comparison as columns of commands and transactions (units), on demand.

The parts are read in load order as one stream.  A unit is a transaction, a
command outside of one, or a command that recreates an RDB key.  Equal digests
mean an equal effect.  Annotations and SELECTs are no units, but the selected
database is part of the digest of a command.

After damage the database before it is assumed to be still selected.  The guess
may be wrong, but for the comparison with an intact AOF it works better than an
unknown database.
"""

from array import array
from collections.abc import Iterator
from itertools import pairwise

from aofdoctor.aof.model import AOF
from aofdoctor.aof.reader import BATCH_RECORDS, read_tiles
from aofdoctor.aof.records import Preamble, RecordBatch
from aofdoctor.aof.recovery.in_flight import is_in_flight
from aofdoctor.damage import Damage
from aofdoctor.diff.hashing.arguments import feed_span
from aofdoctor.diff.hashing.digest import Digest, common_prefix_length, record_digests
from aofdoctor.diff.units.columns import OpenUnitField, UnitColumn, UnitKind
from aofdoctor.diff.units.comparison_rules import ComparisonRules
from aofdoctor.diff.units.large_records import large_record_digest
from aofdoctor.diff.units.rdb_commands import RdbCommandStream
from aofdoctor.diff.units.rdb_units import read_rdb_units
from aofdoctor.diff.units.unit import DiffPosition, Unit, UnitRun, to_signed
from aofdoctor.diff.units.units import close_transaction, make_units
from aofdoctor.rdb.preamble import is_rdb
from aofdoctor.server.command_table import command_table
from aofdoctor.server.context.fields import ContextField
from aofdoctor.server.context.tracker import ContextTracker
from aofdoctor.source import Source

DAMAGE_MAX = 100
# Adjacent units of one class form a run; a unit of class 0 is a run of its own.
_RUN_CLASSES: dict[int, int] = {
    UnitKind.UNFINISHED: 0,
    UnitKind.RDB: 0,
    UnitKind.DAMAGE: 0,
    UnitKind.COMMAND: 1,
    UnitKind.TRANSACTION: 1,
    UnitKind.KEY: 2,
}


class TruncatedSource:
    """The first `end` bytes of a source, or all of it if `end` is None.

    Several readers use the source, so `forget` does nothing.
    """

    def __init__(self, source: Source, end: int | None) -> None:
        self._source, self._end = source, end

    @property
    def size(self) -> int | None:
        size = self._source.size
        return self._end if size is None else min(size, size if self._end is None else self._end)

    def readinto(self, view: memoryview, offset: int) -> int:
        room = len(view) if self._end is None else max(0, self._end - offset)
        return self._source.readinto(view[:room], offset) if room else 0

    def forget(self, offset: int) -> None:
        pass


class Side:
    """An AOF up to `end` (part, offset), or all of it.

    The first units that are read and not yet discarded are the window: all indexes count from its first unit.
    """

    def __init__(self, aof: AOF, rules: ComparisonRules, end: tuple[int, int] | None = None) -> None:
        self.aof, self.rules, self.end = aof, rules, end
        parts = aof.parts if end is None else aof.parts[: end[0] + 1]
        self.sources: list[Source | None] = [
            TruncatedSource(part.source, end[1] if end and index == end[0] else None) if part.source else None
            for index, part in enumerate(parts)
        ]
        self.columns = [array("q") for _ in UnitColumn]
        self.discarded_units = self.transactions = self.damage_count = 0
        self._first = 0  # index in the columns of the first unit of the window; earlier ones are discarded
        self.damage: dict[tuple[int, int], Damage] = {}
        self.rdbs: dict[int, Preamble] = {}  # by part
        self._rdb_streams: dict[int, RdbCommandStream] = {}
        self._tracker = ContextTracker(columns=True)
        self._digests = array("Q", bytes(8 * BATCH_RECORDS))
        self._out = [array("q", bytes(8 * (BATCH_RECORDS + 1))) for _ in UnitColumn]
        self.seek(DiffPosition())

    def seek(self, position: DiffPosition) -> None:
        """Continue to read the AOF at a position; everything that was read so far is dropped."""
        self._open_unit = array("q", bytes(8 * len(OpenUnitField)))
        self._open_unit[OpenUnitField.COMMANDS_READ] = position.commands
        self._open_unit[OpenUnitField.EXACT] = self.rules.exact
        self.transactions = self._tracker.state[ContextField.TRANSACTIONS] = position.transactions
        self._first = 0
        for column in self.columns:
            del column[:]
        self.at_end = False
        self._reader = self._read(position)

    def reopen_at(self, position: DiffPosition) -> "Side":
        """Return a second, independent reader of the same AOF at a position."""
        reopened = Side(self.aof, self.rules, self.end)
        reopened.rdbs = self.rdbs
        reopened.seek(position)
        return reopened

    def rdb(self, part: int) -> Preamble | None:
        """Return the RDB at the head of a part, None if there is none; it is read once."""
        source = self.sources[part]
        if part not in self.rdbs and source and is_rdb(source):
            tile = next(read_tiles(source, command_table().names), None)
            if isinstance(tile, Preamble):
                self.rdbs[part] = tile
        return self.rdbs.get(part)

    def rdb_commands(self, part: int) -> RdbCommandStream:
        """Return the command stream of a part's RDB for reading units again."""
        if part not in self._rdb_streams:
            self._rdb_streams[part] = self.open_rdb_commands(part)
        return self._rdb_streams[part]

    def open_rdb_commands(self, part: int) -> RdbCommandStream:
        """Return a new command stream of a part's RDB, for a caller that continues where it stopped."""
        source = self.sources[part]
        assert source is not None
        return RdbCommandStream(self.aof.parts[part].name, source, self.rdbs[part])

    @property
    def count(self) -> int:
        """The number of units (commands, transactions, RDB keys) in the window."""
        return len(self.columns[0]) - self._first

    @property
    def commands(self) -> int:
        """The number of commands read so far, counted from the start of the AOF."""
        return self._open_unit[OpenUnitField.COMMANDS_READ]

    def read_units(self, count: int) -> None:
        """Read the AOF until `count` commands, transactions or RDB keys are in memory (the window), or it ends."""
        if self.count < count and not self.at_end:
            for column in self.columns:
                del column[: self._first]
            self._first = 0
        while self.count < count and not self.at_end:
            self.at_end = next(self._reader, True)

    def discard(self, count: int) -> None:
        """Drop the first `count` commands, transactions or RDB keys in memory."""
        if count:
            self.transactions = max(self.transactions, max(self.column(UnitColumn.TX, count)))
            self.discarded_units += count
            self._first += count

    def column(self, column_id: UnitColumn, count: int) -> "array[int]":
        """Return one property, such as the digest, of each of the first `count` commands in memory."""
        return self.columns[column_id][self._first : self._first + count]

    def common_prefix(self, other: "Side") -> int:
        """Count how many of the first commands in memory are equal in both AOFs."""
        one, two = self.columns[UnitColumn.DIGEST], other.columns[UnitColumn.DIGEST]
        return common_prefix_length(one, 8 * self._first, two, 8 * other._first, 8 * min(self.count, other.count)) // 8

    def unit(self, i: int) -> Unit:
        """Return the command, transaction or RDB key (unit) at an index of those in memory."""
        i += self._first
        return Unit(*[column[i] for column in self.columns])

    def runs(self, start: int, end: int) -> Iterator[UnitRun]:
        """Yield the commands in memory from index `start` to `end` as few runs of adjacent ones as possible."""
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
        """Return the position in the AOF of the first command in memory."""
        return self.unit(0).position(self.transactions)

    def record_damage(self, part: int, damage: Damage) -> None:
        """Count damage once for each position, and keep the first DAMAGE_MAX of them."""
        known = (part, damage.span.start)
        if known not in self.damage:
            self.damage_count += 1
            if len(self.damage) < DAMAGE_MAX:
                self.damage[known] = damage

    @property
    def is_damaged(self) -> bool:
        """Whether damage was met or a part is missing; a record that is still being written is no damage."""
        parts = self.aof.parts
        in_flight = sum(is_in_flight(parts[part].source, damage) for (part, _), damage in self.damage.items())
        return self.damage_count > in_flight or any(part.source is None for part in parts)

    # -- reading --

    def _read(self, position: DiffPosition) -> Iterator[bool]:
        tracker = self._tracker
        for index in range(position.part, len(self.sources)):
            source = self.sources[index]
            at = position if index == position.part else DiffPosition(index, commands=self.commands)
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
        digest = feed_span(Digest(self.rules.key).add_number(-UnitKind.DAMAGE), source, tile.span)
        db, time, number = state[ContextField.DB], state[ContextField.TIME], self.commands
        row = (to_signed(digest.value()), index, *tile.span, db, 0, time, number + 1, 0, UnitKind.DAMAGE, number, 0)
        for column, value in zip(self.columns, row, strict=True):
            column.append(value)

    def _close_transaction(self) -> None:
        self._append_units(close_transaction(self.rules.key, self._open_unit, False, self._out))

    def _append_units(self, count: int) -> None:
        for column, new in zip(self.columns, self._out, strict=True):
            column += new[:count]
