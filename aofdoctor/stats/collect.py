"""What an AOF is made of, in numbers: one walk over all parts, in a room that does not grow with them.

Counts by command, database, time and place are exact; by prefix as well, as
long as there are not too many of them; single keys are exact at the beginning,
and then estimated (server/weigh.py), unless every write is to be looked at.
"""

from array import array
from collections.abc import Callable
from dataclasses import dataclass, field
from heapq import nsmallest
from typing import NamedTuple

from aofdoctor.aof.discovery import AOF, AofPart
from aofdoctor.aof.reader import BATCH_RECORDS, WINDOW, read_tiles
from aofdoctor.aof.records import Preamble, RecordBatch
from aofdoctor.damage import Damage
from aofdoctor.finding import Finding
from aofdoctor.log.ordinals import none_if_unknown
from aofdoctor.log.selection import Selection
from aofdoctor.server.command_table import command_table
from aofdoctor.server.context._pytracker import ContextField
from aofdoctor.server.context.tracker import ContextTracker
from aofdoctor.source import Source
from aofdoctor.stats.counting.counters import (  # fmt: skip
    DBS,
    NO_DB,
    SHOWN,
    KeyCounters,
    KeyRow,
    NameRow,
    RecordCounters,
    first_key,
    indexes,
    kinds,
    rules,
)
from aofdoctor.stats.histogram import FACTORS, Histogram, position_histogram, time_histogram
from aofdoctor.stats.rdb_keys import BaseStats, BaseTally
from aofdoctor.stats.suspicious import SuspiciousEvents
from aofdoctor.stats.top_n import TopN

KEYS_KEPT = 100
SURE = 16 << 20  # so many bytes of records are looked at for keys before a sample is taken
_ALL = 1 << 62

Progress = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class StatsOptions:
    """What is counted by: `keys` or not, their prefix by `depth` delimiters, time in buckets of `every` seconds.

    `exact`: every write is looked at for its key, however many there are.
    """

    keys: bool = True
    depth: int = 1
    delimiter: bytes = b":"
    every: int | None = None
    exact: bool = False


class Row(NamedTuple):
    """Commands of one kind and their bytes; the name is None where it is not known."""

    name: str | int | bytes | None
    commands: int
    bytes: int


class LargeRecord(NamedTuple):
    """A record: `command` and `key` are the first bytes of its name and its first key, which has `length`."""

    part: str
    offset: int
    size: int
    db: int | None
    command: bytes
    key: bytes | None
    length: int


@dataclass(frozen=True, slots=True)
class Written:
    """A key by what was written to it: at least count - over and at most count, each give or take `deviation`.

    `key` are its first bytes, of `length`; `deviation` is two standard deviations of the sample, 0 without one.
    """

    key: bytes
    length: int
    db: int | None
    count: int
    over: int
    deviation: int


@dataclass(slots=True)
class KeyStats:
    """Commands by their first key; `exact` where nothing is estimated, else no other key has more than `elsewhere`."""

    by_prefix: list[Row]
    other_prefixes: Row | None
    by_bytes: list[Written]
    by_writes: list[Written]
    exact: bool
    bytes_elsewhere: int
    writes_elsewhere: int


@dataclass(slots=True)
class Stats:
    """The answer: totals of the whole AOF, and `selected` and all that follows of what was asked for."""

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
    selected: Row = field(default_factory=lambda: Row(None, 0, 0))
    by_command: list[Row] = field(default_factory=list)
    by_db: list[Row] = field(default_factory=list)
    histogram: Histogram = field(default_factory=lambda: Histogram("position", 1, []))
    largest: list[LargeRecord] = field(default_factory=list)
    keys: KeyStats | None = None
    base: BaseStats | None = None
    suspicious_events: list[Finding] = field(default_factory=list)


