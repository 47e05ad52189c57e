"""diff --by keys: which keys two histories leave otherwise, and what makes two the same."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given

from aofdoctor.aof.records import encode_command
from aofdoctor.diff.keys.key_diff import DIFFERS, ONLY_A, KeyDiffLimits, compare_keys
from aofdoctor.diff.units.side import ComparisonRules, Side
from aofdoctor.log.selection import Selection
from tests.conftest import FIXTURES, aofdoctor
from tests.support.diffs import (
    DIGEST_KEY,
    EXEC,
    MULTI,
    SELECT_3,
    encode_commands,
    keys_of,
    memory_aof,
    pair,
    set_commands,
)
from tests.support.hostile_bytes import hostile_aofs, sound_aofs
from tests.support.rdb_unreleased import UNRELEASED, with_checksum
from tests.support.samples import make_small_set

__all__ = ["pair"]


def test_keys_by_what_made_them(pair: Any) -> None:
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


# -- what is the same --


@pytest.mark.parametrize(
    ("a", "b"),
    [
        (["SET k v PXAT 1700000000000"], ["SET k v", "PEXPIREAT k 1700000000000"]),
        (["SET k v", "EXPIREAT k 1700000000"], ["SET k old", "SET k v EXAT 1700000000"]),
        (["SET k v EX 5", "PERSIST k"], ["SET k v"]),
        (["SET k old PXAT 1700000000000", "SET k v KEEPTTL"], ["SET k v PXAT 1700000000000"]),
        (["SETNX k v"], ["SET k v"]), (["SET k v NX"], ["GETSET k v"]), (["MSET k v l w"], ["SET l w", "SET k v"]),
        (["RPUSH l a b c"], ["RPUSH l a", "RPUSH l b c"]), (["SADD s a b c"], ["SADD s c", "SADD s b a"]),
        (["HSET h f 1 g 2"], ["HMSET h g 2 f 1"]), (["SET a v", "RENAME a k"], ["SET k v"]),
        (["SET a v", "COPY a k", "DEL a"], ["SET k v"]), (["SET k v", "MOVE k 3"], ["SELECT 3", "SET k v"]),
        (["SET k v", "COPY k k DB 3", "DEL k"], ["SELECT 3", "SET k v"]),
        (["SET a v PXAT 1700000000000", "RENAME a k"], ["SET k v PXAT 1700000000000"]),
        (["SADD x 1", "SUNIONSTORE d x y"], ["SADD d 9", "SADD x 1", "SUNIONSTORE d x y"]),
        (["SET k v", "DEL k", "UNLINK l"], []), (["GETDEL k"], ["MULTI", "EXEC"]),
    ],
)  # fmt: skip
def test_other_commands_of_equal_effect(pair: Any, a: list[str], b: list[str]) -> None:
    assert keys_of(
        *pair(
            encode_commands(*a),
            encode_commands(*b),
        )
    ) == {"status": 0}


@pytest.mark.parametrize(
    ("a", "b"),
    [
        (["SET k v"], ["SET k v PXAT 1700000000000"]), (["SET k v", "PEXPIREAT k 5"], ["SET k v", "PEXPIREAT k 6"]),
        (["SET k v"], ["SET k v EX 5"]), (["RPUSH k a b"], ["RPUSH k b a"]), (["SADD k a"], ["RPUSH k a"]),
        (["HSET k f 1", "HSET k f 2"], ["HSET k f 2", "HSET k f 1"]), (["HSET k f 1 f 2"], ["HSET k f 2 f 1"]),
        (["SADD k a", "SREM k b", "SADD k b"], ["SADD k a", "SADD k b", "SREM k b"]), (["SET k ab"], ["SET k a"]),
        (["SADD a 1", "SADD b 2", "SMOVE a b 1"], ["SADD a 1", "SADD b 2", "SMOVE b a 1"]),
        (["MSETNX k 1 l 2"], ["MSETNX l 1 k 2"]), (["SET k v", "APPEND k w"], ["SET k v", "APPEND k x"]),
        (["SET k 1", "SET a v", "COPY a k", "DEL a"], ["SET k 1"]), (["ZADD k 1 a"], ["ZADD k 2 a"]),
    ],
)  # fmt: skip
def test_what_only_looks_the_same(pair: Any, a: list[str], b: list[str]) -> None:
    assert keys_of(*pair(encode_commands(*a), encode_commands(*b)))["status"] == 1


def test_a_key_that_is_only_read_is_not_written(pair: Any) -> None:
    made = encode_commands("SADD x 1 2", "SADD y 2", "RPUSH l 3 1", "SET s abc", "ZADD z 1 a")
    reading = ["SUNIONSTORE d x y", "SINTERSTORE d x y", "SDIFFSTORE d x y", "ZUNIONSTORE d 2 x z", "ZRANGESTORE d z 0 -1",
               "BITOP NOT d s", "COPY s d", "SORT l STORE d", "PFMERGE d p q", "GEOSEARCHSTORE d z FROMMEMBER a BYRADIUS 1 m"]  # fmt: skip
    for command in reading:
        assert keys_of(*pair(made + encode_commands(command), made)) == {"status": 1, "only_a": [(0, "d")]}, command
    for command, keys in (("LMOVE l m LEFT RIGHT", "lm"), ("SMOVE x m 1", "mx"), ("RENAME s m", "ms")):
        got = keys_of(*pair(made + encode_commands(command), made))
        assert sorted(key for kind in ("only_a", "only_b", "differs") for _, key in got.get(kind, ())) == sorted(
            keys
        ), command


def test_what_a_command_reads_counts(pair: Any) -> None:
    front = encode_commands("SADD x 1"), encode_commands("SADD x 2")
    for command in ("SUNIONSTORE d x y", "BITOP NOT d x", "COPY x d", "SORT x STORE d", "RENAME x d"):
        got = keys_of(*pair(*(one + encode_commands(command, "DEL x") for one in front)))
        assert got == {"status": 1, "differs": [(0, "d")]}, command


def test_a_selected_key_is_what_all_commands_make_of_it(pair: Any) -> None:
    """What takes it away, or makes it of one that is not selected, counts."""
    for command in ("FLUSHALL", "SWAPDB 0 5", "RENAME user:1 x", "MOVE user:1 3"):
        got = keys_of(
            *pair(set_commands("user:1") + encode_commands(command), set_commands("user:1")),
            "--key",
            "user:1",
            "--db",
            "0",
        )
        assert got == {"status": 1, "only_b": [(0, "user:1")]}, command
    a, b = (encode_commands(f"SET other {n}", "RENAME other user:1") for n in (1, 2))
    assert keys_of(*pair(a, b), "--key", "user:*") == {"status": 1, "differs": [(0, "user:1")]}
    assert keys_of(*pair(a, b), "--key", "user:*", "--invert") == {"status": 0}
    out = aofdoctor("diff", *pair(a, b), "--by", "keys", "--key", "x").out
    assert out == "no difference by keys in what is selected\n"


# -- what a server drops --


def test_a_transaction_without_exec_does_not_count(pair: Any) -> None:
    assert keys_of(*pair(set_commands("a") + MULTI + set_commands("b"), set_commands("a"))) == {"status": 0}
    assert keys_of(*pair(set_commands("a") + MULTI + set_commands("b") + EXEC, set_commands("a"))) == {
        "status": 1,
        "only_a": [(0, "b")],
    }
    broken = set_commands("a") + MULTI + set_commands("b") + b"\0" * 50 + set_commands("c")
    assert keys_of(*pair(broken, set_commands("a"))) == {"status": 1, "only_a": [(0, "c")]}


def test_a_transaction_of_any_size_counts_if_it_ends(pair: Any) -> None:
    many = set_commands(*(f"k:{n}" for n in range(60_000)))  # more than a window
    counts = [
        aofdoctor("diff", *pair(MULTI + many + end, set_commands("x")), "--by", "keys", "--json").lines[0]
        for end in (EXEC, b"")
    ]
    assert [one["only_a"] for one in counts] == [60_000, 0]


def test_a_part_that_ends_inside_a_transaction(tmp_path: Path) -> None:
    one = make_small_set(
        tmp_path / "one", {"base": set_commands("a"), "incr": MULTI + set_commands("b"), "more": set_commands("c")}
    )
    two = make_small_set(tmp_path / "two", {"base": set_commands("a"), "incr": b"", "more": set_commands("c")})
    assert keys_of(one, two) == {"status": 0}


# -- many keys --


@pytest.mark.parametrize("name", ["DEL", "UNLINK"])
def test_all_keys_of_a_large_record_count(pair: Any, name: str) -> None:
    keys = [b"key:%014d" % n for n in range(60_000)]
    all_set, gone = (
        encode_command([b"MSET", *(word for key in keys for word in (key, b"v"))]),
        encode_command([name.encode(), *keys]),
    )
    assert len(gone) > 1 << 20
    assert keys_of(*pair(all_set + gone, set_commands("x") + encode_command([b"DEL", b"x"]))) == {"status": 0}
    got = keys_of(*pair(all_set, set_commands("x")))
    assert sorted(got["only_a"]) == [(0, key.decode()) for key in keys]


def test_values_larger_than_a_window_are_exported_in_pieces(pair: Any) -> None:
    big, same = b"x" * (2 << 20), b"y" * 100
    one = (
        encode_command([b"RPUSH", b"l", same, big])
        + encode_command([b"SET", b"s", big, b"PXAT", b"7000000000000"])
        + encode_command([b"HSET", b"h", b"f", big])
    )
    two = (
        encode_command([b"RPUSH", b"l", same])
        + encode_command([b"RPUSH", b"l", big])
        + encode_command([b"SET", b"s", big])
    )
    two += encode_commands("PEXPIREAT s 7000000000000") + encode_command([b"HMSET", b"h", b"f", big])
    assert keys_of(*pair(one, two)) == {"status": 0}
    assert keys_of(*pair(one, two + encode_command([b"SET", b"s", big[:-1] + b"z"])))["differs"] == [(0, "s")]


def histories(seed: int, keys: int, count: int) -> bytes:
    random = Random(seed)
    names = (
        "SET {} 1",
        "SET {} 2",
        "DEL {}",
        "INCR {}",
        "SADD {} x",
        "RENAME {} k0",
        "SELECT 1",
        "SELECT 0",
        "PEXPIREAT {} 7000000000000",
    )
    return encode_commands(*(random.choice(names).format(f"k{random.randrange(keys)}") for _ in range(count)))


def key_events(a: bytes, b: bytes, limits: KeyDiffLimits) -> list[Any]:
    sides = [Side(memory_aof(data), ComparisonRules.create(DIGEST_KEY, False)) for data in (a, b)]
    found = compare_keys(sides[0], sides[1], (Selection(), Selection()), limits)
    return [found.counts, found.equal_keys, *found.rows()]


@pytest.mark.parametrize(
    "limits", [KeyDiffLimits(1 << 13, 300, 50), KeyDiffLimits(0, 300, 50), KeyDiffLimits(0, 1 << 12, 1 << 12)]
)
def test_the_answer_does_not_depend_on_what_may_be_held(limits: KeyDiffLimits) -> None:
    front = histories(1, 3000, 9000)
    for a, b in (
        (front + histories(2, 3000, 2000), front + histories(3, 3000, 2000)),
        (front, histories(4, 3000, 9000)),
    ):
        expected = key_events(a, b, KeyDiffLimits())
        assert len(expected) > 500
        assert key_events(a, b, limits) == expected


def test_rows_come_in_the_order_of_their_last_write() -> None:
    found = key_events(histories(1, 500, 4000), histories(2, 500, 4000), KeyDiffLimits(rows=100))[2:]
    places = [(kind, (row.a if kind in (ONLY_A, DIFFERS) else row.b)) for kind, row in found]
    assert places == sorted(places)
    assert all(row.name for _, row in found)


def test_more_keys_than_two_millions_in_little_memory(tmp_path: Path) -> None:
    count = 2_100_000
    with open(tmp_path / "a.aof", "wb") as one, open(tmp_path / "b.aof", "wb") as two:
        two.write(set_commands("x"))
        for at in range(0, count, 100_000):
            data = b"".join(b"*2\r\n$4\r\nINCR\r\n$7\r\n%07d\r\n" % n for n in range(at, at + 100_000))
            one.write(data)
            two.write(data)
    out, peak = peak_of(tmp_path / "a.aof", tmp_path / "b.aof", "--by", "keys", "--json")
    summary, line = map(json.loads, out.splitlines())
    assert (summary["same"], line["type"], line["key"]) == (count, "only_b", "x")
    assert peak < 128


def peak_of(*args: Path | str) -> tuple[str, float]:
    """What diff says, and the MiB that it held at most."""
    code = (
        "import resource, subprocess, sys; print(subprocess.run(sys.argv[1:], capture_output=True, text=True).stdout, end=''); "
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
    )
    command = [sys.executable, "-c", code, sys.executable, "-m", "aofdoctor", "diff", *map(str, args)]
    *lines, last = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    return "\n".join(lines), int(last) / 1024


def test_a_million_flushes_are_fast(pair: Any) -> None:
    """Each would go over the table if it did anything to its keys."""
    some = set_commands(*(f"k:{n}" for n in range(50_000)))
    a = (
        SELECT_3
        + some
        + encode_commands("SELECT 0")
        + (set_commands("a") + encode_commands("FLUSHDB", "SWAPDB 0 1")) * 30_000
    )
    assert keys_of(*pair(a, SELECT_3 + some)) == {"status": 0}


# -- bases --


def base_and_incr(folder: Path, incr: bytes) -> Path:
    """The set of a story with other commands after its base."""
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


def test_of_a_damaged_base_what_can_be_read_counts(tmp_path: Path) -> None:
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
def test_keys_of_any_rdb_are_named(name: str, tmp_path: Path) -> None:
    """Also those of types that are not read, and of servers that are not at hand."""
    path, empty = tmp_path / "one.rdb", tmp_path / "empty.aof"
    path.write_bytes(with_checksum(UNRELEASED[name]))
    empty.write_bytes(encode_commands("PING"))
    got = keys_of(path, empty)
    assert sorted(key for _, key in got.get("only_a", ())) == sorted({key.decode() for key in UNRELEASED[name].names})
    assert keys_of(path, path) == {"status": 0}


# -- laws --


def counted(a: bytes, b: bytes) -> tuple[list[int], int | None]:
    sides = [Side(memory_aof(data), ComparisonRules.create(DIGEST_KEY, False)) for data in (a, b)]
    found = compare_keys(sides[0], sides[1], (Selection(), Selection()))
    assert len(list(found.rows())) == sum(found.counts)
    return found.counts, found.equal_keys


@given(sound_aofs | hostile_aofs, sound_aofs | hostile_aofs)
def test_swapping_mirrors_keys(a: bytes, b: bytes) -> None:
    (only_a, only_b, differ), same = counted(a, b)
    assert counted(b, a) == ([only_b, only_a, differ], same)
    assert counted(a, a)[0] == [0, 0, 0]


def test_exact_is_about_commands(pair: Any) -> None:
    assert aofdoctor("diff", *pair(set_commands("a"), set_commands("a")), "--by", "keys", "--exact").status == 2


def test_a_command_that_no_server_knows_may_read_any_of_its_arguments(pair: Any) -> None:
    module, y = encode_command([b"JSON.MERGE", b"q", b"y"]), encode_command([b"SET", b"y", b"1"])
    assert keys_of(*pair(set_commands("z") + y + module, set_commands("z") + module + y)) == {
        "status": 1,
        "differs": [(0, "q")],
    }
    assert keys_of(*pair(set_commands("z") + y + module, set_commands("a", "z") + y + module)) == {
        "status": 1,
        "only_b": [(0, "a")],
    }


@pytest.mark.parametrize(
    "reads",
    [[b"SORT", b"l", b"BY", b"w_*", b"STORE", b"d"], [b"EVAL", b"return 1", b"1", b"d"], [b"FCALL", b"f", b"0"]],
)
def test_commands_with_unnamed_keys_are_reported_and_never_equal(reads: list[bytes], pair: Any) -> None:
    def side(one: bytes, two: bytes) -> bytes:
        weights = encode_command([b"MSET", b"w_a", one, b"w_b", two])
        return (
            weights
            + encode_command([b"RPUSH", b"l", b"a", b"b"])
            + encode_command(reads)
            + encode_command([b"DEL", b"w_a", b"w_b"])
        )

    a, b = pair(side(b"1", b"2"), side(b"2", b"1"))
    result = aofdoctor("diff", a, b, "--by", "keys")
    assert result.status == 1 and "1 command of A and 1 of B" in result.out and "not known" in result.out
    summary = aofdoctor("diff", a, b, "--by", "keys", "--json").lines[0]
    assert not summary["equal"] and summary["unnamed"] == {"a": 1, "b": 1}
    assert aofdoctor("diff", a, a, "--by", "keys").status == 0  # the same bytes do the same


def test_a_plain_sort_names_all_its_keys(pair: Any) -> None:
    sort = encode_command([b"SORT", b"l", b"ALPHA", b"STORE", b"d"])
    assert keys_of(*pair(set_commands("z") + sort, set_commands("z", "z") + sort)) == {"status": 0}
