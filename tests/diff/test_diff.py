"""diff: the fork of two histories, the commands that each side has since, and the differences that it ignores."""

from pathlib import Path
from random import Random
from typing import Any

import pytest

from aofdoctor.diff import differ
from aofdoctor.resp import encode_command
from tests.conftest import aofdoctor
from tests.support.diffs import EXEC, MULTI, SELECT_0, SELECT_3, compare, numbered_sets, open_pipe, set_commands
from tests.support.hostile_bytes import MALFORMED
from tests.support.samples import make_small_set

# -- equality of commands --


@pytest.mark.parametrize(
    ("a", "b"),
    [
        (set_commands("a", "b"), b"#TS:1700000000\r\n" + set_commands("a") + b"# x\n" + set_commands("b")),
        (set_commands("a", "b"), SELECT_0 + set_commands("a") + SELECT_3 + SELECT_0 + set_commands("b")),
        (set_commands("a"), b"*3\r\n$003\r\nset\r\n$1\r\na\r\n$01\r\n1\r\n"),
        (SELECT_3 + MULTI + set_commands("a", "b") + EXEC, MULTI + SELECT_3 + set_commands("a", "b") + EXEC),
        (set_commands("a"), MULTI + set_commands("a") + EXEC),
        (set_commands("a"), MULTI + EXEC + set_commands("a")),
        (SELECT_3 + encode_command([b"FLUSHALL"]), encode_command([b"flushall"])),
    ],
    ids=[
        "annotations",
        "selects",
        "spelling",
        "select in multi",
        "a transaction of one",
        "of none",
        "flushall anywhere",
    ],
)
def test_equal_in_effect(pair: Any, a: bytes, b: bytes) -> None:
    result = aofdoctor("diff", *pair(a, b))
    assert result.status == 0
    assert result.out.startswith("no difference")


@pytest.mark.parametrize(
    ("a", "b"),
    [
        (set_commands("a"), set_commands("b")),
        (set_commands("a"), SELECT_3 + set_commands("a")),
        (set_commands("a", "b"), MULTI + set_commands("a", "b") + EXEC),
        (MULTI + set_commands("a", "b") + EXEC, MULTI + set_commands("a", "b")),
        (encode_command([b"SET", b"a", b"bc"]), encode_command([b"SET", b"ab", b"c"])),
        (set_commands("a"), set_commands("a") + b"*1\r\n"),
    ],
    ids=["key", "database", "transaction", "exec", "arguments", "torn tail"],
)
def test_not_equal(pair: Any, a: bytes, b: bytes) -> None:
    assert aofdoctor("diff", *pair(a, b)).status == 1


def test_exact_compares_spelling_but_not_annotations(pair: Any) -> None:
    assert aofdoctor("diff", *pair(set_commands("a"), set_commands("a").replace(b"SET", b"set")), "--exact").status == 1
    assert aofdoctor("diff", *pair(set_commands("a"), b"#TS:1\r\n" + set_commands("a")), "--exact").status == 0


def test_a_multi_part_aof_equals_its_single_file(pair: Any, tmp_path: Path) -> None:
    single, _ = pair(set_commands("a", "b", "c"), b"")
    parts = make_small_set(tmp_path, {"base": set_commands("a"), "incr": b"", "more": set_commands("b", "c")})
    assert aofdoctor("diff", single, parts).status == 0


# -- the fork --


def test_the_fork_is_reported_with_its_context(pair: Any) -> None:
    front = b"#TS:1700000000\r\n" + SELECT_3 + set_commands("a", "b", "c", "d")
    a, b = pair(front + MULTI + set_commands("x", "y") + EXEC, front + MULTI + set_commands("x", "z") + EXEC)
    result = aofdoctor("diff", a, b, "--json")
    fork = result.lines[0]
    assert fork["type"] == "fork"
    # The transaction is one unit; the fork is its first differing record.
    offset = len(front + MULTI + set_commands("x"))
    assert (fork["a"]["offset"], fork["a"]["n"], fork["a"]["db"], fork["a"]["time"]) == (offset, 8, 3, 1700000000)
    assert fork["b"] == fork["a"] | {"part": "b.aof"} and fork["a"]["tx"] == 1
    assert fork["bytes"] == encode_command([b"SET", b"y", b"1"]).index(b"y")
    assert [line["cmd"] for line in result.lines if line["type"] == "only"] == ["MULTI", "SET", "SET", "EXEC"] * 2
    shown = aofdoctor("diff", a, b).out.splitlines()
    assert shown[2].startswith(f"@@ A {offset} #8  B {offset} #8  db3, in a transaction  ")
    assert [line.split()[-2] for line in shown if line.startswith("  ")] == ["b", "c", "d"]


