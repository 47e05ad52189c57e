"""Counts of what differs: by command, database and key prefix.

A prefix is what stands before the first colon of a command's first key.
"""

import functools
from collections import Counter, defaultdict
from collections.abc import Iterable

from aofdoctor.aof.records import RecordBatch
from aofdoctor.diff.units.rdb_commands import ExportedCommand
from aofdoctor.diff.units.unit_commands import heads
from aofdoctor.rdb.encoding.cursor import String
from aofdoctor.rdb.items import Key
from aofdoctor.server.command_table import key_places, table
from aofdoctor.server.context.tracker import ContextTracker

SIDES = ("only_a", "only_b", "moved")
MOVED = 2
PREFIXES = 10_000
PREFIX_MAX = 64
OTHERS = b"(others)"
_CONTAINERS = frozenset({b"XGROUP", b"FUNCTION"})

Rows = list[tuple[str | int | bytes | None, list[int]]]


class Tally:
    """Commands by what they are, counted in three columns: only in A, only in B, moved."""

    def __init__(self, prefixes: bool = True) -> None:
        self.total = [0, 0, 0]
        self._ids: list[Counter[int]] = [Counter(), Counter(), Counter()]
        self._dbs: list[Counter[int]] = [Counter(), Counter(), Counter()]
        self._prefixes: dict[bytes, list[int]] = defaultdict(lambda: [0, 0, 0])
        self._wanted = prefixes

    def add(self, column: int, batch: RecordBatch, tracker: ContextTracker, chosen: Iterable[int]) -> None:
        """Count records of a batch in its context."""
        chosen = list(chosen)
        ids, dbs = batch.ids, tracker.db
        self.total[column] += len(chosen)
        self._ids[column].update([ids[i] for i in chosen])
        self._dbs[column].update([dbs[i] for i in chosen])
        for i in chosen if self._wanted else ():
            self._count_prefix(column, batch, i)

    def say(self, column: int, said: ExportedCommand) -> None:
        """Count a command that makes a key of an RDB."""
        assert isinstance(said.said, list)
        name, first, second = (word for word in said.said[:3])
        contained = name in _CONTAINERS
        number = _number(name, first if contained else b"")
        self.total[column] += 1
        self._ids[column][number] += 1
        self._dbs[column][said.db] += 1
        key = second if contained else first
        if self._wanted and isinstance(said.item, Key) and isinstance(key, bytes):
            self._add_prefix(column, key)

    def _count_prefix(self, column: int, batch: RecordBatch, i: int) -> None:
        number = batch.ids[i]
        if _first_is_key(number) and not batch.oversized:
            argv, place = batch.argv(i, 2), 1
        else:
            argv = heads(batch, i)
            place = _place(number, argv)
        if 0 < place < len(argv):
            self._add_prefix(column, argv[place])

    def _add_prefix(self, column: int, key: bytes) -> None:
        head, colon, _ = key[: PREFIX_MAX + 1].partition(b":")
        prefix = head + colon if colon else b""
        if len(self._prefixes) >= PREFIXES and prefix not in self._prefixes:
            prefix = OTHERS
        self._prefixes[prefix][column] += 1

    @property
    def by_command(self) -> Rows:
        """Names, the most first; None for those that no server knows."""
        return _rows(self._ids, lambda number: command.name if (command := table().get(number)) else None)

    @property
    def by_db(self) -> Rows:
        """Databases, the most first."""
        return _rows(self._dbs, lambda number: number)

    @property
    def by_prefix(self) -> Rows:
        """Key prefixes with their colon, the most first; empty for keys that have none."""
        rows: Rows = [(prefix, counts) for prefix, counts in self._prefixes.items()]
        return sorted(rows, key=_rank)


@functools.cache
def _number(name: String, sub: String) -> int:
    """The id of a command of an RDB's telling."""
    assert isinstance(name, bytes)
    assert isinstance(sub, bytes)
    ids = table().names.ids
    return ids[name.lower() + (b"|" + sub.lower() if sub else b"")]


def _place(number: int, argv: list[bytes]) -> int:
    """Where the first key stands; 0 if there is none."""
    return next(key_places(command, argv), 0) if (command := table().get(number)) else 1


@functools.cache
def _first_is_key(number: int) -> bool:
    """True of a command whose first key is always its first argument, and of a name that no server knows."""
    command = table().get(number)
    return command is None or bool(command.keys and command.keys[0][0] == 1 and command.keys[0][1] != "num")


def _rows(columns: "list[Counter[int]]", name: "object") -> Rows:
    assert callable(name)
    numbers = set().union(*columns)
    return sorted(((name(n), [column[n] for column in columns]) for n in numbers), key=_rank)


def _rank(row: "tuple[str | int | bytes | None, list[int]]") -> tuple[int, str]:
    return -sum(row[1]), str(row[0])
