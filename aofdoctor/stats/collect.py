"""Collect the statistics of an AOF while reading all its files once, in bounded memory.

Counts by command, database, time and position are exact, and so are counts by key prefix unless there are too many
prefixes.  Counts of single keys are exact for the first 16 MiB of commands and then estimated from a sample
(Space-Saving, see `stats.counting`), unless the options ask for exact ones.

This module feeds the counters and assembles their results; the counting itself is in `stats.counting`.
"""

from array import array
from collections.abc import Callable
from dataclasses import dataclass, field
from heapq import nsmallest
from typing import NamedTuple

from aofdoctor.aof.model import AOF, AofPart
from aofdoctor.aof.reader import BATCH_RECORDS, WINDOW
from aofdoctor.aof.records import Preamble, RecordBatch
from aofdoctor.aof.recovery.in_flight import is_in_flight
from aofdoctor.damage import Damage
from aofdoctor.finding import Finding
from aofdoctor.log.context_walk import none_if_unknown, walk_part
from aofdoctor.log.restarts.torn_transactions import RestartBorders, TornTransaction
from aofdoctor.log.selection import Selection
from aofdoctor.server.command_table import command_table
from aofdoctor.server.context.fields import ContextField
from aofdoctor.server.context.tracker import ContextTracker
from aofdoctor.source import Source
from aofdoctor.stats.counting.counters import (  # fmt: skip
    KEY_BYTES_KEPT,
    TRACKED_DBS,
    UNKNOWN_DB_ROW,
    HeavyHitterRow,
    KeyCounters,
    NameRow,
    RecordCounters,
    to_index_array,
)
from aofdoctor.stats.counting.first_key import burst_kinds, first_key, first_key_rules
from aofdoctor.stats.histogram import WIDTH_FACTORS, Histogram, position_histogram, time_histogram
from aofdoctor.stats.rdb_keys import BaseStats, BaseStatsCollector
from aofdoctor.stats.suspicious import SuspiciousEvents
from aofdoctor.stats.top_n import TopN

KEYS_KEPT = 100  # keys in each list of the keys that are written most
EXACT_KEY_BYTES = 16 << 20  # Bytes of records in which every key is counted; after them, keys are sampled.
_NO_LIMIT = 1 << 62

StatsProgress = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class StatsOptions:
    """What the statistics of an AOF count, and how finely.

    `keys`: also count by key and by key prefix.  A prefix ends at the delimiter number `depth` of the key's name.
    `every` is the width of the rows over time in seconds; with None it is chosen.  `exact`: count the key of every
    write instead of a sample.
    """

    keys: bool = True
    depth: int = 1
    delimiter: bytes = b":"
    every: int | None = None
    exact: bool = False


class CommandCounts(NamedTuple):
    """The number of commands with one name, in one database or with one key prefix, and their bytes.

    `name` is the command name, database or prefix, None if unknown.
    """

    name: str | int | bytes | None
    commands: int
    bytes: int


class LargeRecord(NamedTuple):
    """One of the largest commands of an AOF: its place, size, name and first key.

    `part` is the file name, `offset` the offset in it.  `command` and `key` are the first bytes of the command's name
    and of its first key, `length` is the size of that key in bytes.
    """

    part: str
    offset: int
    size: int
    db: int | None
    command: bytes
    key: bytes | None
    length: int


@dataclass(frozen=True, slots=True)
class HeavyHitter:
    """A key of an AOF with many bytes or many commands written to it; `count` is in bytes or commands.

    The true value is between `count - overcount` and `count`.  With sampling, each of these bounds has an error of
    `deviation` (two standard deviations), otherwise 0.  `key` holds the first bytes of the name, `length` is its size.
    """

    key: bytes
    length: int
    db: int | None
    count: int
    overcount: int
    deviation: int


