"""diff: where two histories part, what each has since, and what that leaves out of account."""

import os
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aofdoctor.analysis import diff as engine
from aofdoctor.analysis.diff import Diff, Gap, Moved, Only
from aofdoctor.analysis.diff_script import blocks
from aofdoctor.analysis.diff_side import Rules, Side
from aofdoctor.aof.aof import AOF, Part
from aofdoctor.aof.record import encode
from aofdoctor.source import BytesSource
from tests.conftest import aofdoctor
from tests.pieces import BENT, hostile, whole
from tests.samples import small_set

SELECT_0, SELECT_3 = encode([b"SELECT", b"0"]), encode([b"SELECT", b"3"])
MULTI, EXEC = encode([b"MULTI"]), encode([b"EXEC"])
KEY = bytes(range(16))


def sets(*keys: str) -> bytes:
    return b"".join(encode([b"SET", key.encode(), b"1"]) for key in keys)


@pytest.fixture
def pair(tmp_path: Path) -> Any:
    def make(a: bytes, b: bytes) -> tuple[Path, Path]:
        one, two = tmp_path / "a.aof", tmp_path / "b.aof"
        one.write_bytes(a)
        two.write_bytes(b)
        return one, two

    return make


def in_memory(*parts: bytes) -> AOF:
    return AOF(
        "memory", "single", None, [Part(f"{n}.aof", "incr", n, None, BytesSource(data)) for n, data in enumerate(parts)]
    )


Found = tuple[list[tuple[int, bytes]], list[tuple[bytes, bytes]], Diff]


def compared(a: bytes, b: bytes, exact: bool = False) -> Found:
    """(what only a side has, what has moved, the comparison)."""
    sides = tuple(Side(in_memory(data), Rules.of(KEY, exact)) for data in (a, b))
    diff = Diff(*sides)
    datas, only, moved = (a, b), [], []
    for event in diff.events():
        if isinstance(event, Only):
            only.append((event.side, datas[event.side][event.run.first.start : event.run.last.end]))
        elif isinstance(event, Moved):
            moved.append((a[event.a.start : event.a.end], b[event.b.start : event.b.end]))
        else:
            assert isinstance(event, Gap)
    return only, moved, diff


# -- what counts as the same --


@pytest.mark.parametrize(
    ("a", "b"),
    [
        (sets("a", "b"), b"#TS:1700000000\r\n" + sets("a") + b"# x\n" + sets("b")),
        (sets("a", "b"), SELECT_0 + sets("a") + SELECT_3 + SELECT_0 + sets("b")),
        (sets("a"), b"*3\r\n$003\r\nset\r\n$1\r\na\r\n$01\r\n1\r\n"),
        (SELECT_3 + MULTI + sets("a", "b") + EXEC, MULTI + SELECT_3 + sets("a", "b") + EXEC),
        (sets("a"), MULTI + sets("a") + EXEC),
        (sets("a"), MULTI + EXEC + sets("a")),
        (SELECT_3 + encode([b"FLUSHALL"]), encode([b"flushall"])),
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
        (sets("a"), sets("b")),
        (sets("a"), SELECT_3 + sets("a")),
        (sets("a", "b"), MULTI + sets("a", "b") + EXEC),
        (MULTI + sets("a", "b") + EXEC, MULTI + sets("a", "b")),
        (encode([b"SET", b"a", b"bc"]), encode([b"SET", b"ab", b"c"])),
        (sets("a"), sets("a") + b"*1\r\n"),
    ],
    ids=["key", "database", "transaction", "exec", "arguments", "torn tail"],
)
def test_not_equal(pair: Any, a: bytes, b: bytes) -> None:
    assert aofdoctor("diff", *pair(a, b)).status == 1


def test_exact_sees_spelling_but_no_annotation(pair: Any) -> None:
    assert aofdoctor("diff", *pair(sets("a"), sets("a").replace(b"SET", b"set")), "--exact").status == 1
    assert aofdoctor("diff", *pair(sets("a"), b"#TS:1\r\n" + sets("a")), "--exact").status == 0


