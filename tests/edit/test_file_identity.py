"""One file has one identity under any name, and bytes that cannot be read are tolerated only in evidence."""

import errno
import json
import os
import time
from pathlib import Path

import pytest

from tests.conftest import aofdoctor
from tests.support.samples import FLUSH, SET, make_small_set


def second_name(first: Path, second: Path, kind: str) -> None:
    second.unlink(missing_ok=True)
    second.symlink_to(first.name if kind == "relative link" else first) if "link" in kind else os.link(first, second)


@pytest.mark.parametrize("kind", ["relative link", "absolute link", "hard name"])
@pytest.mark.parametrize(
    "words", [["rewind", "--before", "#5"], ["repair"], ["strip", "--key", "a"], ["strip", "--all"]]
)
def test_a_part_with_two_names_is_edited_and_undone_without_a_wait(words: list[str], kind: str, tmp_path: Path) -> None:
    folder = make_small_set(tmp_path, {"base": SET, "one": SET + FLUSH + SET, "two": b"", "three": SET + SET + SET[:9]})
    second_name(folder / "a.aof.2.incr.aof", folder / "a.aof.3.incr.aof", kind)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    start = time.monotonic()
    done = aofdoctor(words[0], folder, *words[1:], "--in-place", "-y", "--json")
    if done.status == 0:
        undone = aofdoctor("undo", done.json["receipt"])
        assert undone.status == 0, undone.err
    else:  # An overwrite of a file with two hard links would change both.
        assert (done.status, kind, words[-1]) == (3, "hard name", "--all"), done.err
    assert time.monotonic() - start < 20  # The kernel breaks a lease after 45 seconds.
    assert {path.name: path.read_bytes() for path in folder.iterdir() if "receipt" not in path.name} == before


def fail_reads(monkeypatch: pytest.MonkeyPatch, ends: tuple[str, ...], after: int = 0) -> None:
    """Make every pread of a file with such a path fail, after this number of them."""
    real, left = os.pread, [after]

    def pread(fd: int, size: int, offset: int) -> bytes:
        if os.readlink(f"/proc/self/fd/{fd}").endswith(ends):
            left[0] -= 1
            if left[0] < 0:
                raise OSError(errno.EIO, os.strerror(errno.EIO))
        return real(fd, size, offset)

    monkeypatch.setattr(os, "pread", pread)


@pytest.mark.parametrize(
    "verb", [["rewind", "--before", "#2"], ["convert", "--shift-ttl", "1h"], ["slice", "--key", "a"]]
)
def test_a_read_error_of_a_written_file_fails_the_edit(
    verb: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.aof"
    path.write_bytes(SET * 4)
    with monkeypatch.context() as patch:
        fail_reads(patch, (".tmp/aof",))
        result = aofdoctor(verb[0], path, *verb[1:], "-o", tmp_path / "out")
    assert result.status == 3 and "Input/output error" in result.err and list(tmp_path.iterdir()) == [path]


def test_a_read_error_of_evidence_is_recorded_and_undo_still_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, data = tmp_path / "a.aof", SET + b"junk" + SET * 4
    path.write_bytes(data)
    with monkeypatch.context() as patch:
        fail_reads(patch, ("/a.aof",))
        done = aofdoctor("repair", path, "--salvage", "--in-place", "-y", "--json")
    assert done.status == 0, done.err
    receipt = json.loads(Path(done.json["receipt"]).read_bytes())
    assert [one.get("unreadable") for one in receipt["source"]] == [True]
    assert aofdoctor("undo", done.json["receipt"]).status == 0 and path.read_bytes() == data


def test_a_read_error_while_a_file_is_undone_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.aof"
    path.write_bytes(SET + FLUSH + SET)
    receipt = aofdoctor("strip", path, "--in-place", "-y", "--json").json["receipt"]
    edited = path.read_bytes()
    for number in range(2):
        with monkeypatch.context() as patch:
            fail_reads(patch, ("/a.aof",), after=number)
            result = aofdoctor("undo", receipt)
        assert result.status == 3 and "Input/output error" in result.err and path.read_bytes() == edited
    assert aofdoctor("undo", receipt).status == 0 and path.read_bytes() == SET + FLUSH + SET
