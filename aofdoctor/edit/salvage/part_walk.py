"""Salvage one file of an AOF: find the byte ranges to drop because of damage, in file order.

A transaction that damage has torn is dropped from its MULTI to its EXEC, as far as either is left. SELECT is never
dropped, so that the commands after it run in the database that the server had selected.
"""

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass

from aofdoctor.aof.constants import ANNOTATION, UNKNOWN
from aofdoctor.aof.reader import read_tiles
from aofdoctor.aof.records import Preamble, RecordBatch
from aofdoctor.damage import Damage, DamageKind
from aofdoctor.edit.drops import Drop
from aofdoctor.edit.salvage.duplicated_block import duplicated_block_end
from aofdoctor.edit.salvage.lookahead import Lookahead, find_id
from aofdoctor.edit.salvage.rdb_splice import SplicedRdb
from aofdoctor.log.restarts.torn_transactions import torn_transactions
from aofdoctor.log.transaction_start import multi_offset, transaction_before_batch
from aofdoctor.server.command_table import command_table
from aofdoctor.server.compatibility import any_version_accepts, flag_unacceptable
from aofdoctor.server.context.fields import ANNOTATION_MAX, ContextField
from aofdoctor.server.context.tracker import ContextTracker
from aofdoctor.source import Source
from aofdoctor.span import Span

TORN_TRANSACTION_REASON = "torn transaction"
UNKNOWN_DATABASE_REASON = "database unknown"
DUPLICATED_BLOCK_REASON = "doubled block"


@dataclass(slots=True)
class GuessedCommands:
    """The number of kept commands in a guessed database (a SELECT may be lost), and the first one's position."""

    count: int = 0
    first_place: tuple[int, int] = (0, 0)  # (index of the part in load order, offset)


