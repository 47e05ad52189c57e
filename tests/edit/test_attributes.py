"""Outputs keep owner, mode, ACL and extended attributes of their source; what cannot be kept is named."""

import errno
import json
import os
import struct
from pathlib import Path

import pytest

from tests.conftest import aofdoctor
from tests.support.samples import FLUSH, SET, make_small_set

USER, ACL, DEFAULT_ACL = "user.origin", "system.posix_acl_access", "system.posix_acl_default"
ANYONE = 0xFFFFFFFF


def acl(*entries: tuple[int, int, int]) -> bytes:
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)


# Owner rw, user 4242 r, group nothing, mask r, others nothing.
GRANTS = acl((1, 6, ANYONE), (2, 4, 4242), (4, 0, ANYONE), (16, 4, ANYONE), (32, 0, ANYONE))
DIRECTORY_GRANTS = acl((1, 7, ANYONE), (2, 5, 4242), (4, 0, ANYONE), (16, 5, ANYONE), (32, 0, ANYONE))
WIDE = acl((1, 7, ANYONE), (2, 7, 4343), (4, 7, ANYONE), (16, 7, ANYONE), (32, 7, ANYONE))


@pytest.fixture(autouse=True)
def _needs_attributes(tmp_path: Path) -> None:
    try:
        (tmp_path / "probe").write_bytes(b"")
        os.setxattr(tmp_path / "probe", USER, b"1")
        os.setxattr(tmp_path / "probe", ACL, GRANTS)
        (tmp_path / "probe").unlink()
    except (OSError, AttributeError):
        pytest.skip("this file system has no extended attributes or no ACLs")


def make_source(folder: Path, kind: str) -> Path:
    if kind == "set":
        path = make_small_set(folder, {"base": SET, "one": SET + FLUSH + SET[:9]})
        os.setxattr(path, ACL, DIRECTORY_GRANTS)
    else:
        path = folder / "a.aof"
        path.write_bytes(SET + FLUSH + SET[:9])
    for file in path.iterdir() if path.is_dir() else [path]:
        os.setxattr(file, USER, file.name.encode())
        os.setxattr(file, ACL, GRANTS)
    return path


def attributes(path: Path) -> dict[str, tuple[int, dict[str, bytes]]]:
    files = [path, *path.iterdir()] if path.is_dir() else [path]
    return {
        "" if file == path else file.name: (
            file.stat().st_mode, {name: os.getxattr(file, name) for name in os.listxattr(file)},
        ) for file in files
    }  # fmt: skip


@pytest.mark.parametrize("verb", [["repair"], ["strip", "--key", "a"], ["convert", "--shift-ttl", "1h"]])
@pytest.mark.parametrize("kind", ["file", "set"])
def test_a_copy_and_an_edit_in_place_keep_attributes(kind: str, verb: list[str], tmp_path: Path) -> None:
    source = make_source(tmp_path, kind)
    if verb[0] == "convert":
        assert aofdoctor("repair", source, "--in-place", "-y").status == 0
    before = attributes(source)
    result = aofdoctor(verb[0], source, *verb[1:], "-o", tmp_path / "out", "--json")
    assert result.status == 0 and result.json["warnings"] == [], result.err
    made = attributes(tmp_path / "out")
    for name, (mode, extended) in made.items():
        was_mode, was = before[name]
        assert (mode, extended) == (was_mode, was) or (name == "" and mode == was_mode | 0o700)
    done = aofdoctor(verb[0], source, *verb[1:], "--in-place", "-y")
    assert done.status == 0 and attributes(source).keys() == made.keys()
    assert all(extended == before[name][1] for name, (_, extended) in attributes(source).items())
    assert "attributes_not_kept" not in json.loads((tmp_path / "out.receipt.json").read_bytes())


def test_a_default_acl_of_the_directory_does_not_make_an_output_wider(tmp_path: Path) -> None:
    source = tmp_path / "a.aof"
    source.write_bytes(SET + FLUSH)
    source.chmod(0o640)
    (tmp_path / "place").mkdir()
    os.setxattr(tmp_path / "place", DEFAULT_ACL, WIDE)
    assert aofdoctor("strip", source, "-o", tmp_path / "place" / "out").status == 0
    out = tmp_path / "place" / "out"
    assert out.stat().st_mode & 0o777 == 0o640 and ACL not in os.listxattr(out)


@pytest.mark.parametrize("kind", ["file", "set"])
def test_what_the_file_system_refuses_is_named(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = make_source(tmp_path, kind)

    def refuse(*args: object, **options: object) -> None:
        raise OSError(errno.ENOTSUP, os.strerror(errno.ENOTSUP))

    monkeypatch.setattr(os, "setxattr", refuse)
    result = aofdoctor("repair", source, "-o", tmp_path / "out", "--json")
    assert result.status == 0
    assert any(USER in warning for warning in result.json["warnings"])
    assert any(ACL in warning for warning in result.json["warnings"])
    receipt = json.loads((tmp_path / "out.receipt.json").read_bytes())
    assert sorted(receipt["attributes_not_kept"]) == [ACL, USER]
    assert USER in aofdoctor("repair", source, "-o", tmp_path / "second").out
    # With an ACL, the group bits of the mode are a maximum for all users. The group itself may read nothing.
    for file in (tmp_path / "out").iterdir() if kind == "set" else [tmp_path / "out"]:
        assert file.stat().st_mode & 0o077 == 0, file
