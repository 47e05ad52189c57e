"""Find transactions that a restart of the server tore: a MULTI without its EXEC, followed by the writes of a new run.

A transaction never spans a restart.  After a crash inside a transaction some servers cut only the torn record, leave
the MULTI open, and append everything that follows.  Algorithm: a MULTI inside a transaction, damage, or the end of the
file proves that the EXEC is missing.  Only then border_scan.py searches the queued records for the border: the first
record that was written after the restart.  Nothing is dropped here.
"""

from array import array
from bisect import bisect_left
from collections.abc import Iterator
from typing import NamedTuple

from aofdoctor.aof.constants import ANNOTATION
from aofdoctor.aof.reader import read_batches, read_tiles
from aofdoctor.aof.records import RecordBatch
from aofdoctor.damage import Damage
from aofdoctor.log.restarts.border_scan import Border, BorderScan, database_of
from aofdoctor.log.transaction_start import multi_offset, transaction_before_batch
from aofdoctor.server.command_table import command_table
from aofdoctor.server.context.fields import ContextField
from aofdoctor.server.context.tracker import ContextTracker
from aofdoctor.source import PipeSource, Source
from aofdoctor.span import Span

_SMALL_WINDOW = 1 << 14


class TornTransaction(NamedTuple):
    """A transaction without its EXEC: the bytes from its MULTI to the first record that was written after the restart.

    `evidence` says in words what shows the restart; `commands_before` is the number of commands in the file before the
    MULTI.
    """

    span: Span
    evidence: str
    is_guess: bool
    commands_before: int


class RestartBorders:
    """Finds the transactions that a restart tore (MULTI without EXEC) in one AOF file, during a pass over it.

    The caller passes each batch to begin_batch(), then to the ContextTracker, then to torn_in_batch().  Where damage
    begins and where the file ends, it calls torn_at(), while the tracker has the state at that place.  `start` is the
    offset in the file of the first MULTI of the open transaction; the records from the offset `scan_start` on have not
    been searched yet.
    """

    def __init__(self, source: Source, tracker: ContextTracker) -> None:
        self.source, self.tracker = source, tracker
        ids = command_table().names.ids
        self.select, self.multi, self.exec = ids[b"select"], ids[b"multi"], ids[b"exec"]
        self.number = self.start = self.scan_start = 0
        self.scan = BorderScan(self.select, -1, -1, is_selected=True)
        self.commands_before = 0

    def begin_batch(self) -> None:
        """Remember the state of the ContextTracker (transaction, commands, SELECTs) before a batch of records."""
        state = self.tracker.state
        self.open_before = transaction_before_batch(self.tracker)
        self.batch_commands, self.is_selected = state[ContextField.COMMANDS], state[ContextField.SELECTED] > 0

    def torn_in_batch(self, batch: RecordBatch, flagged: "array[int]") -> Iterator[TornTransaction]:
        """Yield the transactions that a restart tore, where a nested MULTI in this batch proves it.

        The ContextTracker has read the batch; `flagged` are the indexes that it returned.
        """
        tx = self.tracker.tx
        for i in flagged:
            if batch.ids[i] == self.multi and tx[i] > 0 and tx[i] == (tx[i - 1] if i else self.open_before.number):
                self._open(batch, i)
                yield from self._torn_before_multi(batch, i)
        state = self.tracker.state
        start = state[ContextField.MULTI_START]
        if state[ContextField.TX] > 0 and state[ContextField.TX] != self.number and start >= batch.span.start:
            index = bisect_left(batch.edges, start - batch.base, 0, batch.count)
            self._begin(batch, index, start)
            self.commands_before = state[ContextField.GOOD_COMMANDS]

    def torn_at(self, end: int, damage_end: int | None = None) -> TornTransaction | None:
        """Return the transaction that is open at `end`, where damage or the end of the part proves it torn.

        `damage_end` is the end of the damage.  If an EXEC follows it, the damage and no restart tore a transaction that
        only its own SELECT makes suspicious: it was the first write of a run.
        """
        number = self.tracker.state[ContextField.TX]
        if number <= 0 or number != self.number or isinstance(self.source, PipeSource):
            return None
        border = self.scan.run(self._records(None, self.scan_start, end), end, before_multi=False)
        self.number = 0
        if border and border.is_own_select and damage_end is not None and self._is_exec_next(damage_end):
            return None
        return self._torn(border) if border else None

    @property
    def open_multi(self) -> int:
        """The offset in the file of the MULTI of the open transaction."""
        same = self.number == self.tracker.state[ContextField.TX]
        return self.start if same else self.tracker.state[ContextField.MULTI_START]

    def _open(self, batch: RecordBatch, i: int) -> None:
        """Begin to search the transaction of record `i` of the batch for a restart, unless that has begun already."""
        if self.tracker.tx[i] != self.number:
            start = multi_offset(batch, self.tracker.tx, i, self.open_before)
            index = bisect_left(batch.edges, start - batch.base, 0, batch.count)
            self._begin(batch, index, start)
            self.commands_before = self.batch_commands + index - batch.ids[:index].count(ANNOTATION)

    def _begin(self, batch: RecordBatch, index: int, start: int) -> None:
        """Begin to search a transaction for a restart.

        Its MULTI is record `index` of the batch, at file offset `start`.
        """
        self.number, self.start, self.scan_start = self.tracker.tx[index], start, start
        is_selected = self.is_selected or self.select in batch.ids[:index]
        self.scan = BorderScan(self.select, self.tracker.db[index], self.tracker.time[index], is_selected)

    def _torn_before_multi(self, batch: RecordBatch, i: int) -> Iterator[TornTransaction]:
        """Yield the open transaction if a restart tore it before the nested MULTI, which is record `i` of the batch.

        Then begin the search in the transaction of that MULTI.
        """
        place, ids = batch.record_span(i), batch.ids
        if 0 < i < batch.count - 1 and ids[i - 1] == self.multi and ids[i + 1] != self.select:
            self.scan_start, self.scan.own_place = place.start, -1  # MULTIs in a row need no search.
            return
        border = self.scan.run(self._records(batch, self.scan_start, place.start), place.start, before_multi=True)
        if not border and self._begins_with_redundant_select(batch, i):
            border = Border(place.start, "a transaction that begins with a SELECT of the selected database")
        if border and self._is_interleaved(batch, i):
            border = None
        if border:
            yield self._torn(border)
            self.start = place.start
        self.scan_start = place.start
        self.scan = BorderScan(self.select, self.tracker.db[i], self.tracker.time[i], is_selected=True)

    def _torn(self, border: Border) -> TornTransaction:
        return TornTransaction(Span(self.start, border.offset), border.evidence, border.is_guess, self.commands_before)

    def _begins_with_redundant_select(self, batch: RecordBatch, i: int) -> bool:
        """Whether the record after the MULTI at index `i` is a SELECT of the database that is selected already."""
        records = self._records(batch, batch.record_span(i).end, 1 << 62)
        found = next(records, None)
        if found is None:
            return False
        after, first, _ = found
        return after.ids[first] == self.select and database_of(after, first) == self.tracker.db[i] >= 0

    def _is_interleaved(self, batch: RecordBatch, i: int) -> bool:
        """Whether two EXEC follow the nested MULTI at index `i`, before a further MULTI.

        Then no restart tore the transaction: two servers wrote here, or one that nests transactions.
        """
        execs = 0
        for later, first, end in self._records(batch, batch.record_span(i).end, 1 << 62):
            for k in range(first, end):
                if later.ids[k] == self.multi:
                    return False
                execs += later.ids[k] == self.exec
                if execs == 2:
                    return True
        return False

    def _is_exec_next(self, start: int) -> bool:
        """Whether an EXEC comes before any MULTI after an offset."""
        for later, first, stop in self._records(None, start, 1 << 62):
            for k in range(first, stop):
                if later.ids[k] in (self.multi, self.exec):
                    return later.ids[k] == self.exec
        return False

    def _records(self, batch: RecordBatch | None, start: int, end: int) -> Iterator[tuple[RecordBatch, int, int]]:
        """Yield (batch, first index, index after the last) for the records between two offsets of the file.

        `batch` is the current batch, which is not read again, or None.
        """
        if batch is not None and batch.span.start <= start:
            first, stop = _indexes(batch, start, end)
            if first < stop:
                yield batch, first, stop
            if stop < batch.count:
                return
            start = batch.span.end
        if isinstance(self.source, PipeSource):
            return
        for later in _read_ahead(self.source, start):
            first, stop = _indexes(later, start, end)
            if first < stop:
                yield later, first, stop
            if stop < later.count:
                return


