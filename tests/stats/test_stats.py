"""stats: what an AOF is made of, in numbers that can be checked against log and check."""

import re
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aofdoctor.aof.constants import ANNOTATION
from aofdoctor.aof.reader import read_tiles
from aofdoctor.aof.records import RecordBatch, encode_command
from aofdoctor.log.selection import Selection, build_selection
from aofdoctor.server.command_table import command_table
from aofdoctor.source import BytesSource
from aofdoctor.stats.collect import StatsOptions
from aofdoctor.stats.counting import _pyheavy_hitters as plain_heavy
from aofdoctor.stats.counting import _pyrecord_counters as plain_weigh
from aofdoctor.stats.histogram import MAX_ROWS, Histogram, find_bursts, position_histogram, time_histogram
from tests.conftest import FIXTURES, STORIES, Result, aofdoctor
from tests.support.base_keys import SELECT_0, key, rdb
from tests.support.hostile_bytes import hostile_aofs
from tests.support.rdb_value_writer import string
from tests.support.samples import HISTORY, SET, make_small_set
from tests.support.stats import DAMAGED, collect, line, prefix, rows_by_name, same_totals, stats, tally


@pytest.fixture
def path(tmp_path: Path) -> Path:
    place = tmp_path / "appendonly.aof"
    place.write_bytes(HISTORY)
    return place


# -- counts are those of log --

SELECTIONS: list[list[str]] = [
    [], ["--cmd", "set"], ["--cmd", "nosuch"], ["--key", "user:*"], ["--db", "3"], ["--effect", "delete"], ["--grep", "^a.n$"],
    ["--min-size", "37"], ["--since", "1700000060"], ["--since", "-1m"], ["--until", "1700000060"], ["--from", "#6"],
    ["--to", "#2"], ["--effect", "write", "--invert"], ["--cmd", "set", "--db", "0"], ["--key", "nothing"],
]  # fmt: skip


@pytest.mark.parametrize("selection", SELECTIONS, ids=" ".join)
@pytest.mark.parametrize("data", [HISTORY, DAMAGED], ids=["sound", "damaged"])
def test_counts_are_those_of_log(data: bytes, selection: list[str], tmp_path: Path) -> None:
    path = tmp_path / "appendonly.aof"
    path.write_bytes(data)
    lines, found = aofdoctor("log", path, "--json", *selection).lines, stats(path, *selection)
    assert found["selected"]["commands"] == len(lines)
    assert found["selected"]["bytes"] == sum(line["size"] for line in lines)
    assert rows_by_name(found["by_command"], "command") == tally(lines, lambda line: line["cmd"].lower())
    by_db = tally(lines, lambda line: "?" if line["db"] is None else line["db"])
    assert {"?" if db is None else db: row for db, row in rows_by_name(found["by_db"], "db").items()} == by_db
    assert rows_by_name(found["by_prefix"]["rows"], "prefix") == tally(lines, prefix)
    times = Counter(line["time"] for line in lines)
    timed = sum(row["commands"] for row in found["over"]["rows"])
    assert timed + found["over"]["untimed"]["commands"] == len(lines)
    if found["over"]["kind"] == "time":
        assert found["over"]["untimed"]["commands"] == times[None]
    largest = [(record["part"], record["offset"], record["size"]) for record in found["largest"]]
    assert largest == [(x["part"], x["offset"], x["size"]) for x in sorted(lines, key=lambda line: -line["size"])]


def test_the_keys_are_those_of_log(path: Path) -> None:
    found = stats(path)["keys"]
    assert found["exact"] and found["elsewhere_at_most"] == {"bytes": 0, "writes": 0}
    lines = [line for line in aofdoctor("log", path, "--json").lines if line["keys"]]
    writes = Counter((line["db"], str(line["keys"][0])) for line in lines) + Counter({(3, "k"): 1})  # NOSUCH k
    assert {(key["db"], str(key["key"])): key["writes"] for key in found["by_writes"]} == writes
    sizes = Counter[tuple[int, str]]()
    for line in lines:
        sizes[line["db"], str(line["keys"][0])] += line["size"]
    got = {(key["db"], str(key["key"])): key["bytes"] for key in found["by_bytes"]}
    assert got == sizes + Counter({(3, "k"): len(encode_command([b"NOSUCH", b"k"]))})