@dataclass(slots=True)
class KeyStats:
    """Commands of an AOF by prefix of their first key, and the keys that are written most, by bytes and by commands.

    `exact`: nothing is estimated.  Otherwise, no key outside the lists `by_bytes` and `by_writes` has more than
    `max_other_bytes` bytes or `max_other_writes` commands written to it.
    """

    by_prefix: list[CommandCounts]
    other_prefixes: CommandCounts | None
    by_bytes: list[HeavyHitter]
    by_writes: list[HeavyHitter]
    exact: bool
    max_other_bytes: int
    max_other_writes: int


@dataclass(slots=True)
class Stats:
    """The statistics of an AOF: fields from `selected` on count the selected commands, those before it all of the AOF.

    `rdb_bytes` are the bytes of RDBs, `damage_bytes` those of damage.  Sizes are in bytes, times in unix seconds.
    """

    aof: AOF
    selection: Selection
    size: int = 0
    rdb_bytes: int = 0
    commands: int = 0
    annotations: int = 0
    first_time: int | None = None
    last_time: int | None = None
    damages: int = 0
    damage_bytes: int = 0
    selected: CommandCounts = field(default_factory=lambda: CommandCounts(None, 0, 0))
    by_command: list[CommandCounts] = field(default_factory=list)
    by_db: list[CommandCounts] = field(default_factory=list)
    histogram: Histogram = field(default_factory=lambda: Histogram("position", 1, []))
    largest: list[LargeRecord] = field(default_factory=list)
    keys: KeyStats | None = None
    base: BaseStats | None = None
    suspicious_events: list[Finding] = field(default_factory=list)


def collect_stats(
    aof: AOF,
    selection: Selection,
    options: StatsOptions,
    progress: StatsProgress | None = None,
    window: int = WINDOW,
    room: int = BATCH_RECORDS,
) -> Stats:
    """Read all files of an AOF once and count its commands and keys; `progress` is called with the bytes read so far.

    `window` (bytes) and `room` (commands and annotations) limit how much is read at once; the result does not depend on
    them.
    """
    return _StatsCollector(aof, selection, options, progress, window, room).run()


