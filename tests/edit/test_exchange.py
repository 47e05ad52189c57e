"""Edits in place: the new content gets the name, the old content is kept next to it, and undo restores it exactly."""

import errno
import json
import os
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aofdoctor.cli import edit_runner
from aofdoctor.edit.edit import write_edit
from aofdoctor.edit.output import exchange
from aofdoctor.resp import encode_command
from tests.conftest import aofdoctor
from tests.support.fault_injection import run_killed_at
from tests.support.hostile_bytes import hostile_aofs
from tests.support.samples import FLUSH, StoryCopier, full_snapshot, make_small_set

A, B = encode_command([b"SET", b"a", b"1"]), encode_command([b"SET", b"b", b"2"])
EDITS = {
    "repair": ["repair"],
    "salvage": ["repair", "--salvage"],
    "rewind": ["rewind", "--before", "#2"],
    "slice": ["slice", "--key", "a"],
    "strip a selection": ["strip", "--key", "a"],
    "strip and after": ["strip", "--and-after"],
}
DATA = A + B + FLUSH + A + b"*1\r\n$4\r\nPI" + b"\0" * 100 + B


def source(folder: Path, layout: str) -> Path:
    if layout == "set":
        return make_small_set(folder, {"base": A + B, "one": A + B, "two": DATA})
    (folder / "a.aof").write_bytes(DATA)
    (folder / "a.aof").chmod(0o640)
    return folder / "a.aof"


@pytest.mark.parametrize("layout", ["file", "set"])
@pytest.mark.parametrize("edit", EDITS)
def test_an_edit_and_its_undo_are_the_identity(edit: str, layout: str, tmp_path: Path) -> None:
    path, words = source(tmp_path, layout), EDITS[edit]
    before = full_snapshot(path)
    assert aofdoctor(words[0], path, *words[1:], "-o", tmp_path / "copy").status in (0, 3)
    done = aofdoctor(words[0], path, *words[1:], "--in-place", "-y", "--json")
    if not (tmp_path / "copy").exists():  # An edit without an output is refused in place as well.
        assert done.status == 3 and full_snapshot(path) == before
        return
    assert done.status == 0, done.err
    if layout == "file":
        assert path.read_bytes() == (tmp_path / "copy").read_bytes() and path.stat().st_mode & 0o777 == 0o640
    else:
        assert {p.name: p.read_bytes() for p in path.iterdir()} == {
            p.name: p.read_bytes() for p in (tmp_path / "copy").iterdir()}  # fmt: skip
    undone = aofdoctor("undo", done.json["receipt"], "--json")
    assert undone.status == 0 and full_snapshot(path) == before, undone.err


def test_the_old_source_is_reported_and_kept_in_the_same_directory(tmp_path: Path) -> None:
    path = source(tmp_path, "file")
    result = aofdoctor("repair", path, "--salvage", "--in-place", "-y")
    kept = [p for p in tmp_path.iterdir() if p.name.endswith(".before")]
    assert [p.read_bytes() for p in kept] == [DATA] and kept[0].name in result.out and "takes it back" in result.out


def test_unchanged_parts_need_no_space(tmp_path: Path) -> None:
    path = make_small_set(tmp_path, {"base": A * 5, "one": B, "two": A + FLUSH, "three": B})
    inode = {p.name: p.stat().st_ino for p in path.iterdir()}
    done = aofdoctor("strip", path, "--key", "b", "--in-place", "-y", "--json")
    assert done.status == 0
    same = {p.name for p in path.iterdir() if p.stat().st_ino == inode[p.name]}
    # Servers append to the last part, so it is never a hard link.
    assert same == {"a.aof.1.base.aof", "a.aof.3.incr.aof"}


def test_an_open_file_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    path = source(tmp_path, "file")
    with open(path) as file, subprocess.Popen(["sleep", "60"], stdin=file) as other:
        result = aofdoctor("repair", path, "--salvage", "--in-place", "-y")
        other.kill()
    assert result.status == 3 and "held open by" in result.err and sorted(tmp_path.iterdir()) == [path]


def test_a_source_that_has_grown_is_not_exchanged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = source(tmp_path, "file")
    real = write_edit

    def grows(*args: object, **options: object) -> object:
        receipt = real(*args, **options)  # type: ignore[arg-type]
        with open(path, "ab") as file:
            file.write(B)
        return receipt

    monkeypatch.setattr(edit_runner, "write_edit", grows)
    result = aofdoctor("repair", path, "--salvage", "--in-place", "-y")
    assert result.status == 3 and "is not what it was" in result.err and path.read_bytes() == DATA + B