def collect_stats(
    aof: AOF,
    selection: Selection,
    options: StatsOptions,
    progress: Progress | None = None,
    window: int = WINDOW,
    room: int = BATCH_RECORDS,
) -> Stats:
    """Read all parts and count; `progress` is told how many bytes have been read, now and then."""
    return _Walk(aof, selection, options, progress, window, room).run()


class _Walk:
    def __init__(
        self, aof: AOF, selection: Selection, options: StatsOptions, progress: Progress | None, window: int, room: int
    ) -> None:
        self.stats, self.selection, self.options, self.progress = Stats(aof, selection), selection, options, progress
        self.window, self.room = window, room
        self.tracker = ContextTracker(columns=True, room=room)
        self.suspicious_events = SuspiciousEvents(aof, self.tracker)
        factors = array("q", FACTORS if options.every is None else [0])
        self.record_counters = RecordCounters(kinds(), options.every or 1, factors)
        delimiter = options.delimiter[0]
        self.key_counters = KeyCounters(rules(), delimiter, options.depth, _ALL if options.exact else SURE)
        self.base = BaseTally(selection, delimiter, options.depth if options.keys else 0)
        self.large: TopN[LargeRecord] = TopN()
        self.larger = array("I", bytes(4 * room))

    def run(self) -> Stats:
        stats = self.stats
        for index, part in enumerate(stats.aof.parts):
            if part.source is not None:
                self._part(index, part, part.source)
        by_id = self.record_counters.by_id
        stats.selected = Row(None, *(sum(row[column] for row in by_id) for column in (0, 1)))
        stats.by_command = ranked(self._commands(by_id))
        stats.by_db = ranked([Row(_db(at), *row) for at, row in enumerate(self.record_counters.by_db) if row[0]])
        stats.histogram = self._make_histogram()
        stats.largest = self.large.ranked()
        stats.keys = key_stats(self.key_counters) if self.options.keys else None
        stats.base = self.base.result()
        stats.suspicious_events = self.suspicious_events.found(self.record_counters)
        return stats

    # -- one part --

    def _part(self, index: int, part: AofPart, source: Source) -> None:
        stats, state, before = self.stats, self.tracker.state, self.stats.commands
        self.tracker.begin_part()
        self.suspicious_events.begin(index, part.name, stats.size)
        for tile in read_tiles(source, command_table().names, window=self.window, room=self.room):
            if isinstance(tile, RecordBatch):
                self._batch(index, part.name, tile, before)
            elif isinstance(tile, Damage):
                self._damage(tile.span.size)
                self.tracker.mark_unknown()
                self.suspicious_events.interrupted()
            else:
                self._preamble(index, part.name, source, tile)
        if state[ContextField.TX] > 0:
            stats.damages += 1  # a MULTI without its EXEC: no byte of it is wrong
        stats.size += source.size or 0
        stats.commands += state[ContextField.COMMANDS]
        stats.annotations += state[ContextField.ANNOTATIONS]
        stats.first_time = (
            none_if_unknown(state[ContextField.FIRST_TIME]) if stats.first_time is None else stats.first_time
        )
        stats.last_time = stats.last_time if state[ContextField.TIME] == -1 else state[ContextField.TIME]

    def _damage(self, size: int) -> None:
        self.stats.damages += 1
        self.stats.damage_bytes += size

    def _preamble(self, index: int, part: str, source: Source, rdb: Preamble) -> None:
        self.tracker.begin_after_preamble(rdb.span.end)
        self.stats.rdb_bytes += rdb.span.size
        if not rdb.is_intact:
            self.stats.damages += 1
        self.base.add(index, part, self.stats.commands, source, rdb)

    def _batch(self, index: int, part: str, batch: RecordBatch, before: int) -> None:
        tracker, commands = self.tracker, before + self.tracker.state[ContextField.COMMANDS]
        flagged = tracker.track(batch)
        chosen = None
        if not self.selection.selects_all:
            wanted = self.selection.matches(index, batch, tracker, commands)
            chosen, inside = indexes(wanted), set(wanted)
            flagged = array("I", [i for i in flagged if i in inside])
        place = self.stats.size + batch.base
        larger = self.record_counters.run(batch, place, tracker.db, tracker.time, chosen, self.large.least, self.larger)
        for i in self.large.worth(self.larger[:larger], lambda i: batch.edges[i + 1] - batch.edges[i]):
            self._large(part, batch, i)
        if self.options.keys:
            self._keys(batch, chosen)
        self.suspicious_events.batch(batch, flagged, commands)
        if self.progress:
            self.progress(place + batch.edges[batch.count])

    def _large(self, part: str, batch: RecordBatch, i: int) -> None:
        def made() -> LargeRecord:
            name, key = next(batch.args(i)), first_key(batch, i)
            head = name if isinstance(name, bytes) else name.head(SHOWN)
            shown, length = key or (None, 0)
            place = batch.record_span(i)
            return LargeRecord(part, place.start, place.size, none_if_unknown(self.tracker.db[i]), head[:SHOWN],
                               None if shown is None else shown[:SHOWN], length)  # fmt: skip

        self.large.offer(batch.record_span(i).size, made)

    def _keys(self, batch: RecordBatch, chosen: "array[int] | None") -> None:
        if not batch.oversized:
            self.key_counters.run(batch, self.tracker.db, chosen)
            return
        for i in range(batch.count) if chosen is None else chosen:
            size, key = batch.record_span(i).size, first_key(batch, i)
            if not batch.ids[i]:
                name = next(batch.args(i))
                self.key_counters.unknown(name if isinstance(name, bytes) else name.head(SHOWN), size)
            if key:
                self.key_counters.one(key[0], key[1], self.tracker.db[i], size)

    # -- what was counted --

    def _commands(self, by_id: list[tuple[int, int]]) -> list[Row]:
        rows = [
            Row(command_table().commands[number - 2].name, *row)
            for number, row in enumerate(by_id)
            if number > 1 and row[0]
        ]
        if not by_id[0][0]:
            return rows
        if not self.options.keys:
            return [*rows, Row(None, *by_id[0])]
        others = self.key_counters.other_unknown
        rest = [Row(None, others[0], others[1])] if others[0] else []
        return rows + [Row(name, count, size) for name, count, size, _ in self.key_counters.unknown_names] + rest

    def _make_histogram(self) -> Histogram:
        timed = self.record_counters.times
        if timed[1]:
            return time_histogram(timed, self.record_counters.untimed, self.options.every is not None)
        return position_histogram(self.record_counters.places)