def test_the_number_of_the_fork_counts_selects_in_transactions(pair: Any) -> None:
    front = set_commands("a") + MULTI + SELECT_3 + set_commands("b") + SELECT_0 + set_commands("c") + EXEC
    for more in (b"", SELECT_3):
        other = MULTI + set_commands("b") + EXEC  # The bytes differ earlier than the units do.
        a, b = pair(
            other + front + more + set_commands("x"),
            b"#TS:1\r\n" + set_commands("b") + front + more + set_commands("y"),
        )
        lines = aofdoctor("diff", a, b, "--json").lines
        only = {line["side"]: line for line in lines if line["type"] == "only"}
        for side, path in (("a", a), ("b", b)):
            expected = aofdoctor("log", path, "--json").lines[-1]
            assert only[side]["n"] == expected["n"] and only[side]["offset"] == expected["offset"]
            at = lines[0][side]
            count = len([line for line in aofdoctor("log", path, "--json").lines if line["offset"] < at["offset"]])
            assert at["n"] == count + 1
            assert at["db"] == (3 if more else 0)


def test_one_path_at_two_positions(pair: Any) -> None:
    path, _ = pair(set_commands("a", "b", "c", "d"), b"")
    step = len(set_commands("a"))
    keys = [line["keys"] for line in aofdoctor("diff", f"{path}@{step}", f"{path}@{3 * step}", "--json").lines
            if line["type"] == "only"]  # fmt: skip
    assert keys == [["b"], ["c"]]
    assert aofdoctor("diff", f"{path}@#2", f"{path}@{step}").status == 0
    assert aofdoctor("diff", f"{path}@a.aof@0x{step:x}", f"{path}@#2").status == 0
    assert aofdoctor("diff", f"{path}@{10**6}", path).status == 2
    assert aofdoctor("diff", path, path).status == 0


def test_a_missing_part_is_reported(tmp_path: Path) -> None:
    whole_set = make_small_set(tmp_path / "one", {"base": set_commands("a"), "incr": set_commands("b")})
    torn_set = make_small_set(tmp_path / "two", {"base": set_commands("a"), "incr": set_commands("b")})
    (torn_set / "a.aof.2.incr.aof").unlink()
    result = aofdoctor("diff", whole_set, torn_set)
    assert result.status == 1 and "a.aof.2.incr.aof of B is missing" in result.err


def test_standard_input_can_be_only_one_side() -> None:
    assert aofdoctor("diff", "-", "-").status == 2


def test_a_path_can_contain_an_at_sign(tmp_path: Path) -> None:
    path = tmp_path / "odd@12"
    path.write_bytes(set_commands("a", "b"))
    assert aofdoctor("diff", path, f"{path}@#2").status == 1


# -- moved commands --


def test_independent_writes_in_another_order_have_moved(pair: Any) -> None:
    result = aofdoctor("diff", *pair(set_commands("a", "b", "c", "d"), set_commands("d", "a", "c", "b")), "--json")
    summary = result.lines[-1]
    assert (summary["only_a"], summary["only_b"], summary["same"] + summary["moved"]) == (0, 0, 4)
    assert result.status == 1


def test_writes_to_one_key_in_another_order_are_a_difference(pair: Any) -> None:
    one, two = encode_command([b"SET", b"k", b"1"]), encode_command([b"SET", b"k", b"2"])
    summary = aofdoctor("diff", *pair(one + two, two + one), "--json").lines[-1]
    assert (summary["only_a"], summary["only_b"], summary["moved"]) == (1, 1, 0)


def test_nothing_moves_past_a_flush(pair: Any) -> None:
    flush = encode_command([b"FLUSHALL"])
    summary = aofdoctor("diff", *pair(set_commands("a") + flush, flush + set_commands("a")), "--json").lines[-1]
    assert (summary["only_a"], summary["only_b"], summary["moved"]) == (1, 1, 0)


