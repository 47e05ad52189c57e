"""diff --patch: what one side lacks, as an AOF of its own."""

from pathlib import Path
from typing import Any

from aofdoctor.aof.reader import read
from aofdoctor.aof.record import Batch, encode
from aofdoctor.server.commands import table
from aofdoctor.server.sandbox import Binary, Sandbox
from aofdoctor.source import BytesSource
from tests.conftest import aofdoctor
from tests.diffs import EXEC, MULTI, SELECT_0, SELECT_3, pair, sets
from tests.state import state_of

__all__ = ["pair"]


def state_after(binary: Binary, path: Path, *more: Path) -> Any:
    with Sandbox(binary, hide=()) as server:
        for file in (path, *more):
            for argv in commands_of(file):
                server.call(*argv)
        server.call("SELECT", 0)
        return state_of(server)


def commands_of(path: Path) -> list[list[bytes]]:
    batch = next(read(BytesSource(path.read_bytes()), table().words))
    assert isinstance(batch, Batch)
    assert batch.span.end == path.stat().st_size
    return [batch.argv(i) for i in range(batch.count) if batch.argc[i]]


def test_a_patch_brings_the_state_of_an_append_only_fork(pair: Any, tmp_path: Path, embedded: Binary) -> None:
    front = SELECT_3 + sets("a", "b") + MULTI + SELECT_0 + sets("c", "d") + EXEC + sets("e")
    more = SELECT_3 + encode([b"DEL", b"a"]) + MULTI + sets("f") + SELECT_0 + encode([b"INCR", b"n"]) + EXEC
    more += b"#TS:1\r\n" + encode([b"RPUSH", b"l", b"x", b"y"]) + encode([b"set", b"c", b"new"])
    a, b = pair(front, front + more)
    patch = tmp_path / "patch.aof"
    assert aofdoctor("diff", a, b, "--patch", patch).status == 1
    assert state_after(embedded, a, patch) == state_after(embedded, b)
    appended = tmp_path / "appended.aof"
    appended.write_bytes(a.read_bytes() + patch.read_bytes())
    assert aofdoctor("diff", appended, b).status == 0
    assert aofdoctor("check", patch).status == 0


def test_patches_both_ways_and_never_over_a_file(pair: Any, tmp_path: Path) -> None:
    a, b = pair(sets("s", "a"), sets("s", "b"))
    there, back = tmp_path / "there", tmp_path / "back"
    assert aofdoctor("diff", a, b, "--patch", there, "--patch-reverse", back).status == 1
    assert (there.read_bytes(), back.read_bytes()) == (SELECT_0 + sets("b"), SELECT_0 + sets("a"))
    assert aofdoctor("diff", a, b, "--patch", there).status == 3
    assert there.read_bytes() == SELECT_0 + sets("b")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.aof", "b.aof", "back", "there"]


def test_a_patch_has_no_torn_and_no_unfinished_commands(pair: Any, tmp_path: Path) -> None:
    a, b = pair(sets("s"), sets("s", "b") + MULTI + sets("x") + b"*1\r\n$4\r\nPI")
    patch = tmp_path / "patch"
    result = aofdoctor("diff", a, b, "--patch", patch)
    assert patch.read_bytes() == SELECT_0 + sets("b")
    assert "left out" in result.out and "damage in B" in result.err


def test_what_a_patch_cannot_be(pair: Any, tmp_path: Path) -> None:
    a, b = pair(sets("a"), sets("b"))
    patch = tmp_path / "patch"
    assert aofdoctor("diff", a, b, "--patch", patch, "--key", "b").status == 2
    assert aofdoctor("diff", a, b, "--patch", patch, "--by", "keys").status == 2
    assert aofdoctor("diff", a, b, "--patch", tmp_path / "no" / "such").status == 3
    assert not patch.exists()
