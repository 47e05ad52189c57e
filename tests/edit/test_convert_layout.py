"""convert --layout, and the requests that convert refuses."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from aofdoctor.resp import encode_command
from tests.conftest import FIXTURES, aofdoctor
from tests.support import rdb_value_writer as w
from tests.support.conversions import convert, loaded_state, sealed_rdb
from tests.support.rdb_files import RDB_FIXTURES
from tests.support.rdb_value_writer import length, string
from tests.support.servers import servers_by_line

Story = Callable[[str], Path]
named = pytest.mark.parametrize("path", RDB_FIXTURES, ids=lambda path: path.stem)


# -- layouts --


def test_parts_in_one_file_each_begin_in_the_first_database(tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    parts = {"a.aof.1.base.aof": [[b"SELECT", b"3"], [b"SET", b"base", b"x"]], "a.aof.1.incr.aof": [[b"SET", b"one", b"x"], [b"SELECT", b"2"]],
             "a.aof.2.incr.aof": [[b"SET", b"two", b"x"]]}  # fmt: skip
    for name, commands in parts.items():
        (tmp_path / "set" / name).write_bytes(b"".join(map(encode_command, commands)))
    lines = [f"file {name} seq {name.split('.')[2]} type {name.split('.')[3][0]}\n" for name in parts]
    (tmp_path / "set" / "a.aof.manifest").write_text("".join(lines))
    convert(tmp_path / "set", "--layout", "single", "-o", tmp_path / "out.aof")
    _, keys, _ = loaded_state(servers_by_line()["redis-6.2"], tmp_path / "out.aof")
    assert {(key["db"], key["key"]) for key in keys} == {(3, "base"), (0, "one"), (0, "two")}


@pytest.mark.parametrize("name", ["set-v12", "list-quicklist2-v12"])
def test_a_dump_becomes_a_set_that_loads(name: str, tmp_path: Path) -> None:
    path = FIXTURES / "rdb" / f"{name}.rdb"
    convert(path, "--layout", "multi-part", "-o", tmp_path / "out")
    assert sorted(file.suffix for file in (tmp_path / "out").iterdir()) == [".aof", ".manifest", ".rdb"]
    binary = servers_by_line()["redis-8.2"]
    assert loaded_state(binary, tmp_path / "out") == loaded_state(binary, path)


def test_converting_back_gives_the_same_bytes(story: Story, tmp_path: Path) -> None:
    path = story("wiped-redis-6.2-preamble") / "appendonly.aof"
    convert(path, "--layout", "multi-part", "-o", tmp_path / "set")
    convert(tmp_path / "set", "--layout", "single", "-o", tmp_path / "back.aof")
    back = (tmp_path / "back.aof").read_bytes()
    assert back == path.read_bytes() + encode_command([b"SELECT", b"0"])


# -- refusals --

SET = encode_command([b"SET", b"a", b"1"])


@pytest.mark.parametrize(
    ("words", "status"),
    [
        ([], 2), (["--base", "json"], 2), (["--base", "rdb"], 2), (["--rdb-version", "9"], 2), (["--layout", "both"], 2),
        (["--base", "rdb", "--rdb-version", "16"], 2), (["--for", "redis-6.2"], 2), (["--base", "resp", "--for", "redis-1"], 2),
        (["--shift-ttl", "2"], 2), (["--shift-ttl", "0h"], 2), (["--shift-ttl", "1h", "--now", "now"], 2),
        (["--base", "resp"], 3), (["--layout", "single"], 3),
    ],
)  # fmt: skip
def test_empty_and_impossible_requests_are_refused(words: list[str], status: int, tmp_path: Path) -> None:
    (tmp_path / "a.aof").write_bytes(SET)
    result = aofdoctor("convert", tmp_path / "a.aof", *words, "-o", tmp_path / "out")
    assert result.status == status and not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "damage", [b"junk", SET[:9], encode_command([b"MULTI"]) + SET], ids=["junk", "torn", "open MULTI"]
)
def test_damage_is_refused_with_the_way_to_repair(damage: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.aof").write_bytes(SET + damage)
    result = aofdoctor("convert", tmp_path / "a.aof", "--layout", "multi-part", "-o", tmp_path / "out")
    assert result.status == 3 and "aofdoctor repair" in result.err and not (tmp_path / "out").exists()


@named
def test_every_truncation_and_flip_of_a_base_is_refused_or_converted_whole(path: Path, tmp_path: Path) -> None:
    data = path.read_bytes()
    step = max(1, len(data) // 4)
    for at in range(9, len(data), step):
        for bad in (data[:at], data[:at] + bytes((data[at] ^ 0x55,)) + data[at + 1 :]):
            (tmp_path / "bad.rdb").write_bytes(bad)
            for words in (["--base", "resp"], ["--base", "rdb", "--rdb-version", "9", "--lossy"]):
                result = aofdoctor("convert", tmp_path / "bad.rdb", *words, "-o", tmp_path / "out")
                assert result.status == 3 and not (tmp_path / "out").exists()


def test_undecodable_values_under_a_correct_checksum_are_refused(tmp_path: Path) -> None:
    lying = [b"\x10" + string(b"h") + string(b"no listpack"), b"\x00" + string(b"s") + w.lzf_string(b"\x05abc", 50),
             b"\x15" + string(b"x") + length(1) + string(b"short") + string(b"node") + length(0) * 9]  # fmt: skip
    for body in lying:
        (tmp_path / "a.rdb").write_bytes(sealed_rdb(b"REDIS0011", body))
        for words in (["--base", "resp"], ["--base", "rdb", "--rdb-version", "9", "--lossy"]):
            result = aofdoctor("convert", tmp_path / "a.rdb", *words, "-o", tmp_path / "out")
            assert (result.status == 3 and "cannot be read" in result.err) or body[0] == 0, result.err
            shutil.rmtree(tmp_path / "out", ignore_errors=True)
            (tmp_path / "out").unlink(missing_ok=True)
            (tmp_path / "out.receipt.json").unlink(missing_ok=True)


def test_no_file_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "a.aof").write_bytes(SET)
    (tmp_path / "out").write_bytes(b"mine")
    assert aofdoctor("convert", tmp_path / "a.aof", "--layout", "multi-part", "-o", tmp_path / "out").status == 3
    assert (tmp_path / "out").read_bytes() == b"mine"
