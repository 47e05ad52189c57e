"""repair: the kept part loads, the removed bytes are saved to a side file, and both are reported."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from aofdoctor.resp import encode_command
from tests.conftest import aofdoctor

Story = Callable[[str], Path]
SET = encode_command([b"SET", b"a", b"1"])
MULTI, EXEC = encode_command([b"MULTI"]), encode_command([b"EXEC"])

CASES = {
    "torn": (SET * 2, SET[:-1]),
    "a hole": (SET * 2, bytes(512) + SET),
    "garbage": (SET, b"log line\n" + SET),
    "a torn transaction": (SET, MULTI + SET + SET[:9]),
    "an unclosed transaction": (SET, MULTI + SET),
    "an annotation without its end": (SET, b"#TS:17000"),
}


@pytest.mark.parametrize("name", CASES)
def test_a_cut_keeps_everything_before_the_first_damage(name: str, tmp_path: Path) -> None:
    good, bad = CASES[name]
    path = tmp_path / "a.aof"
    path.write_bytes(good + bad)
    plan = aofdoctor("repair", path, "--json").json
    assert plan["output"] is None and not (tmp_path / "out").exists()
    result = aofdoctor("repair", path, "-o", tmp_path / "out", "--json")
    assert result.status == 0 and path.read_bytes() == good + bad
    assert (tmp_path / "out").read_bytes() == good
    assert (tmp_path / "out.lost" / "a.aof.lost").read_bytes() == bad
    lost = [json.loads(line) for line in (tmp_path / "out.lost" / "map.jsonl").read_bytes().splitlines()]
    assert [(entry["start"], entry["end"]) for entry in lost] == [(len(good), len(good + bad))]
    assert result.json["bytes"]["dropped"] == len(bad)
    assert aofdoctor("check", tmp_path / "out").status == 0


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"\xef\xbb\xbf" + SET, "nothing stands before the first damage"),
        (bytes(4096), "can be read"),
        (b"REDIS0011" + bytes(200), "can be read"),
    ],
)
@pytest.mark.parametrize("name", ["a.aof", "dump.rdb"])
def test_an_empty_copy_is_never_written(data: bytes, message: str, name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(data)
    for words in ([], ["--salvage"]) if b"SET" not in data else ([],):
        result = aofdoctor("repair", path, *words, "-o", tmp_path / "out")
        assert result.status == 3 and not (tmp_path / "out").exists()
    message = "nothing would be left" if name == "dump.rdb" and b"SET" in data else message
    assert aofdoctor("check", path).status in (1, 3) and message in result.err


def test_the_loss_is_reported_in_commands_bytes_and_percent(tmp_path: Path) -> None:
    path = tmp_path / "a.aof"
    path.write_bytes(SET * 50 + b"junk" + SET * 50)
    out = aofdoctor("repair", path).out
    assert (
        "at least 100 commands" in out
        and "50 commands (at most 50.0%)" in out
        and "50 whole commands stand after it" in out
    )


def test_later_parts_are_dropped_and_leave_the_manifest(story: Story, tmp_path: Path) -> None:
    folder = story("wiped-redis-7.0-resp") / "appendonlydir"
    incr, manifest = folder / "appendonly.aof.1.incr.aof", folder / "appendonly.aof.manifest"
    incr.write_bytes(incr.read_bytes()[:-4])
    (folder / "appendonly.aof.2.incr.aof").write_bytes(SET * 3)
    manifest.write_bytes(manifest.read_bytes() + b"file appendonly.aof.2.incr.aof seq 2 type i\n")
    result = aofdoctor("repair", folder, "-o", tmp_path / "out", "--json")
    assert result.status == 0 and result.json["commands"]["dropped"] == 3
    assert not (tmp_path / "out" / "appendonly.aof.2.incr.aof").exists()
    assert (tmp_path / "out.lost" / "appendonly.aof.2.incr.aof").read_bytes() == SET * 3
    assert b"incr.aof seq 2" not in (tmp_path / "out" / manifest.name).read_bytes()
    assert aofdoctor("check", tmp_path / "out").status == 0
    assert aofdoctor("verify", tmp_path / "out").status == 0


def test_nothing_after_a_missing_part_is_kept(story: Story, tmp_path: Path) -> None:
    folder = story("wiped-redis-7.0-resp") / "appendonlydir"
    (folder / "appendonly.aof.1.incr.aof").unlink()
    assert aofdoctor("repair", folder, "-o", tmp_path / "out").status == 0
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [
        "appendonly.aof.1.base.rdb",
        "appendonly.aof.manifest",
    ]
    assert aofdoctor("check", tmp_path / "out").status == 0


def test_a_damaged_rdb_is_refused_with_the_reason(story: Story, tmp_path: Path) -> None:
    path = story("wiped-redis-6.2-preamble") / "appendonly.aof"
    data = path.read_bytes()
    for bad in (data[:100], data[:60] + b"\xff" * 40 + data[100:]):
        path.write_bytes(bad)
        result = aofdoctor("repair", path, "-o", tmp_path / "out")
        assert result.status == 3 and "the RDB at the head of" in result.err and not (tmp_path / "out").exists()


def test_a_ruined_manifest_is_refused_with_the_reason(story: Story, tmp_path: Path) -> None:
    manifest = story("wiped-valkey-9.1") / "appendonlydir" / "appendonly.aof.manifest"
    manifest.write_bytes(bytes(88))
    result = aofdoctor("repair", manifest, "-o", tmp_path / "out")
    assert result.status == 3 and "the manifest of" in result.err


def test_a_sound_aof_has_nothing_to_repair(story: Story, tmp_path: Path) -> None:
    source = story("wiped-valkey-9.1")
    assert aofdoctor("repair", source, "--json").json["changed"] is False
    assert aofdoctor("repair", source).status == 0
    assert aofdoctor("repair", source, "-o", tmp_path / "out").status == 0 and not (tmp_path / "out").exists()


def test_a_repair_that_would_leave_nothing_is_refused(story: Story, tmp_path: Path) -> None:
    folder = story("wiped-valkey-9.1") / "appendonlydir"
    next(folder.glob("*.base.rdb")).unlink()
    result = aofdoctor("repair", folder, "-o", tmp_path / "out")
    assert result.status == 3 and "nothing would be left" in result.err and not (tmp_path / "out").exists()


def test_remaining_reasons_not_to_load_are_reported(tmp_path: Path) -> None:
    path = tmp_path / "a.aof"
    for odd in (encode_command([b"NOSUCH", b"x"]), encode_command([b"SET", b"a"]), b"#" + b"x" * 2000 + b"\r\n"):
        path.write_bytes(SET + odd + SET + SET[:9])
        assert "would not load the copy" in aofdoctor("repair", path).out
        out = tmp_path / f"out{len(odd)}"
        assert aofdoctor("repair", path, "--salvage", "--drop-unknown", "-o", out).status == 0
        assert out.read_bytes() == SET * 2 and aofdoctor("check", out).status == 0
