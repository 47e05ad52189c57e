"""Read commands again from the AOF after the comparison, as log entries or as byte ranges to copy.

A unit holds only offsets and a digest.  The context at the start of a run is
taken from its first unit, so that reading need not start at the beginning of
the part.
"""

from collections.abc import Iterator
from typing import NamedTuple

from aofdoctor.aof.constants import ANNOTATION
from aofdoctor.aof.reader import BATCH_RECORDS, WINDOW, read_batches
from aofdoctor.aof.records import RecordBatch
from aofdoctor.diff.units.side import Side
from aofdoctor.diff.units.unit import Unit, UnitRun
from aofdoctor.log.command_numbers import command_numbers
from aofdoctor.log.context_walk import none_if_unknown
from aofdoctor.log.entries import LogEntry
from aofdoctor.log.selection import Selection
from aofdoctor.server.command_table import command_table
from aofdoctor.server.context.fields import ContextField
from aofdoctor.server.context.tracker import ContextTracker
from aofdoctor.span import Span

_ARGS_MAX = 1 << 12  # arguments of an oversized record that are searched for keys
ARGUMENT_HEAD = 1 << 12  # bytes read of a large argument
_UNCOUNTED_IDS = frozenset({ANNOTATION, command_table().names.ids[b"select"]})

_TRANSACTION_IDS = frozenset({command_table().names.ids[b"multi"], command_table().names.ids[b"exec"]})


def run_batches(side: Side, run: UnitRun) -> Iterator[tuple[RecordBatch, ContextTracker, int]]:
    """Yield (batch, context, number of commands before it) for a run; the last batch may extend beyond the run."""
    first, last = run.first, run.last
    source = side.sources[first.part]
    assert source is not None
    size = last.end - first.start
    window = min(WINDOW, max(1 << 13, size))
    tracker = ContextTracker(columns=True, room=min(BATCH_RECORDS, window))
    state = tracker.state
    state[ContextField.DB], state[ContextField.TIME] = first.db, first.time
    state[ContextField.TRANSACTIONS] = first.tx - 1 if first.tx else 0
    before = first.first_command - 1
    for batch in read_batches(source, command_table().names, first.start, window):
        commands = before + state[ContextField.COMMANDS]
        tracker.track(batch)
        yield batch, tracker, commands
        if batch.span.end >= last.end:
            return


def run_entries(side: Side, run: UnitRun, selection: Selection | None = None) -> Iterator[LogEntry]:
    """Yield the selected commands of a run (adjacent commands of an AOF) as log entries, without SELECTs."""
    name = side.aof.parts[run.first.part].name
    for batch, tracker, before in run_batches(side, run):
        indexes = select_records(batch, run.last, selection, tracker, before)
        for i, number in zip(indexes, command_numbers(batch, indexes), strict=True):
            yield LogEntry(
                name,
                batch,
                i,
                before + number,
                none_if_unknown(tracker.db[i]),
                none_if_unknown(tracker.tx[i]) or None,
                none_if_unknown(tracker.time[i]),
            )


def select_records(
    batch: RecordBatch, last: Unit, selection: Selection | None, tracker: ContextTracker, before: int
) -> list[int]:
    """Return the indexes of the selected commands of a batch of records, up to and including the command `last`."""
    if selection is not None and not selection.selects_all:
        indexes = selection.matches(last.part, batch, tracker, before)
    else:
        indexes = list(range(batch.count))
    stop, ids, edges = last.end - batch.base, batch.ids, batch.edges
    return [i for i in indexes if edges[i] < stop and ids[i] not in _UNCOUNTED_IDS]


class RecordSpan(NamedTuple):
    """Adjacent AOF records that diff --patch copies together.

    It is one command, one transaction (`is_single_command` is False), or all commands of a run.
    """

    part: int
    span: Span
    db: int
    commands: int
    is_single_command: bool = True


def selected_spans(side: Side, run: UnitRun, selection: Selection) -> Iterator[RecordSpan]:
    """Yield the selected commands of a run.

    A transaction is taken as a whole if any command in it is selected; MULTI and EXEC alone do not count unless
    they are selected by name.
    """
    part, open_tx, start, db, count, is_selected, end = run.first.part, 0, 0, 0, 0, False, 0
    for batch, steps, before in run_batches(side, run):
        selected_ids, stop = set(select_records(batch, run.last, selection, steps, before)), run.last.end - batch.base
        if selection.ids is None or selection.invert:
            selected_ids = {i for i in selected_ids if batch.ids[i] not in _TRANSACTION_IDS}
        for i in range(batch.count):
            tx, span = steps.tx[i], batch.record_span(i)
            if open_tx and (tx != open_tx or batch.edges[i] >= stop):
                if is_selected:
                    yield RecordSpan(part, Span(start, end), db, count, is_single_command=False)
                open_tx = 0
            if batch.edges[i] >= stop:
                return
            if tx > 0 and not open_tx:
                open_tx, start, db, count, is_selected = tx, span.start, steps.db[i], 0, False
            if open_tx:
                end, is_selected, count = (
                    span.end,
                    is_selected or i in selected_ids,
                    count + (batch.ids[i] not in _UNCOUNTED_IDS),
                )
            elif i in selected_ids:
                yield RecordSpan(part, span, steps.db[i], 1)
    if open_tx and is_selected:
        yield RecordSpan(part, Span(start, end), db, count, is_single_command=False)


def leading_arguments(batch: RecordBatch, i: int) -> list[bytes]:
    """Return the arguments of a command.

    Of an oversized record only the first _ARGS_MAX arguments are returned, and of each the first ARGUMENT_HEAD
    bytes.
    """
    if not batch.oversized:
        return batch.argv(i)
    arguments: list[bytes] = []
    for arg in batch.args(i):
        arguments.append(arg if isinstance(arg, bytes) else arg.head(ARGUMENT_HEAD))
        if len(arguments) >= _ARGS_MAX:
            break
    return arguments
