"""Print the tables of `diff --stat` as text or JSON: differing commands by name, database and key prefix."""

from typing import Any

from aofdoctor import text
from aofdoctor.cli.console import bytes_to_json, print_json, print_line
from aofdoctor.cli.views.diff.json_lines import summary_json
from aofdoctor.cli.views.diff.renderer import Comparison, DiffRenderer, summary_lines
from aofdoctor.diff.differ import Divergence
from aofdoctor.diff.summary import COLUMN_NAMES, MOVED_COLUMN, CountRows
from aofdoctor.diff.units.unit import Unit


class StatRenderer(DiffRenderer):
    """Prints the output of `diff --stat`: only the numbers of differing commands, not the commands."""

    def __init__(self, comparison: Comparison, is_json: bool) -> None:
        super().__init__(comparison, prefixes=True)
        self.is_json = is_json
        self.opaque_bytes = [0, 0]

    def render_gap(self, gap: Divergence) -> None:
        pass

    def render_opaque(self, column: int, number: int, unit: Unit) -> None:
        if column != MOVED_COLUMN:
            self.opaque_bytes[number] += unit.end - unit.start

    def render_summary(self) -> None:
        tables = {"command": self.tally.by_command, "db": self.tally.by_db, "prefix": self.tally.by_prefix}
        if self.is_json:
            by = {f"by_{name}": [_row_json(name, row) for row in rows] for name, rows in tables.items()}
            print_json(
                summary_json(self.comparison, self.tally, self.different) | by | {"opaque_bytes": self.opaque_bytes}
            )
            return
        for name, rows in tables.items() if self.different else ():
            self._print_table(name, rows)
        for line in summary_lines(self.comparison, self.tally, self.different):
            print_line(line)

    def _print_table(self, name: str, rows: CountRows) -> None:
        names = [_label(value) for value, _ in rows]
        label_width = max(map(len, [name, *names]))
        print_line(f"{name:<{label_width}}  {'only A':>12}  {'only B':>12}  {'moved':>12}")
        for label, (_, counts) in zip(names, rows, strict=True):
            print_line(f"{label:<{label_width}}  " + "  ".join(f"{number:>12,}" for number in counts))
        print_line()


def _label(value: str | int | bytes | None) -> str:
    if isinstance(value, bytes):
        return text.quote(value) if value else "(no prefix)"
    return "(unknown)" if value is None else str(value).upper() if isinstance(value, str) else f"db{value}"


def _row_json(name: str, row: tuple[str | int | bytes | None, list[int]]) -> dict[str, Any]:
    value = bytes_to_json(row[0]) if isinstance(row[0], bytes) else row[0]
    return {name: value, **dict(zip(COLUMN_NAMES, row[1], strict=True))}