def test_a_file_system_that_cannot_exchange_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def cannot(one: bytes, other: bytes) -> None:
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))

    path = source(tmp_path, "file")
    monkeypatch.setattr(exchange, "_rename_exchange", cannot)
    result = aofdoctor("repair", path, "--salvage", "--in-place", "-y")
    assert result.status == 3 and "cannot exchange two names" in result.err and path.read_bytes() == DATA


def test_undo_refuses_a_file_that_has_changed_since(tmp_path: Path) -> None:
    path = source(tmp_path, "file")
    done = aofdoctor("repair", path, "--salvage", "--in-place", "-y", "--json").json
    with open(path, "ab") as file:
        file.write(B)
    now = path.read_bytes()
    result = aofdoctor("undo", done["receipt"])
    assert result.status == 3 and f"{len(B)} bytes more" in result.err and path.read_bytes() == now


def test_undo_twice_is_refused(tmp_path: Path) -> None:
    path = source(tmp_path, "file")
    done = aofdoctor("repair", path, "--salvage", "--in-place", "-y", "--json").json
    assert aofdoctor("undo", done["receipt"]).status == 0
    (tmp_path / "again.json").write_bytes(Path(done["receipt"] + ".undone").read_bytes())
    result = aofdoctor("undo", tmp_path / "again.json")
    assert result.status == 3 and path.read_bytes() == DATA


@pytest.mark.parametrize("change", [{"exchanged_with": 5}, {"exchanged_with": "/etc"}, {"output": []}, {"output": [{}]},
                                    {"source": "x"}, {"source": [{"path": "a\0b"}]}])  # fmt: skip
def test_an_invalid_receipt_is_refused(change: dict[str, object], tmp_path: Path) -> None:
    path = source(tmp_path, "file")
    receipt = Path(aofdoctor("repair", path, "--salvage", "--in-place", "-y", "--json").json["receipt"])
    now = path.read_bytes()
    receipt.write_text(json.dumps(json.loads(receipt.read_bytes()) | change))
    result = aofdoctor("undo", receipt)
    assert result.status == 3 and "Traceback" not in result.err and path.read_bytes() == now


def test_a_saved_plan_is_applied_in_place(tmp_path: Path) -> None:
    path = source(tmp_path, "file")
    assert aofdoctor("repair", path, "--salvage", "--plan", tmp_path / "plan").status == 0
    assert aofdoctor("apply", tmp_path / "plan", "-o", tmp_path / "copy").status == 0
    # The command asks for confirmation, and standard input is no terminal.
    assert aofdoctor("apply", tmp_path / "plan", "--in-place").status == 2
    assert path.read_bytes() == DATA
    assert aofdoctor("apply", tmp_path / "plan", "--in-place", "-y").status == 0
    assert path.read_bytes() == (tmp_path / "copy").read_bytes()


@pytest.mark.parametrize("layout", ["file", "set"])
def test_after_a_kill_at_any_call_the_file_has_the_old_or_the_new_content(layout: str, tmp_path: Path) -> None:
    whole = tmp_path / "whole"
    whole.mkdir()
    done_path = source(whole, layout)
    old = {name.rpartition("/")[2]: row[0] for name, row in full_snapshot(done_path).items()}
    assert aofdoctor("repair", done_path, "--salvage", "--in-place", "-y").status == 0
    new = {name.rpartition("/")[2]: row[0] for name, row in full_snapshot(done_path).items()}
    number, lived = 0, False
    while not lived:
        number += 1
        folder = tmp_path / str(number)
        folder.mkdir()
        path = source(folder, layout)
        lived = run_killed_at(number, "repair", path, "--salvage", "--in-place", "-y")
        assert {name.rpartition("/")[2]: row[0] for name, row in full_snapshot(path).items()} in (old, new)
    assert number > 10


def test_a_server_loads_an_aof_that_was_edited_in_place(story: StoryCopier, tmp_path: Path) -> None:
    path = story("wiped-valkey-9.1")
    assert aofdoctor("strip", path, "--and-after", "-o", tmp_path / "copy").status == 0
    assert aofdoctor("strip", path, "--and-after", "--in-place", "-y").status == 0
    result = aofdoctor("verify", path, "--json")
    assert result.status == 0 and result.json["total"] > 20
    assert result.json["keys"] == aofdoctor("verify", tmp_path / "copy", "--json").json["keys"]


@given(hostile_aofs, st.sampled_from(sorted(EDITS)))
def test_edit_and_undo_are_the_identity_on_any_file(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, edit: str
) -> None:
    path, words = tmp_path_factory.mktemp("x") / "a.aof", EDITS[edit]
    path.write_bytes(A + data)
    before = full_snapshot(path)
    done = aofdoctor(words[0], path, *words[1:], "--in-place", "-y", "--json")
    if done.status == 0 and done.json["receipt"]:
        assert aofdoctor("undo", done.json["receipt"]).status == 0
    assert full_snapshot(path) == before