def _db(at: int) -> int | str | None:
    if at < DBS:
        return at
    return None if at == NO_DB else "others"


def ranked(rows: list[Row]) -> list[Row]:
    """The most commands first, then the most bytes."""
    return sorted(rows, key=lambda row: (-row.commands, -row.bytes, str(row.name)))


# -- keys --


def key_stats(counters: KeyCounters) -> KeyStats:
    """What has been counted of keys."""
    rows, others = counters.prefixes, counters.other_prefixes
    by_bytes, by_writes = counters.by_bytes, counters.by_writes
    elsewhere = counters.most_bytes_elsewhere, counters.most_writes_elsewhere
    exact = not any(error or spread for *_, error, spread in (*by_bytes, *by_writes)) and counters.sure
    return KeyStats(
        ranked([_name_row(row) for row in rows]), Row(None, others[0], others[1]) if others[0] else None,
        _written(by_bytes), _written(by_writes), exact, *elsewhere,
    )  # fmt: skip


def _name_row(row: NameRow) -> Row:
    return Row(row[0], row[1], row[2])


def _written(rows: list[KeyRow]) -> list[Written]:
    """Those with the most, as far as it is certain."""
    best = nsmallest(KEYS_KEPT, rows, key=lambda row: (row[4] - row[3], -row[3], row[0], row[2]))
    return [
        Written(key, length, none_if_unknown(db), count, error, round(2 * spread**0.5))
        for key, length, db, count, error, spread in best
    ]