def torn_transactions(source: Source, start: int = 0) -> Iterator[TornTransaction]:
    """Yield the transactions of an AOF file that a restart tore (a MULTI without its EXEC), in file order.

    `start` is the offset to read from: 0, or the end of a damaged RDB.
    """
    tracker = ContextTracker(columns=True)
    borders = RestartBorders(source, tracker)
    for tile in read_tiles(source, command_table().names, start):
        if isinstance(tile, RecordBatch):
            borders.begin_batch()
            yield from borders.torn_in_batch(tile, tracker.track(tile))
        elif isinstance(tile, Damage):
            if torn := borders.torn_at(tile.span.start, tile.span.end):
                yield torn
            tracker.mark_unknown()
        else:
            tracker.begin_after_preamble(tile.span.end)
    if torn := borders.torn_at(source.size or 0):
        yield torn


def _read_ahead(source: Source, start: int) -> Iterator[RecordBatch]:
    """Yield batches of the complete records from offset `start`.

    The first reads are small, because most searches end soon.
    """
    at = start
    for batch in read_batches(source, command_table().names, start, window=_SMALL_WINDOW):
        yield batch
        at = batch.span.end
        if at - start > 8 * _SMALL_WINDOW:
            yield from read_batches(source, command_table().names, at)
            return


def _indexes(batch: RecordBatch, start: int, end: int) -> tuple[int, int]:
    """Return (index of the first record, index after the last) of those that begin between two file offsets."""
    return (
        bisect_left(batch.edges, start - batch.base, 0, batch.count),
        bisect_left(batch.edges, end - batch.base, 0, batch.count),
    )
