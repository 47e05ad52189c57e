"""Which keys two histories left otherwise, which also tells apart two that share no bytes.

What both have byte for byte is read once.  What differs is listed in the order
in which it was last written, however much it is.  Where only some keys are
selected, all are compared, since one may be made of another; where only some
commands are, a deleted key counts as touched.
"""

from array import array
from collections.abc import Iterator
from struct import Struct
from typing import NamedTuple

from aofdoctor.diff.common_bytes import skip_common_bytes
from aofdoctor.diff.key_table import slots as kernel
from aofdoctor.diff.key_table._pyslots import ROW_WORDS, State
from aofdoctor.diff.key_table.table import EVENTS, MEMORY, KeyTable, unpack_position
from aofdoctor.diff.keys.builder import KeyTableBuilder
from aofdoctor.diff.keys.external_sort import HELD, ExternalSorter
from aofdoctor.diff.keys.key_names import Names
from aofdoctor.diff.units.side import DiffPosition, Side
from aofdoctor.log.selection import Selection

ONLY_A, ONLY_B, DIFFERS = 0, 1, 2
_ROW = Struct(">6Q")  # kind, where it stands, where on the other side, database, key, deleted
_ROOM = 1 << 10
_GROUP = 1 << 14  # so many keys of one record are named in one reading of it


class Written(NamedTuple):
    """Where a key's last write on a side stands; for a key of an RDB, where that begins."""

    part: int
    start: int
    deleted: bool


class Row(NamedTuple):
    """A key that differs; a side that has not got it is None."""

    db: int
    name: bytes
    a: Written | None
    b: Written | None


class Limits(NamedTuple):
    """What may be held: bytes of a table, events of a table in a file, rows."""

    memory: int = MEMORY
    events: int = EVENTS
    rows: int = HELD


class KeyDiff:
    """Keys that differ: where only one side has them, and where both do; `same` are the others, None if not counted.

    `unnamed` are the commands on each side, since they part, that may touch keys
    which they do not name: of those nothing is known.
    """

    def __init__(
        self,
        sides: tuple[Side, Side],
        tables: tuple[KeyTable, KeyTable],
        held: int,
        chosen: Selection,
        unnamed: tuple[int, int],
    ) -> None:
        self.sides, self._chosen, self.unnamed = sides, chosen, unnamed
        self.counts = [0, 0, 0]
        self._rows, same = ExternalSorter(held), array("Q", [0])
        self._go(tables[0], tables[1], False, same)
        self._go(tables[1], tables[0], True, same)
        self.same: int | None = same[0]
        if not chosen.selects_all:
            self.counts, self.same = [0, 0, 0], None
            for kind, _ in self.rows():
                self.counts[kind] += 1

    def _go(self, one: KeyTable, two: KeyTable, second: bool, same: "array[int]") -> None:
        """What the first table has and the second lacks, and unless it is the second time what is other in both."""
        rows, at, end = array("Q", bytes(8 * ROW_WORDS * _ROOM)), 0, one.state[State.SLOTS]
        while at < end:
            stop = min(end, at + one.step)
            count, at = kernel.compare(
                one.key, one.slots, one.state, two.slots, two.state, at, stop, second, rows, same
            )
            for first in range(0, ROW_WORDS * count, ROW_WORDS):
                sides, db, key, here, there, deleted = rows[first : first + ROW_WORDS]
                kind = DIFFERS if sides == 3 else ONLY_B if second else ONLY_A
                self.counts[kind] += 1
                self._rows.add(_ROW.pack(kind, here, there, db, key, deleted))
            one.let_go()
            two.let_go()

    @property
    def different(self) -> bool:
        """True if any key is, or may be."""
        return any(self.counts) or any(self.unnamed)

    def rows(self) -> Iterator[tuple[int, Row]]:
        """(ONLY_A, ONLY_B or DIFFERS; the key), of each kind in the order in which it was last written."""
        return (found for found in self._all() if self._is_meant(found[1]))

    def _is_meant(self, row: Row) -> bool:
        selection = self._chosen
        meant = (not selection.dbs or row.db in selection.dbs) and (
            not selection.keys or any(pattern.match(row.name) for pattern in selection.keys)
        )
        return meant != selection.invert

    def _all(self) -> Iterator[tuple[int, Row]]:
        names, group = (Names(self.sides[0]), Names(self.sides[1])), list[tuple[int, ...]]()
        for packed in self._rows:
            row = _ROW.unpack(packed)
            if group and (row[:2] != group[0][:2] or len(group) == _GROUP):
                yield from _named(names, group)
                group = []
            group.append(row)
        if group:
            yield from _named(names, group)


def _named(names: tuple[Names, Names], group: list[tuple[int, ...]]) -> Iterator[tuple[int, Row]]:
    """Keys of one kind whose last writes on one side are one record."""
    kind, packed_position = group[0][:2]
    found = names[kind == ONLY_B].at(*unpack_position(packed_position), {row[4] for row in group})
    for _, here, there, db, key, deleted in group:
        one = Written(*unpack_position(here)[:2], bool(deleted & 1))
        two = Written(*unpack_position(there)[:2], bool(deleted & 2)) if kind == DIFFERS else None
        name = found.get(key, b"")
        yield kind, Row(db, name, None, one) if kind == ONLY_B else Row(db, name, one, two)


def compare_keys(a: Side, b: Side, selections: tuple[Selection, Selection], limits: Limits | None = None) -> KeyDiff:
    """The keys of two histories; what both have byte for byte is read once."""
    memory, events, held = limits or Limits()
    chosen = Selection(keys=selections[0].keys, dbs=selections[0].dbs, invert=selections[0].invert)
    if selections == (chosen, chosen):
        selections, deleted = (Selection(), Selection()), False
    else:
        chosen, deleted = Selection(), True
    one = KeyTableBuilder(a, selections[0], KeyTable(a.rules.key, deleted, memory, events))
    begin = DiffPosition(), DiffPosition()
    common = skip_common_bytes(a, b, begin) if selections[0] == selections[1] else None
    start, fork = (common.resume, common.fork) if common else (begin, begin)
    one.feed(DiffPosition(), start[0])
    two = KeyTableBuilder(b, selections[1], one.table.copy())
    one.since, two.since = fork
    one.feed(start[0])
    one.finish()
    two.feed(start[1])
    two.finish()
    return KeyDiff((a, b), (one.table, two.table), held, chosen, (one.unnamed, two.unnamed))
