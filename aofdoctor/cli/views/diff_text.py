"""What diff says: what its views share, and lines for people."""

import sys
from abc import abstractmethod
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import BinaryIO, Protocol

from aofdoctor import text
from aofdoctor.cli.console import make_painter, print_line, terminal_width, warn
from aofdoctor.cli.views import base_keys
from aofdoctor.cli.views import record_lines as lines
from aofdoctor.damage import DAMAGE_MEANINGS
from aofdoctor.diff.differ import CommandDiff, DiffEvent, Divergence, MovedUnit
from aofdoctor.diff.summary import MOVED_COLUMN, DifferenceCounts
from aofdoctor.diff.units.rdb_selection import RdbUnitSelection
from aofdoctor.diff.units.side import Side
from aofdoctor.diff.units.unit import DiffPosition, Unit, UnitRun
from aofdoctor.diff.units.unit_commands import run_batches, run_entries, select_records
from aofdoctor.log.base_keys import BaseKey
from aofdoctor.log.selection import Selection
from aofdoctor.log.timestamps import probably_has_timestamps
from aofdoctor.rdb.items import KeyItem, OpcodeItem

SIDE_NAMES = "AB"
_STYLES = ("gone", "good", "dim")
UNLIKE_WARNING = (
    "they have next to nothing in common in the same order: if one of them was rewritten, "
    "that is as it must be; compare --by keys"
)
FALLBACK_NOTE = "one side has long stretches that the other lacks: the answer is right, but may not be the shortest"


@dataclass
class Comparison:
    """A comparison, what its sides were called, and what is selected on each."""

    paths: tuple[str, str]
    diff: CommandDiff
    selections: tuple[Selection, Selection]

    @cached_property
    def rdb_selections(self) -> tuple[RdbUnitSelection, RdbUnitSelection]:
        """What is selected of the RDBs of each side."""
        one, two = (RdbUnitSelection(side, where) for side, where in zip(self.sides, self.selections, strict=True))
        return one, two

    @property
    def sides(self) -> tuple[Side, Side]:
        """A and B."""
        return self.diff.sides


class Renderer(Protocol):
    """A way to show what differs."""

    different: bool

    def render(self, events: Iterable[DiffEvent]) -> None:
        """Show all differences, then what they add up to."""


class DiffRenderer:
    """What the views share: the walk, and the counts."""

    def __init__(self, comparison: Comparison, prefixes: bool = False) -> None:
        self.comparison = comparison
        self.tally = DifferenceCounts(prefixes)
        self.different = False
        self._last: tuple[int, int, int, int] | None = None  # the key that was shown last

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
        """A run of side `number`, counted in a column; `partner` is where a moved unit stands on A."""
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
        """The keys of an RDB that a run of one is of, each of adjacent runs once."""
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
    def render_gap(self, gap: Divergence) -> None: ...

    @abstractmethod
    def render_opaque(self, column: int, number: int, unit: Unit) -> None: ...

    @abstractmethod
    def render_summary(self) -> None: ...


def warn_of_damage(sides: tuple[Side, Side]) -> None:
    """Name the damage that was met on the way."""
    for letter, side in zip(SIDE_NAMES, sides, strict=True):
        for (part, start), damage in sorted(side.damage.items()):
            place = f"{text.display_path(side.aof.parts[part].name)}@{start}"
            warn(f"damage in {letter} at {place}: {DAMAGE_MEANINGS[damage.kind]}, {text.format_size(damage.span.size)}")
        for missing in side.aof.parts:
            if missing.source is None:
                warn(f"{text.display_path(missing.name)} of {letter} is missing")
        if side.damage_count > len(side.damage):
            warn(f"damage in {letter} in {side.damage_count - len(side.damage):,} more places")


# -- for people --


