"""The verbs that only read end with status 1 on a damaged AOF, as check does, and with 0 on a sound one."""

from pathlib import Path

import pytest

from aofdoctor.resp import encode_command
from tests.conftest import aofdoctor

SET = encode_command([b"SET", b"a", b"b"])
SELECT = encode_command([b"SELECT", b"0"])
MULTI, EXEC = encode_command([b"MULTI"]), encode_command([b"EXEC"])
TORN_BY_RESTART = SELECT + SET + MULTI + SET + SELECT + SET * 3 + MULTI + SET * 2 + EXEC + SET
DAMAGED = {"garbage": SET + b"junk" + SET, "torn": SET * 2 + SET[:-4], "nul": SET + bytes(40)}
VERBS = [["check"], ["stats"], ["log"], ["diff"], ["diff", "--by", "keys"]]


def run(words: list[str], path: Path) -> int:
    sides = [path, path] if words[0] == "diff" else [path]
    return aofdoctor(words[0], *sides, *words[1:]).status


@pytest.mark.parametrize("words", VERBS, ids=" ".join)
def test_the_status_is_that_of_check(words: list[str], tmp_path: Path) -> None:
    path = tmp_path / "appendonly.aof"
    path.write_bytes(SELECT + SET * 3)
    assert run(words, path) == 0
    for name, data in DAMAGED.items():
        path.write_bytes(data)
        assert run(words, path) == 1, name


@pytest.mark.parametrize("json", [[], ["--json"]])
def test_show_has_the_status_of_what_it_shows(json: list[str], tmp_path: Path) -> None:
    path = tmp_path / "appendonly.aof"
    path.write_bytes(DAMAGED["garbage"])
    assert aofdoctor("show", path, str(len(SET)), *json).status == 1
    assert aofdoctor("show", path, "0", *json).status == 0


@pytest.mark.parametrize("words", [["stats"], ["log"]], ids=" ".join)
def test_a_record_that_is_still_being_written_is_no_damage(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "appendonly.aof"
    path.write_bytes(SET * 2 + SET[:-4])
    monkeypatch.setattr("aofdoctor.source.FileSource.has_grown", lambda source: True)
    assert run(words, path) == 0


def test_stats_names_the_transactions_that_a_restart_tore_as_check_does(tmp_path: Path) -> None:
    path = tmp_path / "appendonly.aof"
    path.write_bytes(TORN_BY_RESTART)
    [torn] = [f for f in aofdoctor("check", path, "--json").json["findings"] if f["code"] == "torn-transaction"]
    done = aofdoctor("stats", path, "--json")
    [event] = [f for f in done.json["suspects"] if f["code"] == "torn-transaction"]
    assert done.status == 1 and (event["start"], event["end"]) == (torn["start"], torn["end"])
    assert "1 transaction without EXEC that a restart tore" in aofdoctor("stats", path).out
