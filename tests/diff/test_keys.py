"""diff --by keys: the keys in which two histories differ, with selections, bases and damage."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from aofdoctor.resp import encode_command
from tests.conftest import FIXTURES, aofdoctor
from tests.support.diffs import SELECT_3, encode_commands, keys_of, set_commands
from tests.support.rdb_unreleased import UNRELEASED, with_checksum


def test_keys_differ_by_the_commands_that_made_them(pair: Any) -> None:
    incr = encode_command([b"INCR", b"n"])
    a = (
        set_commands("a", "gone", "same")
        + incr
        + encode_command([b"DEL", b"gone"])
        + encode_command([b"SET", b"x", b"1"])
    )
    b = set_commands("same", "b") + incr + incr + encode_command([b"SET", b"x", b"2"])
    assert keys_of(*pair(a, b)) == {
        "status": 1, "only_a": [(0, "a")], "only_b": [(0, "b")], "differs": [(0, "n"), (0, "x")],
    }  # fmt: skip


def test_keys_of_histories_that_share_no_bytes(pair: Any) -> None:
    a = (
        encode_command([b"SET", b"k", b"1"])
        + encode_command([b"INCR", b"k"])
        + encode_command([b"SET", b"k", b"9"])
        + set_commands("z")
    )
    assert keys_of(*pair(a, set_commands("z") + encode_command([b"SET", b"k", b"9"]))) == {"status": 0}


def test_renames_swaps_moves_and_flushes_carry_keys(pair: Any) -> None:
    a = set_commands("a") + encode_command([b"RENAME", b"a", b"b"]) + encode_command([b"SWAPDB", b"0", b"3"])
    assert keys_of(*pair(a, b"")) == {"status": 1, "only_a": [(3, "b")]}
    a = set_commands("a", "c") + encode_command([b"MOVE", b"a", b"3"]) + encode_command([b"FLUSHDB"])
    assert keys_of(*pair(a, b"")) == {"status": 1, "only_a": [(3, "a")]}
    assert keys_of(
        *pair(set_commands("a") + encode_command([b"FLUSHALL"]), set_commands("b") + encode_command([b"FLUSHALL"]))
    ) == {"status": 0}


def test_selections_apply(pair: Any) -> None:
    a, b = pair(set_commands("user:1", "x:1"), SELECT_3 + set_commands("user:2"))
    assert keys_of(a, b, "--key", "user:*") == {"status": 1, "only_a": [(0, "user:1")], "only_b": [(3, "user:2")]}
    assert keys_of(a, b, "--db", "3") == {"status": 1, "only_b": [(3, "user:2")]}
    lines = aofdoctor("diff", a, b, "--key", "user:*", "--json").lines
    assert [line["keys"] for line in lines if line["type"] == "only"] == [["user:1"], ["user:2"]]
    assert aofdoctor("diff", a, b, "--cmd", "del").status == 0
    assert aofdoctor("diff", a, b, "--from", "0").status == 2


# -- bases --


def base_and_incr(folder: Path, incr: bytes) -> Path:
    """Copy the multi-part AOF of a fixture with other commands after its base."""
    shutil.copytree(FIXTURES / "aof" / "wiped-redis-8.2" / "appendonlydir", folder)
    next(path for path in folder.iterdir() if path.name.endswith(".incr.aof")).write_bytes(incr)
    return next(folder.glob("*.manifest"))


def test_a_base_is_read(tmp_path: Path) -> None:
    one = base_and_incr(tmp_path / "one", b"")
    gone = base_and_incr(tmp_path / "gone", encode_commands("FLUSHALL"))
    got = keys_of(one, gone)
    assert got["status"] == 1 and len(got["only_a"]) == 21
    key = got["only_a"][0][1]
    less = base_and_incr(tmp_path / "less", encode_commands(f"DEL {key}"))
    assert keys_of(one, less) == {"status": 1, "only_a": [(0, key)]}
    assert keys_of(less, gone, "--key", key) == {"status": 0}
    assert keys_of(one, gone, "--cmd", "set") == {"status": 0}


def test_the_readable_keys_of_a_damaged_base_count(tmp_path: Path) -> None:
    one, two = (base_and_incr(tmp_path / name, b"") for name in ("one", "two"))
    base = next(path for path in two.parent.iterdir() if path.name.endswith(".base.rdb"))
    data = base.read_bytes()
    base.write_bytes(data[: len(data) // 2])
    result = aofdoctor("diff", one, two, "--by", "keys", "--json")
    summary = result.lines[0]
    assert result.status == 1
    assert summary["only_a"] > 0 and summary["same"] > 0 and summary["only_a"] + summary["same"] == 21
    assert "damage in B" in result.err and "only the keys that can be read" in result.err


@pytest.mark.parametrize("name", sorted(UNRELEASED))
def test_keys_of_every_rdb_type_are_listed(name: str, tmp_path: Path) -> None:
    """This includes types without a decoder and types of unreleased servers."""
    path, empty = tmp_path / "one.rdb", tmp_path / "empty.aof"
    path.write_bytes(with_checksum(UNRELEASED[name]))
    empty.write_bytes(encode_commands("PING"))
    got = keys_of(path, empty)
    assert sorted(key for _, key in got.get("only_a", ())) == sorted({key.decode() for key in UNRELEASED[name].names})
    assert keys_of(path, path) == {"status": 0}


def test_exact_is_about_commands(pair: Any) -> None:
    assert aofdoctor("diff", *pair(set_commands("a"), set_commands("a")), "--by", "keys", "--exact").status == 2