class TextRenderer(DiffRenderer):
    """The unified view: - is only in A, + is only in B, ~ stands in another order."""

    def __init__(self, comparison: Comparison) -> None:
        super().__init__(comparison)
        self.paint = make_painter()
        columns = terminal_width()
        self.line_writers = [
            lines.LineWriter(side.aof, self.paint, columns and columns - 2, probably_has_timestamps(side.aof))
            for side in comparison.sides
        ]
        self.out: BinaryIO = sys.stdout.buffer
        self.pending_gap: Divergence | None = None
        self.has_written_header = False

    def render_gap(self, gap: Divergence) -> None:
        self.pending_gap = gap

    def _write_header(self) -> None:
        """The heading of what is only now known to be shown."""
        sys.stdout.flush()
        if not self.has_written_header:
            self.has_written_header = True
            for sign, style, path in zip("-+", ("gone", "good"), self.comparison.paths, strict=True):
                self._write_line(self.paint(f"{sign * 3} {SIDE_NAMES[sign == '+']}  {text.display_path(path)}", style))
            if self.comparison.diff.totals.mostly_unrelated:
                self._write_line(self.paint(UNLIKE_WARNING, "warning"))
        gap, self.pending_gap = self.pending_gap, None
        if gap:
            self._write_line(
                self.paint(
                    f"@@ {self._gap_position(0, gap)}  {self._gap_position(1, gap)}{_context_text(gap)} @@", "note"
                )
            )
            for unit in gap.context:
                run = UnitRun(unit, unit, unit.commands)
                self._write_keys(0, 0, run, "  ") if run.is_from_rdb else self._write_entries(0, run, "  ", Selection())
            self._last = None

    def _gap_position(self, number: int, gap: Divergence) -> str:
        place = gap.positions[number]
        return f"{SIDE_NAMES[number]} {self._position(number, place)} #{place.commands + 1}"

    def _position(self, number: int, place: DiffPosition | Unit) -> str:
        side = self.comparison.sides[number]
        part, offset = part_and_offset(side, place) if isinstance(place, DiffPosition) else (place.part, place.start)
        return lines.position_text(self.line_writers[number].names[side.aof.parts[part].name], offset)

    def _write_entries(self, number: int, run: UnitRun, sign: str, selection: Selection) -> None:
        for entry in (
            () if run.is_opaque or run.is_from_rdb else run_entries(self.comparison.sides[number], run, selection)
        ):
            self._write_sign(sign)
            self.line_writers[number](entry, self.out)

    def _write_sign(self, sign: str) -> None:
        if not sign.isspace() and (self.pending_gap or not self.has_written_header):
            self._write_header()
        self.out.write(sign.encode())

    def _write_keys(self, column: int, number: int, run: UnitRun, sign: str) -> None:
        for key in self.iter_keys(column, number, run):
            self._write_sign(sign)
            if isinstance(key, BaseKey):
                self.line_writers[number].write_key(key, self.out)
            else:
                place = lines.position_text(
                    self.line_writers[number].names[self._part_name(number, run)], key.span.start
                )
                code = self.comparison.rdb_selections[number].rdb_commands(run.first.part).function_code(key)
                self._write_line(f"{place}  {base_keys.library_summary(code)}")

    def _part_name(self, number: int, run: UnitRun) -> str:
        return self.comparison.sides[number].aof.parts[run.first.part].name

    def render_units(self, column: int, number: int, run: UnitRun, partner: Unit | None = None) -> None:
        super().render_units(column, number, run, partner)
        sign = self.paint("-+~"[column], _STYLES[column]) + " "
        if partner is not None:
            sign += f"(A {self._position(0, partner)})  "
        if run.is_from_rdb:
            self._write_keys(column, number, run, sign)
        else:
            self._write_entries(number, run, sign, self.comparison.selections[number])

    def render_opaque(self, column: int, number: int, unit: Unit) -> None:
        self._write_header()
        description = f"{self.comparison.rdb_selections[number].describe(unit)}, compared as bytes"
        sign = self.paint("-+~"[column], _STYLES[column])
        self._write_line(
            f"{sign} {self._position(number, unit)}  {description}, {text.format_size(unit.end - unit.start)}"
        )

    def _write_line(self, line: str) -> None:
        self.out.write(line.encode() + b"\n")

    def render_summary(self) -> None:
        self.out.flush()
        if self.has_written_header:
            print_line()
        for line in summary_lines(self.comparison, self.tally, self.different):
            print_line(line)


def _context_text(gap: Divergence) -> str:
    """The database, transaction and time where the sides part, as A has them."""
    place = gap.positions[0]
    transaction = ", in a transaction" if any(gap.transactions) else ""
    return f"  db{place.db}{transaction}" + (f"  {text.format_time(place.time)}" if place.time >= 0 else "")


def part_and_offset(side: Side, place: DiffPosition) -> tuple[int, int]:
    """(part, offset) of a place; past the last part it is that one's end."""
    if place.part < len(side.sources):
        return place.part, place.offset
    index = max((i for i, source in enumerate(side.sources) if source), default=0)
    source = side.sources[index]
    return index, (source.size or 0) if source else 0


def summary_lines(comparison: Comparison, tally: DifferenceCounts, different: bool) -> list[str]:
    """What the differences add up to, in words."""
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
    """Where equal sides have other bytes."""
    diff = comparison.diff
    if not diff.has_byte_differences:
        return []
    a, b = (_position_text(side, place) for side, place in zip(comparison.sides, diff.equal_bytes_end, strict=True))
    return [f"their bytes differ from A {a} and B {b} on: annotations, SELECTs, spelling, or how a base is written"]


def _position_text(side: Side, place: DiffPosition) -> str:
    part, offset = part_and_offset(side, place)
    return lines.position_text(text.display_path(side.aof.parts[part].name), offset)
