"""diff --patch: write the commands that one side lacks to a new AOF."""

from pathlib import Path
from typing import Any

import pytest

from aofdoctor.resp import encode_command
from aofdoctor.server.sandbox import Sandbox, ServerBinary
from tests.conftest import aofdoctor
from tests.support.diffs import EXEC, MULTI, SELECT_0, SELECT_3, commands_of, set_commands
from tests.support.server_state import state_of


def state_after(binary: ServerBinary, path: Path, *more: Path) -> Any:
    with Sandbox(binary, hide=()) as server:
        for file in (path, *more):
            for argv in commands_of(file):
                server.call(*argv)
        server.call("SELECT", 0)
        return state_of(server)


def test_a_patch_brings_the_state_of_an_append_only_fork(pair: Any, tmp_path: Path, embedded: ServerBinary) -> None:
    front = SELECT_3 + set_commands("a", "b") + MULTI + SELECT_0 + set_commands("c", "d") + EXEC + set_commands("e")
    more = (
        SELECT_3
        + encode_command([b"DEL", b"a"])
        + MULTI
        + set_commands("f")
        + SELECT_0
        + encode_command([b"INCR", b"n"])
        + EXEC
    )
    more += b"#TS:1\r\n" + encode_command([b"RPUSH", b"l", b"x", b"y"]) + encode_command([b"set", b"c", b"new"])
    a, b = pair(front, front + more)
    patch = tmp_path / "patch.aof"
    assert aofdoctor("diff", a, b, "--patch", patch).status == 1
    assert state_after(embedded, a, patch) == state_after(embedded, b)
    appended = tmp_path / "appended.aof"
    appended.write_bytes(a.read_bytes() + patch.read_bytes())
    assert aofdoctor("diff", appended, b).status == 0
    assert aofdoctor("check", patch).status == 0


def test_patches_in_both_directions_and_never_over_a_file(pair: Any, tmp_path: Path) -> None:
    a, b = pair(set_commands("s", "a"), set_commands("s", "b"))
    there, back = tmp_path / "there", tmp_path / "back"
    assert aofdoctor("diff", a, b, "--patch", there, "--patch-reverse", back).status == 1
    assert (there.read_bytes(), back.read_bytes()) == (SELECT_0 + set_commands("b"), SELECT_0 + set_commands("a"))
    assert aofdoctor("diff", a, b, "--patch", there).status == 3
    assert there.read_bytes() == SELECT_0 + set_commands("b")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.aof", "b.aof", "back", "there"]


def test_a_patch_has_no_torn_and_no_unfinished_commands(pair: Any, tmp_path: Path) -> None:
    a, b = pair(set_commands("s"), set_commands("s", "b") + MULTI + set_commands("x") + b"*1\r\n$4\r\nPI")
    patch = tmp_path / "patch"
    result = aofdoctor("diff", a, b, "--patch", patch)
    assert patch.read_bytes() == SELECT_0 + set_commands("b")
    assert "left out" in result.out and "damage in B" in result.err


def test_impossible_patches_are_refused(pair: Any, tmp_path: Path) -> None:
    a, b = pair(set_commands("a"), set_commands("b"))
    patch = tmp_path / "patch"
    assert aofdoctor("diff", a, b, "--patch", patch, "--from", "0").status == 2
    assert aofdoctor("diff", a, b, "--patch", patch, "--by", "keys").status == 2
    assert aofdoctor("diff", a, b, "--patch", tmp_path / "no" / "such").status == 3
    assert not patch.exists()


# -- selections --


FRONT = b"#TS:1600000000\r\n" + set_commands("s") + SELECT_3 + set_commands("t")
BACK = (
    set_commands("user:1", "other:1")
    + MULTI + SELECT_0 + set_commands("user:2", "other:2") + EXEC
    + MULTI + set_commands("other:3") + encode_command([b"INCR", b"n"]) + EXEC
    + b"#TS:1700000000\r\n" + encode_command([b"RPUSH", b"user:3", b"x"]) + SELECT_3 + encode_command([b"DEL", b"t"])
)  # fmt: skip


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--key", "user:*"], [b"SELECT 3", b"SET user:1 1", b"MULTI", b"SELECT 0", b"SET user:2 1", b"SET other:2 1", b"EXEC",
                               b"SELECT 0", b"RPUSH user:3 x"]),
        (["--db", "3"], [b"SELECT 3", b"SET user:1 1", b"SET other:1 1", b"DEL t"]),
        (["--cmd", "incr"], [b"SELECT 0", b"MULTI", b"SET other:3 1", b"INCR n", b"EXEC"]),
        (["--effect", "delete"], [b"SELECT 3", b"DEL t"]),
        (["--since", "1700000000"], [b"SELECT 0", b"RPUSH user:3 x", b"SELECT 3", b"DEL t"]),
        (["--grep", "other:1"], [b"SELECT 3", b"SET other:1 1"]),
        (["--cmd", "get"], []),
    ],
    ids=["key", "db", "cmd", "effect", "since", "grep", "nothing"],
)  # fmt: skip
def test_a_patch_has_the_selected_commands_and_whole_transactions(
    pair: Any, tmp_path: Path, options: list[str], expected: list[bytes]
) -> None:
    a, b = pair(FRONT, FRONT + BACK)
    there, back = tmp_path / "there", tmp_path / "back"
    status = aofdoctor("diff", a, b, *options, "--patch", there).status
    assert status == bool(expected)
    assert ([b" ".join(argv) for argv in commands_of(there)] if expected else []) == expected
    assert aofdoctor("diff", b, a, *options, "--patch-reverse", back).status == status
    assert back.read_bytes() == there.read_bytes()
    assert not expected or aofdoctor("check", there).status == 0


def test_the_patch_of_some_keys_brings_their_state(pair: Any, tmp_path: Path, embedded: ServerBinary) -> None:
    a, b = pair(FRONT, FRONT + BACK)
    patch = tmp_path / "patch"
    assert aofdoctor("diff", a, b, "--key", "user:*", "--patch", patch).status == 1
    ours, theirs = state_after(embedded, a, patch), state_after(embedded, b)
    for db in (0, 3):
        users = {key: value for key, value in theirs[db].items() if key.startswith(b"user:")}
        assert users and {key: ours[db][key] for key in users} == users


def test_a_transaction_larger_than_a_batch_is_patched_whole(pair: Any, tmp_path: Path) -> None:
    many = [f"k{n}" for n in range(20_000)]
    body = MULTI + set_commands(*many) + encode_command([b"INCR", b"n"]) + EXEC
    a, b = pair(set_commands("s"), set_commands("s", "x") + body + set_commands("y"))
    patch = tmp_path / "patch"
    assert aofdoctor("diff", a, b, "--cmd", "incr", "--patch", patch, "--stat").status == 1
    assert patch.read_bytes() == SELECT_0 + body


def test_a_selected_unfinished_transaction_is_omitted(pair: Any, tmp_path: Path) -> None:
    a, b = pair(set_commands("s"), set_commands("s", "b") + MULTI + set_commands("x"))
    for key, is_reported in (("x", True), ("b", False)):
        result = aofdoctor("diff", a, b, "--patch", tmp_path / key, "--key", key)
        assert ("left out" in result.out) == is_reported
