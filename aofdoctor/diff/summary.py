"""Count differing commands by command name, by database and by key prefix (`diff --stat`).

The prefix of a command is the part of its first key up to and including the
first colon.  At most PREFIXES_MAX prefixes are kept; the rest is counted
together.
"""

import functools
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable

from aofdoctor.aof.records import RecordBatch
from aofdoctor.diff.units.rdb_commands import ExportedCommand
from aofdoctor.diff.units.unit_commands import leading_arguments
from aofdoctor.rdb.encoding.cursor import String
from aofdoctor.rdb.items import KeyItem
from aofdoctor.server.command_table import command_table, key_indexes
from aofdoctor.server.context.tracker import ContextTracker

COLUMN_NAMES = ("only_a", "only_b", "moved")
MOVED_COLUMN = 2
PREFIXES_MAX = 10_000
PREFIX_MAX = 64
OTHER_PREFIXES = b"(others)"
_CONTAINER_COMMANDS = frozenset({b"XGROUP", b"FUNCTION"})

CountRows = list[tuple[str | int | bytes | None, list[int]]]


class DifferenceCounts:
    """Counters of commands in three columns: only in A, only in B, moved."""

    def __init__(self, prefixes: bool = True) -> None:
        self.total = [0, 0, 0]
        self._ids: list[Counter[int]] = [Counter(), Counter(), Counter()]
        self._dbs: list[Counter[int]] = [Counter(), Counter(), Counter()]
        self._prefixes: dict[bytes, list[int]] = defaultdict(lambda: [0, 0, 0])
        self._count_prefixes = prefixes

    def add(self, column: int, batch: RecordBatch, tracker: ContextTracker, indexes: Iterable[int]) -> None:
        """Count records of a batch; `tracker` gives their databases."""
        indexes = list(indexes)
        ids, dbs = batch.ids, tracker.db
        self.total[column] += len(indexes)
        self._ids[column].update([ids[i] for i in indexes])
        self._dbs[column].update([dbs[i] for i in indexes])
        for i in indexes if self._count_prefixes else ():
            self._count_prefix(column, batch, i)

    def add_rdb_command(self, column: int, rdb_command: ExportedCommand) -> None:
        """Count a command that recreates a key of an RDB."""
        assert isinstance(rdb_command.command, list)
        name, first, second = (word for word in rdb_command.command[:3])
        has_subcommand = name in _CONTAINER_COMMANDS
        number = _command_id(name, first if has_subcommand else b"")
        self.total[column] += 1
        self._ids[column][number] += 1
        self._dbs[column][rdb_command.db] += 1
        key = second if has_subcommand else first
        if self._count_prefixes and isinstance(rdb_command.item, KeyItem) and isinstance(key, bytes):
            self._add_prefix(column, key)

    def _count_prefix(self, column: int, batch: RecordBatch, i: int) -> None:
        number = batch.ids[i]
        if _first_argument_is_key(number) and not batch.oversized:
            argv, index = batch.argv(i, 2), 1
        else:
            argv = leading_arguments(batch, i)
            index = _first_key_index(number, argv)
        if 0 < index < len(argv):
            self._add_prefix(column, argv[index])

    def _add_prefix(self, column: int, key: bytes) -> None:
        head, colon, _ = key[: PREFIX_MAX + 1].partition(b":")
        prefix = head + colon if colon else b""
        if len(self._prefixes) >= PREFIXES_MAX and prefix not in self._prefixes:
            prefix = OTHER_PREFIXES
        self._prefixes[prefix][column] += 1

    @property
    def by_command(self) -> CountRows:
        """Return (command name, counts) rows, the largest count first; the name is None for unknown commands."""
        return _sorted_rows(
            self._ids, lambda number: command.name if (command := command_table().get(number)) else None
        )

    @property
    def by_db(self) -> CountRows:
        """Return (database, counts) rows, the largest count first."""
        return _sorted_rows(self._dbs, lambda number: number)

    @property
    def by_prefix(self) -> CountRows:
        """Return (key prefix with its colon, counts) rows, the largest count first; empty for keys without a colon."""
        rows: CountRows = [(prefix, counts) for prefix, counts in self._prefixes.items()]
        return sorted(rows, key=_sort_key)


@functools.cache
def _command_id(name: String, sub: String) -> int:
    """Return the id in the command table of a command that recreates an RDB key."""
    assert isinstance(name, bytes)
    assert isinstance(sub, bytes)
    ids = command_table().names.ids
    return ids[name.lower() + (b"|" + sub.lower() if sub else b"")]


def _first_key_index(number: int, argv: list[bytes]) -> int:
    """The index of the first key among the arguments; 0 if there is none."""
    return next(key_indexes(command, argv), 0) if (command := command_table().get(number)) else 1


@functools.cache
def _first_argument_is_key(number: int) -> bool:
    """Whether the first key of a command is always its first argument; True for unknown commands."""
    command = command_table().get(number)
    return command is None or bool(
        command.key_specs and command.key_specs[0][0] == 1 and command.key_specs[0][1] != "num"
    )


def _sorted_rows(columns: list[Counter[int]], name: Callable[[int], str | int | None]) -> CountRows:
    numbers = set().union(*columns)
    return sorted(((name(n), [column[n] for column in columns]) for n in numbers), key=_sort_key)


def _sort_key(row: tuple[str | int | bytes | None, list[int]]) -> tuple[int, str]:
    return -sum(row[1]), str(row[0])