def test_undo_through_a_symlink(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    path = source(tmp_path / "real", "file")
    (tmp_path / "link.aof").symlink_to(path)
    before = full_snapshot(path)
    done = aofdoctor("repair", tmp_path / "link.aof", "--salvage", "--in-place", "-y", "--json").json
    assert Path(done["kept"]).read_bytes() == DATA
    assert aofdoctor("undo", done["receipt"]).status == 0 and full_snapshot(path) == before


def test_a_directory_that_holds_more_than_the_set_is_refused(tmp_path: Path) -> None:
    path = source(tmp_path, "set")
    (path / "b.aof.1.incr.aof").write_bytes(B)
    now = full_snapshot(path)
    result = aofdoctor("repair", path / "a.aof.manifest", "--salvage", "--in-place", "-y")
    assert result.status == 3 and "b.aof.1.incr.aof" in result.err and full_snapshot(path) == now


@pytest.mark.parametrize("late", ["manifest", "a new part"])
def test_a_multi_part_aof_that_has_changed_is_not_exchanged(
    late: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = source(tmp_path, "set")
    real = write_edit

    def changes(*args: object, **options: object) -> object:
        receipt = real(*args, **options)  # type: ignore[arg-type]
        with open(path / ("a.aof.manifest" if late == "manifest" else "a.aof.9.incr.aof"), "ab") as file:
            file.write(b"# more\n")
        return receipt

    monkeypatch.setattr(edit_runner, "write_edit", changes)
    result = aofdoctor("repair", path, "--salvage", "--in-place", "-y")
    assert result.status == 3 and path.is_dir() and (path / "a.aof.3.incr.aof").read_bytes() == DATA
    assert sorted(p.name for p in path.parent.iterdir()) == ["appendonlydir"]  # The new files have been removed.


def test_a_receipt_exchanges_only_the_files_of_its_own_name(tmp_path: Path) -> None:
    path = source(tmp_path, "file")
    receipt = Path(aofdoctor("repair", path, "--salvage", "--in-place", "-y", "--json").json["receipt"])
    (tmp_path / "other").write_bytes(B)
    forged = json.loads(receipt.read_bytes()) | {"exchanged_with": str(tmp_path / "other")}
    receipt.write_text(json.dumps(forged))
    assert aofdoctor("undo", receipt).status == 3 and (tmp_path / "other").read_bytes() == B


def test_an_exchange_with_an_unsynced_name_is_reported_as_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(folder: Path) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    path = source(tmp_path, "file")
    monkeypatch.setattr(exchange, "sync_directory", fails)
    result = aofdoctor("repair", path, "--salvage", "--in-place", "-y")
    assert result.status == 3 and "it is done" in result.err and "undo" in result.err
    monkeypatch.undo()
    receipt = next(p for p in tmp_path.iterdir() if p.name.endswith("receipt.json"))
    assert aofdoctor("undo", receipt).status == 0 and path.read_bytes() == DATA


def test_the_current_directory_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = source(tmp_path, "set")
    monkeypatch.chdir(path)
    assert aofdoctor("repair", ".", "--salvage", "--in-place", "-y").status == 3


def test_an_edit_without_effect_exchanges_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a.aof"
    path.write_bytes(A)
    result = aofdoctor("slice", path, "--key", "a", "--in-place", "-y")
    assert result.status == 0 and sorted(tmp_path.iterdir()) == [path]


def test_the_receipt_of_an_overwrite_does_not_block_an_exchange(tmp_path: Path) -> None:
    path = make_small_set(tmp_path, {"base": A + B, "one": A + FLUSH + B})
    before = full_snapshot(path)
    first = aofdoctor("strip", path, "--in-place", "-y", "--json")
    assert Path(first.json["receipt"]).parent == path
    overwritten = full_snapshot(path)
    second = aofdoctor("strip", path, "--key", "b", "--in-place", "-y", "--json")
    assert second.status == 0, second.err
    assert aofdoctor("undo", second.json["receipt"]).status == 0 and full_snapshot(path) == overwritten
    assert aofdoctor("undo", first.json["receipt"]).status == 0
    undone = full_snapshot(path)
    assert all(undone[name][0] == content for name, (content, *_) in before.items())
    third = aofdoctor("strip", path, "--key", "b", "--in-place", "-y")
    assert third.status == 0, third.err


def test_other_files_in_the_directory_block_an_exchange(tmp_path: Path) -> None:
    path = make_small_set(tmp_path, {"base": A + B})
    (path / "x.20261122T055831Z.receipt.json").write_text("{}")
    result = aofdoctor("strip", path, "--key", "b", "--in-place", "-y")
    assert result.status == 3 and "holds more than this AOF" in result.err
