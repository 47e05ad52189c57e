"""The commands of units, read again from their places; and the keys that a unit touches."""

import functools
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from aofdoctor.aof.constants import ANNOTATION
from aofdoctor.aof.reader import BATCH_RECORDS, WINDOW, read_batches
from aofdoctor.aof.records import RecordBatch
from aofdoctor.diff.moves import DbKey, TouchedKeys, make_db_key
from aofdoctor.diff.units.columns import UnitColumn, UnitKind
from aofdoctor.diff.units.side import Side, Unit, UnitRun
from aofdoctor.log.entries import LogEntry
from aofdoctor.log.ordinals import command_numbers, none_if_unknown
from aofdoctor.log.selection import Selection
from aofdoctor.rdb.items import KeyItem as KeyOfBase
from aofdoctor.server.command_table import CommandSpec, command_table, key_indexes
from aofdoctor.server.context.fields import ContextField
from aofdoctor.server.context.tracker import ContextTracker
from aofdoctor.span import Span

_ARGS_MAX = 1 << 12  # of a far record, so many arguments are looked through for keys
_ARGUMENT_HEAD = 1 << 12  # of a large argument
_UNCOUNTED_IDS = frozenset({ANNOTATION, command_table().names.ids[b"select"]})

_TRANSACTION_IDS = frozenset({command_table().names.ids[b"multi"], command_table().names.ids[b"exec"]})

# What reaches further than the keys that its key specification gives, beside flushes and scripts.
_TOUCH_UNNAMED_KEYS = frozenset({"swapdb", "move", "copy", "migrate", "function", "script"})


def run_batches(side: Side, run: UnitRun) -> Iterator[tuple[RecordBatch, ContextTracker, int]]:
    """The records of a run: (batch, its context, commands before it); the last batch may go on past them."""
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
    """The commands of a run, those that are selected; SELECTs go without saying."""
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
    """The records of a batch that are commands up to and with a unit, and selected."""
    if selection is not None and not selection.selects_all:
        indexes = selection.matches(last.part, batch, tracker, before)
    else:
        indexes = list(range(batch.count))
    stop, ids, edges = last.end - batch.base, batch.ids, batch.edges
    return [i for i in indexes if edges[i] < stop and ids[i] not in _UNCOUNTED_IDS]


class RecordSpan(NamedTuple):
    """Adjacent records that are copied together: one command, or one transaction if it is not `plain`."""

    part: int
    span: Span
    db: int
    commands: int
    is_single_command: bool = True


def selected_spans(side: Side, run: UnitRun, selection: Selection) -> Iterator[RecordSpan]:
    """The selected commands of a run; a transaction that has one, beside MULTI and EXEC, is taken whole."""
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


def touched_keys(side: Side, count: int) -> Iterator[TouchedKeys]:
    """The keys that each of a side's first units touches."""
    at = 0
    for run in side.runs(0, count):
        if run.is_from_rdb or run.first.kind == UnitKind.RDB:
            yield from _rdb_keys(side, run, side.column(UnitColumn.START, at + run.units)[at:])
        else:
            yield from _aof_keys(side, run, side.column(UnitColumn.END, at + run.units)[at:])
        at += run.units


def _aof_keys(side: Side, run: UnitRun, ends: Sequence[int]) -> Iterator[TouchedKeys]:
    """The keys of each unit of a run."""
    reader = iter(()) if run.is_opaque else run_entries(side, run)
    entry = next(reader, None)
    for end in ends:
        keys: set[DbKey] | None = None if run.is_opaque else set()
        while entry is not None and entry.batch.record_span(entry.i).start < end:
            more = entry_keys(entry)
            keys = None if keys is None or more is None else keys | more
            entry = next(reader, None)
        yield None if keys is None else frozenset(keys)


def _rdb_keys(side: Side, run: UnitRun, starts: Sequence[int]) -> Iterator[TouchedKeys]:
    """The key of each unit of an RDB; what belongs to none is taken to touch all."""
    rdb_stream = side.rdb_commands(run.first.part)
    items, place, keys = rdb_stream.items(run), -1, None
    for start in starts:
        while place < start:
            item = next(items, None)
            place = start + 1 if item is None else item.span.start
            name = rdb_stream.key_name(item) if isinstance(item, KeyOfBase) else None
            keys = (
                frozenset({make_db_key(max(0, item.db), name)})
                if isinstance(item, KeyOfBase) and name is not None
                else None
            )
        yield keys if place == start else None


def entry_keys(entry: LogEntry) -> set[DbKey] | None:
    """The keys that a command names, with its database; None if it may touch others, or is too large to say."""
    batch, i = entry.batch, entry.i
    command = command_table().get(batch.ids[i])
    if command is None or _touches_unnamed_keys(command.id):
        return None
    argv = leading_arguments(batch, i)
    if command.name == "sort" and any(b"*" in arg for arg in argv[2:]):  # BY and GET read keys by pattern
        return None
    places = list(key_indexes(command, argv))
    if batch.oversized and not (
        _sees_all_keys(command, batch.argc[i], len(argv)) and all(len(argv[at]) < _ARGUMENT_HEAD for at in places)
    ):
        return None
    return {make_db_key(-1 if entry.db is None else entry.db, argv[at]) for at in places}


@functools.cache
def _touches_unnamed_keys(number: int) -> bool:
    """True of what its keys do not say all of: a flush, a script, what it does to other databases or to the server."""
    command = command_table().get(number)
    assert command is not None
    if {command.name, command.container} & _TOUCH_UNNAMED_KEYS or command.effects & {"flush", "script"}:
        return True
    return not command.key_specs and bool(command.effects & {"admin", "write"})


def _sees_all_keys(command: CommandSpec, argc: int, read_count: int) -> bool:
    """True if no key of a command stands past the arguments that were seen."""
    first_only = command.name != "sort" and all(isinstance(spec[0], int) and spec[1] == 0 for spec in command.key_specs)
    return argc <= read_count or first_only


def leading_arguments(batch: RecordBatch, i: int) -> list[bytes]:
    """The arguments of a command; of a far one the first ones, and of each its beginning."""
    if not batch.oversized:
        return batch.argv(i)
    arguments: list[bytes] = []
    for arg in batch.args(i):
        arguments.append(arg if isinstance(arg, bytes) else arg.head(_ARGUMENT_HEAD))
        if len(arguments) >= _ARGS_MAX:
            break
    return arguments
