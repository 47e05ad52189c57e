"""Print the JSON Lines of `diff --json`: where A and B diverge first, one object for each difference, and a summary."""

import json
import sys
from collections.abc import Iterable
from typing import Any, BinaryIO

from aofdoctor.cli.console import print_json
from aofdoctor.cli.views import base_keys
from aofdoctor.cli.views import record_lines as lines
from aofdoctor.cli.views.diff.renderer import SIDE_NAMES, Comparison, DiffRenderer, part_and_offset
from aofdoctor.diff.differ import Divergence
from aofdoctor.diff.summary import COLUMN_NAMES, MOVED_COLUMN, DifferenceCounts
from aofdoctor.diff.units.columns import UnitKind
from aofdoctor.diff.units.side import Side
from aofdoctor.diff.units.unit import DiffPosition, Unit, UnitRun
from aofdoctor.diff.units.unit_commands import run_entries
from aofdoctor.log.base_keys import BaseKey


class _FieldInserter:
    """A writable stream that adds JSON fields at the start of the object that is written to it.

    So a command gets the fields of `diff --json` while its JSON object is written piece by piece.
    """

    def __init__(self, out: BinaryIO, fields: bytes) -> None:
        self._out, self._fields = out, fields

    def write(self, data: bytes) -> int:
        if self._fields:
            data, self._fields = b"{" + self._fields + b", " + data[1:], b""
        return self._out.write(data)

    def writelines(self, pieces: Iterable[bytes]) -> None:
        for piece in pieces:
            self.write(piece)


class JsonRenderer(DiffRenderer):
    """Prints the differences of two AOFs as JSON objects of the types fork, only, moved and opaque, then a summary.

    fork: where the AOFs diverge first; only: a command that one AOF has; moved: one at different places in both;
    opaque: bytes that were compared without decoding.
    """

    def render_gap(self, gap: Divergence) -> None:
        if gap.positions is self.comparison.diff.fork:
            print_json(fork_json(self.comparison))

    def render_units(self, column: int, number: int, run: UnitRun, partner: Unit | None = None) -> None:
        super().render_units(column, number, run, partner)
        if run.is_opaque:
            return
        fields: dict[str, Any] = {"type": "moved"} if partner else {"type": "only", "side": SIDE_NAMES[number].lower()}
        if partner:
            part = self.comparison.sides[0].aof.parts[partner.part].name
            fields["a"] = {"part": part, "offset": partner.start}
        if run.is_from_rdb:
            self._print_keys(fields, column, number, run)
            return
        sys.stdout.flush()
        first = json.dumps(fields).encode()[1:-1]
        for entry in run_entries(self.comparison.sides[number], run, self.comparison.selections[number]):
            lines.write_json(entry, _FieldInserter(sys.stdout.buffer, first))  # type: ignore[arg-type]
        sys.stdout.buffer.flush()

    def _print_keys(self, fields: dict[str, Any], column: int, number: int, run: UnitRun) -> None:
        part = self.comparison.sides[number].aof.parts[run.first.part].name
        for key in self.iter_keys(column, number, run):
            if isinstance(key, BaseKey):
                key_fields = base_keys.key_summary_json(key)
            else:
                code = self.comparison.rdb_selections[number].rdb_commands(run.first.part).function_code(key)
                key_fields = base_keys.library_json(part, key, code)
            print_json(key_fields | {"key_type": key_fields["type"]} | fields)

    def render_opaque(self, column: int, number: int, unit: Unit) -> None:
        print_json({
            "type": "opaque", "side": SIDE_NAMES[number].lower(), "kind": UnitKind(unit.kind).name.lower(),
            "part": self.comparison.sides[number].aof.parts[unit.part].name, "offset": unit.start,
            "size": unit.end - unit.start,
            "what": self.comparison.rdb_selections[number].describe(unit), "moved": column == MOVED_COLUMN,
        })  # fmt: skip

    def render_summary(self) -> None:
        print_json(summary_json(self.comparison, self.tally, self.different))


def fork_json(comparison: Comparison) -> dict[str, Any] | None:
    """Return the JSON object that says where two AOFs diverge first; None if they do not."""
    diff = comparison.diff
    if diff.fork is None:
        return None
    return {
        "type": "fork",
        "bytes": diff.fork_common_bytes,
        **{
            name: _position_json(side, place) | {"tx": tx or None}
            for name, side, place, tx in zip(
                "ab", comparison.sides, diff.fork, diff.fork_transactions or (0, 0), strict=True
            )
        },
    }


def _position_json(side: Side, place: DiffPosition) -> dict[str, Any]:
    part, offset = part_and_offset(side, place)
    return {
        "part": side.aof.parts[part].name, "offset": offset, "n": place.commands + 1, "db": place.db,
        "time": None if place.time < 0 else place.time,
    }  # fmt: skip


def _common_bytes_json(comparison: Comparison) -> dict[str, Any]:
    """Return, as JSON, the position in each of the two AOFs up to which their bytes are equal."""
    diff = comparison.diff
    places = [part_and_offset(side, place) for side, place in zip(comparison.sides, diff.equal_bytes_end, strict=True)]
    return {
        name: {"part": side.aof.parts[part].name, "offset": offset + diff.common_record_bytes}
        for name, side, (part, offset) in zip("ab", comparison.sides, places, strict=True)
    }


def summary_json(comparison: Comparison, tally: DifferenceCounts, different: bool) -> dict[str, Any]:
    """Return the JSON object with the totals of `diff`; scripts depend on the names of its fields.

    `tally` counts the selected differences; `different` says whether there are any.
    """
    diff = comparison.diff
    return {
        "type": "summary",
        "equal": not different,
        **{
            name: {"path": path, "commands": side.commands, "damage": side.damage_count}
            for name, path, side in zip("ab", comparison.paths, comparison.sides, strict=True)
        },
        "fork": fork_json(comparison),
        "same_bytes": _common_bytes_json(comparison),
        "same": diff.totals.common_commands,
        "same_keys": diff.totals.common_keys,
        **dict(zip(COLUMN_NAMES, tally.total, strict=True)),
        "fell_back": diff.totals.may_not_be_shortest,
        "unlike": diff.totals.mostly_unrelated,
    }