class _StatsCollector:
    """Reads all files of an AOF once and feeds all counters: the state of one `collect_stats` call."""

    def __init__(
        self,
        aof: AOF,
        selection: Selection,
        options: StatsOptions,
        progress: StatsProgress | None,
        window: int,
        room: int,
    ) -> None:
        self.stats, self.selection, self.options, self.progress = Stats(aof, selection), selection, options, progress
        self.window, self.room = window, room
        self.tracker = ContextTracker(columns=True, room=room)
        self.suspicious_events = SuspiciousEvents(aof, self.tracker)
        factors = array("q", WIDTH_FACTORS if options.every is None else [0])
        self.record_counters = RecordCounters(burst_kinds(), options.every or 1, factors)
        delimiter = options.delimiter[0]
        self.key_counters = KeyCounters(
            first_key_rules(), delimiter, options.depth, _NO_LIMIT if options.exact else EXACT_KEY_BYTES
        )
        self.base_collector = BaseStatsCollector(selection, delimiter, options.depth if options.keys else 0)
        self.largest: TopN[LargeRecord] = TopN()
        self.larger_indexes = array("I", bytes(4 * room))

    def run(self) -> Stats:
        stats = self.stats
        for index, part in enumerate(stats.aof.parts):
            if part.source is not None:
                self._add_part(index, part, part.source)
        by_id = self.record_counters.by_id
        stats.selected = CommandCounts(None, *(sum(row[column] for row in by_id) for column in (0, 1)))
        stats.by_command = rank_rows(self._command_rows(by_id))
        stats.by_db = rank_rows(
            [CommandCounts(_database_label(at), *row) for at, row in enumerate(self.record_counters.by_db) if row[0]]
        )
        stats.histogram = self._make_histogram()
        stats.largest = self.largest.ranked()
        stats.keys = key_stats(self.key_counters) if self.options.keys else None
        stats.base = self.base_collector.result()
        stats.suspicious_events = self.suspicious_events.findings(self.record_counters)
        return stats

    # -- reading one file (part) of the AOF --

    def _add_part(self, part_index: int, part: AofPart, source: Source) -> None:
        stats, state, commands_before = self.stats, self.tracker.state, self.stats.commands
        self.suspicious_events.begin_part(part_index, part.name, stats.size)
        self.borders = RestartBorders(source, self.tracker)
        for tile in walk_part(source, self.tracker, window=self.window, room=self.room):
            if isinstance(tile, RecordBatch):
                self._add_batch(part_index, part.name, tile, commands_before)
            elif isinstance(tile, Damage):
                self._add_torn_transaction(self.borders.torn_at(tile.span.start, tile.span.end))
                if not is_in_flight(source, tile):
                    self._add_damage(tile.span.size)
                self.suspicious_events.add_damage()
            else:
                self._add_preamble(part_index, part.name, source, tile)
        if torn := self.borders.torn_at(source.size or 0):
            self._add_torn_transaction(torn)
        elif state[ContextField.TX] > 0:
            stats.damages += 1  # A MULTI without an EXEC; none of its bytes count as damaged.
        stats.size += source.size or 0
        stats.commands += state[ContextField.COMMANDS]
        stats.annotations += state[ContextField.ANNOTATIONS]
        stats.first_time = (
            none_if_unknown(state[ContextField.FIRST_TIME]) if stats.first_time is None else stats.first_time
        )
        stats.last_time = stats.last_time if state[ContextField.TIME] == -1 else state[ContextField.TIME]

    def _add_torn_transaction(self, torn: TornTransaction | None) -> None:
        """Count a transaction that a restart tore as damage, and name the first."""
        if torn:
            self.stats.damages += 1
            self.suspicious_events.add_torn_transaction(torn)

    def _add_damage(self, size: int) -> None:
        self.stats.damages += 1
        self.stats.damage_bytes += size

    def _add_preamble(self, part_index: int, part: str, source: Source, rdb: Preamble) -> None:
        self.stats.rdb_bytes += rdb.span.size
        if not rdb.is_intact:
            self.stats.damages += 1
        self.base_collector.add(part_index, part, self.stats.commands, source, rdb)

    def _add_batch(self, part_index: int, part: str, batch: RecordBatch, commands_before: int) -> None:
        tracker, commands = self.tracker, commands_before + self.tracker.state[ContextField.COMMANDS]
        self.borders.begin_batch()
        flagged = tracker.track(batch)
        for torn in self.borders.torn_in_batch(batch, flagged):
            self._add_torn_transaction(torn)
        index_array = None
        if not self.selection.selects_all:
            selected = self.selection.matches(part_index, batch, tracker, commands)
            index_array, selected_set = to_index_array(selected), set(selected)
            flagged = array("I", [i for i in flagged if i in selected_set])
        log_offset = self.stats.size + batch.base
        larger_count = self.record_counters.count_batch(
            batch, log_offset, tracker.db, tracker.time, index_array, self.largest.threshold, self.larger_indexes
        )
        for i in self.largest.candidates(
            self.larger_indexes[:larger_count], lambda i: batch.edges[i + 1] - batch.edges[i]
        ):
            self._offer_record(part, batch, i)
        if self.options.keys:
            self._count_keys(batch, index_array)
        self.suspicious_events.add_batch(batch, flagged, commands)
        if self.progress:
            self.progress(log_offset + batch.edges[batch.count])

    def _offer_record(self, part: str, batch: RecordBatch, i: int) -> None:
        """Add command `i` of a batch to the list of the largest commands, if it is large enough."""

        def make_record() -> LargeRecord:
            name, key = next(batch.args(i)), first_key(batch, i)
            head = name if isinstance(name, bytes) else name.head(KEY_BYTES_KEPT)
            shown, length = key or (None, 0)
            place = batch.record_span(i)
            return LargeRecord(
                part,
                place.start,
                place.size,
                none_if_unknown(self.tracker.db[i]),
                head[:KEY_BYTES_KEPT],
                None if shown is None else shown[:KEY_BYTES_KEPT],
                length,
            )

        self.largest.offer(batch.record_span(i).size, make_record)

    def _count_keys(self, batch: RecordBatch, index_array: "array[int] | None") -> None:
        """Count the first keys of the commands of a batch.

        A command too large for memory has its key read from the file.
        """
        if not batch.oversized:
            self.key_counters.count_batch(batch, self.tracker.db, index_array)
            return
        for i in range(batch.count) if index_array is None else index_array:
            size, key = batch.record_span(i).size, first_key(batch, i)
            if not batch.ids[i]:
                name = next(batch.args(i))
                self.key_counters.count_unknown(name if isinstance(name, bytes) else name.head(KEY_BYTES_KEPT), size)
            if key:
                self.key_counters.count_key(key[0], key[1], self.tracker.db[i], size)

    # -- results --

    def _command_rows(self, by_id: list[tuple[int, int]]) -> list[CommandCounts]:
        """Turn the counts by command id into one row per command name.

        Commands that no known server has get a row per name, or one row together if keys are not counted.
        """
        rows = [
            CommandCounts(command_table().commands[number - 2].name, *row)
            for number, row in enumerate(by_id)
            if number > 1 and row[0]
        ]
        if not by_id[0][0]:
            return rows
        if not self.options.keys:
            return [*rows, CommandCounts(None, *by_id[0])]
        others = self.key_counters.other_unknown_names
        rest = [CommandCounts(None, others[0], others[1])] if others[0] else []
        return (
            rows + [CommandCounts(name, count, size) for name, count, size, _ in self.key_counters.unknown_names] + rest
        )

    def _make_histogram(self) -> Histogram:
        timed = self.record_counters.times
        if timed[1]:
            return time_histogram(timed, self.record_counters.untimed, self.options.every is not None)
        return position_histogram(self.record_counters.positions)


