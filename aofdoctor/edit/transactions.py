"""Find the byte ranges to drop so that the kept commands run in the same database and transaction as before.

SELECT is never dropped, because later writes would go to another database. MULTI and EXEC are dropped only if no
command except SELECT is left between them; such a SELECT is kept, outside of a transaction.
"""

from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from aofdoctor.aof.constants import ANNOTATION
from aofdoctor.aof.model import AOF
from aofdoctor.aof.reader import read_batches, read_tiles
from aofdoctor.aof.records import RecordBatch
from aofdoctor.damage import Damage
from aofdoctor.edit.drops import Drop, joined
from aofdoctor.log.flushes import STRUCTURE_COMMANDS
from aofdoctor.log.transaction_start import transaction_before_batch, transaction_start
from aofdoctor.server.command_table import command_table
from aofdoctor.server.context.fields import ContextField
from aofdoctor.server.context.tracker import ContextTracker
from aofdoctor.source import Source
from aofdoctor.span import Span

# Selects the records of a batch to drop: (part by index in load order, batch, tracker after the batch, number of
# commands before the batch) -> record indexes in ascending order.
Chooser = Callable[[int, RecordBatch, ContextTracker, int], list[int]]

# Whether a kept command of a batch does not keep its transaction: (batch, record index).
IsPassive = Callable[[RecordBatch, int], bool]

EMPTY_TRANSACTION_REASON = "transaction left empty"


def structure_ids() -> frozenset[int]:
    """The ids of SELECT, MULTI and EXEC, which a selection of an edit never contains."""
    return command_table().ids_of(STRUCTURE_COMMANDS)


def iter_drops(
    aof: AOF, choose: Chooser, reason: str, whole_transactions: bool = False, is_passive: IsPassive | None = None
) -> Iterator[Drop]:
    """The byte ranges of all commands that `choose` selects, and of MULTI and EXEC around transactions left empty.

    With `whole_transactions`, a transaction that keeps any command is kept whole.  A transaction of which only passive
    commands are left counts as empty; they are kept, outside of it.
    """
    before = 0
    for index, part in enumerate(aof.parts):
        if part.source is None:
            continue
        scanner = _TransactionScanner(index, part.source, choose, reason, whole_transactions, is_passive)
        yield from scanner.run(before)
        before += scanner.tracker.state[ContextField.COMMANDS]


@dataclass(slots=True)
class _OpenTransaction:
    """A transaction that has not ended yet while a file is read, with its number.

    The byte ranges to drop in it (`drops`) are held back until EXEC shows whether the transaction is left empty.
    """

    tx: int
    drops: list[Drop] = field(default_factory=list)

    def add(self, drop: Drop) -> None:
        """Add a drop, joined with the last one if possible, because a transaction can have millions of commands."""
        merged = joined(self.drops[-1], drop) if self.drops else None
        if merged:
            self.drops[-1] = merged
        else:
            self.drops.append(drop)


def first_of_transaction(tx: "array[int]", i: int, least: int = 0) -> int:
    """Return the index, in a batch of commands, where the transaction that contains command `i` begins.

    The result is at least `least`. `tx` has the transaction number of each command of the batch.
    """
    while i > least and tx[i - 1] == tx[i]:
        i -= 1
    return i