def count_moved(a: bytes, b: bytes) -> tuple[int, int, int]:
    """Return (commands that have moved, commands only in A, commands only in B)."""
    _, _, diff = compare(a, b)
    return diff.totals.moved_commands, diff.totals.only_commands[0], diff.totals.only_commands[1]


def test_a_read_is_not_moved_before_its_write() -> None:
    """Two swapped commands have moved only if neither reads the key that the other writes."""
    add, more = encode_command([b"SADD", b"s", b"1"]), encode_command([b"SADD", b"t", b"1"])
    store = encode_command([b"SUNIONSTORE", b"d", b"x", b"s"])
    assert count_moved(add + store, store + add) == (0, 1, 1)
    assert count_moved(more + store, store + more) == (1, 0, 0)
    copy = encode_command([b"COPY", b"s", b"d"])
    assert count_moved(add + copy, copy + add) == (0, 1, 1)
    sort = encode_command([b"SORT", b"l", b"BY", b"weight_*", b"STORE", b"d"])
    assert count_moved(set_commands("weight_1") + sort, sort + set_commands("weight_1")) == (0, 1, 1)
    # A later command on the same key has not moved.
    append = encode_command([b"APPEND", b"d", b"x"])
    assert count_moved(add + store + append, store + add + append) == (0, 1, 1)


def test_a_flush_on_one_side_does_not_affect_the_commands_before_it() -> None:
    flush = encode_command([b"FLUSHALL"])
    assert count_moved(set_commands("a", "b"), set_commands("b", "a") + flush) == (1, 0, 1)
    assert count_moved(flush + set_commands("a", "b"), set_commands("b", "a")) == (0, 2, 1)


def test_a_write_with_unknown_keys_is_a_barrier() -> None:
    one = set_commands("a")
    for name in (b"NOSUCH.WRITE", b"EVAL", b"MOVE", b"CONFIG", b"FUNCTION"):
        other = encode_command([name, b"x", b"y", b"z"])
        assert count_moved(one + other, other + one) == (0, 1, 1), name
    ping = encode_command([b"PING"])
    assert count_moved(one + ping, ping + one) == (1, 0, 0)


@pytest.mark.parametrize("name", [b"MSET", b"DEL", b"SUNIONSTORE"])
def test_an_oversized_write_of_many_keys_is_a_barrier(name: bytes) -> None:
    """Only the first keys of an oversized record are known; here the last of them is the key of another write."""
    argv = [name, *(b"%0200d" % n for n in range(10_001 if name == b"SUNIONSTORE" else 10_000))]
    last = encode_command([b"SADD", argv[-1 if name != b"MSET" else -2], b"1"])
    far = encode_command(argv)
    assert len(far) > 1 << 20
    assert count_moved(far + last, last + far) == (0, 1, 1)


def test_an_oversized_write_of_one_key_moves_past_others() -> None:
    far = encode_command([b"SADD", b"s", *(b"%0200d" % n for n in range(10_000))])
    other = set_commands("a")
    assert count_moved(far + other, other + far) == (1, 0, 0)
    assert count_moved(far + encode_command([b"SREM", b"s", b"1"]), encode_command([b"SREM", b"s", b"1"]) + far) == (
        0,
        1,
        1,
    )


# -- long differences --


def test_a_long_insertion_is_found_and_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(differ, "WINDOW_UNITS", 100)
    front, back, more = numbered_sets("f", 50), numbered_sets("b", 500), numbered_sets("m", 5000)
    only, _, diff = compare(front + back, front + more + back)
    assert b"".join(data for side, data in only if side == 1) == more
    assert [side for side, _ in only if side == 0] == []
    assert diff.totals.may_not_be_shortest


