"""Compare the keys that two AOFs leave behind (`diff --by keys`), even if the AOFs share no bytes.

Bytes that both have in common are read once.  Differing keys are listed in the
order of their last write, any number of them.  If only some keys are selected,
all keys are compared all the same, because one key may be made from another
(RENAME, SUNIONSTORE), and the result is filtered.  If only some commands are
selected, a deleted key counts as a key that was written.
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
from aofdoctor.diff.units.side import Side
from aofdoctor.diff.units.unit import DiffPosition
from aofdoctor.log.selection import Selection

ONLY_A, ONLY_B, DIFFERS = 0, 1, 2
_PACKED_ROW = Struct(">6Q")  # kind, position, position on the other side, database, key, deleted
_ROWS_PER_CALL = 1 << 10
_GROUP_MAX = 1 << 14  # keys of one record that are searched for in one pass


class LastWrite(NamedTuple):
    """Where one AOF last wrote a key: the file, and the offset of the command's record or of the key in an RDB."""

    part: int
    start: int
    deleted: bool


class DifferingKey(NamedTuple):
    """A key that differs; `a` or `b` is None if that side does not have the key."""

    db: int
    name: bytes
    a: LastWrite | None
    b: LastWrite | None


class KeyDiffLimits(NamedTuple):
    """Memory limits of `diff --by keys`: bytes of a key table, queued changes of one in a file, rows to sort."""

    memory: int = MEMORY_MAX
    events: int = EVENTS_MAX
    rows: int = ROWS_IN_MEMORY


class KeyDiff:
    """The keys that differ between two tables.

    `counts` are those that only A has, that only B has, and that both have with different values.  `equal_keys` is None
    if it was not counted.  `unnamed_key_commands` are, on each side since the fork, the commands that may access keys
    they do not name; the result does not include their effects.
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
        """Collect the keys that the first table has and the second lacks.

        Unless `swapped`, also collect those that differ and count the equal ones.
        """
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
        """Whether any key differs or may differ."""
        return any(self.counts) or any(self.unnamed_key_commands)

    def rows(self) -> Iterator[tuple[int, DifferingKey]]:
        """Yield (ONLY_A, ONLY_B or DIFFERS; the key), each kind in the order of the last writes."""
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
    """Yield keys of one kind that were last written by the same record, with their names."""
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
    """Compare the keys of two sides; bytes that both have in common are read once."""
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
