"""Unknown commands that an output keeps are named with their consequence, and with the command they probably were."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aofdoctor.resp import encode_command
from aofdoctor.server.command_table import command_table
from aofdoctor.server.near_names import near_command
from tests.conftest import aofdoctor

WRITTEN = [c for c in command_table().commands if "write" in c.flags and not c.container]
NAMES = {c.name for c in command_table().commands}
SET = encode_command([b"SET", b"a", b"b"])


@given(st.sampled_from(WRITTEN), st.data())
def test_a_name_with_one_flipped_bit_is_near_its_command_or_to_several(spec: object, data: st.DataObject) -> None:
    assert isinstance(spec, type(WRITTEN[0]))
    name = bytearray(spec.name.upper().encode())
    name[data.draw(st.integers(0, len(name) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    if bytes(name).decode("latin-1").lower() in NAMES:
        return
    argc = max(abs(arity) for arity in spec.arity)
    assert near_command(bytes(name), argc) in ("", spec.name.upper())


@pytest.mark.parametrize(
    ("name", "argc", "near"),
    [(b"SDT", 3, "SET"), (b"sdt", 3, "SET"), (b"DLE", 2, ""), (b"ZADDD", 4, "ZADD"), (b"HSEX", 4, "HSET"),
     (b"SDT", 1, ""), (b"S", 3, ""), (b"x" * 5000, 3, ""), (b"MULTJ", 1, "MULTI")],
)  # fmt: skip
def test_a_near_command_takes_as_many_arguments(name: bytes, argc: int, near: str) -> None:
    assert near_command(name, argc) == near


def test_kept_unknown_commands_are_named_with_what_refuses_and_drops_them(tmp_path: Path) -> None:
    path = tmp_path / "appendonly.aof"
    path.write_bytes(SET + SET.replace(b"SET", b"SDT") * 2 + b"junk" + SET)
    [finding] = [f for f in aofdoctor("check", path, "--json").json["findings"] if f["code"] == "unknown-command"]
    assert "probably a damaged SET" in finding["detail"] and "--drop-unknown" in finding["commands"][0]
    [unknown] = aofdoctor("check", path, "--json").json["unknown_commands"]
    assert unknown["near"] == "SET"
    notes = aofdoctor("repair", path, "--salvage", "--json").json["notes"]
    [note] = [note for note in notes if "SDT" in note]
    assert "2 unknown commands, first at appendonly.aof@27" in note and "Redis 8.10" in note
    assert "refuse them" in note and "--drop-unknown leaves them out" in note
    dropped = aofdoctor("repair", path, "--salvage", "--drop-unknown", "-o", tmp_path / "out", "--json")
    assert not any("SDT" in note for note in dropped.json["notes"])
    assert aofdoctor("check", tmp_path / "out").status == 0


def test_strip_names_the_unknown_commands_that_stay(tmp_path: Path) -> None:
    path = tmp_path / "appendonly.aof"
    path.write_bytes(SET + SET.replace(b"SET", b"SDT") + encode_command([b"FLUSHALL"]) + SET)
    for words in ([], ["--all"], ["-o", str(tmp_path / "out")]):
        out = aofdoctor("strip", path, *words).out
        assert "SDT: 1 unknown command, at appendonly.aof@27 (probably a damaged SET), stays" in out


def test_the_hint_of_check_works_on_a_sound_file(tmp_path: Path) -> None:
    path = tmp_path / "appendonly.aof"
    path.write_bytes(SET + encode_command([b"NEWCMD", b"a"]))
    note = aofdoctor("repair", path, "--salvage").out
    assert "NEWCMD: 1 unknown command" in note and "probably" not in note
    assert aofdoctor("repair", path, "--salvage", "--drop-unknown", "-o", tmp_path / "out").status == 0
    assert (tmp_path / "out").read_bytes() == SET
