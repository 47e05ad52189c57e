"""Read a file of an AOF as tiles: adjacent byte ranges that together are the whole file.

A tile is a batch of complete records (commands and # annotations), an RDB
preamble, or damage.

Algorithm: a window of 1 MiB slides over the file.  The scanner takes the longest
run of complete records from it, the rest moves to the front, and more is read.
If a window contains no complete record at its start, the slow path runs: a
record larger than the window becomes an oversized batch, and anything else is
damage up to the offset where recovery/resync.py finds the next record.

The reader knows neither the meaning of commands nor the behaviour of servers,
and it does not read the clock.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from weakref import WeakKeyDictionary

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
# The number of separate damages in a block of a file; in the rest of the block only a run of records ends a damage.
# Without that, a file with damage in every command would take minutes.
BLOCK_SIZE, BLOCK_DAMAGES_MAX, FIRST_BLOCK_DAMAGES_MAX = 1 << 16, 48, 1000
_KNOWN_DAMAGES_MAX = 1 << 16  # Damages of one file that are remembered for the next pass.

Tile = RecordBatch | Preamble | Damage


@dataclass(frozen=True, slots=True)
class CommandNames:
    """The known command names with their ids: `scan_names` for the compiled scanner, `ids` by lower-case name."""

    scan_names: ScanNames
    ids: dict[bytes, int]

    @classmethod
    def from_list(cls, names: list[bytes], aliases: Mapping[bytes, int] | None = None) -> "CommandNames":
        """Give ids to command names in order, from FIRST_ID; `aliases` maps further names, in lower case, to ids."""
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
    """Yield all bytes of an AOF file as tiles: batches of complete records, an RDB preamble, and damage.

    `start` is 0 or the offset of a record; `window` is the buffer size in bytes and
    `room` the most records in a batch.  A batch is valid until the next tile is
    requested.  `now_ms` is the current time in unix milliseconds, to count the
    expired keys of an RDB preamble; with the default, no key counts as expired.
    """
    if start == 0 and (preamble := _read_preamble(source, names, now_ms)):
        yield preamble
        start = preamble.span.end
    yield from _TileReader(source, names, start, window, room)


def read_batches(source: Source, names: CommandNames, start: int, window: int = WINDOW) -> Iterator[RecordBatch]:
    """Yield the complete records of an AOF file from offset `start` up to the first damaged byte, in batches.

    The source is not allowed to discard bytes, so that another reader can still need earlier ones.
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
    """A Source in which forget() does nothing, because another reader still needs earlier bytes."""

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
    """Read a range of a file and ignore the bytes, so that the source records unreadable disk sectors in it."""
    view = memoryview(bytearray(WINDOW))
    for at in range(span.start, span.end, WINDOW):
        source.readinto(view[: min(WINDOW, span.end - at)], at)


