"""Find an AOF file that begins with the rest of the last record, or of the last transaction, of the file before it.

A new incremental file begins with a SELECT.  If it begins with the rest of a record instead, or with commands and an
EXEC without a MULTI, then the server wrote the rest of an interrupted write there.  What follows, up to the first
SELECT, runs in the database that the file before it has selected.
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

from aofdoctor.aof.diagnosis import Defect, diagnose_record
from aofdoctor.aof.model import AofPart
from aofdoctor.aof.read_window import ReadWindow
from aofdoctor.aof.reader import read_tiles
from aofdoctor.aof.records import Preamble, RecordBatch
from aofdoctor.aof.recovery.split_record import JoinedSource, find_rest_of_record
from aofdoctor.damage import Damage, DamageKind
from aofdoctor.log.restarts.torn_transactions import RestartBorders
from aofdoctor.server.command_table import command_table
from aofdoctor.server.context.fields import ContextField
from aofdoctor.server.context.tracker import ContextTracker
from aofdoctor.source import Source
from aofdoctor.span import Span


class Continuation(NamedTuple):
    """How the start of an AOF file completes the record or transaction that the file before it leaves unfinished.

    `head` is the byte range of the unfinished record at the end of the first file; empty if only a transaction is
    unfinished there.  The first `record_rest` bytes of the next file complete the record.  Its first `rest` bytes
    complete the transaction as well, and are all that runs in the database that the first file has selected.
    """

    head: Span
    record_rest: int
    rest: int


def continuations(parts: Sequence[tuple[AofPart, Sequence[Damage]]]) -> Iterator[tuple[int, int, Continuation]]:
    """Yield (index of a file, index of the next file that is not empty, how the next one continues it) where it does.

    `parts` are the files of an AOF in load order, each with its damage.
    """
    present = [i for i, (part, _) in enumerate(parts) if part.source is not None and part.size]
    for first, second in pairwise(present):
        (part, damage), (later, later_damage) = parts[first], parts[second]
        assert part.source is not None
        assert later.source is not None
        found = find_continuation(part.source, damage, later.source, later_damage)
        if found and later.type == "incr":
            yield first, second, found


def find_continuation(
    first: Source, first_damage: Sequence[Damage], second: Source, second_damage: Sequence[Damage]
) -> Continuation | None:
    """Return how the AOF file `second` completes the unfinished end of the file `first`, or None if it does not.

    The damage is that of each file, in file order.
    """
    if not (first_damage and first.size and second.size):
        return None
    last = first_damage[-1]
    if last.kind is DamageKind.UNCLOSED_MULTI:
        head, record_rest = Span(first.size, first.size), 0
    else:
        head = Span(last.span.start, first.size)
        record_rest = _rest_of_record(first, head, second, second_damage)
        if not record_rest:
            return None
    rest = _rest_of_context(first, head, second, record_rest)
    return Continuation(head, record_rest, rest) if rest else None


def _rest_of_record(first: Source, head: Span, second: Source, second_damage: Sequence[Damage]) -> int:
    """Return how many bytes of the second file complete the unfinished record at the end of the first file.

    It is 0 unless these bytes are damage in the second file: if they were records of that file, they would fit only by
    chance.
    """
    defect = diagnose_record(ReadWindow(first), head.start).defect
    if defect not in (Defect.EOF, Defect.PAST_EOF) or not second_damage:
        return 0
    rest = find_rest_of_record(first, head, second)
    return rest if any(damage.span.start < rest <= damage.span.end for damage in second_damage) else 0


def _rest_of_context(first: Source, head: Span, second: Source, record_rest: int) -> int:
    """Return the offset in the second file up to which commands depend on the end of the first file.

    They belong to the transaction that is open there, or run in the database that is selected there.  The result is 0
    if the transaction has no EXEC in the second file: then a restart has torn it.
    """
    is_open, db = _state_at(first, head.start)
    select, multi, exec_ = (command_table().names.ids[name] for name in (b"select", b"multi", b"exec"))
    end, is_new, after_multi = 0, False, False  # `is_new`: the open transaction begins in the second part
    for number, span in _records(JoinedSource(first, head, second), head.size):
        is_rest = span.end <= record_rest
        if not is_rest and not is_open and db == 0:
            break
        if number == select:
            if not is_rest and (not is_open or after_multi or span.start == 0):
                break
            db = 1  # The unfinished record is a SELECT: commands up to the next SELECT run in its database.
        elif number == multi:
            if is_open:
                break
            is_open, is_new = True, not is_rest
        elif number == exec_:
            is_open = False
        after_multi = number == multi and not is_rest
        end = end if is_open else span.end
    return 0 if is_open and not is_new else end


def _state_at(first: Source, end: int) -> tuple[bool, int]:
    """Return (whether a transaction is open, the selected database) at the offset `end` of an AOF file.

    A transaction that a restart has torn before that offset does not count as open.
    """
    tracker = ContextTracker(columns=True)
    borders = RestartBorders(first, tracker)
    for tile in read_tiles(first, command_table().names):
        if isinstance(tile, RecordBatch):
            borders.begin_batch()
            for _ in borders.torn_in_batch(tile, tracker.track(tile)):
                pass
        elif isinstance(tile, Preamble):
            tracker.begin_after_preamble(tile.span.end)
        elif tile.span.start >= end:
            break
        else:
            tracker.mark_unknown()
    is_open = tracker.state[ContextField.TX] > 0 and borders.torn_at(end) is None
    return is_open, max(0, tracker.state[ContextField.DB])


def _records(joined: JoinedSource, head: int) -> Iterator[tuple[int, Span]]:
    """Yield (command id, byte range in the second file) of the complete records in two joined files.

    `joined` begins with the unfinished record of the first file, which is `head` bytes long.
    """
    for tile in read_tiles(joined, command_table().names):
        if not isinstance(tile, RecordBatch):
            return
        for i in range(tile.count):
            span = tile.record_span(i)
            yield tile.ids[i], Span(max(0, span.start - head), span.end - head)
