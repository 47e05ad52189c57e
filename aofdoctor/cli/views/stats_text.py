"""Print the result of `stats` as text: totals, suspicious events such as FLUSHALL, tables, histogram, largest keys."""

from aofdoctor import text
from aofdoctor.cli.console import Paint, print_line
from aofdoctor.cli.views.record_lines import position_text, short_part_names
from aofdoctor.cli.views.stats_labels import LABELS, database_label, duration, estimate_text, key_label, percent
from aofdoctor.stats.collect import CommandCounts, KeyStats, Stats, StatsOptions
from aofdoctor.stats.histogram import Histogram
from aofdoctor.stats.rdb_keys import BaseStats, LargeKey, RdbKeyRow

_DEFAULT_ROWS, _DEFAULT_LARGEST = 10, 5  # rows of a table, and of a list of the largest, without --rows
_BAR_WIDTH = 30  # columns of the longest bar of the histogram


class StatsRenderer:
    """Prints the result of `stats` as text; each table has up to `rows` rows, 0 for all and None for the default."""

    def __init__(self, stats: Stats, stats_options: StatsOptions, rows: int | None, paint: Paint) -> None:
        self.stats, self.stats_options, self.paint = stats, stats_options, paint
        self.row_limit = _DEFAULT_ROWS if rows is None else rows or None
        self.largest_limit = _DEFAULT_LARGEST if rows is None else rows or None
        self.names = short_part_names(stats.aof)
        self.width = 0

    def render(self) -> None:
        """Print the whole result: totals, suspicious events, tables, histogram, largest records and keys."""
        self._print_header()
        self._print_suspects()
        self._print_commands()
        self._print_histogram(self.stats.histogram)
        self._print_largest_records()
        if self.stats.keys and self.stats.keys.by_writes:
            self._print_most_written_keys(self.stats.keys)
        if self.stats.base:
            self._print_base(self.stats.base)

    # -- totals --

    def _print_header(self) -> None:
        stats = self.stats
        layout = {"multi-part": "multi part"}.get(stats.aof.layout, stats.aof.layout)
        facts = [
            text.format_count(len(stats.aof.parts), "part"),
            text.format_size(stats.size),
            text.format_count(stats.commands, "command"),
        ]
        if stats.annotations:
            facts.append(text.format_count(stats.annotations, "annotation"))
        times = ""
        if stats.first_time is not None and stats.last_time is not None:
            times = f"  {text.format_time(stats.first_time)} to {text.format_time(stats.last_time)}"
        print_line(self.paint(f"{text.display_path(stats.aof.path)}  {layout}  {', '.join(facts)}{times}", "strong"))
        self._print_damage()
        if not stats.selection.selects_all:
            selected_totals, part = stats.selected, percent(stats.selected.commands, stats.commands)
            print_line(
                f"  selected: {text.format_count(selected_totals.commands, 'command')} ({part}), "
                f"{text.format_size(selected_totals.bytes)}"
            )
        print_line()

    def _print_damage(self) -> None:
        stats = self.stats
        missing = len(stats.aof.parts) - len(stats.aof.existing_parts)
        facts = [text.format_count(missing, "part is missing", "parts are missing")] if missing else []
        if stats.damages:
            size = f", {text.format_size(stats.damage_bytes)}" if stats.damage_bytes else ""
            facts.append(f"damaged in {text.format_count(stats.damages, 'place')}{size}")
        if facts:
            print_line(f"  {self.paint(', '.join(facts), 'damage')}; this says what and where:")
            print_line(f"          aofdoctor check {text.shell_quote(stats.aof.path)}")

    def _print_suspects(self) -> None:
        for finding in self.stats.suspicious_events:
            print_line(f"{self.paint(finding.severity.value.upper(), finding.severity.value)}  {finding.message}")
            for command in finding.commands:
                print_line(f"          {command}")
        if self.stats.suspicious_events:
            print_line()

    # -- commands --

    def _print_commands(self) -> None:
        stats = self.stats
        tables = {"command": stats.by_command, "database": stats.by_db}
        if stats.keys:
            others = [stats.keys.other_prefixes] if stats.keys.other_prefixes else []
            tables = {"command": stats.by_command, "prefix": stats.keys.by_prefix + others, "database": stats.by_db}
        shown = {
            title: [(LABELS[title](row.name), row) for row in rows[: self.row_limit]] for title, rows in tables.items()
        }
        self.width = max(map(len, [*tables, *(label for rows in shown.values() for label, _ in rows)]))
        for title, rows in tables.items():
            if rows:
                self._print_table(title, shown[title], len(rows))

    def _print_table(self, title: str, rows: list[tuple[str, CommandCounts]], count: int) -> None:
        total = self.stats.selected
        print_line(
            self.paint(f"{title:<{self.width}}  {'commands':>14}  {'share':>6}  {'bytes':>12}  {'share':>6}", "dim")
        )
        for label, row in rows:
            commands, size = percent(row.commands, total.commands), percent(row.bytes, total.bytes)
            print_line(
                f"{label:<{self.width}}  {row.commands:>14,}  {commands:>6}  "
                f"{text.format_size(row.bytes):>12}  {size:>6}"
            )
        self._print_hidden_count(count - len(rows))

    def _print_hidden_count(self, hidden: int) -> None:
        if hidden > 0:
            print_line(self.paint(f"and {hidden:,} more (-n 0 shows all)", "dim"))
        print_line()

    # -- over time --

    def _print_histogram(self, histogram: Histogram) -> None:
        if not histogram.rows:
            return
        is_timed = histogram.kind == "time"
        heading = (
            f"time, each row {duration(histogram.width)}"
            if is_timed
            else f"position, each row {text.format_size(histogram.width)}"
        )
        print_line(self.paint(heading + ("" if is_timed else "; no #TS annotations, so no times"), "dim"))
        labels = [text.format_time(start) if is_timed else self._position_text(start) for start, _, _ in histogram.rows]
        width, most = max(map(len, labels)), max(commands for _, commands, _ in histogram.rows)
        for label, (_, commands, size) in zip(labels, histogram.rows, strict=True):
            bar = "#" * (-(-_BAR_WIDTH * commands // most))
            print_line(f"{label:<{width}}  {commands:>14,}  {text.format_size(size):>12}  {bar}".rstrip())
        if histogram.untimed[0]:
            print_line(
                f"{'no time':<{width}}  {histogram.untimed[0]:>14,}  {text.format_size(histogram.untimed[1]):>12}"
            )
        if self.stats_options.every and self.stats_options.every != histogram.width:
            reason = "wider than --every asks for: there would be too many rows" if is_timed else "--every needs times"
            print_line(self.paint(reason, "dim"))
        print_line()

    def _position_text(self, at: int) -> str:
        """Convert an offset counted over all existing files of the AOF to a position such as "7.incr@104"."""
        present = self.stats.aof.existing_parts
        for part in present:
            if at < (part.size or 0) or part is present[-1]:
                return position_text(self.names[part.name], at)
            at -= part.size or 0
        return str(at)

    # -- largest records and keys --

    def _print_largest_records(self) -> None:
        records = self.stats.largest[: self.largest_limit]
        if not records:
            return
        print_line(self.paint("the largest records", "dim"))
        for record in records:
            place = position_text(self.names[record.part], record.offset)
            name = "" if record.key is None else " " + key_label(record.key, record.length)
            print_line(
                f"{text.format_size(record.size):>24}  {place}  {database_label(record.db)}  "
                f"{text.quote(record.command)}{name}"
            )
        print_line()

    def _print_most_written_keys(self, keys: KeyStats) -> None:
        tables = (
            ("bytes written", keys.by_bytes, text.format_size, keys.max_other_bytes),
            ("writes", keys.by_writes, "{:,}".format, keys.max_other_writes),
        )
        for count_name, rows, number, elsewhere in tables:
            print_line(self.paint(f"the keys with the most {count_name}", "dim"))
            for key_count in rows[: self.largest_limit]:
                print_line(
                    f"{estimate_text(key_count, number):>24}  {database_label(key_count.db)}  "
                    f"{key_label(key_count.key, key_count.length)}"
                )
            if not keys.exact:
                how, some, more = " from a sample", "some ", "; --exact looks at every write"
                if self.stats_options.exact:
                    how = some = more = ""
                rest = f"; any other key has {some}{number(elsewhere)} at most" if elsewhere else ""
                print_line(self.paint(f"estimated{how}{rest}{more}", "dim"))
            print_line()

    # -- RDB base --

    def _print_base(self, base: BaseStats) -> None:
        if not base.keys and not base.counted_only and not self.stats.selection.selects_all:
            print_line("RDB base: none of its keys is selected")
            return
        size = "" if base.counted_only else f", {text.format_size(base.bytes)}"
        damage = f", damaged in {text.format_count(base.damages, 'place')}" if base.damages else ""
        print_line(f"RDB base: {text.format_count(base.keys, 'key')}{size}, {base.expires:,} with a TTL{damage}")
        if base.counted_only:
            print_line(
                "it came through a pipe: its keys were counted as they went by, and a selection means none of them"
            )
        print_line()
        prefixes = (base.by_prefix or []) + ([base.other_prefixes] if base.other_prefixes else [])
        for title, rows in (("type", base.by_type), ("prefix", prefixes), ("database", base.by_db)):
            if rows:
                self._print_key_table(title, rows)
        if base.largest:
            self._print_largest_keys(base.largest[: self.largest_limit])

    def _print_key_table(self, title: str, rows: list[RdbKeyRow]) -> None:
        shown = rows[: self.row_limit]
        labels = [LABELS[title](row.name) for row in shown]
        width = max([self.width, *map(len, labels)])
        print_line(self.paint(f"{title:<{width}}  {'keys':>14}  {'with a TTL':>14}  {'bytes':>12}", "dim"))
        for label, row in zip(labels, shown, strict=True):
            ttl = "-" if row.expires is None else f"{row.expires:,}"
            size = "-" if row.bytes is None else text.format_size(row.bytes)
            print_line(f"{label:<{width}}  {row.keys:>14,}  {ttl:>14}  {size:>12}")
        self._print_hidden_count(len(rows) - len(shown))

    def _print_largest_keys(self, keys: list[LargeKey]) -> None:
        print_line(self.paint("the largest keys of the base, as they are encoded", "dim"))
        for large_key in keys:
            place = position_text(self.names[large_key.part], large_key.offset)
            print_line(
                f"{text.format_size(large_key.size):>24}  {place}  {database_label(large_key.db)}  "
                f"{large_key.type} {key_label(large_key.key, large_key.length)}"
            )
        print_line()
