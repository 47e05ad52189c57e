"""diff --by keys: which commands have the same effect on a key, and which have not."""

from pathlib import Path
from typing import Any

import pytest

from aofdoctor.resp import encode_command
from tests.conftest import aofdoctor
from tests.support.diffs import EXEC, MULTI, encode_commands, keys_of, set_commands
from tests.support.samples import make_small_set


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
        (["SET k 1", "SET a v", "COPY a k", "RENAMENX a k", "MOVE a 0", "DEL a"], ["SET k 1"]),
        (["SET k v", "DEL k", "UNLINK l"], []), (["GETDEL k"], ["MULTI", "EXEC"]),
    ],
)  # fmt: skip
def test_different_commands_with_equal_effect(pair: Any, a: list[str], b: list[str]) -> None:
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
        (["SET k 1", "SET a v", "COPY a k REPLACE", "DEL a"], ["SET k 1"]), (["ZADD k 1 a"], ["ZADD k 2 a"]),
    ],
)  # fmt: skip
def test_similar_commands_with_different_effect(pair: Any, a: list[str], b: list[str]) -> None:
    assert keys_of(*pair(encode_commands(*a), encode_commands(*b)))["status"] == 1


T = "1905828042000"


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ([f"SET k 1 PXAT {T} GET", "PERSIST k"], [f"SET k 1 PXAT {T} GET"]),
        ([f"SET k 1 NX PXAT {T}", "PERSIST k"], [f"SET k 1 NX PXAT {T}"]),
        (["SET k 1", f"PEXPIREAT k {T} NX", "SET k 2 KEEPTTL"], ["SET k 1", "SET k 2 KEEPTTL"]),
        (["SET k 1", f"GETEX k PXAT {T}", "SET k 2 KEEPTTL"], ["SET k 1", "SET k 2 KEEPTTL"]),
        (["SET k 1", f"PEXPIREAT k {T} GT", "SET k 2 KEEPTTL"], ["SET k 1", f"PEXPIREAT k {T} LT", "SET k 2 KEEPTTL"]),
        (["PFADD k a b", "PFCOUNT k"], ["PFADD k a b"]),
        (["PFADD k a", f"PEXPIREAT k {T}", "GETEX k PXAT 1"], ["PFADD k a", "GETEX k PXAT 1", f"PEXPIREAT k {T}"]),
        ([f"RESTORE k {T} x ABSTTL", "PERSIST k"], [f"RESTORE k {T} x ABSTTL"]),
        (["SET a 1", "SET b 2", "COPY a b"], ["SET a 1", "SET b 1"]),
        (["SET k 1", "SET k 2 EX x"], ["SET k 2 EX x"]),
        (["SET k 1", "SETEX k 0 2"], ["SETEX k 0 2"]),
        (["MSET k 1 l"], ["MSET k 1"]),
        (["SET k 1", "MSETNX k 2 l 3"], ["MSETNX k 2 l 3"]),
        (["RPUSH k 1", "GETSET k 2"], ["GETSET k 2"]),
        (["SET d 1", "SET s x", "SUNIONSTORE d s"], ["SET s x", "SUNIONSTORE d s"]),
        (["SADD k a", f"PEXPIREAT k {T}", "SREM k a", "SETNX k v"], ["SADD k a", "SREM k a", "SETNX k v", f"PEXPIREAT k {T}"]),
        (["SADD k a", "SREM k a", f"PEXPIREAT k {T}", "SETNX k v"], ["SADD k a", "SREM k a", "SETNX k v", f"PEXPIREAT k {T}"]),
        (["SADD k a", f"PEXPIREAT k {T}", "SREM k a", "SET k v KEEPTTL"], ["SET k 1", f"PEXPIREAT k {T}", "SET k v KEEPTTL"]),
    ],
)  # fmt: skip
def test_what_a_command_may_have_done_to_value_or_expiry_is_never_ignored(
    pair: Any, a: list[str], b: list[str]
) -> None:
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


def test_the_keys_that_a_command_reads_count(pair: Any) -> None:
    front = encode_commands("SADD x 1"), encode_commands("SADD x 2")
    for command in ("SUNIONSTORE d x y", "BITOP NOT d x", "COPY x d", "SORT x STORE d", "RENAME x d"):
        got = keys_of(*pair(*(one + encode_commands(command, "DEL x") for one in front)))
        assert got == {"status": 1, "differs": [(0, "d")]}, command


def test_all_commands_that_affect_a_selected_key_count(pair: Any) -> None:
    """A command that deletes, renames or moves a selected key counts, whether or not it names the key."""
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


def test_a_transaction_without_exec_does_not_count(pair: Any) -> None:
    assert keys_of(*pair(set_commands("a") + MULTI + set_commands("b"), set_commands("a"))) == {"status": 0}
    assert keys_of(*pair(set_commands("a") + MULTI + set_commands("b") + EXEC, set_commands("a"))) == {
        "status": 1,
        "only_a": [(0, "b")],
    }
    broken = set_commands("a") + MULTI + set_commands("b") + b"\0" * 50 + set_commands("c")
    assert keys_of(*pair(broken, set_commands("a"))) == {"status": 1, "only_a": [(0, "c")]}


def test_a_transaction_of_any_size_counts_if_it_ends(pair: Any) -> None:
    many = set_commands(*(f"k:{n}" for n in range(60_000)))  # Larger than the window.
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


def test_an_unknown_command_may_read_any_of_its_arguments(pair: Any) -> None:
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
    assert aofdoctor("diff", a, a, "--by", "keys").status == 0  # Equal bytes have equal effects.


def test_sort_without_by_names_all_its_keys(pair: Any) -> None:
    sort = encode_command([b"SORT", b"l", b"ALPHA", b"STORE", b"d"])
    assert keys_of(*pair(set_commands("z") + sort, set_commands("z", "z") + sort)) == {"status": 0}
