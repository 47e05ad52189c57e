"""The base class of the outputs of `diff --by commands`: it counts differences, and warns about damage.

An output format subclasses DiffRenderer and prints what that passes on: where the AOFs A and B ("sides") diverge, runs
of units (a unit is a command, a transaction or an RDB key), and opaque units, bytes that are compared undecoded.
"""

from abc import abstractmethod
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

from aofdoctor import text
from aofdoctor.cli.console import warn
from aofdoctor.cli.views.record_lines import position_text
from aofdoctor.damage import DAMAGE_MEANINGS
from aofdoctor.diff.differ import CommandDiff, DiffEvent, Divergence, MovedUnit
from aofdoctor.diff.summary import MOVED_COLUMN, DifferenceCounts
from aofdoctor.diff.units.rdb_selection import RdbUnitSelection
from aofdoctor.diff.units.side import Side
from aofdoctor.diff.units.unit import DiffPosition, Unit, UnitRun
from aofdoctor.diff.units.unit_commands import run_batches, select_records
from aofdoctor.log.base_keys import BaseKey
from aofdoctor.log.selection import Selection
from aofdoctor.rdb.items import KeyItem, OpcodeItem

SIDE_NAMES = "AB"
FALLBACK_NOTE = "one side has long stretches that the other lacks: the answer is right, but may not be the shortest"


@dataclass
class Comparison:
    """The comparison of two AOFs, A and B, by commands: their paths as the user gave them, the diff, and the filters.

    `selections` are the filters (--cmd, --key...) for the commands of A and B.
    """

    paths: tuple[str, str]
    diff: CommandDiff
    selections: tuple[Selection, Selection]

    @cached_property
    def rdb_selections(self) -> tuple[RdbUnitSelection, RdbUnitSelection]:
        """The filters for the RDB keys of A and B."""
        one, two = (RdbUnitSelection(side, where) for side, where in zip(self.sides, self.selections, strict=True))
        return one, two

    @property
    def sides(self) -> tuple[Side, Side]:
        """The two AOFs that are compared, A and B."""
        return self.diff.sides


class Renderer(Protocol):
    """An output format of `diff --by commands`; after `render`, `different` says if a selected difference was found."""

    different: bool

    def render(self, events: Iterable[DiffEvent]) -> None:
        """Print all differences of the two AOFs, in order, then the summary."""


class DiffRenderer:
    """Base class of the output formats of `diff --by commands`: counts the selected differences, and passes them on.

    `prefixes`: count by key prefix too.
    """

    def __init__(self, comparison: Comparison, prefixes: bool = False) -> None:
        self.comparison = comparison
        self.tally = DifferenceCounts(prefixes)
        self.different = False
        self._last: tuple[int, int, int, int] | None = (
            None  # column, side, file and offset of the RDB item printed last
        )

    def render(self, events: Iterable[DiffEvent]) -> None:
        for event in events:
            if isinstance(event, Divergence):
                self.render_gap(event)
            elif isinstance(event, MovedUnit):
                self.render_units(MOVED_COLUMN, 1, UnitRun(event.b, event.b, event.b.commands), event.a)
            else:
                self.render_units(event.side, event.side, event.run)
        warn_of_damage(self.comparison.sides)
        self.render_summary()

    def render_units(self, column: int, number: int, run: UnitRun, partner: Unit | None = None) -> None:
        """Count the selected commands of a run of units (commands, transactions, RDB keys); subclasses also print them.

        `number` is the AOF, 0 for A and 1 for B; `column` is 0 or 1 for a run that only this AOF has, and
        MOVED_COLUMN for a unit that both have at different places.  `partner` is then the same unit in A.
        """
        before = sum(self.tally.total)
        if run.is_opaque:
            if self.comparison.rdb_selections[number].includes_bytes(run.first):
                self.different = True
                self.render_opaque(column, number, run.first)
            return
        if run.is_from_rdb:
            for rdb_command in self.comparison.rdb_selections[number].commands(run):
                self.tally.add_rdb_command(column, rdb_command)
        else:
            side, selection = self.comparison.sides[number], self.comparison.selections[number]
            for batch, steps, commands in run_batches(side, run):
                self.tally.add(column, batch, steps, select_records(batch, run.last, selection, steps, commands))
        self.different |= sum(self.tally.total) > before

    def iter_keys(self, column: int, number: int, run: UnitRun) -> Iterator[BaseKey | OpcodeItem]:
        """Yield the selected RDB keys and opcodes that a run of differing units belongs to.

        A large key can be divided into several runs, but is yielded once.  `column` and `number` are those of
        render_units.
        """
        for item in self.comparison.rdb_selections[number].items(run):
            place = column, number, run.first.part, item.span.start
            if place != self._last:
                yield (
                    self.comparison.rdb_selections[number].rdb_commands(run.first.part).base_key(item)
                    if isinstance(item, KeyItem)
                    else item
                )
            self._last = place

    @abstractmethod
    def render_gap(self, gap: Divergence) -> None:
        """Handle the start of a difference between A and B; the next runs of units belong to it."""

    @abstractmethod
    def render_opaque(self, column: int, number: int, unit: Unit) -> None:
        """Print a difference in bytes that were compared without decoding: damage, or RDB contents without a command.

        `number` is the AOF, 0 for A and 1 for B; `column` is that of render_units.
        """

    @abstractmethod
    def render_summary(self) -> None:
        """Print the totals of the comparison, after all differences."""


