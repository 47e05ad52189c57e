"""Histograms over time and over file positions: their row widths, and that no command is lost."""

from pathlib import Path

import pytest

from aofdoctor.log.selection import Selection
from aofdoctor.stats.collect import StatsOptions
from aofdoctor.stats.histogram import MAX_ROWS, Histogram, position_histogram, time_histogram
from tests.conftest import aofdoctor
from tests.support.samples import SET, make_small_set
from tests.support.stats import bucket_row, collect_bytes, run_stats


@pytest.mark.parametrize("span", [1, 19, 20, 21, 100, 3000, 90_000, 10**6, 10**7, 10**9])
def test_time_has_at_most_twenty_rows_of_a_round_width(span: int) -> None:
    log = b"".join(b"#TS:%d\r\n" % (1_700_000_000 + span * n // 50) + SET for n in range(51))
    over = collect_bytes(log, Selection(), StatsOptions()).histogram
    assert over.kind == "time" and len(over.rows) <= MAX_ROWS
    assert over.width in (1, 5, 15, 30, 60, 120, 600, 1800, 3600, 7200, 21600, 43200) or over.width % 86400 == 0
    assert sum(commands for _, commands, _ in over.rows) == 51
    assert over.rows[0][0] <= 1_700_000_000 < over.rows[0][0] + over.width
    assert len(over.rows) > 3 or span < 10
    for start, commands, size in over.rows:
        inside = [n for n in range(51) if start <= 1_700_000_000 + span * n // 50 < start + over.width]
        assert (commands, size) == (len(inside), len(inside) * len(SET))


def test_every_gives_rows_of_that_width_or_reports_wider_ones(tmp_path: Path) -> None:
    path = tmp_path / "a.aof"
    path.write_bytes(b"".join(b"#TS:%d\r\n" % (1_700_000_000 + 60 * n) + SET for n in range(3000)))
    over = run_stats(path, "--every", "1h")["over"]
    assert over["width"] == 3600 and len(over["rows"]) == 51
    assert "each row 1 h" in aofdoctor("stats", path, "--every", "1h").out
    wider = aofdoctor("stats", path, "--every", "1m").out
    assert "each row 4 min" in wider and "wider than --every asks for" in wider
    for wrong in ("1", "0s", "1w", "-1h", "h"):
        assert aofdoctor("stats", path, "--every", wrong).status == 2


def test_without_annotations_rows_are_valid_positions(tmp_path: Path) -> None:
    folder = make_small_set(tmp_path, {"a": SET * 100, "b": SET * 50})
    result = aofdoctor("stats", folder)
    assert "no #TS annotations, so no times" in result.out
    table_ = result.out.partition("position, each row")[2].partition("the largest")[0].splitlines()[1:]
    places = [row.split()[0] for row in table_ if row]
    assert places[0] == "1.incr@0" and any(place.startswith("2.incr@") for place in places)
    for place in places:
        assert aofdoctor("log", folder, "--from", place, "--json").lines, place


def test_buckets_are_merged_without_losing_commands() -> None:
    for width, last in ((1, 5), (1, 1023), (64, 700), (1 << 40, 1000)):
        whole = bucket_row(width, {b: (1, b) for b in range(last + 1)})
        for over in (position_histogram(whole), time_histogram(whole, (0, 0))):
            assert isinstance(over, Histogram) and len(over.rows) <= MAX_ROWS
            assert sum(row[1] for row in over.rows) == last + 1
            assert sum(row[2] for row in over.rows) == sum(range(last + 1))