def test_histories_with_nothing_in_common(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(differ, "WINDOW_UNITS", 100)
    a, b = numbered_sets("a", 1000), numbered_sets("b", 700)
    only, moved, diff = compare(a, b)
    assert (b"".join(d for s, d in only if s == 0), b"".join(d for s, d in only if s == 1), moved) == (a, b, [])
    assert diff.totals.mostly_unrelated
    assert not diff.totals.may_not_be_shortest


def test_unrelated_histories_get_the_hint_to_compare_keys(pair: Any) -> None:
    out = aofdoctor("diff", *pair(numbered_sets("a", 20), numbered_sets("b", 20))).out
    assert "--by keys" in out.splitlines()[2]


# -- selections --


def test_selections_apply(pair: Any) -> None:
    a, b = pair(set_commands("user:1", "x:1"), SELECT_3 + set_commands("user:2"))
    lines = aofdoctor("diff", a, b, "--key", "user:*", "--json").lines
    assert [line["keys"] for line in lines if line["type"] == "only"] == [["user:1"], ["user:2"]]
    assert aofdoctor("diff", a, b, "--cmd", "del").status == 0
    assert aofdoctor("diff", a, b, "--from", "0").status == 2


# -- counts --


def test_stat_counts_by_command_database_and_prefix(pair: Any) -> None:
    a, b = pair(set_commands("u:1", "u:2") + encode_command([b"DEL", b"x"]), SELECT_3 + set_commands("v:1"))
    found = aofdoctor("diff", a, b, "--stat", "--json").json
    assert found["by_command"] == [
        {"command": "set", "only_a": 2, "only_b": 1, "moved": 0}, {"command": "del", "only_a": 1, "only_b": 0, "moved": 0},
    ]  # fmt: skip
    assert {row["prefix"]: row["only_a"] + row["only_b"] for row in found["by_prefix"]} == {"u:": 2, "v:": 1, "": 1}
    assert [row["db"] for row in found["by_db"]] == [0, 3]
    assert "SET" in aofdoctor("diff", a, b, "--stat").out


# -- RDB, damage, hostile bytes --


def test_commands_after_damage_on_one_side_are_compared(pair: Any) -> None:
    front, back = SELECT_3 + numbered_sets("f", 30), numbered_sets("b", 30)
    result = aofdoctor("diff", *pair(front + b"\0" * 100 + back, front + back), "--json")
    assert result.lines[-1] | {"same": 60, "only_a": 0, "only_b": 0} == result.lines[-1]
    assert [line["kind"] for line in result.lines if line["type"] == "opaque"] == ["damage"]
    assert "damage in A at a.aof@" in result.err


def test_a_value_larger_than_the_window_is_compared(pair: Any) -> None:
    big = b"x" * (3 << 20)
    a = encode_command([b"SET", b"k", big])
    padded = a.replace(b"*3\r\n$3\r\nSET", b"*3\r\n$03\r\nset")
    assert aofdoctor("diff", *pair(a, padded)).status == 0
    assert aofdoctor("diff", *pair(a, a[:-3] + b"y\r\n"), "--stat").status == 1
    assert aofdoctor("diff", *pair(a, padded), "--by", "keys").status == 0


def test_hostile_names_are_escaped(pair: Any) -> None:
    evil = b"\x1b]0;evil\x07"
    a, b = pair(encode_command([b"SET", evil, b"1"]), encode_command([b"SET", evil + b":", b"1"]))
    for more in ((), ("--stat",), ("--by", "keys")):
        assert "\x1b" not in aofdoctor("diff", a, b, *more).out


def test_hostile_aofs_through_the_command_line(pair: Any) -> None:
    random = Random(11)
    pieces = [*MALFORMED, set_commands("a"), set_commands("b"), MULTI, EXEC, SELECT_3]
    for _ in range(15):
        a, b = (set_commands("s") + b"".join(random.choices(pieces, k=8)) for _ in range(2))
        for more in ((), ("--json",), ("--stat",), ("--by", "keys", "--json")):
            result = aofdoctor("diff", *pair(a, b), *more)
            assert result.status in (0, 1)
            if "--json" in more:
                assert all(isinstance(line, dict) for line in result.lines)


def test_a_file_that_is_no_aof_is_refused(pair: Any, tmp_path: Path) -> None:
    a, _ = pair(set_commands("a"), b"")
    other = tmp_path / "text"
    other.write_text("hello, world\n" * 5)
    assert aofdoctor("diff", a, other).status == 3
    assert aofdoctor("diff", a, tmp_path / "missing").status == 3
    assert aofdoctor("diff", a, a, "--by", "moon").status == 2


def test_a_pipe_can_be_a_side(pair: Any, tmp_path: Path) -> None:
    a, b = pair(set_commands("a", "b"), set_commands("a", "c"))
    with open_pipe(b.read_bytes()) as pipe:
        result = aofdoctor("diff", a, pipe, "--json")
    assert (result.status, result.lines[-1]["only_b"]) == (1, 1)
