"""slice of AOFs with an RDB base: the selected keys of the base are kept."""

import re
from pathlib import Path

import pytest

from aofdoctor.rdb.preamble import walk_rdb
from aofdoctor.resp import encode_command
from aofdoctor.source import BytesSource
from tests.conftest import aofdoctor
from tests.support.base_keys import (
    BASE,
    TAIL,
    USER_KEYS,
    key_names,
    load_key_names,
    overwrite,
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    place = tmp_path / "appendonly.aof"
    place.write_bytes(BASE + TAIL)
    return place


def test_a_slice_keeps_the_selected_keys_of_a_base(path: Path, tmp_path: Path) -> None:
    result = aofdoctor("slice", path, "--key", "user:1*", "-o", tmp_path / "out", "--json")
    data = (tmp_path / "out").read_bytes()
    whole = walk_rdb(BytesSource(data))
    expected = [(db, name) for db, name in key_names(BASE) if name.startswith(b"user:1")]
    assert whole.complete and whole.checksum == "ok" and key_names(data[: whole.end]) == expected
    assert data[whole.end :] == encode_command([b"SELECT", b"0"]) + encode_command([b"SET", b"user:1", b"later"])
    assert result.json["bytes"]["after"] == len(data) and result.json["commands"]["after"] == 2
    assert load_key_names(data[: whole.end], "valkey-9.1") == set(expected)


def test_a_slice_without_a_key_of_the_base_omits_the_base(path: Path, tmp_path: Path) -> None:
    aofdoctor("slice", path, "--cmd", "del", "-o", tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == encode_command([b"SELECT", b"0"]) + encode_command([b"DEL", b"user:2"])


def test_positions_after_a_base_name_its_commands(path: Path, tmp_path: Path) -> None:
    place = len(BASE) + len(encode_command([b"SELECT", b"0"]))
    aofdoctor("slice", path, "--to", str(place), "-o", tmp_path / "out")
    data = (tmp_path / "out").read_bytes()
    assert key_names(data) == key_names(BASE) and data.endswith(encode_command([b"SET", b"user:1", b"later"]))


@pytest.mark.parametrize("junk", [b"\xf0" * 8, b"\xff"], ids=["a hole", "a byte of a value"])
def test_a_slice_of_a_damaged_base_keeps_the_readable_keys_and_reports_it(
    junk: bytes, path: Path, tmp_path: Path
) -> None:
    overwrite(path, BASE.index(USER_KEYS[20]) + (9 if len(junk) == 1 else 0), junk)
    result = aofdoctor("slice", path, "--key", "user:[12]*", "-o", tmp_path / "out", "--json")
    assert result.status == 0, result.err
    data = (tmp_path / "out").read_bytes()
    whole = walk_rdb(BytesSource(data))
    kept, wanted = key_names(data[: whole.end]), [one for one in key_names(BASE) if re.match(rb"user:[12]", one[1])]
    assert whole.complete and whole.checksum == "ok" and set(kept) <= set(wanted) and len(kept) >= len(wanted) - 1
    assert load_key_names(data[: whole.end], "valkey-9.1") == set(kept)
    assert "it is damaged" in str(result.json["notes"]) and data.endswith(encode_command([b"DEL", b"user:2"]))


def test_a_slice_of_a_dump_is_a_dump(tmp_path: Path) -> None:
    (tmp_path / "dump.rdb").write_bytes(BASE)
    aofdoctor("slice", tmp_path / "dump.rdb", "--db", "3", "-o", tmp_path / "out.rdb")
    data = (tmp_path / "out.rdb").read_bytes()
    assert key_names(data) == [one for one in key_names(BASE) if one[0] == 3]


def test_an_edit_of_a_base_in_place_can_be_undone(path: Path) -> None:
    before = path.read_bytes()
    done = aofdoctor("slice", path, "--key", "user:1*", "--in-place", "-y", "--json")
    assert done.status == 0 and len(path.read_bytes()) < len(before)
    assert aofdoctor("undo", done.json["receipt"]).status == 0
    assert path.read_bytes() == before