class _TransactionScanner:
    """Finds the byte ranges to drop in one file of the AOF, without splitting its transactions.

    `kept_transaction` is the number of the last transaction that is known to keep a command.
    `batch_start_transaction` is the transaction that is open at the start of the batch: its number and the offset of
    its MULTI.
    """

    def __init__(
        self,
        index: int,
        source: Source,
        choose: Chooser,
        reason: str,
        whole_transactions: bool,
        is_passive: IsPassive | None,
    ) -> None:
        self.index, self.source, self.choose, self.is_passive = index, source, choose, is_passive
        self.reason, self.whole_transactions = reason, whole_transactions
        self.tracker = ContextTracker(columns=True)
        self.structure = structure_ids()
        self.open_transaction: _OpenTransaction | None = None
        self.kept_transaction = -1
        self.open_before = transaction_before_batch(self.tracker)
        ids = command_table().names.ids
        self.multi, self.exec = ids[b"multi"], ids[b"exec"]

    def run(self, before: int) -> Iterator[Drop]:
        for tile in read_tiles(self.source, command_table().names):
            if isinstance(tile, RecordBatch):
                commands = before + self.tracker.state[ContextField.COMMANDS]
                self.open_before = transaction_before_batch(self.tracker)
                self.tracker.track(tile)
                chosen = self.choose(self.index, tile, self.tracker, commands)
                if chosen or self.open_transaction:
                    yield from self._drops_of_batch(tile, chosen)
            elif isinstance(tile, Damage):
                yield from self._close_transaction()
                self.tracker.mark_unknown()
            else:
                self.tracker.begin_after_preamble(tile.span.end)
        yield from self._close_transaction()

    def _drops_of_batch(self, batch: RecordBatch, chosen: list[int]) -> Iterator[Drop]:
        tx, done, selected = self.tracker.tx, 0, set(chosen)
        if self.open_transaction:
            done = self._transaction_end(tx, 0, batch.count, self.open_transaction.tx)
            yield from self._drops_of_transaction(batch, selected, 0, done) if done else self._close_transaction()
        for i, last in self._adjacent_runs(chosen):
            if i < done:
                continue
            if tx[i] <= 0 or tx[i] == self.kept_transaction:
                if not (self.whole_transactions and tx[i] > 0):
                    span = Span(batch.record_span(i).start, batch.record_span(last).end)
                    yield Drop(self.index, span, last + 1 - i, self.reason)
                continue
            first = max(done, transaction_start(tx, i, self.open_before, lowest=done))
            done = self._transaction_end(tx, i, batch.count, tx[i])
            yield from self._drops_of_transaction(batch, selected, first, done)

    def _adjacent_runs(self, chosen: list[int]) -> Iterator[tuple[int, int]]:
        """Group the chosen commands of a batch into runs of adjacent commands with the same transaction, or with none.

        Yields (index of the first command, index of the last command).
        """
        tx, at = self.tracker.tx, 0
        while at < len(chosen):
            first = chosen[at]
            at += 1
            while at < len(chosen) and chosen[at] == chosen[at - 1] + 1 and tx[chosen[at]] == tx[first]:
                at += 1
            yield first, chosen[at - 1]

    def _transaction_end(self, tx: "array[int]", i: int, count: int, number: int) -> int:
        while i < count and tx[i] == number:
            i += 1
        return i

    def _drops_of_transaction(self, batch: RecordBatch, selected: set[int], first: int, end: int) -> Iterator[Drop]:
        """Yield the byte ranges to drop in one transaction.

        `selected` are its commands to drop; its commands in this batch have the indexes `first` to `end` - 1.
        """
        if self.open_transaction is None:
            self.open_transaction = _OpenTransaction(self.tracker.tx[first])
            if self.open_before.number == self.open_transaction.tx:
                multis = self._multis_before(Span(self.open_before.multi_offset, batch.span.start))
                if multis is None:
                    self.kept_transaction = self.open_transaction.tx
                else:
                    for drop in multis:
                        self.open_transaction.add(drop)
        ended = end > first and batch.ids[end - 1] == self.exec
        for i in range(first, end):
            if i in selected:
                self.open_transaction.add(self._drop(batch, i, self.reason))
            elif batch.ids[i] == self.multi:  # A nested MULTI too: left alone, it would open a transaction.
                self.open_transaction.add(self._drop(batch, i, EMPTY_TRANSACTION_REASON))
            elif not (
                batch.ids[i] in self.structure
                or batch.ids[i] == ANNOTATION
                or (self.is_passive and self.is_passive(batch, i))
            ):
                self.kept_transaction = self.open_transaction.tx
        if ended and self.kept_transaction != self.open_transaction.tx:
            self.open_transaction.add(self._drop(batch, end - 1, EMPTY_TRANSACTION_REASON))
            yield from self.open_transaction.drops
            self.open_transaction = None
        elif ended or self.kept_transaction == self.open_transaction.tx:
            yield from self._close_transaction()

    def _close_transaction(self) -> Iterator[Drop]:
        """At the end of a transaction that keeps its MULTI and EXEC, yield the byte ranges to drop in it.

        They were held back until its end. With `whole_transactions` nothing is dropped, or everything.
        """
        if self.open_transaction and not self.whole_transactions:
            yield from (drop for drop in self.open_transaction.drops if drop.reason != EMPTY_TRANSACTION_REASON)
        elif self.open_transaction and self.kept_transaction != self.open_transaction.tx:
            yield from self.open_transaction.drops
        self.open_transaction = None

    def _multis_before(self, span: Span) -> list[Drop] | None:
        """The byte ranges of all MULTIs in a range before this batch; None if another command in the range is kept."""
        multis: list[Drop] = []
        for batch in read_batches(self.source, command_table().names, span.start):
            for i in range(batch.count):
                if batch.record_span(i).start >= span.end:
                    return multis
                if batch.ids[i] not in self.structure and batch.ids[i] != ANNOTATION:
                    return None
                if batch.ids[i] == self.multi:
                    multis.append(self._drop(batch, i, EMPTY_TRANSACTION_REASON))
        return multis

    def _drop(self, batch: RecordBatch, i: int, reason: str) -> Drop:
        return Drop(self.index, batch.record_span(i), int(batch.ids[i] != ANNOTATION), reason)
