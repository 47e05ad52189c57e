"""repair --salvage: intact commands before and after every damage are kept; removed bytes are saved and listed."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from aofdoctor.cli.options import open_path
from aofdoctor.edit.salvage.fileset import rebuild_manifest
from aofdoctor.resp import encode_command
from aofdoctor.server.sandbox import ServerBinary
from tests.conftest import aofdoctor

Story = Callable[[str], Path]


def put(key: bytes) -> bytes:
    return encode_command([b"SET", key, b"1"])


A, B, C, D = (put(key) for key in (b"a", b"b", b"c", b"d"))
MULTI, EXEC, SELECT = encode_command([b"MULTI"]), encode_command([b"EXEC"]), encode_command([b"SELECT", b"3"])
HOLE = bytes(200)
VALUE = encode_command([b"FLUSHALL"]) + A

CASES = {
    # Name: (the damaged file, the expected output).
    "a hole": (A + HOLE + B, A + B),
    "many damages": ((A + b"junk") * 50 + B, A * 50 + B),
    "a torn tail": (A + B + C[:-4], A + B),
    "a transaction that a hole has torn at its end": (A + MULTI + B + HOLE + C, A + C),
    "a transaction that a hole has torn at its head": (A + HOLE + B + EXEC + C, A + C),
    "a transaction that a hole has torn inside": (A + MULTI + B + HOLE + B + EXEC + C, A + C),
    "a whole transaction after a hole": (A + HOLE + MULTI + B + EXEC, A + MULTI + B + EXEC),
    "a torn transaction's SELECT": (A + MULTI + SELECT + B + HOLE + C, A + SELECT + C),
    "an open transaction at the end": (A + MULTI + B, A),
    "arguments that no server takes": (A + encode_command([b"GET"]) + B, A + B),
    "a module's command": (A + encode_command([b"BF.ADD", b"f", b"x"]) + B, A + encode_command([b"BF.ADD", b"f", b"x"]) + B),
    "a value that holds commands, its length too short":
        (A + encode_command([b"SET", b"v", VALUE]).replace(b"$%d" % len(VALUE), b"$3") + B * 9, A + B * 9),
    "a value that holds commands, its header lost":
        (A + HOLE + VALUE + b"\r\n" + b"$1\r\nx\r\n" + B * 9, A + B * 9),
    "a value that holds a flush, its tail lost":
        ((A + encode_command([b"SET", b"v", encode_command([b"FLUSHALL"]) + b"x" * 90]))[:-30] + bytes(40) + B[10:] + C * 9, A + C * 9),
    "a mark that is wrong": (A + B.replace(b"$1\r\nb", b"?1\r\nb") + C * 9, A + C * 9),
    "a line end that is wrong": (A + B.replace(b"b\r\n", b"b\0\n") + C * 9, A + C * 9),
    "an annotation and a hole": (b"#TS:1700000000\r\n" + A + HOLE + b"#TS:1700000009\r\n" + B,
                                 b"#TS:1700000000\r\n" + A + b"#TS:1700000009\r\n" + B),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_intact_commands_are_kept(name: str, tmp_path: Path) -> None:
    data, expected = CASES[name]
    path = tmp_path / "a.aof"
    path.write_bytes(data)
    if data == expected:
        assert not aofdoctor("repair", path, "--salvage", "--json").json["changed"]
        return
    result = aofdoctor("repair", path, "--salvage", "-o", tmp_path / "out", "--json")
    assert result.status == 0 and (tmp_path / "out").read_bytes() == expected and path.read_bytes() == data
    ranges = [json.loads(line) for line in (tmp_path / "out.lost" / "map.jsonl").read_bytes().splitlines()]
    kept = b"".join(data[r["start"] : r["end"]] for r in ranges)
    assert (tmp_path / "out.lost" / "a.aof.lost").read_bytes() == kept and len(kept) == len(data) - len(expected)
    assert all(r["reason"] and r["arguments"] for r in ranges)


def test_a_duplicated_block_is_kept_once(tmp_path: Path) -> None:
    data = b"".join(put(b"%05d" % n) for n in range(900))
    path = tmp_path / "a.aof"
    for start, size in ((8192, 4096), (8200, 512), (9001, 7000)):
        path.write_bytes(data[: start + size] + data[start:])
        out = tmp_path / f"out{start}"
        assert aofdoctor("repair", path, "--salvage", "-o", out).status == 0
        assert out.read_bytes() == data


def test_commands_that_only_resemble_a_duplicated_block_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "a.aof"
    for damage, left in ((b"junk", 600), (A[:5] + A[11:], 600)):
        path.write_bytes(A * 300 + damage + A * 300)
        out = tmp_path / f"out{len(damage)}"
        assert aofdoctor("repair", path, "--salvage", "-o", out).status == 0
        assert out.read_bytes() == A * left


def test_commands_in_a_guessed_database_are_counted_and_dropped_with_strict(tmp_path: Path) -> None:
    path = tmp_path / "a.aof"
    path.write_bytes(A + HOLE + B * 3 + MULTI + SELECT + C + EXEC + D)
    plan = aofdoctor("repair", path, "--salvage", "--json").json
    assert any("3 commands after damage" in note and f"a.aof@{len(A + HOLE)}" in note for note in plan["notes"])
    assert aofdoctor("repair", path, "--salvage", "--strict", "-o", tmp_path / "out").status == 0
    assert (tmp_path / "out").read_bytes() == A + MULTI + SELECT + C + EXEC + D
    path.write_bytes(A + HOLE + MULTI + B + EXEC + B + SELECT + D)
    assert aofdoctor("repair", path, "--salvage", "--strict", "-o", tmp_path / "out2").status == 0
    assert (tmp_path / "out2").read_bytes() == A + SELECT + D


def test_after_a_mangled_select_the_database_is_a_guess(tmp_path: Path) -> None:
    path = tmp_path / "a.aof"
    path.write_bytes(A + encode_command([b"SELECU", b"1"]) + B * 2 + SELECT + C)
    plan = aofdoctor("repair", path, "--salvage", "--drop-unknown", "--json").json
    assert any("2 commands after damage" in note for note in plan["notes"])
    assert aofdoctor("repair", path, "--salvage", "--drop-unknown", "--strict", "-o", tmp_path / "out").status == 0
    assert (tmp_path / "out").read_bytes() == A + SELECT + C


@pytest.mark.parametrize("claim", [b"$2000001", b"$1500", b"$60"])
def test_a_length_that_is_too_large_loses_one_command(claim: bytes, tmp_path: Path) -> None:
    path, bent = tmp_path / "a.aof", encode_command([b"SET", b"v", b"1"]).replace(b"$1\r\n1", claim + b"\r\n1")
    path.write_bytes(A + bent + B * 150_000)
    assert aofdoctor("repair", path, "--salvage", "-o", tmp_path / "out").status == 0
    assert (tmp_path / "out").read_bytes() == A + B * 150_000


def test_a_flush_after_damage_is_reported(tmp_path: Path) -> None:
    path = tmp_path / "a.aof"
    path.write_bytes(A + HOLE + encode_command([b"FLUSHALL"]) + B)
    notes = aofdoctor("repair", path, "--salvage", "--json").json["notes"]
    assert any(f"FLUSHALL at a.aof@{len(A + HOLE)} stands after damage" in note for note in notes)


@pytest.mark.parametrize("options", [[], ["--keep-unknown"]])
def test_unknown_commands_are_kept(tmp_path: Path, options: list[str]) -> None:
    path = tmp_path / "a.aof"
    path.write_bytes(A + encode_command([b"b840fc02d524045429941cc15f59e41c"]) + B + b"junk")
    assert aofdoctor("repair", path, "--salvage", *options, "-o", tmp_path / "out").status == 0
    assert (tmp_path / "out").read_bytes() == path.read_bytes()[:-4]


UNKNOWN_CASES = {
    "a mangled MULTI": (A + encode_command([b"MULTJ"]) + B + EXEC + C, A + C),
    "a name that no server knows": (A + encode_command([b"SXT", b"a"]) + B, A + B),
    "such a name in a transaction": (A + MULTI + B + encode_command([b"SXT"]) + C + EXEC + D, A + D),
    "a mangled EXEC": (A + MULTI + B + encode_command([b"EXEX"]) + C + MULTI + D + EXEC, A + C + MULTI + D + EXEC),
    "a module's command": (A + encode_command([b"BF.ADD", b"f", b"x"]) + B, A + B),
}


@pytest.mark.parametrize("name", UNKNOWN_CASES)
def test_unknown_commands_are_dropped_on_request(tmp_path: Path, name: str) -> None:
    data, expected = UNKNOWN_CASES[name]
    path = tmp_path / "a.aof"
    path.write_bytes(data)
    assert aofdoctor("repair", path, "--salvage", "--drop-unknown", "-o", tmp_path / "out").status == 0
    assert (tmp_path / "out").read_bytes() == expected


def test_every_part_is_salvaged_and_loads(story: Story, tmp_path: Path, embedded: ServerBinary) -> None:
    folder = story("wiped-valkey-9.1") / "appendonlydir"
    incr, manifest = max(folder.glob("*.incr.aof")), next(folder.glob("*.manifest"))
    before = aofdoctor("verify", folder, "--with", embedded.path, "--json").json["total"]
    incr.write_bytes(incr.read_bytes() + A + HOLE)
    (folder / "appendonly.aof.3.incr.aof").write_bytes(HOLE + B + C)
    manifest.write_bytes(manifest.read_bytes() + b"file appendonly.aof.3.incr.aof seq 3 type i\n")
    result = aofdoctor("repair", folder, "--salvage", "-o", tmp_path / "out", "--json")
    assert result.json["bytes"]["dropped"] == 400 and result.json["commands"]["dropped"] == 0
    assert aofdoctor("verify", tmp_path / "out", "--with", embedded.path, "--json").json["total"] == before + 3


def test_a_missing_part_is_reported_and_the_others_are_kept(story: Story, tmp_path: Path) -> None:
    folder = story("wiped-valkey-9.1") / "appendonlydir"
    base = next(folder.glob("*.base.rdb"))
    base.unlink()
    result = aofdoctor("repair", folder, "--salvage", "-o", tmp_path / "out", "--json")
    assert result.status == 0 and any(f"{base.name} is missing" in note for note in result.json["notes"])
    assert aofdoctor("check", tmp_path / "out").status == 0


# -- manifests --


def small_set(folder: Path, manifest: bytes | None, names: tuple[str, ...]) -> Path:
    folder.mkdir()
    for name in names:
        (folder / name).write_bytes(put(name.encode()))
    if manifest is not None:
        (folder / "a.aof.manifest").write_bytes(manifest)
    return folder


BASE, ONE, TWO, THREE = "a.aof.2.base.aof", "a.aof.2.incr.aof", "a.aof.3.incr.aof", "a.aof.4.incr.aof"
SOUND = b"".join(b"file %b seq %d type %b\n" % row for row in (
    (BASE.encode(), 2, b"b"), (ONE.encode(), 2, b"i"), (TWO.encode(), 3, b"i"), (THREE.encode(), 4, b"i")))  # fmt: skip
LINES = SOUND.splitlines(keepends=True)


@pytest.mark.parametrize(
    "manifest",
    [None, b"", bytes(100), SOUND[:-3], SOUND.replace(b"type b", b"type q"), b"".join(LINES[:2] + LINES[3:]),
     b"".join(LINES[1:]), b"".join(LINES[:3]), LINES[0] + b"".join(reversed(LINES[1:])), SOUND + LINES[0]],
)  # fmt: skip
def test_a_manifest_is_rebuilt_from_the_files(manifest: bytes | None, tmp_path: Path) -> None:
    folder = small_set(tmp_path / "set", manifest, (BASE, ONE, TWO, THREE))
    result = aofdoctor("repair", folder, "--salvage", "-o", tmp_path / "out", "--json")
    assert result.status == 0 and result.json["notes"]
    assert (tmp_path / "out" / "a.aof.manifest").read_bytes() == SOUND
    assert (folder / "a.aof.manifest").read_bytes() == manifest if manifest is not None else True


def test_a_sound_manifest_is_unchanged_and_orphans_are_ignored(tmp_path: Path) -> None:
    folder = small_set(tmp_path / "set", SOUND, (BASE, ONE, TWO, THREE, "a.aof.1.base.aof", "a.aof.1.incr.aof"))
    with open_path(str(folder)) as aof:
        assert rebuild_manifest(aof) == (aof, [])


def test_files_that_a_rewrite_has_merged_into_the_base_are_not_listed_again(tmp_path: Path) -> None:
    folder = small_set(tmp_path / "set", None, ("a.aof.1.base.aof", "a.aof.1.incr.aof", BASE, ONE, THREE))
    result = aofdoctor("repair", folder, "--salvage", "-o", tmp_path / "out", "--json")
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [BASE, ONE, THREE, "a.aof.manifest"]
    words = " ".join(result.json["notes"])
    assert "a.aof.1.incr.aof stays out" in words and "number 3" in words
    (folder / BASE).write_bytes(bytes(99))
    result = aofdoctor("repair", folder, "--salvage", "-o", tmp_path / "older", "--json")
    assert sorted(p.name for p in (tmp_path / "older").iterdir()) == [
        "a.aof.1.base.aof", "a.aof.1.incr.aof", ONE, THREE, "a.aof.manifest"]  # fmt: skip


def test_a_file_that_is_listed_twice_is_reported_and_kept_once(tmp_path: Path) -> None:
    twice = SOUND + LINES[3].replace(b"seq 4", b"seq 5")
    folder = small_set(tmp_path / "set", twice, (BASE, ONE, TWO, THREE))
    assert aofdoctor("repair", folder, "-o", tmp_path / "cut").status == 3
    result = aofdoctor("repair", folder, "--salvage", "-o", tmp_path / "out", "--json")
    assert any(f"{THREE} was listed 2 times" in note for note in result.json["notes"])
    assert (tmp_path / "out" / "a.aof.manifest").read_bytes() == SOUND


def test_an_older_base_is_not_listed(tmp_path: Path) -> None:
    folder = small_set(tmp_path / "set", None, ("a.aof.1.base.aof", BASE, ONE))
    result = aofdoctor("repair", folder, "--salvage", "-o", tmp_path / "out", "--json")
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [BASE, ONE, "a.aof.manifest"]
    assert any("a.aof.1.base.aof stays out" in note for note in result.json["notes"])
