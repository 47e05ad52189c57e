"""Apply a selection (--key, --db ...) to the RDB keys of one AOF: a key is selected as a whole."""

from collections.abc import Iterator

from aofdoctor.damage import DAMAGE_MEANINGS
from aofdoctor.diff.units.columns import UnitKind
from aofdoctor.diff.units.rdb_commands import FUNCTION, ExportedCommand, RdbCommandStream
from aofdoctor.diff.units.side import Side
from aofdoctor.diff.units.unit import Unit, UnitRun
from aofdoctor.diff.units.unit_commands import run_entries
from aofdoctor.log.base_keys import BaseKeySelection
from aofdoctor.log.selection import Selection
from aofdoctor.rdb.items import KeyItem, OpcodeItem


class RdbUnitSelection:
    """A selection (--key, --db ...) applied to the commands that recreate the RDB keys of one AOF."""

    def __init__(self, side: Side, selection: Selection) -> None:
        self.side, self.selection = side, selection
        self._key_selections: dict[int, BaseKeySelection] = {}
        self._rdb_streams: dict[int, RdbCommandStream] = {}

    def rdb_commands(self, part: int) -> RdbCommandStream:
        """Return the command stream of a part's RDB."""
        if part not in self._rdb_streams:
            self._rdb_streams[part] = self.side.open_rdb_commands(part)
        return self._rdb_streams[part]

    def commands(self, run: UnitRun) -> Iterator[ExportedCommand]:
        """Yield those commands of a range of an RDB (a run of units) that belong to selected keys."""
        part, before = run.first.part, run.first.last_command
        return self.rdb_commands(part).commands_in_run(run, lambda item: self._matches(part, before, item))

    def items(self, run: UnitRun) -> Iterator[KeyItem | OpcodeItem]:
        """Yield the selected keys and function libraries of a range of an RDB (a run of units)."""
        part, before = run.first.part, run.first.last_command
        for item in self.rdb_commands(part).items(run):
            if (isinstance(item, KeyItem) or item.kind == FUNCTION) and self._matches(part, before, item):
                yield item

    def includes_bytes(self, unit: Unit) -> bool:
        """Whether a unit that is not executed as commands is selected.

        RDB bytes are selected with their key, an unfinished transaction by its commands, and damage only if the
        selection includes everything.
        """
        if self.selection.selects_all or unit.kind != UnitKind.RDB:
            return self.selection.selects_all or (unit.kind == UnitKind.UNFINISHED and self._selects_unfinished(unit))
        item = next(self.rdb_commands(unit.part).items(UnitRun(unit, unit, 0)), None)
        return isinstance(item, KeyItem) and self._matches(unit.part, unit.last_command, item)

    def _selects_unfinished(self, unit: Unit) -> bool:
        return next(run_entries(self.side, UnitRun(unit, unit, unit.commands), self.selection), None) is not None

    def describe(self, unit: Unit) -> str:
        """Describe bytes that no command can represent (an opaque unit), for the user."""
        if unit.kind == UnitKind.RDB:
            return self.rdb_commands(unit.part).describe_opaque(unit)
        damage = self.side.damage.get((unit.part, unit.start))
        return f"damage ({DAMAGE_MEANINGS[damage.kind]})" if damage else "damage"

    def _matches(self, part: int, before: int, item: KeyItem | OpcodeItem) -> bool:
        if self.selection.selects_all or not isinstance(item, KeyItem):
            return self.selection.selects_all
        if part not in self._key_selections:
            source = self.side.sources[part]
            assert source is not None
            self._key_selections[part] = BaseKeySelection(self.selection, part, before, source, self.side.rdbs[part])
        return self._key_selections[part].matches(item)