def warn_of_damage(sides: tuple[Side, Side]) -> None:
    """Warn on standard error about damage and missing files of the two compared AOFs."""
    for letter, side in zip(SIDE_NAMES, sides, strict=True):
        for (part, start), damage in sorted(side.damage.items()):
            place = f"{text.display_path(side.aof.parts[part].name)}@{start}"
            warn(f"damage in {letter} at {place}: {DAMAGE_MEANINGS[damage.kind]}, {text.format_size(damage.span.size)}")
        for missing in side.aof.parts:
            if missing.source is None:
                warn(f"{text.display_path(missing.name)} of {letter} is missing")
        if side.damage_count > len(side.damage):
            warn(f"damage in {letter} in {side.damage_count - len(side.damage):,} more places")


def part_and_offset(side: Side, place: DiffPosition) -> tuple[int, int]:
    """Return (index of the file in load order, offset in it) of a position in one of the two compared AOFs.

    A position after all files becomes the end of the last existing file.
    """
    if place.part < len(side.sources):
        return place.part, place.offset
    index = max((i for i, source in enumerate(side.sources) if source), default=0)
    source = side.sources[index]
    return index, (source.size or 0) if source else 0


def summary_lines(comparison: Comparison, tally: DifferenceCounts, different: bool) -> list[str]:
    """Return the totals of `diff --by commands` as lines of text.

    `tally` counts the selected differences; `different` says whether there are any.
    """
    diff, selected_all = comparison.diff, all(where.selects_all for where in comparison.selections)
    a, b, moved = tally.total
    if not different:
        same = "no difference" if selected_all else "no difference in what is selected"
        keys = (
            f", {text.format_count(diff.totals.common_keys, 'key')} of an RDB byte for byte"
            if diff.totals.common_keys
            else ""
        )
        return [
            f"{same}: {text.format_count(diff.totals.common_commands, 'command')}{keys} on both sides",
            *_byte_difference_note(comparison),
        ]
    facts = [f"{text.format_count(a, 'command')} only in A", f"{b:,} only in B"]
    facts += [f"{moved:,} in another order that changes nothing"] if moved else []
    facts += [f"{diff.totals.common_commands:,} the same"] if selected_all else []
    facts += (
        [f"{text.format_count(diff.totals.common_keys, 'key')} of an RDB byte for byte"]
        if selected_all and diff.totals.common_keys
        else []
    )
    return [", ".join(facts), *([FALLBACK_NOTE] if diff.totals.may_not_be_shortest else [])]


def _byte_difference_note(comparison: Comparison) -> list[str]:
    """For two AOFs with equal commands, return a line that says from where on their bytes differ; empty if nowhere."""
    diff = comparison.diff
    if not diff.has_byte_differences:
        return []
    a, b = (_position_text(side, place) for side, place in zip(comparison.sides, diff.equal_bytes_end, strict=True))
    return [f"their bytes differ from A {a} and B {b} on: annotations, SELECTs, spelling, or how a base is written"]


def _position_text(side: Side, place: DiffPosition) -> str:
    part, offset = part_and_offset(side, place)
    return position_text(text.display_path(side.aof.parts[part].name), offset)
