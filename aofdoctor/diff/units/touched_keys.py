"""Find the keys that each command or transaction (unit) of an AOF reads or writes.

A command names its keys by the key specifications of the command table.  The
answer for a unit is None, any key, if it may access keys that it does not name:
a flush, a script, an unknown command, damage.
"""

import functools
import hashlib
from collections.abc import Iterator, Sequence

from aofdoctor.diff.units.columns import UnitColumn, UnitKind
from aofdoctor.diff.units.side import Side
from aofdoctor.diff.units.unit import UnitRun
from aofdoctor.diff.units.unit_commands import ARGUMENT_HEAD, leading_arguments, run_entries
from aofdoctor.log.entries import LogEntry
from aofdoctor.rdb.items import KeyItem
from aofdoctor.server.command_table import CommandSpec, command_table, key_indexes

# Commands that access more than the keys of their key specifications, in addition to flushes and scripts.
_TOUCH_UNNAMED_KEYS = frozenset({"swapdb", "move", "copy", "migrate", "function", "script"})

DbKey = tuple[int, bytes]  # the database, and the name or the digest of a long one
_NAME_MAX = 256
TouchedKeys = frozenset[DbKey] | None  # None: may be any key


def make_db_key(db: int, name: bytes) -> DbKey:
    """Return the key as a pair; a long name is replaced by its BLAKE2b digest to save memory."""
    return db, name if len(name) <= _NAME_MAX else hashlib.blake2b(name).digest()


def touched_keys(side: Side, count: int) -> Iterator[TouchedKeys]:
    """Yield the keys of each of the first `count` commands or transactions that an AOF has in memory."""
    at = 0
    for run in side.runs(0, count):
        if run.is_from_rdb or run.first.kind == UnitKind.RDB:
            yield from _rdb_keys(side, run, side.column(UnitColumn.START, at + run.units)[at:])
        else:
            yield from _aof_keys(side, run, side.column(UnitColumn.END, at + run.units)[at:])
        at += run.units


def _aof_keys(side: Side, run: UnitRun, ends: Sequence[int]) -> Iterator[TouchedKeys]:
    """Yield the keys of each command or transaction of a run; `ends` are the offsets in the file at which they end."""
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
    """Yield the key of each item of a range of an RDB; an item other than a key counts as touching any key."""
    rdb_stream = side.rdb_commands(run.first.part)
    items, item_start, keys = rdb_stream.items(run), -1, None
    for start in starts:
        while item_start < start:
            item = next(items, None)
            item_start = start + 1 if item is None else item.span.start
            name = rdb_stream.key_name(item) if isinstance(item, KeyItem) else None
            keys = (
                frozenset({make_db_key(max(0, item.db), name)})
                if isinstance(item, KeyItem) and name is not None
                else None
            )
        yield keys if item_start == start else None


def entry_keys(entry: LogEntry) -> set[DbKey] | None:
    """Return the keys that a command names; None if it may access others or is too large to be sure."""
    batch, i = entry.batch, entry.i
    command = command_table().get(batch.ids[i])
    if command is None or _touches_unnamed_keys(command.id):
        return None
    argv = leading_arguments(batch, i)
    if command.name == "sort" and any(b"*" in arg for arg in argv[2:]):  # BY and GET read keys by pattern
        return None
    indexes = list(key_indexes(command, argv))
    if batch.oversized and not (
        _sees_all_keys(command, batch.argc[i], len(argv)) and all(len(argv[at]) < ARGUMENT_HEAD for at in indexes)
    ):
        return None
    return {make_db_key(-1 if entry.db is None else entry.db, argv[at]) for at in indexes}


@functools.cache
def _touches_unnamed_keys(number: int) -> bool:
    """Whether a command may have effects beyond the keys that it names.

    Examples: flushes, scripts, commands that change other databases or the server.
    """
    command = command_table().get(number)
    assert command is not None
    if {command.name, command.container} & _TOUCH_UNNAMED_KEYS or command.effects & {"flush", "script"}:
        return True
    return not command.key_specs and bool(command.effects & {"admin", "write"})


def _sees_all_keys(command: CommandSpec, argc: int, read_count: int) -> bool:
    """Whether no key of a command can be beyond the arguments that were read."""
    first_only = command.name != "sort" and all(isinstance(spec[0], int) and spec[1] == 0 for spec in command.key_specs)
    return argc <= read_count or first_only