def test_a_set_equals_the_single_file_it_came_from(pair: Any, tmp_path: Path) -> None:
    single, _ = pair(sets("a", "b", "c"), b"")
    parts = small_set(tmp_path, {"base": sets("a"), "incr": b"", "more": sets("b", "c")})
    assert aofdoctor("diff", single, parts).status == 0


# -- where they part --


def test_the_fork_is_named_with_its_context(pair: Any) -> None:
    front = b"#TS:1700000000\r\n" + SELECT_3 + sets("a", "b", "c", "d")
    a, b = pair(front + MULTI + sets("x", "y") + EXEC, front + MULTI + sets("x", "z") + EXEC)
    result = aofdoctor("diff", a, b, "--json")
    fork = result.lines[0]
    assert fork["type"] == "fork"
    # The transaction is one unit; the fork is the record in it where the bytes part.
    offset = len(front + MULTI + sets("x"))
    assert (fork["a"]["offset"], fork["a"]["n"], fork["a"]["db"], fork["a"]["time"]) == (offset, 8, 3, 1700000000)
    assert fork["b"] == fork["a"] | {"part": "b.aof"} and fork["a"]["tx"] == 1
    assert fork["bytes"] == encode([b"SET", b"y", b"1"]).index(b"y")
    assert [line["cmd"] for line in result.lines if line["type"] == "only"] == ["MULTI", "SET", "SET", "EXEC"] * 2
    shown = aofdoctor("diff", a, b).out.splitlines()
    assert shown[2].startswith(f"@@ A {offset} #8  B {offset} #8  db3, in a transaction  ")
    assert [line.split()[-2] for line in shown if line.startswith("  ")] == ["b", "c", "d"]


def test_one_path_at_two_positions(pair: Any) -> None:
    path, _ = pair(sets("a", "b", "c", "d"), b"")
    step = len(sets("a"))
    keys = [line["keys"] for line in aofdoctor("diff", f"{path}@{step}", f"{path}@{3 * step}", "--json").lines
            if line["type"] == "only"]  # fmt: skip
    assert keys == [["b"], ["c"]]
    assert aofdoctor("diff", f"{path}@#2", f"{path}@{step}").status == 0
    assert aofdoctor("diff", f"{path}@a.aof@0x{step:x}", f"{path}@#2").status == 0
    assert aofdoctor("diff", f"{path}@{10**6}", path).status == 2
    assert aofdoctor("diff", path, path).status == 0


def test_a_missing_part_is_named(tmp_path: Path) -> None:
    whole_set = small_set(tmp_path / "one", {"base": sets("a"), "incr": sets("b")})
    torn_set = small_set(tmp_path / "two", {"base": sets("a"), "incr": sets("b")})
    (torn_set / "a.aof.2.incr.aof").unlink()
    result = aofdoctor("diff", whole_set, torn_set)
    assert result.status == 1 and "a.aof.2.incr.aof of B is missing" in result.err


def test_standard_input_is_one_side_at_most() -> None:
    assert aofdoctor("diff", "-", "-").status == 2


def test_a_path_may_have_an_at_sign(tmp_path: Path) -> None:
    path = tmp_path / "odd@12"
    path.write_bytes(sets("a", "b"))
    assert aofdoctor("diff", path, f"{path}@#2").status == 1


# -- what has only moved --


def test_independent_writes_in_another_order_have_moved(pair: Any) -> None:
    result = aofdoctor("diff", *pair(sets("a", "b", "c", "d"), sets("d", "a", "c", "b")), "--json")
    summary = result.lines[-1]
    assert (summary["only_a"], summary["only_b"], summary["same"] + summary["moved"]) == (0, 0, 4)
    assert result.status == 1


def test_writes_to_one_key_in_another_order_are_a_difference(pair: Any) -> None:
    one, two = encode([b"SET", b"k", b"1"]), encode([b"SET", b"k", b"2"])
    summary = aofdoctor("diff", *pair(one + two, two + one), "--json").lines[-1]
    assert (summary["only_a"], summary["only_b"], summary["moved"]) == (1, 1, 0)