@pytest.mark.parametrize("story", STORIES)
def test_totals_are_those_of_check(story: str) -> None:
    path = FIXTURES / "aof" / story
    found, report = stats(path), aofdoctor("check", path, "--json").json
    same_totals(found, report)
    assert (found["layout"], found["path"]) == (report["layout"], str(path))


def test_every_byte_is_counted_once(tmp_path: Path) -> None:
    path = tmp_path / "a.aof"
    path.write_bytes(DAMAGED)
    found, tiles = stats(path), list[int]()
    for tile in read_tiles(BytesSource(DAMAGED), command_table().names):
        if isinstance(tile, RecordBatch):
            tiles += [tile.record_span(i).size for i in range(tile.count) if tile.ids[i] == ANNOTATION]
    totals = found["totals"]
    assert totals["damage"]["bytes"] + found["selected"]["bytes"] + sum(tiles) == totals["bytes"] == len(DAMAGED)


OPTIONS = (
    StatsOptions(),
    StatsOptions(depth=2, every=7),
    StatsOptions(keys=False),
    StatsOptions(exact=True, delimiter=b"a"),
)
WHERES = (
    Selection(),
    build_selection(cmd=["set", "nosuch"]),
    build_selection(key=["*"]),
    build_selection(effect=["write"], invert=True),
)
many = st.lists(hostile_aofs, max_size=4).map(b"".join)


@settings(max_examples=1000)
@given(
    many, st.sampled_from(WHERES), st.sampled_from(OPTIONS), st.sampled_from([1000, 1001, 1 << 12]),
    st.sampled_from([1, 2, 64]), st.sampled_from([1, 7, 1 << 12]),
)  # fmt: skip
def test_the_answer_does_not_depend_on_how_it_is_read(
    data: bytes, where: Selection, options: StatsOptions, window: int, room: int, read_size: int
) -> None:
    assert collect(data, where, options, window, room, read_size) == collect(data, where, options)


def test_a_large_log_of_large_keys_does_not_depend_on_it_either() -> None:
    keys = [b"k:" + b"x" * size + b"%d" % n for size in (0, 63, 90, 5000, 70_000) for n in range(9)]
    data = b"".join(encode_command([b"SET", keys[n * n % 45], b"v" * (n % 4000)]) for n in range(3000))
    data += b"#TS:1700000000\r\n" + encode_command([b"NoSuch" * 9, keys[-1]]) * 3
    with patch("aofdoctor.stats.collect.EXACT_KEY_BYTES", 1 << 16):
        whole = collect(data, Selection(), StatsOptions())
        assert (
            whole
            == collect(data, Selection(), StatsOptions(), 1 << 12, 7)
            == collect(data, Selection(), StatsOptions(), 100_003, 1000)
        )
    assert whole.keys is not None and not whole.keys.exact
    assert {len(written.key) for written in whole.keys.by_bytes} == {3, 66, 88}


@settings(max_examples=300)
@given(many, st.sampled_from(OPTIONS))
def test_plain_counters_give_the_same_answer(data: bytes, options: StatsOptions) -> None:
    compiled = collect(data, Selection(), options)
    with patch.multiple(
        "aofdoctor.stats.collect", RecordCounters=plain_weigh.RecordCounters, KeyCounters=plain_heavy.KeyCounters
    ):
        slow = collect(data, Selection(), options)
    for found in (compiled, slow):
        if found.keys:  # rows of equal rank are in the order of a table
            found.keys.by_bytes.sort(key=str)
            found.keys.by_writes.sort(key=str)
    assert slow == compiled