def _database_label(at: int) -> int | str | None:
    """Return the label for an index in the counts by database: a number, None for the unknown database, or `others`."""
    if at < TRACKED_DBS:
        return at
    return None if at == UNKNOWN_DB_ROW else "others"


def rank_rows(rows: list[CommandCounts]) -> list[CommandCounts]:
    """Sort CommandCounts rows by number of commands, then by bytes, the largest first."""
    return sorted(rows, key=lambda row: (-row.commands, -row.bytes, str(row.name)))


# -- keys --


def key_stats(counters: KeyCounters) -> KeyStats:
    """Assemble the statistics by key prefix and by key from the counters."""
    rows, others = counters.prefixes, counters.other_prefixes
    by_bytes, by_writes = counters.by_bytes, counters.by_writes
    max_others = counters.max_other_bytes, counters.max_other_writes
    exact = not any(error or spread for *_, error, spread in (*by_bytes, *by_writes)) and counters.is_exact
    return KeyStats(
        rank_rows([_prefix_row(row) for row in rows]), CommandCounts(None, others[0], others[1]) if others[0] else None,
        _heavy_hitters(by_bytes), _heavy_hitters(by_writes), exact, *max_others,
    )  # fmt: skip


def _prefix_row(row: NameRow) -> CommandCounts:
    return CommandCounts(row[0], row[1], row[2])


def _heavy_hitters(rows: list[HeavyHitterRow]) -> list[HeavyHitter]:
    """Return the 100 keys with the highest guaranteed counts (of bytes or of commands), the highest first.

    The guaranteed count of a key is `count - overcount`.
    """
    best = nsmallest(KEYS_KEPT, rows, key=lambda row: (row[4] - row[3], -row[3], row[0], row[2]))
    return [
        HeavyHitter(key, length, none_if_unknown(db), count, error, round(2 * spread**0.5))
        for key, length, db, count, error, spread in best
    ]