def test_nothing_moves_past_a_flush(pair: Any) -> None:
    flush = encode([b"FLUSHALL"])
    summary = aofdoctor("diff", *pair(sets("a") + flush, flush + sets("a")), "--json").lines[-1]
    assert (summary["only_a"], summary["only_b"], summary["moved"]) == (1, 1, 0)


# -- long stretches --


def numbered(word: str, count: int) -> bytes:
    return sets(*(f"{word}:{n}" for n in range(count)))


def test_a_long_insertion_is_found_and_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "WINDOW", 100)
    front, back, more = numbered("f", 50), numbered("b", 500), numbered("m", 5000)
    only, _, diff = compared(front + back, front + more + back)
    assert b"".join(data for side, data in only if side == 1) == more
    assert [side for side, _ in only if side == 0] == []
    assert diff.totals.fell_back


def test_histories_with_nothing_in_common(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "WINDOW", 100)
    a, b = numbered("a", 1000), numbered("b", 700)
    only, moved, diff = compared(a, b)
    assert (b"".join(d for s, d in only if s == 0), b"".join(d for s, d in only if s == 1), moved) == (a, b, [])
    assert diff.totals.unlike
    assert not diff.totals.fell_back


def test_unlike_histories_are_pointed_to_keys(pair: Any) -> None:
    out = aofdoctor("diff", *pair(numbered("a", 20), numbered("b", 20))).out
    assert "--by keys" in out.splitlines()[2]


# -- laws --


@given(whole | hostile)
def test_a_history_equals_itself(data: bytes) -> None:
    only, moved, diff = compared(data, data)
    assert (only, moved, diff.fork) == ([], [], None)


@given(whole | hostile, whole | hostile, st.sampled_from([3, 1 << 15]))
def test_swapping_mirrors(a: bytes, b: bytes, window: int) -> None:
    saved, engine.WINDOW = engine.WINDOW, window
    try:
        only, moved, diff = compared(a, b)
        other, back, again = compared(b, a)
    finally:
        engine.WINDOW = saved
    assert sorted((1 - side, data) for side, data in only) == sorted(other)
    assert sorted((y, x) for x, y in moved) == sorted(back)
    assert (diff.fork and diff.fork[::-1]) == again.fork
    assert (diff.totals.same, diff.totals.fell_back) == (again.totals.same, again.totals.fell_back)


@given(st.lists(st.integers(0, 8), max_size=40), st.lists(st.integers(0, 8), max_size=40))
def test_blocks_are_common_and_in_order(a: list[int], b: list[int]) -> None:
    found, _ = blocks(a, b)
    i = j = 0
    for x, y, n in found:
        assert x >= i and y >= j and a[x : x + n] == b[y : y + n]
        i, j = x + n, y + n


@given(whole, whole, whole)
def test_nothing_is_left_out(front: bytes, a: bytes, b: bytes) -> None:
    """Every command of a side is common, only its own, or moved."""
    _, _, diff = compared(front + a, front + b)
    for number, side in enumerate(diff.sides):
        alone = Side(side.aof, side.rules)
        alone.fill(1 << 20)
        units = sum(alone.columns[8])
        assert diff.totals.only[number] + diff.totals.moved <= units
        assert units - diff.totals.only[number] - diff.totals.moved >= 0
    assert (diff.totals.only == [0, 0] and not diff.totals.moved) == (diff.fork is None)


# -- counts --


def test_stat_counts_by_command_database_and_prefix(pair: Any) -> None:
    a, b = pair(sets("u:1", "u:2") + encode([b"DEL", b"x"]), SELECT_3 + sets("v:1"))
    found = aofdoctor("diff", a, b, "--stat", "--json").json
    assert found["by_command"] == [
        {"command": "set", "only_a": 2, "only_b": 1, "moved": 0}, {"command": "del", "only_a": 1, "only_b": 0, "moved": 0},
    ]  # fmt: skip
    assert {row["prefix"]: row["only_a"] + row["only_b"] for row in found["by_prefix"]} == {"u:": 2, "v:": 1, "": 1}
    assert [row["db"] for row in found["by_db"]] == [0, 3]
    assert "SET" in aofdoctor("diff", a, b, "--stat").out


