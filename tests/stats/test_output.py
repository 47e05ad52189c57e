"""The output of stats: its JSON, escaping, --limit, --depth, --delimiter, pipes, estimates and exit status."""

import re
import subprocess
import sys
from pathlib import Path
from unittest.mock import patch

import pytest

from aofdoctor.resp import encode_command
from tests.conftest import Result, aofdoctor
from tests.support.base_keys import SELECT_0, make_base
from tests.support.rdb_value_writer import string
from tests.support.samples import HISTORY, SET, make_small_set
from tests.support.stats import AOF_WITH_BASE, DAMAGED_HISTORY, run_stats


@pytest.fixture
def path(tmp_path: Path) -> Path:
    place = tmp_path / "appendonly.aof"
    place.write_bytes(HISTORY)
    return place


def test_the_contract_of_stats_json(path: Path) -> None:
    found = run_stats(path, "-n", "1")
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
    assert written in run_stats(path)["keys"]["by_writes"] and len(found["keys"]["by_writes"]) == 1
    quick = run_stats(path, "--no-keys")
    assert quick["by_prefix"] is None and quick["keys"] is None
    assert {"command": None, "commands": 1, "bytes": len(encode_command([b"NOSUCH", b"k"]))} in quick["by_command"]


def test_no_byte_of_a_file_reaches_the_terminal_unescaped(tmp_path: Path) -> None:
    path = tmp_path / "a.aof"
    nasty = b"\x1b]0;gone\x07:\xff\n"
    path.write_bytes(
        make_base(SELECT_0, b"\0" + string(nasty + b"b") + string(b"v"))
        + encode_command([b"SET", nasty + b"k", b"v"]) + encode_command([nasty, nasty]) + encode_command([b"DEL", *[nasty] * 200]) + b"\x1b[2J" + SET
    )  # fmt: skip
    for args in ([], ["-n", "0"], ["--depth", "3", "--delimiter", "]"], ["--json"]):
        out = aofdoctor("stats", path, *args)
        assert all(byte == 10 or 32 <= byte < 127 for byte in out.stdout), args
        assert out.status in (0, 1) and "\x1b" not in out.err


def test_the_number_of_rows_is_the_requested_one(tmp_path: Path) -> None:
    path = tmp_path / "a.aof"
    path.write_bytes(b"".join(encode_command([b"SET", b"p%d:x" % n, b"v"]) * (n + 1) for n in range(25)))

    def prefixes(result: Result) -> list[str]:
        section = result.out.partition("prefix ")[2].partition("database ")[0]
        return [row.split()[0] for row in section.splitlines()[1:] if row]

    assert prefixes(aofdoctor("stats", path)) == [f"p{n}:" for n in range(24, 14, -1)] + ["and"]
    assert prefixes(aofdoctor("stats", path, "-n", "3")) == ["p24:", "p23:", "p22:", "and"]
    assert prefixes(aofdoctor("stats", path, "-n", "0")) == [f"p{n}:" for n in range(24, -1, -1)]
    assert len(run_stats(path)["by_prefix"]["rows"]) == 25 and len(run_stats(path, "-n", "3")["by_prefix"]["rows"]) == 3


def test_a_prefix_has_the_requested_number_of_delimiters(tmp_path: Path) -> None:
    path = tmp_path / "a.aof"
    path.write_bytes(
        b"".join(encode_command([b"SET", name, b"v"]) for name in (b"a:b:c", b"a:b:d", b"a:x", b"a", b"p/q"))
    )

    def prefixes(*args: str) -> dict[str, int]:
        return {row["prefix"]: row["commands"] for row in run_stats(path, *args)["by_prefix"]["rows"]}

    assert prefixes() == {"a:": 3, "": 2}
    assert prefixes("--depth", "2") == {"a:b:": 2, "a:": 1, "": 2}
    assert prefixes("--delimiter", "/") == {"p/": 1, "": 4}
    for wrong in (["--delimiter", ""], ["--delimiter", "::"], ["--delimiter", "é"], ["--depth", "0"], ["-n", "-1"]):
        assert aofdoctor("stats", path, *wrong).status == 2, wrong


def test_damage_is_one_line_and_gives_status_1(tmp_path: Path) -> None:
    path = tmp_path / "a.aof"
    path.write_bytes(DAMAGED_HISTORY)
    result = aofdoctor("stats", path)
    assert result.status == 1 and result.err == ""
    assert f"damaged in 2 places, 4 bytes; this says what and where:\n          aofdoctor check {path}" in result.out
    assert aofdoctor("check", path).status == 1
    folder = make_small_set(tmp_path, {"a": SET, "b": SET})
    (folder / "a.aof.1.incr.aof").unlink()
    missing = aofdoctor("stats", folder)
    assert missing.status == 1 and "1 part is missing" in missing.out


def test_a_pipe_is_read_in_one_pass(tmp_path: Path) -> None:
    data = AOF_WITH_BASE + SET * 5
    done = subprocess.run(
        [sys.executable, "-m", "aofdoctor", "stats", "-", "--json"], input=data, capture_output=True, check=True
    )
    piped = Result(0, done.stdout, "").json
    path = tmp_path / "a.aof"
    path.write_bytes(data)
    whole = run_stats(path)
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
        assert run_stats(*args)["selected"]["commands"] == 0


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
        first = run_stats(path, "-n", "1")["keys"]["by_writes"][0]
        assert first["key"] == "hot" and abs(first["writes"] - first["over"] - 9000) <= 2 * first["deviation"]
        exact = run_stats(path, "--exact", "-n", "1")["keys"]
        assert exact["by_writes"][0]["deviation"] == 0
        assert (
            exact["by_writes"][0]["writes"] - exact["by_writes"][0]["over"] <= 9000 <= exact["by_writes"][0]["writes"]
        )