class _TileReader:
    """Divides an AOF file from `start` into batches of records and damage; see the module docstring."""

    def __init__(self, source: Source, names: CommandNames, start: int, window: int, room: int) -> None:
        self.source, self.names, self.window = source, names, window
        file = source.file if isinstance(source, _SharedSource) else source
        self.file = file if isinstance(file, FileSource) and file.unreadable is not None else None
        self.buffer = bytearray(window + SLACK)
        self.view = memoryview(self.buffer)
        self.columns, self.rdb_budget = ScanColumns(room), RdbSearchBudget()
        self.base = start  # the offset in the file of buffer[0]
        self.at = self.fill = 0  # buffer[at:fill] is still to be tiled
        self.block, self.block_damages = -1, 0

    def __iter__(self) -> Iterator[Tile]:
        while self.load():
            before = self.at
            yield from self.batches()
            if self.at == before:
                yield self.large_record() or self.damage()

    def load(self) -> bool:
        """Make the next bytes available; False at the end of the source."""
        # To move half a window after every damage would take more time than to find the damage.
        return self.fill - self.at > self.window // 2 or self._move_and_read()

    def _move_and_read(self) -> bool:
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
        """Return the record at `at`, which is only partly loaded; None if it is damaged."""
        offset = self.base + self.at
        diagnosis = diagnose_record(ReadWindow(self.source), offset)
        if not diagnosis.is_complete or self._first_unreadable(Span(offset, diagnosis.end)):
            return None
        self._move_and_read()
        if diagnosis.end - offset <= self.window:
            self._fill_to(diagnosis.end - offset)
            # The bytes that were read just now can be unreadable as well.
            return None if self._first_unreadable(Span(offset, diagnosis.end)) else next(self.batches())
        head = bytearray(self.buffer[: self.fill])
        self._restart(diagnosis.end)
        number = command_id(diagnosis, self.names.ids)
        return oversized_batch(self.source, offset, diagnosis.end - offset, diagnosis.argc, number, head)

    def damage(self) -> Damage:
        """Return the damage at `at`, and continue after it."""
        damage = self._unreadable_damage() or self._known_damage()
        self._restart(damage.span.end)
        return damage

    def _known_damage(self) -> Damage:
        """Return the damage at `at`, from a reader of the same file that has found it before, or find it."""
        offset = self.base + self.at
        block = offset // BLOCK_SIZE
        self.block_damages = self.block_damages + 1 if block == self.block else 1
        self.block = block
        is_crowded = self.block_damages > (FIRST_BLOCK_DAMAGES_MAX if block == 0 else BLOCK_DAMAGES_MAX)
        known = _known_damages(self.source, self.names)
        damage = known.get((offset, is_crowded))
        if damage is None:
            crowded_end = (block + 1) * BLOCK_SIZE if is_crowded else None
            damage = damage_at(self.source, offset, self.names.ids, self.rdb_budget, crowded_end)
            if len(known) < _KNOWN_DAMAGES_MAX:
                known[offset, is_crowded] = damage
        return damage

    # -- unreadable sectors --

    def _stop_at_unreadable(self) -> None:
        """End the buffered bytes before the first one that the disk cannot read, unless it is the first of all."""
        hole = self.file and self.file.first_unreadable(Span(self.base, self.base + self.fill))
        if hole:
            self.fill = max(0, hole.start - self.base) or self.fill

    def _first_unreadable(self, span: Span) -> Span | None:
        """Return the first byte range of a record that the disk cannot read, or None; `span` is that of the record."""
        if self.file is None:
            return None
        if self.file.read_payloads and span.size > self.window:
            read_for_errors(self.file, span)
        return self.file.first_unreadable(span)

    def _unreadable_damage(self) -> Damage | None:
        """Return an UNREADABLE damage if the record, or the damage, at the front of the buffer has unreadable bytes.

        Its range is that of the whole record or damage.  None if the disk can read all of it.
        """
        if self.file is None or not self.file.unreadable:
            return None
        offset = self.base + self.at
        diagnosis = diagnose_record(ReadWindow(self.source), offset)
        end = diagnosis.end if diagnosis.is_complete else damage_at(self.source, offset, self.names.ids).span.end
        hole = self.file.first_unreadable(Span(offset, end))
        if hole is None:
            return None
        note = f"the bytes from {hole.start} to {hole.end}"
        return Damage(Span(offset, end), DamageKind.UNREADABLE, note, end_is_guess=not diagnosis.is_complete)

    def _fill_to(self, size: int) -> None:
        while self.fill < size:
            self.fill += self.source.readinto(self.view[self.fill : self.window], self.base + self.fill)
        self.view[self.fill : self.fill + SLACK] = bytes(SLACK)

    def _restart(self, offset: int) -> None:
        if self.base <= offset < self.base + self.fill:
            self.at = offset - self.base
        else:
            self.base, self.at, self.fill = offset, 0, 0


_KnownDamages = dict[tuple[int, bool], Damage]  # by (offset, whether only a run of records ends it)
_damages_by_file: "WeakKeyDictionary[FileSource, tuple[CommandNames, _KnownDamages]]" = WeakKeyDictionary()


def _known_damages(source: "Source | _SharedSource", names: CommandNames) -> _KnownDamages:
    """The damages of a file that a reader has found; every pass over the file finds the same.

    Empty for a pipe, and for a file with unreadable bytes, which may become readable.
    """
    if not isinstance(source, FileSource) or source.unreadable:
        return {}
    known_names, damages = _damages_by_file.get(source, (None, _KnownDamages()))
    if known_names is not names:
        damages = {}
        _damages_by_file[source] = (names, damages)
    return damages
