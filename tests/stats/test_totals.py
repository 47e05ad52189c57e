"""The counts of stats equal those of log, and its totals equal those of check."""

from collections import Counter
from pathlib import Path

import pytest

from aofdoctor.aof.constants import ANNOTATION
from aofdoctor.aof.reader import read_tiles
from aofdoctor.aof.records import RecordBatch
from aofdoctor.resp import encode_command
from aofdoctor.server.command_table import command_table
from aofdoctor.source import BytesSource
from tests.conftest import FIXTURES, STORIES, aofdoctor
from tests.support.samples import HISTORY
from tests.support.stats import DAMAGED_HISTORY, assert_same_totals, count_by, first_key_prefix, rows_by_name, run_stats


@pytest.fixture
def path(tmp_path: Path) -> Path:
    place = tmp_path / "appendonly.aof"
    place.write_bytes(HISTORY)
    return place


# -- the counts of log --

SELECTIONS: list[list[str]] = [
    [], ["--cmd", "set"], ["--cmd", "nosuch"], ["--key", "user:*"], ["--db", "3"], ["--effect", "delete"], ["--grep", "^a.n$"],
    ["--min-size", "37"], ["--since", "1700000060"], ["--since", "-1m"], ["--until", "1700000060"], ["--from", "#6"],
    ["--to", "#2"], ["--effect", "write", "--invert"], ["--cmd", "set", "--db", "0"], ["--key", "nothing"],
]  # fmt: skip


@pytest.mark.parametrize("selection", SELECTIONS, ids=" ".join)
@pytest.mark.parametrize("data", [HISTORY, DAMAGED_HISTORY], ids=["sound", "damaged"])
def test_counts_are_those_of_log(data: bytes, selection: list[str], tmp_path: Path) -> None:
    path = tmp_path / "appendonly.aof"
    path.write_bytes(data)
    lines, found = aofdoctor("log", path, "--json", *selection).lines, run_stats(path, *selection)
    assert found["selected"]["commands"] == len(lines)
    assert found["selected"]["bytes"] == sum(line["size"] for line in lines)
    assert rows_by_name(found["by_command"], "command") == count_by(lines, lambda line: line["cmd"].lower())
    by_db = count_by(lines, lambda line: "?" if line["db"] is None else line["db"])
    assert {"?" if db is None else db: row for db, row in rows_by_name(found["by_db"], "db").items()} == by_db
    assert rows_by_name(found["by_prefix"]["rows"], "prefix") == count_by(lines, first_key_prefix)
    times = Counter(line["time"] for line in lines)
    timed = sum(row["commands"] for row in found["over"]["rows"])
    assert timed + found["over"]["untimed"]["commands"] == len(lines)
    if found["over"]["kind"] == "time":
        assert found["over"]["untimed"]["commands"] == times[None]
    largest = [(record["part"], record["offset"], record["size"]) for record in found["largest"]]
    assert largest == [(x["part"], x["offset"], x["size"]) for x in sorted(lines, key=lambda line: -line["size"])]


def test_the_keys_are_those_of_log(path: Path) -> None:
    found = run_stats(path)["keys"]
    assert found["exact"] and found["elsewhere_at_most"] == {"bytes": 0, "writes": 0}
    lines = [line for line in aofdoctor("log", path, "--json").lines if line["keys"]]
    # The command NOSUCH k.
    writes = Counter((line["db"], str(line["keys"][0])) for line in lines) + Counter({(3, "k"): 1})
    assert {(key["db"], str(key["key"])): key["writes"] for key in found["by_writes"]} == writes
    sizes = Counter[tuple[int, str]]()
    for line in lines:
        sizes[line["db"], str(line["keys"][0])] += line["size"]
    got = {(key["db"], str(key["key"])): key["bytes"] for key in found["by_bytes"]}
    assert got == sizes + Counter({(3, "k"): len(encode_command([b"NOSUCH", b"k"]))})


@pytest.mark.parametrize("story", STORIES)
def test_totals_are_those_of_check(story: str) -> None:
    path = FIXTURES / "aof" / story
    found, report = run_stats(path), aofdoctor("check", path, "--json").json
    assert_same_totals(found, report)
    assert (found["layout"], found["path"]) == (report["layout"], str(path))


def test_every_byte_is_counted_once(tmp_path: Path) -> None:
    path = tmp_path / "a.aof"
    path.write_bytes(DAMAGED_HISTORY)
    found, tiles = run_stats(path), list[int]()
    for tile in read_tiles(BytesSource(DAMAGED_HISTORY), command_table().names):
        if isinstance(tile, RecordBatch):
            tiles += [tile.record_span(i).size for i in range(tile.count) if tile.ids[i] == ANNOTATION]
    totals = found["totals"]
    assert (
        totals["damage"]["bytes"] + found["selected"]["bytes"] + sum(tiles) == totals["bytes"] == len(DAMAGED_HISTORY)
    )
