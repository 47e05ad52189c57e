"""The statistics of RDB keys agree with log --base, also for damaged files."""

from pathlib import Path

import pytest

from tests.conftest import FIXTURES, aofdoctor
from tests.support.base_keys import SELECT_0, make_base, text_key
from tests.support.samples import SET
from tests.support.stats import AOF_WITH_BASE, count_by, first_key_prefix, run_stats

ODD_NAMES = [b"user:1", b"user:2", b"7", b"\x1b]0;gone\x07:x", b""]


@pytest.mark.parametrize(
    "selection", [[], ["--key", "user:1*"], ["--db", "3"], ["--min-size", "20"], ["--cmd", "set"], ["--grep", "^b$"],
                  ["--since", "1700000001"], ["--key", "x", "--invert"], ["--cmd", "set", "--invert"]], ids=" ".join
)  # fmt: skip
def test_the_keys_of_a_base_are_those_of_log(selection: list[str], tmp_path: Path) -> None:
    path = tmp_path / "appendonly.aof"
    path.write_bytes(AOF_WITH_BASE + b"#TS:1700000009\r\n" + SET)
    lines = [line for line in aofdoctor("log", path, "--base", "--json", *selection).lines if line["cmd"] == "(base)"]
    base = run_stats(path, *selection)["base"]
    expires = sum(line["expire_ms"] is not None for line in lines)
    assert (base["keys"], base["bytes"], base["expires"]) == (len(lines), sum(line["size"] for line in lines), expires)
    for name, of in (("type", lambda line: line["type"]), ("db", lambda line: line["db"])):
        rows = {row[name]: (row["keys"], row["bytes"]) for row in base[f"by_{name}"]}
        assert rows == count_by(lines, of), name
    prefixes = {row["prefix"]: (row["keys"], row["bytes"]) for row in base["by_prefix"]["rows"]}
    assert prefixes == count_by(lines, first_key_prefix) and base["by_prefix"]["others"] is None
    largest = [(row["offset"], row["size"], row["key"], row["db"], row["type"]) for row in base["largest"]]
    by_size = sorted(lines, key=lambda line: -line["size"])
    assert largest == [(x["offset"], x["size"], x["keys"][0], x["db"], x["type"]) for x in by_size]
    if not selection:
        assert len(lines) == 34 and base["bytes"] < run_stats(path)["totals"]["rdb_bytes"] == len(AOF_WITH_BASE)


@pytest.mark.parametrize("path", sorted((FIXTURES / "rdb").glob("*.rdb")), ids=lambda path: path.stem)
def test_every_key_of_the_fixtures_is_counted(path: Path) -> None:
    lines = [line for line in aofdoctor("log", path, "--base", "--json").lines if line["cmd"] == "(base)"]
    base = run_stats(path)["base"]
    types = {row["type"]: (row["keys"], row["bytes"]) for row in base["by_type"]}
    assert base["keys"] == len(lines) and types == count_by(lines, lambda line: line["type"])


def test_the_readable_keys_of_a_damaged_base_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "dump.rdb"
    path.write_bytes(AOF_WITH_BASE[:300] + b"\xff" * 9 + AOF_WITH_BASE[309:])
    lines = [line for line in aofdoctor("log", path, "--base", "--json").lines if line["cmd"] == "(base)"]
    found = run_stats(path)
    assert found["base"]["keys"] == len(lines) > 10 and found["base"]["damage"] > 0
    assert found["totals"]["damage"]["count"] == 1 and "damaged in 1 place" in aofdoctor("stats", path).out


def test_large_values_between_keys_are_not_read(tmp_path: Path) -> None:
    path = tmp_path / "dump.rdb"
    path.write_bytes(
        make_base(SELECT_0, *(text_key(f"big:{n}", "v" * 300_000) for n in range(12)), text_key("small:1", "v"))
    )
    base = run_stats(path)["base"]
    assert {row["prefix"]: row["keys"] for row in base["by_prefix"]["rows"]} == {"big:": 12, "small:": 1}
    assert base["largest"][0]["size"] > 300_000 and base["largest"][0]["key"] == "big:10"
