"""Run stats, and group the lines of log in the same way to compare the two."""

from collections import Counter
from pathlib import Path
from typing import Any

from aofdoctor.aof.model import AOF, AofPart
from aofdoctor.log.selection import Selection
from aofdoctor.resp import encode_command
from aofdoctor.source import BytesSource
from aofdoctor.stats.collect import Stats, StatsOptions, collect_stats
from aofdoctor.stats.counting.constants import BucketRow
from tests.conftest import aofdoctor
from tests.support.base_keys import SELECT_0, make_base, text_key
from tests.support.rdb_value_writer import string
from tests.support.samples import HISTORY, SET

DAMAGED_HISTORY = HISTORY + b"junk" + HISTORY + encode_command([b"MULTI"]) + SET


def run_stats(*args: str | Path | int) -> Any:
    result = aofdoctor("stats", *args, "--json")
    assert result.status in (0, 1), result.err
    return result.json


def first_key_prefix(line: Any) -> str | None:
    """Return the prefix of the first key of a line of log, or None; the key of an unknown command is its first argument."""
    keys = line["keys"] or (line["args"][:1] if line["cmd"] == "NOSUCH" else [])
    if not keys:
        return None
    name = keys[0] if isinstance(keys[0], str) else ""
    return name[: name.find(":") + 1]


def count_by(lines: list[Any], of: Any) -> dict[Any, tuple[int, int]]:
    counts: Counter[Any] = Counter()
    sizes: Counter[Any] = Counter()
    for line in lines:
        counts[of(line)] += 1
        sizes[of(line)] += line["size"]
    return {name: (counts[name], sizes[name]) for name in counts if name is not None}


def rows_by_name(rows: list[Any], name: str) -> dict[Any, tuple[int, int]]:
    return {row[name]: (row["commands"], row["bytes"]) for row in rows}


def assert_same_totals(found: Any, report: Any) -> None:
    """Assert that the totals of stats equal those of check."""
    parts = [part for part in report["parts"] if part["type"] != "history"]
    totals = found["totals"]
    for name, of in (("bytes", "size"), ("commands", "commands"), ("annotations", "annotations")):
        assert totals[name] == sum(part[of] or 0 for part in parts), name
    assert totals["parts"] == len(parts) and totals["missing"] == sum(not part["exists"] for part in parts)
    times = [part[which] for part in parts for which in ("first_time", "last_time") if part[which] is not None]
    assert (totals["first_time"], totals["last_time"]) == ((times[0], times[-1]) if times else (None, None))
    damages = [damage for part in parts for damage in part["damage"]]
    assert totals["damage"]["count"] == len(damages)
    assert sum(row["commands"] for row in found["by_command"]) == totals["commands"]
    assert sum(row["commands"] for row in found["by_db"]) == totals["commands"]


def collect_bytes(
    data: bytes,
    where: Selection,
    options: StatsOptions,
    window: int = 1 << 20,
    room: int = 1 << 14,
    read_size: int = 1 << 20,
) -> Stats:
    aof = AOF("law", "single", None, [AofPart("law", "single", 0, None, BytesSource(data, read_size))])
    found = collect_stats(aof, where, options, window=window, room=room)
    found.aof = AOF("law", "single", None, [])
    return found


def bucket_row(width: int, counts: dict[int, tuple[int, int]]) -> BucketRow:
    return width, [(b, *counts.get(b, (0, 0)), 0, -1, 0, -1) for b in range(min(counts), max(counts) + 1)]


AOF_WITH_BASE = make_base(
    SELECT_0, *(text_key(f"user:{n}", "v" * n) for n in range(30)), b"\xfc" + (10**13).to_bytes(8, "little") + text_key("sess:1", "v"),
    b"\xfe\x03", b"\1" + string(b"list:1") + b"\2" + string(b"a") + string(b"b"), b"\0\xc0\x07" + string(b"number"),
    b"\0" + string(b"\x1b]0;gone\x07:x") + string(b"v"),
)  # fmt: skip
