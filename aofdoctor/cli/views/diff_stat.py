"""What diff --stat says: counts."""

from typing import Any

from aofdoctor import text
from aofdoctor.cli.console import as_json, print_json, print_line
from aofdoctor.cli.views.diff_json import summary_json
from aofdoctor.cli.views.diff_text import Comparison, DiffRenderer, summary
from aofdoctor.diff.differ import Gap
from aofdoctor.diff.summary import MOVED, SIDES, Rows
from aofdoctor.diff.units.side import Unit


class StatRenderer(DiffRenderer):
    """Only counts."""

    def __init__(self, comparison: Comparison, machines: bool) -> None:
        super().__init__(comparison, prefixes=True)
        self.machines = machines
        self.bytes = [0, 0]

    def gap(self, gap: Gap) -> None:
        pass

    def opaque(self, column: int, number: int, unit: Unit) -> None:
        if column != MOVED:
            self.bytes[number] += unit.end - unit.start

    def end(self) -> None:
        tables = {"command": self.tally.by_command, "db": self.tally.by_db, "prefix": self.tally.by_prefix}
        if self.machines:
            by = {f"by_{name}": [_row_json(name, row) for row in rows] for name, rows in tables.items()}
            print_json(summary_json(self.comparison, self.tally, self.different) | by | {"opaque_bytes": self.bytes})
            return
        for name, rows in tables.items() if self.different else ():
            self._table(name, rows)
        for line in summary(self.comparison, self.tally, self.different):
            print_line(line)

    def _table(self, name: str, rows: Rows) -> None:
        names = [_label(value) for value, _ in rows]
        room = max(map(len, [name, *names]))
        print_line(f"{name:<{room}}  {'only A':>12}  {'only B':>12}  {'moved':>12}")
        for label, (_, counts) in zip(names, rows, strict=True):
            print_line(f"{label:<{room}}  " + "  ".join(f"{number:>12,}" for number in counts))
        print_line()


def _label(value: str | int | bytes | None) -> str:
    if isinstance(value, bytes):
        return text.quote(value) if value else "(no prefix)"
    return "(unknown)" if value is None else str(value).upper() if isinstance(value, str) else f"db{value}"


def _row_json(name: str, row: "tuple[str | int | bytes | None, list[int]]") -> dict[str, Any]:
    value = as_json(row[0]) if isinstance(row[0], bytes) else row[0]
    return {name: value, **dict(zip(SIDES, row[1], strict=True))}
