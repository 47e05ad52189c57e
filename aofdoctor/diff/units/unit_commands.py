"""The commands of units, read again from their places; and the keys that a unit touches."""

import functools
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from aofdoctor.aof.constants import ANNOTATION
from aofdoctor.aof.reader import BATCH_RECORDS, WINDOW, read_batches
from aofdoctor.aof.records import RecordBatch
from aofdoctor.diff.moves import Key, Keys, key_of
from aofdoctor.diff.units._pyunits import Column, Kind
from aofdoctor.diff.units.side import Run, Side, Unit
from aofdoctor.log.entries import Entry
from aofdoctor.log.ordinals import command_numbers, none_if_unknown
from aofdoctor.log.selection import Selection
from aofdoctor.rdb.items import Key as KeyOfBase
from aofdoctor.server.command_table import Command, key_places, table
from aofdoctor.server.context._pytracker import ContextField
from aofdoctor.server.context.tracker import ContextTracker
from aofdoctor.span import Span

_ARGS_HELD = 1 << 12  # of a far record, so many arguments are looked through for keys
_HEAD = 1 << 12  # of a large argument
_NO_UNITS = frozenset({ANNOTATION, table().names.ids[b"select"]})

_FRAME = frozenset({table().names.ids[b"multi"], table().names.ids[b"exec"]})

# What reaches further than the keys that its key specification gives, beside flushes and scripts.
_FAR_REACHING = frozenset({"swapdb", "move", "copy", "migrate", "function", "script"})


def batches(side: Side, run: Run) -> Iterator[tuple[RecordBatch, ContextTracker, int]]:
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
    before = first.number - 1
    for batch in read_batches(source, table().names, first.start, window):
        commands = before + state[ContextField.COMMANDS]
        tracker.run(batch)
        yield batch, tracker, commands
        if batch.span.end >= last.end:
            return


def entries(side: Side, run: Run, selection: Selection | None = None) -> Iterator[Entry]:
    """The commands of a run, those that are selected; SELECTs go without saying."""
    name = side.aof.parts[run.first.part].name
    for batch, tracker, before in batches(side, run):
        chosen = selected(batch, run.last, selection, tracker, before)
        for i, number in zip(chosen, command_numbers(batch, chosen), strict=True):
            yield Entry(
                name,
                batch,
                i,
                before + number,
                none_if_unknown(tracker.db[i]),
                none_if_unknown(tracker.tx[i]) or None,
                none_if_unknown(tracker.time[i]),
            )


def selected(
    batch: RecordBatch, last: Unit, selection: Selection | None, tracker: ContextTracker, before: int
) -> list[int]:
    """The records of a batch that are commands up to and with a unit, and selected."""
    if selection is not None and not selection.selects_all:
        wanted = selection.matches(last.part, batch, tracker, before)
    else:
        wanted = list(range(batch.count))
    stop, ids, edges = last.end - batch.base, batch.ids, batch.edges
    return [i for i in wanted if edges[i] < stop and ids[i] not in _NO_UNITS]


class RecordSpan(NamedTuple):
    """Adjacent records that are copied together: one command, or one transaction if it is not `plain`."""

    part: int
    span: Span
    db: int
    commands: int
    is_single_command: bool = True


def selected_stretches(side: Side, run: Run, selection: Selection) -> Iterator[RecordSpan]:
    """The selected commands of a run; a transaction that has one, beside MULTI and EXEC, is taken whole."""
    part, open_tx, start, db, count, wanted, end = run.first.part, 0, 0, 0, 0, False, 0
    for batch, steps, before in batches(side, run):
        chosen, stop = set(selected(batch, run.last, selection, steps, before)), run.last.end - batch.base
        if selection.ids is None or selection.invert:
            chosen = {i for i in chosen if batch.ids[i] not in _FRAME}
        for i in range(batch.count):
            tx, span = steps.tx[i], batch.record_span(i)
            if open_tx and (tx != open_tx or batch.edges[i] >= stop):
                if wanted:
                    yield RecordSpan(part, Span(start, end), db, count, is_single_command=False)
                open_tx = 0
            if batch.edges[i] >= stop:
                return
            if tx > 0 and not open_tx:
                open_tx, start, db, count, wanted = tx, span.start, steps.db[i], 0, False
            if open_tx:
                end, wanted, count = span.end, wanted or i in chosen, count + (batch.ids[i] not in _NO_UNITS)
            elif i in chosen:
                yield RecordSpan(part, span, steps.db[i], 1)
    if open_tx and wanted:
        yield RecordSpan(part, Span(start, end), db, count, is_single_command=False)


