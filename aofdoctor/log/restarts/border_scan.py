"""Find where, behind a MULTI without its EXEC, the writes of the restarted server begin (the "border").

A running server writes a transaction in one piece.  It never writes inside of one: a SELECT of the database that is
selected already, a SELECT right before the next MULTI or right after a #TS annotation, a jump of the time, or a
replication id.  A SELECT of another database is no such proof, because clients may change the database inside a
transaction.  It is taken for the border, as a guess, where few commands precede it in the transaction, and another
MULTI or many commands follow.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

from aofdoctor.aof.constants import ANNOTATION
from aofdoctor.aof.records import RecordBatch
from aofdoctor.span import Span

_LONG_TRANSACTION = 32  # Commands; a longer series is not taken for one transaction.
_TIME_JUMP = 2  # Seconds; no transaction takes this long, because a server writes it in one piece.
_TIMESTAMP = re.compile(rb"#TS:([0-9]{1,18})\r?\n")
_REPLICATION_ID = re.compile(rb"(?<![0-9a-f])[0-9a-f]{40}(?![0-9a-f])")


class Border(NamedTuple):
    """The offset in an AOF file where the writes of a restarted server begin, after a transaction without its EXEC.

    `evidence` describes in words the record that shows it; `is_guess` is True if that record is no proof.
    `is_own_select`: that record is the SELECT right after the MULTI, which the first write of a run has as well if it
    is a transaction.
    """

    offset: int
    evidence: str
    is_guess: bool = False
    is_own_select: bool = False


class BorderScan:
    """Searches behind a MULTI without its EXEC for the first record that a restarted server wrote (the border).

    `select` is the command id of SELECT; `db` and `time` are the database and the time at the MULTI, -1 if unknown;
    `is_selected`: a SELECT occurs before the MULTI in the file.
    """

    def __init__(self, select: int, db: int, time: int, is_selected: bool) -> None:
        self.select, self.db, self.time, self.is_selected = select, db, time, is_selected
        self.own_place = -1  # the offset after the MULTI, where the transaction's own SELECT can be
        self.annotations = Span(-1, -1)  # the bytes of the last annotations without a command between them
        self.other_database: int | None = None  # the offset of the first SELECT of another database
        self.count = self.count_at_it = 0  # records so far, and those before that SELECT

    def run(self, records: Iterator[tuple[RecordBatch, int, int]], end: int, before_multi: bool) -> Border | None:
        """Return the border (where the writes of a restarted server begin) before the offset `end`, or None.

        `records` yields (batch, first index, index after the last) from the MULTI on; `before_multi`: another MULTI
        begins at `end`.
        """
        for batch, first, stop in records:
            if self.own_place < 0:
                self.own_place = batch.record_span(first).end
            self.count += stop - first
            for i in _indexes_of(batch, first, stop, (self.select, ANNOTATION)):
                border = self._annotation(batch, i) if batch.ids[i] == ANNOTATION else self._select(batch, i, stop)
                if border:
                    return border
            if before_multi and self.select == batch.ids[stop - 1] and batch.record_span(stop - 1).end == end:
                return self._at_select(batch.record_span(stop - 1), "a SELECT without a command before the next MULTI")
        return self._guess(before_multi)

    def _guess(self, before_multi: bool) -> Border | None:
        """Return the first SELECT of another database as a guess for the start of a restarted server's writes, or None.

        At most 32 records may precede that SELECT in the transaction.  Without another MULTI, the SELECT must begin a
        series of at least 32 records.
        """
        is_long = self.count - self.count_at_it >= _LONG_TRANSACTION
        if self.other_database is None or self.count_at_it > _LONG_TRANSACTION or not (before_multi or is_long):
            return None
        return Border(self.other_database, f"a SELECT of another database at {self.other_database}", is_guess=True)

    def _select(self, batch: RecordBatch, i: int, stop: int) -> Border | None:
        """Return the border (start of a restarted server's writes) if the SELECT at index `i` proves one, or None."""
        span, database = batch.record_span(i), database_of(batch, i)
        is_own = span.start == self.own_place
        is_redundant = 0 <= self.db == database and (self.is_selected or not is_own)
        self.db = database if database >= 0 else self.db
        if is_redundant:
            border = self._at_select(span, "a SELECT of the database that is selected already")
            return border._replace(is_own_select=is_own)
        if self.annotations.end == span.start:
            return self._at_select(span, "a SELECT after a time annotation")
        if not is_own and self.other_database is None:
            self.other_database, self.count_at_it = span.start, self.count - (stop - i)
        return None

    def _at_select(self, span: Span, evidence: str) -> Border:
        """Return the border (start of a restarted server's writes) at a SELECT, or at annotations right before it."""
        start = self.annotations.start if self.annotations.end == span.start else span.start
        return Border(start, f"{evidence} at {span.start}")

    def _annotation(self, batch: RecordBatch, i: int) -> Border | None:
        """Return the border (start of a restarted server's writes) if the annotation at index `i` proves one, or None.

        A server writes a transaction with one time, and no replication id inside of it.
        """
        span, line = batch.record_span(i), batch.annotation(i)
        self.annotations = Span(self.annotations.start if self.annotations.end == span.start else span.start, span.end)
        match = _TIMESTAMP.fullmatch(line)
        if match is None:
            return Border(span.start, f"a replication id at {span.start}") if _REPLICATION_ID.search(line) else None
        seconds, before = int(match[1]), self.time
        self.time = seconds
        if before >= 0 and not 0 <= seconds - before < _TIME_JUMP:
            return Border(span.start, f"a jump of the time by {seconds - before:+,} s at {span.start}")
        return None


def _indexes_of(batch: RecordBatch, first: int, stop: int, ids: tuple[int, ...]) -> list[int]:
    """Return the indexes in [first, stop) of the records of a batch with one of these command ids, in order."""
    found = list[int]()
    for number in ids:
        at = first
        while at < stop:
            try:
                at = batch.ids.index(number, at, stop)
            except ValueError:
                break
            found.append(at)
            at += 1
    return sorted(found)


def database_of(batch: RecordBatch, i: int) -> int:
    """Return the database that a SELECT command names; -1 if its argument is no database number."""
    argv = batch.argv(i, 2) if not batch.oversized else []
    return int(argv[1]) if len(argv) == 2 and argv[1].isdigit() and len(argv[1]) <= 18 else -1
