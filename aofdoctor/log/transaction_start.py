"""Find the MULTI of the transaction that a record of an AOF belongs to.

The ContextTracker gives every transaction a number.  Within a batch of records the first one with that number is the
MULTI.  For a transaction that began in an earlier batch, the tracker remembers the file offset of the MULTI.
"""

from collections.abc import Sequence
from typing import NamedTuple

from aofdoctor.aof.records import RecordBatch
from aofdoctor.server.context.fields import ContextField
from aofdoctor.server.context.tracker import ContextTracker


class TransactionBeforeBatch(NamedTuple):
    """The transaction that is open where a batch of records begins: its number and the file offset of its MULTI.

    The number is 0 outside of a transaction and -1 where that is unknown.
    """

    number: int
    multi_offset: int


def transaction_before_batch(tracker: ContextTracker) -> TransactionBeforeBatch:
    """Return the transaction that is open before a batch of records, from the state of the ContextTracker.

    Call it before the batch is passed to `tracker.track`.
    """
    return TransactionBeforeBatch(tracker.state[ContextField.TX], tracker.state[ContextField.MULTI_START])


def transaction_start(tx: Sequence[int], i: int, open_before: TransactionBeforeBatch, lowest: int = 0) -> int:
    """Return the index in the batch of the MULTI of record `i`'s transaction, or -1 if it began before the batch.

    `tx` has the transaction number of each record of the batch.  For a record outside of a transaction, `i` is
    returned.  The search stops at index `lowest`, and then returns that.
    """
    if tx[i] <= 0:
        return i
    if tx[i] == open_before.number:
        return -1
    while i > lowest and tx[i - 1] == tx[i]:
        i -= 1
    return i


def multi_offset(
    batch: RecordBatch, tx: Sequence[int], i: int, open_before: TransactionBeforeBatch, lowest: int = 0
) -> int:
    """Return the offset in the AOF file of the MULTI of record `i`'s transaction, also if it is before the batch.

    For a record outside of a transaction, its own offset is returned.  `lowest` is as for `transaction_start`.
    """
    first = transaction_start(tx, i, open_before, lowest)
    return open_before.multi_offset if first < 0 else batch.record_span(first).start