def touched(side: Side, count: int) -> Iterator[Keys]:
    """The keys that each of a side's first units touches."""
    at = 0
    for run in side.runs(0, count):
        if run.base or run.first.kind == Kind.RDB:
            yield from _base_keys(side, run, side.column(Column.START, at + run.units)[at:])
        else:
            yield from _keys(side, run, side.column(Column.END, at + run.units)[at:])
        at += run.units


def _keys(side: Side, run: Run, ends: Sequence[int]) -> Iterator[Keys]:
    """The keys of each unit of a run."""
    reader = iter(()) if run.opaque else entries(side, run)
    entry = next(reader, None)
    for end in ends:
        keys: set[Key] | None = None if run.opaque else set()
        while entry is not None and entry.batch.record_span(entry.i).start < end:
            more = keys_of(entry)
            keys = None if keys is None or more is None else keys | more
            entry = next(reader, None)
        yield None if keys is None else frozenset(keys)


def _base_keys(side: Side, run: Run, starts: Sequence[int]) -> Iterator[Keys]:
    """The key of each unit of an RDB; what belongs to none is taken to touch all."""
    rdb_stream = side.rdb_commands(run.first.part)
    items, place, keys = rdb_stream.items(run), -1, None
    for start in starts:
        while place < start:
            item = next(items, None)
            place = start + 1 if item is None else item.span.start
            name = rdb_stream.key_name(item) if isinstance(item, KeyOfBase) else None
            keys = (
                frozenset({key_of(max(0, item.db), name)}) if isinstance(item, KeyOfBase) and name is not None else None
            )
        yield keys if place == start else None


def keys_of(entry: Entry) -> set[Key] | None:
    """The keys that a command names, with its database; None if it may touch others, or is too large to say."""
    batch, i = entry.batch, entry.i
    command = table().get(batch.ids[i])
    if command is None or _reaches_far(command.id):
        return None
    argv = heads(batch, i)
    if command.name == "sort" and any(b"*" in arg for arg in argv[2:]):  # BY and GET read keys by pattern
        return None
    places = list(key_places(command, argv))
    if batch.oversized and not (
        _all_seen(command, batch.argc[i], len(argv)) and all(len(argv[at]) < _HEAD for at in places)
    ):
        return None
    return {key_of(-1 if entry.db is None else entry.db, argv[at]) for at in places}


@functools.cache
def _reaches_far(number: int) -> bool:
    """True of what its keys do not say all of: a flush, a script, what it does to other databases or to the server."""
    command = table().get(number)
    assert command is not None
    if {command.name, command.container} & _FAR_REACHING or command.effects & {"flush", "script"}:
        return True
    return not command.keys and bool(command.effects & {"admin", "write"})


def _all_seen(command: Command, argc: int, seen: int) -> bool:
    """True if no key of a command stands past the arguments that were seen."""
    first_only = command.name != "sort" and all(isinstance(spec[0], int) and spec[1] == 0 for spec in command.keys)
    return argc <= seen or first_only


def heads(batch: RecordBatch, i: int) -> list[bytes]:
    """The arguments of a command; of a far one the first ones, and of each its beginning."""
    if not batch.oversized:
        return batch.argv(i)
    found: list[bytes] = []
    for arg in batch.args(i):
        found.append(arg if isinstance(arg, bytes) else arg.head(_HEAD))
        if len(found) >= _ARGS_HELD:
            break
    return found
