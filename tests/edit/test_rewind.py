"""rewind and strip --and-after: everything up to a moment is kept, without torn records or open transactions."""

from collections.abc import Callable
from pathlib import Path

import pytest

from aofdoctor.resp import encode_command
from tests.conftest import aofdoctor

Story = Callable[[str], Path]
A, B, C = (encode_command([b"SET", key, b"1"]) for key in (b"a", b"b", b"c"))
MULTI, EXEC, SELECT, FLUSH = (
    encode_command(argv) for argv in ([b"MULTI"], [b"EXEC"], [b"SELECT", b"3"], [b"FLUSHALL"])
)
T1, T2 = b"#TS:1700000000\r\n", b"#TS:1700000060\r\n"


@pytest.mark.parametrize(
    ("data", "before", "kept"),
    [
        (A + B + C, len(A + B), A + B),
        (A + B + C, len(A + B) + 5, A + B),
        (A + SELECT + B, len(A + SELECT), A),
        (A + T1 + SELECT + B, len(A + T1 + SELECT), A),
        (A + MULTI + B + C + EXEC, len(A + MULTI + B), A),
        (A + MULTI + B + EXEC + C, len(A + MULTI + B + EXEC), A + MULTI + B + EXEC),
        (SELECT + A, len(SELECT), b""),
        (A * 40_000 + MULTI + B * 40_000 + EXEC, 27 * 70_000, A * 40_000),
    ],
)
def test_a_cut_is_clean(data: bytes, before: int, kept: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.aof"
    path.write_bytes(data)
    result = aofdoctor("rewind", path, "--before", before, "-o", tmp_path / "out", "--json")
    assert result.status == 0 and (tmp_path / "out").read_bytes() == kept and path.read_bytes() == data
    assert result.json["bytes"]["after"] == len(kept)
    assert (
        aofdoctor("check", tmp_path / "out", "--json").json["parts"][0]["commands"] == result.json["commands"]["after"]
    )


def test_to_a_time_keeps_the_commands_up_to_that_second(tmp_path: Path) -> None:
    path = tmp_path / "a.aof"
    path.write_bytes(T1 + A + T2 + B)
    for to, kept in (("1700000000", T1 + A), ("1700000059", T1 + A), ("-60s", T1 + A), ("1699999999", b"")):
        out = tmp_path / f"out{to}"
        assert aofdoctor("rewind", path, f"--to={to}", "-o", out).status == 0
        assert out.read_bytes() == kept
    assert aofdoctor("rewind", path, "--to", "1700000060").status == 0  # Nothing is later than this time.


def test_a_time_is_refused_if_the_log_has_no_annotations(tmp_path: Path) -> None:
    (tmp_path / "a.aof").write_bytes(A + B)
    assert aofdoctor("rewind", tmp_path / "a.aof", "--to", "1700000000").status == 2
    assert aofdoctor("rewind", tmp_path / "a.aof").status == 2


def test_a_time_before_the_base_is_refused(story: Story) -> None:
    result = aofdoctor("rewind", story("wiped-valkey-9.1"), "--to", "1600000000")
    assert result.status == 3 and "what was before that is not in this AOF" in result.err


def test_later_parts_leave_the_manifest(story: Story, tmp_path: Path) -> None:
    folder = story("wiped-valkey-9.1") / "appendonlydir"
    manifest = next(folder.glob("*.manifest"))
    (folder / "appendonly.aof.3.incr.aof").write_bytes(C)
    manifest.write_bytes(manifest.read_bytes() + b"file appendonly.aof.3.incr.aof seq 3 type i\n")
    result = aofdoctor("strip", folder, "--and-after", "-o", tmp_path / "out", "--json")
    assert result.status == 0
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [
        "appendonly.aof.2.base.rdb", "appendonly.aof.2.incr.aof", "appendonly.aof.manifest"]  # fmt: skip
    assert aofdoctor("check", tmp_path / "out").status == 0
    assert aofdoctor("log", tmp_path / "out", "--effect", "flush").out == ""
    assert aofdoctor("log", tmp_path / "out", "--json").lines[-1]["cmd"] != "SELECT"


def test_the_flush_and_all_later_commands_are_removed(tmp_path: Path) -> None:
    path = tmp_path / "a.aof"
    path.write_bytes(A + SELECT + FLUSH + B)
    assert aofdoctor("strip", path, "--and-after", "-o", tmp_path / "out").status == 0
    assert (tmp_path / "out").read_bytes() == A
    for others in (["--all"], ["--in-place"], ["--cmd", "set"]):
        assert aofdoctor("strip", path, "--and-after", *others).status == 2