@pytest.mark.parametrize("span", [1, 19, 20, 21, 100, 3000, 90_000, 10**6, 10**7, 10**9])
def test_time_has_at_most_twenty_rows_of_a_width_that_people_count_in(span: int) -> None:
    log = b"".join(b"#TS:%d\r\n" % (1_700_000_000 + span * n // 50) + SET for n in range(51))
    over = collect(log, Selection(), StatsOptions()).histogram
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
    over = stats(path, "--every", "1h")["over"]
    assert over["width"] == 3600 and len(over["rows"]) == 51
    assert "each row 1 h" in aofdoctor("stats", path, "--every", "1h").out
    wider = aofdoctor("stats", path, "--every", "1m").out
    assert "each row 4 min" in wider and "wider than --every asks for" in wider
    for wrong in ("1", "0s", "1w", "-1h", "h"):
        assert aofdoctor("stats", path, "--every", wrong).status == 2


def test_without_annotations_positions_are_rows_that_can_be_typed(tmp_path: Path) -> None:
    folder = make_small_set(tmp_path, {"a": SET * 100, "b": SET * 50})
    result = aofdoctor("stats", folder)
    assert "no #TS annotations, so no times" in result.out
    table_ = result.out.partition("position, each row")[2].partition("the largest")[0].splitlines()[1:]
    places = [row.split()[0] for row in table_ if row]
    assert places[0] == "1.incr@0" and any(place.startswith("2.incr@") for place in places)
    for place in places:
        assert aofdoctor("log", folder, "--from", place, "--json").lines, place


def test_a_line_of_buckets_is_drawn_together_without_losing_any() -> None:
    for width, last in ((1, 5), (1, 1023), (64, 700), (1 << 40, 1000)):
        whole = line(width, {b: (1, b) for b in range(last + 1)})
        for over in (position_histogram(whole), time_histogram(whole, (0, 0))):
            assert isinstance(over, Histogram) and len(over.rows) <= MAX_ROWS
            assert sum(row[1] for row in over.rows) == last + 1
            assert sum(row[2] for row in over.rows) == sum(range(last + 1))


# -- suspects --


def suspects(path: Path, *args: str) -> dict[str, Any]:
    return {finding["code"]: finding for finding in stats(path, *args)["suspects"]}


def first_of(finding: Any) -> Any:
    """What the command that a pointer gives shows first."""
    words = finding["hint"].split()
    assert words[:2] == ["aofdoctor", "log"]
    return aofdoctor(*words[1:], "--json").lines[0]


FLUSHING = encode_command([b"EVAL", b"redis.call('FLUSHALL')", b"0"])


def test_suspects_point_at_what_they_name(tmp_path: Path) -> None:
    path = tmp_path / "a.aof"
    wide, admin, odd = (
        encode_command([b"DEL", *[b"k%d" % n for n in range(150)]]),
        encode_command([b"CONFIG", b"SET", b"a", b"b"]),
        encode_command([b"NOSUCH"]),
    )
    path.write_bytes(SET * 9 + encode_command([b"FLUSHALL"]) + SET + FLUSHING + wide + SET + admin + odd + SET)
    found = suspects(path)
    assert set(found) == {"flush", "flush-in-script", "many-deleted", "admin", "unknown-command"}
    for code, record in (("flush", encode_command([b"FLUSHALL"])), ("flush-in-script", FLUSHING), ("many-deleted", wide), ("admin", admin),
                         ("unknown-command", odd)):  # fmt: skip
        place = path.read_bytes().index(record)
        assert (found[code]["start"], first_of(found[code])["offset"]) == (place, place), code
    assert "150 keys" in found["many-deleted"]["message"]
    assert found["flush"]["severity"] == "danger" and "emptied every database" in found["flush"]["message"]
    text = aofdoctor("stats", path).out
    assert text.index("DANGER  FLUSHALL at a.aof@") < text.index("command ")


def test_a_selection_leaves_out_what_it_does_not_mean(tmp_path: Path) -> None:
    path = tmp_path / "a.aof"
    path.write_bytes(SET + encode_command([b"FLUSHALL"]) + SET + FLUSHING)
    assert set(suspects(path, "--cmd", "eval")) == {"flush-in-script"}
    assert not suspects(path, "--cmd", "set")
    assert set(suspects(path, "--effect", "flush")) == {"flush"}


def test_many_flushes_are_few_lines(tmp_path: Path) -> None:
    path = tmp_path / "a.aof"
    path.write_bytes((SET + encode_command([b"FLUSHDB"])) * 50)
    found = stats(path)["suspects"]
    assert [finding["code"] for finding in found] == ["flush"] * 3 + ["flush-more"]
    assert "47 more groups" in found[3]["message"] and first_of(found[3])["offset"] == found[3]["start"]


@pytest.mark.parametrize("timed", [False, True])
@pytest.mark.parametrize(("command", "code"), [(b"DEL", "burst-delete"), (b"PEXPIREAT", "burst-expire")])
def test_a_burst_is_seen_among_the_usual(timed: bool, command: bytes, code: str, tmp_path: Path) -> None:
    one = encode_command([command, b"k", *([b"1"] if command != b"DEL" else [])])
    usual = [(b"#TS:%d\r\n" % (1_700_000_000 + n) if timed else b"") + SET * 40 + one for n in range(500)]
    burst = one * 300
    steady, sudden = tmp_path / "steady.aof", tmp_path / "sudden.aof"
    steady.write_bytes(b"".join(usual))
    sudden.write_bytes(b"".join(usual[:250]) + burst + b"".join(usual[250:]))
    assert not suspects(steady)
    found = suspects(sudden)
    assert set(found) == {code}
    place = len(b"".join(usual[:250]))
    assert place - 5000 <= found[code]["start"] <= place + len(one) * 100
    assert first_of(found[code])["cmd"] == command.decode()
    count = int(found[code]["message"].split()[0])
    assert 200 <= count <= 330 and ("usual" in found[code]["message"])


def test_a_short_log_has_no_bursts() -> None:
    assert not find_bursts(line(1, {0: (1, 1)}), 1) and not find_bursts((1, []), 1)
    cells = [(b, 200, 200, 200 if b == 3 else 1, b, 0, -1) for b in range(20)]
    assert [(burst.count, burst.log_offset) for burst in find_bursts((1, cells), 1)] == [(200, 3)]


# -- the keys of a base --

ODD_NAMES = [b"user:1", b"user:2", b"7", b"\x1b]0;gone\x07:x", b""]
BASE = rdb(
    SELECT_0, *(key(f"user:{n}", "v" * n) for n in range(30)), b"\xfc" + (10**13).to_bytes(8, "little") + key("sess:1", "v"),
    b"\xfe\x03", b"\1" + string(b"list:1") + b"\2" + string(b"a") + string(b"b"), b"\0\xc0\x07" + string(b"number"),
    b"\0" + string(b"\x1b]0;gone\x07:x") + string(b"v"),
)  # fmt: skip


@pytest.mark.parametrize(
    "selection", [[], ["--key", "user:1*"], ["--db", "3"], ["--min-size", "20"], ["--cmd", "set"], ["--grep", "^b$"],
                  ["--since", "1700000001"], ["--key", "x", "--invert"], ["--cmd", "set", "--invert"]], ids=" ".join
)  # fmt: skip
def test_the_keys_of_a_base_are_those_of_log(selection: list[str], tmp_path: Path) -> None:
    path = tmp_path / "appendonly.aof"
    path.write_bytes(BASE + b"#TS:1700000009\r\n" + SET)
    lines = [line for line in aofdoctor("log", path, "--base", "--json", *selection).lines if line["cmd"] == "(base)"]
    base = stats(path, *selection)["base"]
    expires = sum(line["expire_ms"] is not None for line in lines)
    assert (base["keys"], base["bytes"], base["expires"]) == (len(lines), sum(line["size"] for line in lines), expires)
    for name, of in (("type", lambda line: line["type"]), ("db", lambda line: line["db"])):
        rows = {row[name]: (row["keys"], row["bytes"]) for row in base[f"by_{name}"]}
        assert rows == tally(lines, of), name
    prefixes = {row["prefix"]: (row["keys"], row["bytes"]) for row in base["by_prefix"]["rows"]}
    assert prefixes == tally(lines, prefix) and base["by_prefix"]["others"] is None
    largest = [(row["offset"], row["size"], row["key"], row["db"], row["type"]) for row in base["largest"]]
    by_size = sorted(lines, key=lambda line: -line["size"])
    assert largest == [(x["offset"], x["size"], x["keys"][0], x["db"], x["type"]) for x in by_size]
    if not selection:
        assert len(lines) == 34 and base["bytes"] < stats(path)["totals"]["rdb_bytes"] == len(BASE)


@pytest.mark.parametrize("path", sorted((FIXTURES / "rdb").glob("*.rdb")), ids=lambda path: path.stem)
def test_every_key_of_the_fixtures_is_counted(path: Path) -> None:
    lines = [line for line in aofdoctor("log", path, "--base", "--json").lines if line["cmd"] == "(base)"]
    base = stats(path)["base"]
    types = {row["type"]: (row["keys"], row["bytes"]) for row in base["by_type"]}
    assert base["keys"] == len(lines) and types == tally(lines, lambda line: line["type"])


def test_of_a_damaged_base_the_keys_that_can_be_read_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "dump.rdb"
    path.write_bytes(BASE[:300] + b"\xff" * 9 + BASE[309:])
    lines = [line for line in aofdoctor("log", path, "--base", "--json").lines if line["cmd"] == "(base)"]
    found = stats(path)
    assert found["base"]["keys"] == len(lines) > 10 and found["base"]["damage"] > 0
    assert found["totals"]["damage"]["count"] == 1 and "damaged in 1 place" in aofdoctor("stats", path).out


def test_values_that_stand_far_apart_are_not_read(tmp_path: Path) -> None:
    path = tmp_path / "dump.rdb"
    path.write_bytes(rdb(SELECT_0, *(key(f"big:{n}", "v" * 300_000) for n in range(12)), key("small:1", "v")))
    base = stats(path)["base"]
    assert {row["prefix"]: row["keys"] for row in base["by_prefix"]["rows"]} == {"big:": 12, "small:": 1}
    assert base["largest"][0]["size"] > 300_000 and base["largest"][0]["key"] == "big:10"


# -- output, options, status --


def test_the_contract_of_stats_json(path: Path) -> None:
    found = stats(path, "-n", "1")
    set_two = encode_command([b"SET", b"\x1b]0;gone\x07\xff", b"\x00 x"])
    assert list(found) == ["path", "layout", "totals", "selected", "by_command", "by_db", "by_prefix", "over", "largest", "keys",
                           "base", "suspects", "asked"]  # fmt: skip
    assert found["totals"] == {
        "parts": 1, "missing": 0, "bytes": len(HISTORY), "rdb_bytes": 0, "commands": 9, "annotations": 3, "first_time": 1700000000,
        "last_time": 1700000120, "damage": {"count": 0, "bytes": 0},
    }  # fmt: skip
    assert found["by_command"] == [
        {"command": "set", "commands": 2, "bytes": len(set_two) + len(encode_command([b"SET", b"user:1", b"ann"]))}
    ]
    assert found["over"]["kind"] == "time" and found["over"]["width"] == 15
    assert found["over"]["rows"][0] == {
        "from": 1699999995,
        "commands": 2,
        "bytes": HISTORY.index(b"#TS:1700000060") - len(b"#TS:1700000000\r\n"),
    }
    record = found["largest"][0]
    assert record == {"part": "appendonly.aof", "offset": HISTORY.index(set_two), "size": len(set_two), "db": 3, "cmd": "SET",
                      "key": {"base64": "G10wO2dvbmUH/w=="}, "key_size": 10}  # fmt: skip
    assert found["base"] is None and found["asked"] == {"depth": 1, "delimiter": ":", "every": None, "exact": False}
    written = {"key": "k", "key_size": 1, "db": 3, "writes": 1, "over": 0, "deviation": 0}
    assert written in stats(path)["keys"]["by_writes"] and len(found["keys"]["by_writes"]) == 1
    quick = stats(path, "--no-keys")
    assert quick["by_prefix"] is None and quick["keys"] is None
    assert {"command": None, "commands": 1, "bytes": len(encode_command([b"NOSUCH", b"k"]))} in quick["by_command"]


def test_no_byte_of_a_file_reaches_the_terminal_unescaped(tmp_path: Path) -> None:
    path = tmp_path / "a.aof"
    nasty = b"\x1b]0;gone\x07:\xff\n"
    path.write_bytes(
        rdb(SELECT_0, b"\0" + string(nasty + b"b") + string(b"v"))
        + encode_command([b"SET", nasty + b"k", b"v"]) + encode_command([nasty, nasty]) + encode_command([b"DEL", *[nasty] * 200]) + b"\x1b[2J" + SET
    )  # fmt: skip
    for args in ([], ["-n", "0"], ["--depth", "3", "--delimiter", "]"], ["--json"]):
        out = aofdoctor("stats", path, *args)
        assert all(byte == 10 or 32 <= byte < 127 for byte in out.stdout), args
        assert out.status == 0 and "\x1b" not in out.err


def test_rows_are_as_many_as_are_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "a.aof"
    path.write_bytes(b"".join(encode_command([b"SET", b"p%d:x" % n, b"v"]) * (n + 1) for n in range(25)))

    def prefixes(result: Result) -> list[str]:
        section = result.out.partition("prefix ")[2].partition("database ")[0]
        return [row.split()[0] for row in section.splitlines()[1:] if row]

    assert prefixes(aofdoctor("stats", path)) == [f"p{n}:" for n in range(24, 14, -1)] + ["and"]
    assert prefixes(aofdoctor("stats", path, "-n", "3")) == ["p24:", "p23:", "p22:", "and"]
    assert prefixes(aofdoctor("stats", path, "-n", "0")) == [f"p{n}:" for n in range(24, -1, -1)]
    assert len(stats(path)["by_prefix"]["rows"]) == 25 and len(stats(path, "-n", "3")["by_prefix"]["rows"]) == 3


def test_a_prefix_has_as_many_delimiters_as_are_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "a.aof"
    path.write_bytes(
        b"".join(encode_command([b"SET", name, b"v"]) for name in (b"a:b:c", b"a:b:d", b"a:x", b"a", b"p/q"))
    )

    def prefixes(*args: str) -> dict[str, int]:
        return {row["prefix"]: row["commands"] for row in stats(path, *args)["by_prefix"]["rows"]}

    assert prefixes() == {"a:": 3, "": 2}
    assert prefixes("--depth", "2") == {"a:b:": 2, "a:": 1, "": 2}
    assert prefixes("--delimiter", "/") == {"p/": 1, "": 4}
    for wrong in (["--delimiter", ""], ["--delimiter", "::"], ["--delimiter", "é"], ["--depth", "0"], ["-n", "-1"]):
        assert aofdoctor("stats", path, *wrong).status == 2, wrong


def test_damage_is_one_line_and_does_not_change_the_status(tmp_path: Path) -> None:
    path = tmp_path / "a.aof"
    path.write_bytes(DAMAGED)
    result = aofdoctor("stats", path)
    assert result.status == 0 and result.err == ""
    assert f"damaged in 2 places, 4 bytes: aofdoctor check {path} says what and where" in result.out
    assert aofdoctor("check", path).status == 1
    folder = make_small_set(tmp_path, {"a": SET, "b": SET})
    (folder / "a.aof.1.incr.aof").unlink()
    missing = aofdoctor("stats", folder)
    assert missing.status == 0 and "1 part is missing" in missing.out


def test_a_pipe_is_read_as_it_goes_by(tmp_path: Path) -> None:
    data = BASE + SET * 5
    done = subprocess.run(
        [sys.executable, "-m", "aofdoctor", "stats", "-", "--json"], input=data, capture_output=True, check=True
    )
    piped = Result(0, done.stdout, "").json
    path = tmp_path / "a.aof"
    path.write_bytes(data)
    whole = stats(path)
    for same in ("by_command", "by_db", "by_prefix", "over", "keys"):
        assert piped[same] == whole[same], same
    assert {"bytes", "commands"} <= {name for name in whole["totals"] if piped["totals"][name] == whole["totals"][name]}
    base, base_report = piped["base"], whole["base"]
    assert (base["keys"], base["expires"], base["bytes"], base["by_prefix"]) == (34, 1, None, None)
    assert {row["type"]: row["keys"] for row in base["by_type"]} == {
        row["type"]: row["keys"] for row in base_report["by_type"]
    }
    out = subprocess.run(
        [sys.executable, "-m", "aofdoctor", "stats", "-"], input=data, capture_output=True, text=False, check=True
    )
    assert b"it came through a pipe" in out.stdout


def test_an_empty_file_and_an_empty_selection_are_answered(tmp_path: Path, path: Path) -> None:
    empty = tmp_path / "empty.aof"
    empty.write_bytes(b"")
    for args in ([empty], [path, "--key", "none"], [path, "--no-keys", "--key", "none"]):
        result = aofdoctor("stats", *args)
        assert result.status == 0 and ("0 commands" in result.out) and "Traceback" not in result.err
        assert stats(*args)["selected"]["commands"] == 0


def test_an_estimate_is_marked_as_one(tmp_path: Path) -> None:
    path = tmp_path / "a.aof"
    path.write_bytes(
        b"".join(encode_command([b"SET", b"k:%d" % (n % 12_000), b"v"]) for n in range(30_000))
        + encode_command([b"INCR", b"hot"]) * 9000
    )
    with patch("aofdoctor.stats.collect.EXACT_KEY_BYTES", 1 << 14):
        sampled = aofdoctor("stats", path)
        assert sampled.out.count("\nestimated from a sample; --exact looks at every write\n") == 2
        line = r"^estimated; any other key has \S+( bytes)? at most$"
        assert len(re.findall(line, aofdoctor("stats", path, "--exact").out, re.MULTILINE)) == 2
        assert "+-" in sampled.out
        first = stats(path, "-n", "1")["keys"]["by_writes"][0]
        assert first["key"] == "hot" and abs(first["writes"] - first["over"] - 9000) <= 2 * first["deviation"]
        exact = stats(path, "--exact", "-n", "1")["keys"]
        assert exact["by_writes"][0]["deviation"] == 0
        assert (
            exact["by_writes"][0]["writes"] - exact["by_writes"][0]["over"] <= 9000 <= exact["by_writes"][0]["writes"]
        )
