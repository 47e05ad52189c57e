"""Track the database, transaction and time of each AOF record, as a loading server does.

A batch of records goes in.  The result is the state after it (ContextField), the columns db, tx and time if requested,
and the indexes of the flagged records, which the caller wants to examine: those with a requested command id or an
unusual number of arguments, and annotations other than a time.  Unknown is a value, -1: after damage, and if reading
did not start at the beginning of the file.
"""

from array import array
from collections.abc import Iterable
from typing import TYPE_CHECKING

from aofdoctor.aof.constants import ANNOTATION, ARGC_MAX
from aofdoctor.aof.reader import BATCH_RECORDS
from aofdoctor.aof.records import RecordBatch
from aofdoctor.server.command_table import command_table
from aofdoctor.server.context.fields import FLAG, ContextField, RecordAction

if TYPE_CHECKING:
    from aofdoctor.server.context._pytracker import track_batch
else:
    try:
        from aofdoctor.server.context._tracker import track_batch
    except ImportError:
        from aofdoctor.server.context._pytracker import track_batch

UNKNOWN = -1


class ContextTracker:
    """Follows the database, the transaction and the time during one pass over the files of an AOF in load order.

    `columns`: also fill the columns db, tx and time, which have a value for each record of the last batch.  `room` is
    the maximum number of records in a batch.  `flag` and others choose the records that `track` returns.
    """

    def __init__(self, columns: bool = False, room: int = BATCH_RECORDS) -> None:
        size = command_table().size
        self.state = array("q", bytes(8 * len(ContextField)))
        self.actions = bytearray(size)
        self.argc_min = array("I", bytes(4 * size))
        self.argc_max = array("I", [ARGC_MAX]) * size
        self.counts = array("Q", bytes(8 * size))
        self.flagged = array("I", bytes(4 * room))
        self._columns = tuple(array("q", bytes(8 * room)) for _ in range(3)) if columns else None
        self._flagged_ids: dict[str, frozenset[int]] = {}
        self._argc_limits: dict[int, int] = {}
        self._argument_counts = array("I", self.argc_min), array("I", self.argc_max)
        self.actions[ANNOTATION] = RecordAction.ANNOTATION
        for action in (RecordAction.SELECT, RecordAction.MULTI, RecordAction.EXEC):
            self.actions[command_table().names.ids[action.name.lower().encode()]] = action
        self.begin_part()

    def begin_part(self) -> None:
        """Reset the context for the next file: database 0, no transaction, no time; transaction numbers continue."""
        state = self.state
        transactions, db_limit = state[ContextField.TRANSACTIONS], state[ContextField.DB_LIMIT]
        state[:] = array("q", bytes(8 * len(ContextField)))
        state[ContextField.TRANSACTIONS], state[ContextField.DB_LIMIT] = transactions, db_limit
        state[ContextField.TIME] = state[ContextField.FIRST_TIME] = UNKNOWN

    def begin_after_preamble(self, end: int) -> None:
        """Note the offset at which the RDB preamble ends and the commands of the file begin."""
        self.state[ContextField.GOOD_END] = end

    def mark_unknown(self) -> None:
        """Mark the database and transaction as unknown, because bytes before the next record are lost."""
        self.state[ContextField.DB] = self.state[ContextField.TX] = UNKNOWN

    def flag(self, owner: str, ids: Iterable[int]) -> None:
        """Make `track` return every record with one of these command ids.

        This replaces the earlier ids of the same `owner`; those of other owners are kept.
        """
        before = frozenset().union(*self._flagged_ids.values())
        self._flagged_ids[owner] = frozenset(ids)
        flagged_ids = frozenset().union(*self._flagged_ids.values())
        for number in before ^ flagged_ids:
            self.actions[number] ^= FLAG

    def limit_arguments(self, argc_max: dict[int, int]) -> None:
        """Make `track` also return records with more arguments than these limits, by command id.

        The limits of an earlier call are replaced.
        """
        self._argc_limits = argc_max
        self.set_argument_counts(*self._argument_counts)

    def set_argument_counts(self, argc_min: "array[int]", argc_max: "array[int]") -> None:
        """Make `track` return records with fewer or more arguments than these limits, given by command id."""
        self._argument_counts = argc_min, argc_max
        self.argc_min[:], self.argc_max[:] = argc_min, argc_max
        for number, limit in self._argc_limits.items():
            self.argc_max[number] = min(self.argc_max[number], limit)

    def track(self, batch: RecordBatch) -> "array[int]":
        """Update the database, transaction and time with a batch of records; return the indexes of the flagged records.

        Flagged records are those that a caller has asked to examine, with `flag` and others.
        """
        flagged_count = track_batch(
            self.state,
            batch,
            self.actions,
            self.argc_min,
            self.argc_max,
            self.counts,
            self.flagged,
            self._columns,  # type: ignore[arg-type]
        )
        return self.flagged[:flagged_count]

    # -- the columns of the last batch, valid until the next call of track --

    @property
    def db(self) -> "array[int]":
        """The database of each record of the last batch; -1 if unknown."""
        return self._column(0)

    @property
    def tx(self) -> "array[int]":
        """The transaction number of each record of the last batch: 0 outside of transactions, -1 if unknown."""
        return self._column(1)

    @property
    def time(self) -> "array[int]":
        """The time of each record of the last batch in unix seconds; -1 if unknown."""
        return self._column(2)

    def _column(self, number: int) -> "array[int]":
        assert self._columns is not None, "columns were not asked for"
        return self._columns[number]
