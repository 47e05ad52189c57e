"""What is selected of the RDBs of one side of a comparison: whole keys, as in the history with its base."""

from collections.abc import Iterator

from aofdoctor.damage import DAMAGE_MEANINGS
from aofdoctor.diff.units.columns import UnitKind
from aofdoctor.diff.units.rdb_commands import FUNCTION, ExportedCommand, RdbCommandStream
from aofdoctor.diff.units.side import Side, Unit, UnitRun
from aofdoctor.diff.units.unit_commands import run_entries
from aofdoctor.log.base_keys import BaseKeySelection as ChosenKeys
from aofdoctor.log.selection import Selection
from aofdoctor.rdb.items import KeyItem, OpcodeItem


class RdbUnitSelection:
    """A selection on a side: the keys of its RDBs that it means, by the run or the unit that they are in."""

    def __init__(self, side: Side, selection: Selection) -> None:
        self.side, self.selection = side, selection
        self._key_selections: dict[int, ChosenKeys] = {}
        self._rdb_streams: dict[int, RdbCommandStream] = {}

    def rdb_commands(self, part: int) -> RdbCommandStream:
        """What tells the RDB of a part."""
        if part not in self._rdb_streams:
            self._rdb_streams[part] = self.side.open_rdb_commands(part)
        return self._rdb_streams[part]

    def commands(self, run: UnitRun) -> Iterator[ExportedCommand]:
        """The commands that a run has of selected keys."""
        part, before = run.first.part, run.first.last_command
        return self.rdb_commands(part).commands_in_run(run, lambda item: self._matches(part, before, item))

    def items(self, run: UnitRun) -> Iterator[KeyItem | OpcodeItem]:
        """The selected keys that a run is of, and the libraries of functions among them."""
        part, before = run.first.part, run.first.last_command
        for item in self.rdb_commands(part).items(run):
            if (isinstance(item, KeyItem) or item.kind == FUNCTION) and self._matches(part, before, item):
                yield item

    def includes_bytes(self, unit: Unit) -> bool:
        """True if a unit of bytes is selected: one of a key with it, damage only with everything."""
        if self.selection.selects_all or unit.kind != UnitKind.RDB:
            return self.selection.selects_all or (unit.kind == UnitKind.UNFINISHED and self._selects_unfinished(unit))
        item = next(self.rdb_commands(unit.part).items(UnitRun(unit, unit, 0)), None)
        return isinstance(item, KeyItem) and self._matches(unit.part, unit.last_command, item)

    def _selects_unfinished(self, unit: Unit) -> bool:
        return next(run_entries(self.side, UnitRun(unit, unit, unit.commands), self.selection), None) is not None

    def describe(self, unit: Unit) -> str:
        """What a unit is that is no command."""
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
            self._key_selections[part] = ChosenKeys(self.selection, part, before, source, self.side.rdbs[part])
        return self._key_selections[part].matches(item)