class PartSalvager:
    """Finds the byte ranges to drop in one damaged file of an AOF, in file order.

    Everything before the file offset `decided_end` is already dropped or kept.  With `has_restarts`, a second reader,
    which reads ahead, finds the transactions that a server restart cut off: the commands after it prove that.
    `batch_start_multi` is the offset of the MULTI of a transaction that is open at the start of the current batch.
    """

    def __init__(
        self,
        index: int,
        source: Source,
        strict: bool,
        drop_unknown: bool,
        guessed_commands: GuessedCommands,
        has_restarts: bool = False,
    ) -> None:
        self.index, self.source, self.strict, self.guessed_commands = index, source, strict, guessed_commands
        self.has_restarts = has_restarts
        self.torn_transactions: Iterator[Span] = iter(())
        self.next_torn: Span | None = None
        self.tracker = ContextTracker(columns=True)
        flag_unacceptable(self.tracker, with_unknown=drop_unknown)
        self.drop_unknown = drop_unknown
        self.lookahead = lookahead = Lookahead(source)
        self.select, self.multi, self.exec = lookahead.select, lookahead.multi, lookahead.exec
        self.open_before = transaction_before_batch(self.tracker)
        self.decided_end = 0
        self.last_record = Span(0, 0)

    def drops(self, spliced: SplicedRdb | None, complete: bool) -> Iterator[Drop]:
        """Yield the byte ranges of the file to drop, in order.

        `spliced` is the damaged RDB at its head if some of it is kept; `complete` says whether the RDB's end was found.
        """
        start = 0
        if spliced:
            yield from spliced.drops()
            start = self.decided_end = spliced.end
            self.tracker.begin_after_preamble(start)
            if not complete:
                yield from self._drops_after_gap(start)
        if self.has_restarts:
            self.torn_transactions = (torn.span for torn in torn_transactions(self.source, start))
            self.next_torn = next(self.torn_transactions, None)
        for tile in read_tiles(self.source, command_table().names, start):
            if isinstance(tile, RecordBatch):
                yield from self._drops_of_batch(tile)
            elif isinstance(tile, Damage):
                yield from self._drops_of_damage(tile)
            else:
                yield from self._drops_of_preamble(tile)
        yield from self._torn_by_restart_before(self.source.size or 0)
        yield from self._torn_transaction_before(self.source.size or 0)

    def _drops_of_preamble(self, rdb: Preamble) -> Iterator[Drop]:
        self.tracker.begin_after_preamble(rdb.span.end)
        if not rdb.is_intact:
            yield from self._drop(rdb.span, 0, DamageKind.CORRUPT_PREAMBLE.value)
        if not rdb.complete:
            yield from self._drops_after_gap(rdb.span.end)

    def _torn_by_restart_before(self, end: int) -> Iterator[Drop]:
        """Drop the transactions before `end` that a server restart cut off; every command after the restart stays."""
        while self.next_torn and self.next_torn.start < end:
            yield from self._drop_block(self.next_torn, TORN_TRANSACTION_REASON)
            self.next_torn = next(self.torn_transactions, None)

    def _drops_of_damage(self, damage: Damage) -> Iterator[Drop]:
        yield from self._torn_by_restart_before(damage.span.start)
        repeated = self._repeated_block(damage)
        if repeated is not None:
            yield from self._drop(repeated, self._count_repeated(repeated, damage), DUPLICATED_BLOCK_REASON)
            return
        yield from self._torn_transaction_before(damage.span.start)
        yield from self._drop(damage.span, 0, damage.kind.value)
        yield from self._drops_after_gap(damage.span.end)

    def _repeated_block(self, damage: Damage) -> Span | None:
        """The bytes to drop if the damage is where two copies of a block meet; None if that is not proven.

        The record that the first copy ends in can end by chance where a record of the second copy does. Then the
        damage begins behind it, and the record before the damage is examined too.
        """
        before = self.last_record
        starts = [damage.span.start, *([before.start] if before.end == damage.span.start else [])]
        for start in starts:
            end = duplicated_block_end(self.source, Span(start, damage.span.end))
            if end is not None and start >= self.decided_end and self._reads_cleanly_to(damage.span.end, end):
                return Span(start, end)
        return None

    def _count_repeated(self, repeated: Span, damage: Damage) -> int:
        after = self.lookahead.count_commands(Span(damage.span.end, repeated.end))
        return after + (repeated.start < damage.span.start)

    def _reads_cleanly_to(self, start: int, end: int) -> bool:
        """Whether whole commands fill the byte range from `start` to `end`, without other damage."""
        at = start
        for batch in self.lookahead.batches(start):
            first_after = bisect_left(batch.edges, end - batch.base, 0, batch.count + 1)
            if first_after <= batch.count:
                return batch.base + batch.edges[first_after] == end
            at = batch.span.end
        return at == end

    def _drops_after_gap(self, end: int) -> Iterator[Drop]:
        """Yield byte ranges to drop after damage that ends at `end`: database and transaction are unknown there."""
        self.tracker.mark_unknown()
        number, span = self.lookahead.find_first(end, self.exec, self.multi)
        if number == self.exec:
            yield from self._drop_block(Span(end, span.end), TORN_TRANSACTION_REASON)
        if self.strict:
            yield from self._drop_block(
                Span(self.decided_end, self.lookahead.next_known_database(self.decided_end)), UNKNOWN_DATABASE_REASON
            )

    def _torn_transaction_before(self, end: int) -> Iterator[Drop]:
        """Drop the transaction that is open at file offset `end`, where the file ends or damage begins."""
        if self.tracker.state[ContextField.TX] > 0:
            multi = self._open_multi_at(self.tracker.state[ContextField.MULTI_START], end)
            if multi is not None:
                yield from self._drop_block(Span(multi, end), TORN_TRANSACTION_REASON)

    def _drops_of_batch(self, batch: RecordBatch) -> Iterator[Drop]:
        self.open_before = transaction_before_batch(self.tracker)
        if self.tracker.state[ContextField.DB] < 0:
            self._count_guessed_in_batch(batch)
        for i in self.tracker.track(batch):
            span, reason = batch.record_span(i), _rejection_reason(batch, i, self.drop_unknown)
            if reason:
                yield from self._torn_by_restart_before(span.start)
            if not reason or span.start < self.decided_end:
                continue
            multi = (
                self._open_multi_at(self._transaction_start(batch, i), span.start) if self.tracker.tx[i] > 0 else None
            )
            if multi is not None:
                number, after = self.lookahead.find_first(span.end, self.exec, self.multi)
                # If a MULTI comes before the EXEC, the EXEC is lost, and the following commands are not part of this
                # transaction.
                yield from self._drop_block(Span(multi, after.end if number == self.exec else span.end), reason)
            else:
                yield from self._drops_of_single_record(batch, i, reason)
        yield from self._torn_by_restart_before(batch.span.end)
        self.last_record = batch.record_span(batch.count - 1) if batch.count else self.last_record

    def _drops_of_single_record(self, batch: RecordBatch, i: int, reason: str) -> Iterator[Drop]:
        """Drop a command outside of transactions, and the commands after it if it may have been MULTI or SELECT."""
        span = batch.record_span(i)
        argv = batch.argv(i) if not batch.oversized and batch.ids[i] != ANNOTATION and batch.argc[i] <= 2 else []
        if len(argv) == 1 and len(argv[0]) == len(b"MULTI"):
            number, after = self.lookahead.find_first(span.end, self.exec, self.multi)
            if number == self.exec:
                yield from self._drop(span, 1, reason)
                yield from self._drop_block(Span(span.end, after.end), TORN_TRANSACTION_REASON)
                return
        yield from self._drop(span, int(batch.ids[i] != ANNOTATION), reason)
        if len(argv) == 2 and len(argv[0]) == len(b"SELECT") and argv[1].isdigit():
            known = self.lookahead.next_known_database(span.end)
            if not self.strict:
                self._count_guessed(span.end, self.lookahead.count_commands(Span(span.end, known)))
            else:
                yield from self._drop_block(Span(span.end, known), UNKNOWN_DATABASE_REASON)

    def _count_guessed(self, start: int, commands: int) -> None:
        if commands and not self.guessed_commands.count:
            self.guessed_commands.first_place = self.index, start
        self.guessed_commands.count += commands

    def _transaction_start(self, batch: RecordBatch, i: int) -> int:
        """The file offset where the transaction of command `i` of the batch begins.

        If it begins before `decided_end`, the result can be any offset before `decided_end`.
        """
        # The search stops at decided_end: without that, many drops in one transaction would take quadratic time.
        lowest = max(0, bisect_left(batch.edges, self.decided_end - batch.base, 0, batch.count) - 1)
        return multi_offset(batch, self.tracker.tx, i, self.open_before, lowest)

    def _open_multi_at(self, multi: int, end: int) -> int | None:
        """The file offset of the transaction's MULTI that is still open at offset `end`; None if there is none.

        `multi` is returned unless it is before `decided_end`; then the commands after `decided_end` are searched.
        """
        if multi >= self.decided_end:
            return multi
        open_multi: int | None = None
        for batch in self.lookahead.batches(self.decided_end):
            for i in range(batch.count):
                if batch.record_span(i).start >= end:
                    return open_multi
                if batch.ids[i] == self.multi and open_multi is None:
                    open_multi = batch.record_span(i).start
                elif batch.ids[i] == self.exec:
                    open_multi = None
        return open_multi

    def _count_guessed_in_batch(self, batch: RecordBatch) -> None:
        """Count the kept commands of a batch that run in a guessed database: those up to its first SELECT."""
        for i in range(batch.count):
            if batch.ids[i] == self.select:
                return
            start = batch.record_span(i).start
            if batch.ids[i] not in (ANNOTATION, self.multi, self.exec) and start >= self.decided_end:
                self._count_guessed(start, 1)

    # -- making drops --

    def _drop(self, span: Span, commands: int, reason: str) -> Iterator[Drop]:
        """Drop a byte range, except for its bytes before `decided_end`: these are already dropped or kept."""
        start, self.decided_end = max(span.start, self.decided_end), max(self.decided_end, span.end)
        if start < span.end:
            yield Drop(self.index, Span(start, span.end), commands, reason)

    def _drop_block(self, span: Span, reason: str) -> Iterator[Drop]:
        """Drop all commands in a byte range except SELECT, as far as they are not before `decided_end`."""
        start = max(span.start, self.decided_end)
        for batch in self.lookahead.batches(start):
            end = bisect_left(batch.edges, span.end - batch.base, 0, batch.count)
            yield from self._drop_between_selects(batch, end, reason)
            if end < batch.count or batch.span.end >= span.end:
                break
        self.decided_end = max(self.decided_end, span.end)

    def _drop_between_selects(self, batch: RecordBatch, end: int, reason: str) -> Iterator[Drop]:
        at = 0
        while at < end:
            select = find_id(batch, self.select, at, end)
            if select > at:
                span = Span(batch.record_span(at).start, batch.record_span(select - 1).end)
                yield Drop(self.index, span, select - at - batch.ids[at:select].count(ANNOTATION), reason)
            at = select + 1


def _rejection_reason(batch: RecordBatch, i: int, drop_unknown: bool) -> str:
    """Why salvage drops a whole command; empty if it is kept.

    It is dropped if no server version accepts it, or, with `drop_unknown`, if its name is unknown.
    """
    if batch.ids[i] == ANNOTATION:
        return "annotation longer than a server's line buffer" if batch.record_span(i).size > ANNOTATION_MAX else ""
    if batch.ids[i] != UNKNOWN:
        return "no server takes so many arguments" if not any_version_accepts(batch.ids[i], batch.argc[i]) else ""
    return "unknown command" if drop_unknown else ""
