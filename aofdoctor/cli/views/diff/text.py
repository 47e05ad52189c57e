"""Print the result of `diff --by commands` as text, in the style of a unified diff, with one line for each command.

"-" marks commands that only A has, "+" those that only B has, and "~" those that both have in another order.
"""

import sys
from typing import BinaryIO

from aofdoctor import text
from aofdoctor.cli.console import make_painter, print_line, terminal_width
from aofdoctor.cli.views import base_keys
from aofdoctor.cli.views.diff.renderer import SIDE_NAMES, Comparison, DiffRenderer, part_and_offset, summary_lines
from aofdoctor.cli.views.record_lines import LineWriter, position_text
from aofdoctor.diff.differ import Divergence
from aofdoctor.diff.units.unit import DiffPosition, Unit, UnitRun
from aofdoctor.diff.units.unit_commands import run_entries
from aofdoctor.log.base_keys import BaseKey
from aofdoctor.log.selection import Selection
from aofdoctor.log.timestamps import probably_has_timestamps

_SIGNS = "-+~"  # by column: only in A, only in B, moved
_STYLES = ("gone", "good", "dim")  # by column
_UNLIKE_WARNING = (
    "they have next to nothing in common in the same order: if one of them was rewritten, "
    "that is as it must be; compare --by keys"
)


class TextRenderer(DiffRenderer):
    """Prints the differences of two AOFs in the style of a unified diff.

    The header with the paths, and the @@ line where the AOFs diverge, are printed only before a selected difference.
    """

    def __init__(self, comparison: Comparison) -> None:
        super().__init__(comparison)
        self.paint = make_painter()
        columns = terminal_width()
        self.line_writers = [
            LineWriter(side.aof, self.paint, columns and columns - 2, probably_has_timestamps(side.aof))
            for side in comparison.sides
        ]
        self.out: BinaryIO = sys.stdout.buffer
        self.pending_gap: Divergence | None = None
        self.has_written_header = False

    def render_gap(self, gap: Divergence) -> None:
        self.pending_gap = gap

    def _write_header(self) -> None:
        """Print the paths of A and B, once, then the @@ line where they diverge, and the equal commands before it."""
        sys.stdout.flush()
        if not self.has_written_header:
            self.has_written_header = True
            for sign, style, path in zip("-+", ("gone", "good"), self.comparison.paths, strict=True):
                self._write_line(self.paint(f"{sign * 3} {SIDE_NAMES[sign == '+']}  {text.display_path(path)}", style))
            if self.comparison.diff.totals.mostly_unrelated:
                self._write_line(self.paint(_UNLIKE_WARNING, "warning"))
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
        return position_text(self.line_writers[number].names[side.aof.parts[part].name], offset)

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
                place = position_text(self.line_writers[number].names[self._part_name(number, run)], key.span.start)
                code = self.comparison.rdb_selections[number].rdb_commands(run.first.part).function_code(key)
                self._write_line(f"{place}  {base_keys.library_summary(code)}")

    def _part_name(self, number: int, run: UnitRun) -> str:
        return self.comparison.sides[number].aof.parts[run.first.part].name

    def render_units(self, column: int, number: int, run: UnitRun, partner: Unit | None = None) -> None:
        super().render_units(column, number, run, partner)
        sign = self.paint(_SIGNS[column], _STYLES[column]) + " "
        if partner is not None:
            sign += f"(A {self._position(0, partner)})  "
        if run.is_from_rdb:
            self._write_keys(column, number, run, sign)
        else:
            self._write_entries(number, run, sign, self.comparison.selections[number])

    def render_opaque(self, column: int, number: int, unit: Unit) -> None:
        self._write_header()
        description = f"{self.comparison.rdb_selections[number].describe(unit)}, compared as bytes"
        sign = self.paint(_SIGNS[column], _STYLES[column])
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
    """Return the end of an @@ line: the database, transaction and time in A where the two AOFs diverge."""
    place = gap.positions[0]
    transaction = ", in a transaction" if any(gap.transactions) else ""
    return f"  db{place.db}{transaction}" + (f"  {text.format_time(place.time)}" if place.time >= 0 else "")
