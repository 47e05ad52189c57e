"""What stats says to people: facts and suspects first, then one table after the other."""

from aofdoctor import text
from aofdoctor.cli.console import Paint, print_line
from aofdoctor.cli.views.record_lines import position, short_names
from aofdoctor.cli.views.stats_labels import LABELS, database, estimate, key, share, span
from aofdoctor.stats.collect import KeyStats, Row, Stats, StatsOptions
from aofdoctor.stats.histogram import Histogram
from aofdoctor.stats.rdb_keys import BaseStats, KeyRow, LargeKey

_ROWS, _LARGEST = 10, 5  # rows of a table, and of the largest, where nobody says how many
_BAR = 30


class View:
    """One answer for people; `rows` of each table, 0 for all."""

    def __init__(self, found: Stats, stats_options: StatsOptions, rows: int | None, paint: Paint) -> None:
        self.found, self.stats_options, self.paint = found, stats_options, paint
        self.most = _ROWS if rows is None else rows or None
        self.largest = _LARGEST if rows is None else rows or None
        self.names = short_names(found.aof)
        self.width = 0

    def say(self) -> None:
        """All of it."""
        self._head()
        self._suspects()
        self._commands()
        self._print_histogram(self.found.histogram)
        self._largest_records()
        if self.found.keys and self.found.keys.by_writes:
            self._written(self.found.keys)
        if self.found.base:
            self._base(self.found.base)

    # -- facts --

    def _head(self) -> None:
        found = self.found
        layout = {"multi-part": "multi part"}.get(found.aof.layout, found.aof.layout)
        facts = [
            text.format_count(len(found.aof.parts), "part"),
            text.format_size(found.size),
            text.format_count(found.commands, "command"),
        ]
        if found.annotations:
            facts.append(text.format_count(found.annotations, "annotation"))
        times = ""
        if found.first_time is not None and found.last_time is not None:
            times = f"  {text.format_time(found.first_time)} to {text.format_time(found.last_time)}"
        print_line(self.paint(f"{text.display_path(found.aof.path)}  {layout}  {', '.join(facts)}{times}", "strong"))
        self._damage()
        if not found.selection.selects_all:
            chosen, part = found.selected, share(found.selected.commands, found.commands)
            print_line(
                f"  selected: {text.format_count(chosen.commands, 'command')} ({part}), {text.format_size(chosen.bytes)}"
            )
        print_line()

    def _damage(self) -> None:
        found = self.found
        missing = len(found.aof.parts) - len(found.aof.existing_parts)
        facts = [text.format_count(missing, "part is missing", "parts are missing")] if missing else []
        if found.damages:
            size = f", {text.format_size(found.damage_bytes)}" if found.damage_bytes else ""
            facts.append(f"damaged in {text.format_count(found.damages, 'place')}{size}")
        if facts:
            hint = f"aofdoctor check {text.shell_quote(found.aof.path)} says what and where"
            print_line(f"  {self.paint(', '.join(facts), 'damage')}: {hint}")

    def _suspects(self) -> None:
        for finding in self.found.suspicious_events:
            print_line(f"{self.paint(finding.severity.value.upper(), finding.severity.value)}  {finding.message}")
            print_line(f"        {finding.hint}")
        if self.found.suspicious_events:
            print_line()

    # -- commands --

    def _commands(self) -> None:
        found = self.found
        tables = {"command": found.by_command, "database": found.by_db}
        if found.keys:
            others = [found.keys.other_prefixes] if found.keys.other_prefixes else []
            tables = {"command": found.by_command, "prefix": found.keys.by_prefix + others, "database": found.by_db}
        shown = {title: [(LABELS[title](row.name), row) for row in rows[: self.most]] for title, rows in tables.items()}
        self.width = max(map(len, [*tables, *(label for rows in shown.values() for label, _ in rows)]))
        for title, rows in tables.items():
            if rows:
                self._table(title, shown[title], len(rows))

    def _table(self, title: str, rows: list[tuple[str, Row]], count: int) -> None:
        whole = self.found.selected
        print_line(
            self.paint(f"{title:<{self.width}}  {'commands':>14}  {'share':>6}  {'bytes':>12}  {'share':>6}", "dim")
        )
        for label, row in rows:
            commands, size = share(row.commands, whole.commands), share(row.bytes, whole.bytes)
            print_line(
                f"{label:<{self.width}}  {row.commands:>14,}  {commands:>6}  {text.format_size(row.bytes):>12}  {size:>6}"
            )
        self._more(count - len(rows))

    def _more(self, hidden: int) -> None:
        if hidden > 0:
            print_line(self.paint(f"and {hidden:,} more (-n 0 shows all)", "dim"))
        print_line()

    # -- over time --

    def _print_histogram(self, histogram: Histogram) -> None:
        if not histogram.rows:
            return
        timed = histogram.kind == "time"
        every = (
            f"time, each row {span(histogram.width)}"
            if timed
            else f"position, each row {text.format_size(histogram.width)}"
        )
        print_line(self.paint(every + ("" if timed else "; no #TS annotations, so no times"), "dim"))
        labels = [text.format_time(start) if timed else self._place(start) for start, _, _ in histogram.rows]
        width, most = max(map(len, labels)), max(commands for _, commands, _ in histogram.rows)
        for label, (_, commands, size) in zip(labels, histogram.rows, strict=True):
            bar = "#" * (-(-_BAR * commands // most))
            print_line(f"{label:<{width}}  {commands:>14,}  {text.format_size(size):>12}  {bar}".rstrip())
        if histogram.untimed[0]:
            print_line(
                f"{'no time':<{width}}  {histogram.untimed[0]:>14,}  {text.format_size(histogram.untimed[1]):>12}"
            )
        if self.stats_options.every and self.stats_options.every != histogram.width:
            why = "wider than --every asks for: there would be too many rows" if timed else "--every needs times"
            print_line(self.paint(why, "dim"))
        print_line()

    def _place(self, at: int) -> str:
        """A place in the whole log, as the user can type it."""
        present = self.found.aof.existing_parts
        for part in present:
            if at < (part.size or 0) or part is present[-1]:
                return position(self.names[part.name], at)
            at -= part.size or 0
        return str(at)

    # -- the biggest --

    def _largest_records(self) -> None:
        records = self.found.largest[: self.largest]
        if not records:
            return
        print_line(self.paint("the largest records", "dim"))
        for record in records:
            place = position(self.names[record.part], record.offset)
            name = "" if record.key is None else " " + key(record.key, record.length)
            print_line(
                f"{text.format_size(record.size):>24}  {place}  {database(record.db)}  {text.quote(record.command)}{name}"
            )
        print_line()

    def _written(self, keys: KeyStats) -> None:
        tables = (
            ("bytes written", keys.by_bytes, text.format_size, keys.bytes_elsewhere),
            ("writes", keys.by_writes, "{:,}".format, keys.writes_elsewhere),
        )
        for what, rows, number, elsewhere in tables:
            print_line(self.paint(f"the keys with the most {what}", "dim"))
            for one in rows[: self.largest]:
                print_line(f"{estimate(one, number):>24}  {database(one.db)}  {key(one.key, one.length)}")
            if not keys.exact:
                how, some, more = " from a sample", "some ", "; --exact looks at every write"
                if self.stats_options.exact:
                    how = some = more = ""
                rest = f"; any other key has {some}{number(elsewhere)} at most" if elsewhere else ""
                print_line(self.paint(f"estimated{how}{rest}{more}", "dim"))
            print_line()

    # -- bases --

    def _base(self, base: BaseStats) -> None:
        if not base.keys and not base.counted_only and not self.found.selection.selects_all:
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
                self._key_table(title, rows)
        if base.largest:
            self._largest_keys(base.largest[: self.largest])

    def _key_table(self, title: str, rows: list[KeyRow]) -> None:
        shown = rows[: self.most]
        labels = [LABELS[title](row.name) for row in shown]
        width = max([self.width, *map(len, labels)])
        print_line(self.paint(f"{title:<{width}}  {'keys':>14}  {'with a TTL':>14}  {'bytes':>12}", "dim"))
        for label, row in zip(labels, shown, strict=True):
            ttl = "-" if row.expires is None else f"{row.expires:,}"
            size = "-" if row.bytes is None else text.format_size(row.bytes)
            print_line(f"{label:<{width}}  {row.keys:>14,}  {ttl:>14}  {size:>12}")
        self._more(len(rows) - len(shown))

    def _largest_keys(self, keys: list[LargeKey]) -> None:
        print_line(self.paint("the largest keys of the base, as they are encoded", "dim"))
        for one in keys:
            place = position(self.names[one.part], one.offset)
            print_line(
                f"{text.format_size(one.size):>24}  {place}  {database(one.db)}  {one.type} {key(one.key, one.length)}"
            )
        print_line()
