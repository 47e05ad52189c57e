"""Format the row labels, percentages, durations and estimated counts in the tables of `stats`."""

from collections.abc import Callable

from aofdoctor import text
from aofdoctor.rdb.key_counts import OTHER_DBS
from aofdoctor.stats.collect import HeavyHitter

RowName = str | int | bytes | None
_KEY_MAX = 60  # bytes of a key or prefix in a label
_UNITS = ((86400, "d"), (3600, "h"), (60, "min"), (1, "s"))


def key_label(head: bytes, length: int) -> str:
    """Format a key or key prefix for a table row, quoted, and truncated after _KEY_MAX bytes.

    `head` is its beginning; `length` is its full length in bytes.
    """
    return text.quote(head) if length <= _KEY_MAX and len(head) == length else f'"{text.escape(head[:_KEY_MAX])}..."'


def command_label(name: RowName) -> str:
    """Format a command name for a table row; it is bytes if no server has such a command, and None if unknown."""
    if isinstance(name, bytes):
        return f"{text.quote(name.upper())} (unknown)"
    return "(unknown)" if name is None else str(name).upper()


def prefix_label(name: RowName) -> str:
    """Format a key prefix for a table row; None is the row that sums up all prefixes without a row of their own."""
    if isinstance(name, bytes):
        return key_label(name, len(name)) if name else "(no prefix)"
    return "(others)"


def database_label(name: RowName) -> str:
    """Format a database number for a table row, such as "db3"; None is an unknown database."""
    if name is None:
        return "db?"
    return "(others)" if name in ("others", OTHER_DBS) else f"db{name!s}"


LABELS: dict[str, Callable[[RowName], str]] = {
    "command": command_label, "prefix": prefix_label, "database": database_label, "type": str,
}  # fmt: skip


def percent(part: int, total: int) -> str:
    """Format `part` as a percentage of `total`, such as "12.5%"; "-" if the total is 0."""
    return f"{100 * part / total:.1f}%" if total else "-"


def duration(seconds: int) -> str:
    """Format a duration in the largest unit that divides it, such as "30 s" or "5 min"."""
    size, unit = next((size, unit) for size, unit in _UNITS if seconds % size == 0)
    return f"{seconds // size} {unit}"


def estimate_text(written: HeavyHitter, number: Callable[[int], str]) -> str:
    """Format how much was written to a key: exact, or an estimate with its bounds and sampling error.

    `number` formats one count, of writes or of bytes.
    """
    least = written.count - written.overcount
    words = f"{number(least)} to {number(written.count)}" if written.overcount else number(written.count)
    return f"{words} +-{100 * written.deviation / max(1, least):.0f}%" if written.deviation else words