# -- RDB, damage, hostile bytes --


def test_an_rdb_is_compared_as_bytes(story: Any, tmp_path: Path) -> None:
    sample = story("wiped-valkey-9.1")
    plain = tmp_path / "plain.aof"
    plain.write_bytes(sets("a"))
    assert aofdoctor("diff", sample, sample).status == 0
    result = aofdoctor("diff", sample, plain)
    assert result.status == 1 and "an RDB, compared as bytes, 465 bytes" in result.out
    patch = tmp_path / "patch"
    assert aofdoctor("diff", plain, sample, "--patch", patch).status == 3
    assert not patch.exists()


def test_damage_on_one_side_does_not_spoil_what_follows(pair: Any) -> None:
    front, back = SELECT_3 + numbered("f", 30), numbered("b", 30)
    result = aofdoctor("diff", *pair(front + b"\0" * 100 + back, front + back), "--json")
    assert result.lines[-1] | {"same": 60, "only_a": 0, "only_b": 0} == result.lines[-1]
    assert [line["kind"] for line in result.lines if line["type"] == "opaque"] == ["damage"]
    assert "damage in A at a.aof@" in result.err


def test_a_value_larger_than_the_window_is_compared(pair: Any) -> None:
    big = b"x" * (3 << 20)
    a = encode([b"SET", b"k", big])
    padded = a.replace(b"*3\r\n$3\r\nSET", b"*3\r\n$03\r\nset")
    assert aofdoctor("diff", *pair(a, padded)).status == 0
    assert aofdoctor("diff", *pair(a, a[:-3] + b"y\r\n"), "--stat").status == 1
    assert aofdoctor("diff", *pair(a, padded), "--by", "keys").status == 0


def test_hostile_names_are_escaped(pair: Any) -> None:
    evil = b"\x1b]0;evil\x07"
    a, b = pair(encode([b"SET", evil, b"1"]), encode([b"SET", evil + b":", b"1"]))
    for more in ((), ("--stat",), ("--by", "keys")):
        assert "\x1b" not in aofdoctor("diff", a, b, *more).out


@given(hostile, hostile)
def test_hostile_bytes_never_raise(a: bytes, b: bytes) -> None:
    _, _, diff = compared(a, b)
    assert diff.totals.same >= 0


def test_bent_pieces_through_the_command_line(pair: Any) -> None:
    random = Random(11)
    pieces = [*BENT, sets("a"), sets("b"), MULTI, EXEC, SELECT_3]
    for _ in range(15):
        a, b = (sets("s") + b"".join(random.choices(pieces, k=8)) for _ in range(2))
        for more in ((), ("--json",), ("--stat",), ("--by", "keys", "--json")):
            result = aofdoctor("diff", *pair(a, b), *more)
            assert result.status in (0, 1)
            if "--json" in more:
                assert all(isinstance(line, dict) for line in result.lines)


def test_something_else_is_refused(pair: Any, tmp_path: Path) -> None:
    a, _ = pair(sets("a"), b"")
    other = tmp_path / "text"
    other.write_text("hello, world\n" * 5)
    assert aofdoctor("diff", a, other).status == 3
    assert aofdoctor("diff", a, tmp_path / "missing").status == 3
    assert aofdoctor("diff", a, a, "--by", "moon").status == 2


def test_a_pipe_can_be_a_side(pair: Any, tmp_path: Path) -> None:
    a, b = pair(sets("a", "b"), sets("a", "c"))
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    if (child := os.fork()) == 0:
        with open(fifo, "wb") as out:
            out.write(b.read_bytes())
        os._exit(0)
    result = aofdoctor("diff", a, fifo, "--json")
    os.waitpid(child, 0)
    assert (result.status, result.lines[-1]["only_b"]) == (1, 1)
