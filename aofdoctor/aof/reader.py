"""Cut a part into tiles: adjacent, not empty, from its first byte to its last.

Algorithm: a window slides over the source.  The scanner takes the longest run
of complete records from it, the rest moves to the front, and more is read.  Only
if a window yields no record at all, the slow path runs: a record larger than
the window becomes an oversized batch, and anything else is damage up to the
place where recovery/resync.py finds the next record.

The reader knows neither the meaning of commands nor the behaviour of servers,
and it does not read the clock.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from aofdoctor.aof.constants import FIRST_ID
from aofdoctor.aof.diagnosis import command_id, diagnose_record
from aofdoctor.aof.read_window import ReadWindow
from aofdoctor.aof.records import Preamble, RecordBatch, oversized_batch
from aofdoctor.aof.recovery.embedded_rdb import RdbSearchBudget
from aofdoctor.aof.recovery.resync import damage_at, find_record
from aofdoctor.aof.recovery.swallowed_commands import find_swallowed_commands
from aofdoctor.aof.scan import SLACK, ScanColumns, ScanNames, scan
from aofdoctor.damage import Damage, DamageKind
from aofdoctor.rdb.key_counts import KeyCounts
from aofdoctor.rdb.preamble import is_rdb, walk_rdb
from aofdoctor.source import FileSource, Source
from aofdoctor.span import Span

WINDOW = 1 << 20  # bytes; a larger window does not fit the second-level cache
BATCH_RECORDS = 1 << 14  # the maximum number of records in a batch

Tile = RecordBatch | Preamble | Damage


@dataclass(frozen=True, slots=True)
class CommandNames:
    """The known command names, for the scanner (`scan_names`) and for resynchronisation (`ids`, by lower-case name)."""

    scan_names: ScanNames
    ids: dict[bytes, int]

    @classmethod
    def from_list(cls, names: list[bytes], aliases: Mapping[bytes, int] | None = None) -> "CommandNames":
        """Number the names in order, from FIRST_ID; `aliases` are further names, in lower case, of some of the ids."""
        ids = {name.lower(): i + FIRST_ID for i, name in enumerate(names)}
        return cls(ScanNames(names, aliases), ids | dict(aliases or {}))


def read_tiles(
    source: Source,
    names: CommandNames,
    start: int = 0,
    window: int = WINDOW,
    room: int = BATCH_RECORDS,
    now_ms: int = 0,
) -> Iterator[Tile]:
    """Yield the tiles of `source` from `start`, which is 0 or the beginning of a record.

    A batch is valid until the next tile is requested.  `now_ms` is the current
    time in unix milliseconds, to count the expired keys of an RDB preamble; with
    the default, no key counts as expired.
    """
    if start == 0 and (preamble := _read_preamble(source, names, now_ms)):
        yield preamble
        start = preamble.span.end
    yield from _TileReader(source, names, start, window, room)


def read_batches(source: Source, names: CommandNames, start: int, window: int = WINDOW) -> Iterator[RecordBatch]:
    """Yield the complete records from `start` up to the first byte that is not part of one.

    The source keeps all its bytes, so another reader can be at an earlier offset.
    """
    reader = _TileReader(_SharedSource(source), names, start, window, min(BATCH_RECORDS, window))
    while reader.load():
        before = reader.at
        yield from reader.batches()
        if reader.at == before:
            record = reader.large_record()
            if record is None:
                return
            yield record


class _SharedSource:
    """A source without forget(), because another reader still needs earlier bytes."""

    def __init__(self, source: Source) -> None:
        self.readinto = source.readinto
        self.file = source if isinstance(source, FileSource) else None
        self._source = source

    @property
    def size(self) -> int | None:
        return self._source.size

    def forget(self, offset: int) -> None:
        pass


def _read_preamble(source: Source, names: CommandNames, now_ms: int) -> Preamble | None:
    if not is_rdb(source):
        return None
    key_counts = KeyCounts(now_ms)
    rdb = walk_rdb(source, key_counts)
    end = rdb.end if rdb.complete or rdb.end_is_known else find_record(source, rdb.end, names.ids, run=True)
    if end is None:
        end = _find_size(source, rdb.end)
    if not (rdb.complete or rdb.end_is_known or rdb.codec):
        end = find_swallowed_commands(source, rdb.end) or end
    checksum, note = rdb.checksum, rdb.note
    if isinstance(source, FileSource) and (hole := source.first_unreadable(Span(0, end))):
        checksum, note = "bad", f"the disk does not give the bytes from {hole.start} to {hole.end}"
    span, aux = Span(0, end), rdb.aux
    return Preamble(
        span, rdb.magic, rdb.version, rdb.key_count, checksum, rdb.complete, aux, note, key_counts, rdb.codec
    )


def _find_size(source: Source, offset: int) -> int:
    probe = memoryview(bytearray(1 << 16))
    while source.size is None:
        offset += source.readinto(probe, offset)
    return source.size


def read_for_errors(source: FileSource, span: Span) -> None:
    """Read bytes only to find unreadable sectors among them."""
    view = memoryview(bytearray(WINDOW))
    for at in range(span.start, span.end, WINDOW):
        source.readinto(view[: min(WINDOW, span.end - at)], at)


class _TileReader:
    def __init__(self, source: Source, names: CommandNames, start: int, window: int, room: int) -> None:
        self.source, self.names, self.window = source, names, window
        file = source.file if isinstance(source, _SharedSource) else source
        self.file = file if isinstance(file, FileSource) and file.unreadable is not None else None
        self.buffer = bytearray(window + SLACK)
        self.view = memoryview(self.buffer)
        self.columns, self.rdb_budget = ScanColumns(room), RdbSearchBudget()
        self.base = start  # the offset in the file of buffer[0]
        self.at = self.fill = 0  # buffer[at:fill] is still to be tiled

    def __iter__(self) -> Iterator[Tile]:
        while self.load():
            before = self.at
            yield from self.batches()
            if self.at == before:
                yield self.large_record() or self.damage()

    def load(self) -> bool:
        """Move the rest to the front of the window and read more; False at the end of the source."""
        rest = self.fill - self.at
        self.view[:rest] = self.view[self.at : self.fill]
        self.base, self.at, self.fill = self.base + self.at, 0, rest
        self.source.forget(self.base)
        if rest < self.window:
            self.fill += self.source.readinto(self.view[rest : self.window], self.base + rest)
            self._stop_at_unreadable()
        self.view[self.fill : self.fill + SLACK] = bytes(SLACK)
        return self.fill > 0

    def batches(self) -> Iterator[RecordBatch]:
        columns = self.columns
        while self.at < self.fill:
            count = scan(self.buffer, self.at, self.fill, self.names.scan_names, columns)
            if not count:
                return
            start, self.at = self.at, self.at + columns.edges[count]
            yield RecordBatch(
                self.source, self.base + start, count, self.buffer, start,
                columns.edges, columns.argc, columns.ids,
            )  # fmt: skip

    def large_record(self) -> RecordBatch | None:
        """Return the record at the front of the window, which is only partly loaded; None if it is damaged."""
        offset = self.base
        diagnosis = diagnose_record(ReadWindow(self.source), offset)
        if not diagnosis.is_complete or self._first_unreadable(Span(offset, diagnosis.end)):
            return None
        if diagnosis.end - offset <= self.window:
            self._fill_to(diagnosis.end - offset)
            # The bytes that were read just now can be unreadable as well.
            return None if self._first_unreadable(Span(offset, diagnosis.end)) else next(self.batches())
        head = bytearray(self.buffer[: self.fill])
        self._restart(diagnosis.end)
        number = command_id(diagnosis, self.names.ids)
        return oversized_batch(self.source, offset, diagnosis.end - offset, diagnosis.argc, number, head)

    def damage(self) -> Damage:
        """Return the damage at the front of the window and continue after it."""
        damage = self._unreadable_damage() or damage_at(self.source, self.base, self.names.ids, self.rdb_budget)
        self._restart(damage.span.end)
        return damage

    # -- unreadable sectors --

    def _stop_at_unreadable(self) -> None:
        """End the window before the first unreadable byte, unless that is its first."""
        hole = self.file and self.file.first_unreadable(Span(self.base, self.base + self.fill))
        if hole:
            self.fill = max(0, hole.start - self.base) or self.fill

    def _first_unreadable(self, span: Span) -> Span | None:
        """Return the first unreadable range in the span of a record, or None."""
        if self.file is None:
            return None
        if self.file.read_payloads and span.size > self.window:
            read_for_errors(self.file, span)
        return self.file.first_unreadable(span)

    def _unreadable_damage(self) -> Damage | None:
        """Return the damage if a record, or other damage, at the front contains unreadable bytes; else None."""
        if self.file is None or not self.file.unreadable:
            return None
        diagnosis = diagnose_record(ReadWindow(self.source), self.base)
        end = diagnosis.end if diagnosis.is_complete else damage_at(self.source, self.base, self.names.ids).span.end
        hole = self.file.first_unreadable(Span(self.base, end))
        if hole is None:
            return None
        note = f"the bytes from {hole.start} to {hole.end}"
        return Damage(Span(self.base, end), DamageKind.UNREADABLE, note, end_is_guess=not diagnosis.is_complete)

    def _fill_to(self, size: int) -> None:
        while self.fill < size:
            self.fill += self.source.readinto(self.view[self.fill : self.window], self.base + self.fill)
        self.view[self.fill : self.fill + SLACK] = bytes(SLACK)

    def _restart(self, offset: int) -> None:
        self.base, self.at, self.fill = offset, 0, 0
