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
from aofdoctor.diff.key_table.constants import ROW_WORDS, KeyTableField
from aofdoctor.diff.key_table.table import EVENTS_MAX, MEMORY_MAX, KeyTable, unpack_position
from aofdoctor.diff.keys.builder import KeyTableBuilder
from aofdoctor.diff.keys.external_sort import ROWS_IN_MEMORY, ExternalSorter
from aofdoctor.diff.keys.key_names import KeyNameReader
from aofdoctor.diff.units.side import DiffPosition, Side
from aofdoctor.log.selection import Selection

ONLY_A, ONLY_B, DIFFERS = 0, 1, 2
_PACKED_ROW = Struct(">6Q")  # kind, where it stands, where on the other side, database, key, deleted
_ROWS_PER_CALL = 1 << 10
_GROUP_MAX = 1 << 14  # so many keys of one record are named in one reading of it


class LastWrite(NamedTuple):
    """Where a key's last write on a side stands; for a key of an RDB, where that begins."""

    part: int
    start: int
    deleted: bool


class DifferingKey(NamedTuple):
    """A key that differs; a side that has not got it is None."""

    db: int
    name: bytes
    a: LastWrite | None
    b: LastWrite | None


class KeyDiffLimits(NamedTuple):
    """What may be held: bytes of a table, events of a table in a file, rows."""

    memory: int = MEMORY_MAX
    events: int = EVENTS_MAX
    rows: int = ROWS_IN_MEMORY


class KeyDiff:
    """Keys that differ: where only one side has them, and where both do; `same` are the others, None if not counted.

    `unnamed` are the commands on each side, since they part, that may touch keys
    which they do not name: of those nothing is known.
    """

    def __init__(
        self,
        sides: tuple[Side, Side],
        tables: tuple[KeyTable, KeyTable],
        rows_in_memory: int,
        selection: Selection,
        unnamed_key_commands: tuple[int, int],
    ) -> None:
        self.sides, self._selection, self.unnamed_key_commands = sides, selection, unnamed_key_commands
        self.counts = [0, 0, 0]
        self._rows, equal_count = ExternalSorter(rows_in_memory), array("Q", [0])
        self._compare_tables(tables[0], tables[1], False, equal_count)
        self._compare_tables(tables[1], tables[0], True, equal_count)
        self.equal_keys: int | None = equal_count[0]
        if not selection.selects_all:
            self.counts, self.equal_keys = [0, 0, 0], None
            for kind, _ in self.rows():
                self.counts[kind] += 1

    def _compare_tables(self, one: KeyTable, two: KeyTable, swapped: bool, equal_count: "array[int]") -> None:
        """What the first table has and the second lacks, and unless it is the second time what is other in both."""
        rows, at, end = array("Q", bytes(8 * ROW_WORDS * _ROWS_PER_CALL)), 0, one.state[KeyTableField.SLOTS]
        while at < end:
            stop = min(end, at + one.slots_per_step)
            count, at = kernel.compare(
                one.key, one.slots, one.state, two.slots, two.state, at, stop, swapped, rows, equal_count
            )
            for first in range(0, ROW_WORDS * count, ROW_WORDS):
                sides, db, key, position, other_position, deleted = rows[first : first + ROW_WORDS]
                kind = DIFFERS if sides == 3 else ONLY_B if swapped else ONLY_A
                self.counts[kind] += 1
                self._rows.add(_PACKED_ROW.pack(kind, position, other_position, db, key, deleted))
            one.release_pages()
            two.release_pages()

    @property
    def has_differences(self) -> bool:
        """True if any key is, or may be."""
        return any(self.counts) or any(self.unnamed_key_commands)

    def rows(self) -> Iterator[tuple[int, DifferingKey]]:
        """(ONLY_A, ONLY_B or DIFFERS; the key), of each kind in the order in which it was last written."""
        return (found for found in self._unpack_rows() if self._is_selected(found[1]))

    def _is_selected(self, row: DifferingKey) -> bool:
        selection = self._selection
        matches = (not selection.dbs or row.db in selection.dbs) and (
            not selection.keys or any(pattern.match(row.name) for pattern in selection.keys)
        )
        return matches != selection.invert

    def _unpack_rows(self) -> Iterator[tuple[int, DifferingKey]]:
        names, group = (KeyNameReader(self.sides[0]), KeyNameReader(self.sides[1])), list[tuple[int, ...]]()
        for packed in self._rows:
            row = _PACKED_ROW.unpack(packed)
            if group and (row[:2] != group[0][:2] or len(group) == _GROUP_MAX):
                yield from _resolve_names(names, group)
                group = []
            group.append(row)
        if group:
            yield from _resolve_names(names, group)


def _resolve_names(
    names: tuple[KeyNameReader, KeyNameReader], group: list[tuple[int, ...]]
) -> Iterator[tuple[int, DifferingKey]]:
    """Keys of one kind whose last writes on one side are one record."""
    kind, packed_position = group[0][:2]
    names_by_digest = names[kind == ONLY_B].names_at(*unpack_position(packed_position), {row[4] for row in group})
    for _, position, other_position, db, key, deleted in group:
        one = LastWrite(*unpack_position(position)[:2], bool(deleted & 1))
        two = LastWrite(*unpack_position(other_position)[:2], bool(deleted & 2)) if kind == DIFFERS else None
        name = names_by_digest.get(key, b"")
        yield kind, DifferingKey(db, name, None, one) if kind == ONLY_B else DifferingKey(db, name, one, two)


def compare_keys(
    a: Side, b: Side, selections: tuple[Selection, Selection], limits: KeyDiffLimits | None = None
) -> KeyDiff:
    """The keys of two histories; what both have byte for byte is read once."""
    memory, events, rows_in_memory = limits or KeyDiffLimits()
    selection = Selection(keys=selections[0].keys, dbs=selections[0].dbs, invert=selections[0].invert)
    if selections == (selection, selection):
        selections, keep_deleted = (Selection(), Selection()), False
    else:
        selection, keep_deleted = Selection(), True
    one = KeyTableBuilder(a, selections[0], KeyTable(a.rules.key, keep_deleted, memory, events))
    begin = DiffPosition(), DiffPosition()
    common = skip_common_bytes(a, b, begin) if selections[0] == selections[1] else None
    start, fork = (common.resume, common.fork) if common else (begin, begin)
    one.add_range(DiffPosition(), start[0])
    two = KeyTableBuilder(b, selections[1], one.table.copy())
    one.count_unnamed_from, two.count_unnamed_from = fork
    one.add_range(start[0])
    one.finish()
    two.add_range(start[1])
    two.finish()
    return KeyDiff(
        (a, b), (one.table, two.table), rows_in_memory, selection, (one.unnamed_key_commands, two.unnamed_key_commands)
    )
