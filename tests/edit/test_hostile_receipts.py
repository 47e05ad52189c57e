"""Receipts and plans from strangers: no traceback, and no byte changes but those that an edit of ours has changed."""

import base64
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aofdoctor.edit.output.overwrite import is_flush_record, ping_of_size
from aofdoctor.resp import encode_command
from tests.conftest import aofdoctor
from tests.support.samples import FLUSH, SET

PING = ping_of_size(len(FLUSH))
EDITS = {
    "overwrite": ["strip", "--in-place", "-y"],
    "exchange of a file": ["repair", "--salvage", "--in-place", "-y"],
    "exchange of a set": ["rewind", "--before", "#2", "--in-place", "-y"],
}
SCALARS: list[Any] = [
    None, True, False, 0, 1, -1, 1 << 70, 1.5, float("inf"), float("nan"), "", "x", "\ud800x", "a\0b", "..", "/", "/etc",
    "/etc/passwd", "../x", "A" * 5000, [], {}, [[]], [{}], {"path": 5}, "in-place", "exchange", "copy", "plan",
    base64.b64encode(SET).decode(), base64.b64encode(PING).decode(),
]  # fmt: skip


def make_source(folder: Path, kind: str) -> Path:
    data = SET + FLUSH + SET + SET[:9]
    if kind != "exchange of a set":
        (folder / "a.aof").write_bytes(data)
        return folder / "a.aof"
    place = folder / "set"
    place.mkdir()
    (place / "a.aof.1.incr.aof").write_bytes(data)
    (place / "a.aof.manifest").write_bytes(b"file a.aof.1.incr.aof seq 1 type i\n")
    return place


def state(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): b"" if path.is_dir() else path.read_bytes()
        for path in folder.rglob("*")
        if "receipt" not in path.name
    }


def places(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield at
    if isinstance(value, dict | list):
        for key in value if isinstance(value, dict) else range(len(value)):
            yield from places(value[key], (*at, key))


def replace(value: Any, at: tuple[Any, ...], new: Any) -> Any:
    if not at:
        return new
    copy = value.copy()
    if new is DELETED and len(at) == 1:
        del copy[at[0]]
    else:
        copy[at[0]] = replace(value[at[0]], at[1:], new)
    return copy


DELETED = object()


@settings(max_examples=150)
@given(data=st.data())
@pytest.mark.parametrize("kind", EDITS)
def test_a_mutated_receipt_never_changes_other_bytes(
    tmp_path_factory: pytest.TempPathFactory, kind: str, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("x")
    path = make_source(folder, kind)
    before = state(folder)
    done = aofdoctor(EDITS[kind][0], path, *EDITS[kind][1:], "--json")
    assert done.status == 0, done.err
    receipt = Path(done.json["receipt"])
    edited = state(folder)
    original = json.loads(receipt.read_bytes())
    content = original
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.sampled_from(sorted(places(content), key=repr)))
        if at:
            content = replace(content, at, data.draw(st.sampled_from([*SCALARS, DELETED])))
    receipt.write_text(json.dumps(content))
    result = aofdoctor("undo", receipt)
    assert result.status in (0, 3) and "Traceback" not in result.err
    restored = {name.replace(".before", "").replace(".undone", ""): row for name, row in state(folder).items()}
    assert state(folder) == edited or before.items() <= restored.items()
    assert result.err.startswith("aofdoctor: ") or result.status == 0
    shutil.rmtree(folder)


@settings(max_examples=80)
@given(data=st.data())
def test_a_mutated_plan_never_writes_elsewhere(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    folder = tmp_path_factory.mktemp("x")
    path = make_source(folder, "overwrite")
    words = data.draw(st.sampled_from([["strip"], ["repair", "--salvage"], ["slice", "--key", "a"],
                                       ["convert", "--layout", "multi-part"], ["rewind", "--before", "#2"]]))  # fmt: skip
    if words[0] == "convert":
        path.write_bytes(SET)
    plan = folder / "plan.json"
    assert aofdoctor(*words, path, "--plan", plan).status == 0
    before = path.read_bytes()
    content = json.loads(plan.read_bytes())
    for _ in range(data.draw(st.integers(1, 2))):
        at = data.draw(st.sampled_from(sorted(places(content), key=repr)))
        if at:
            content = replace(content, at, data.draw(st.sampled_from([*SCALARS, DELETED])))
    plan.write_text(json.dumps(content))
    result = aofdoctor("apply", plan, "-o", folder / "out")
    assert result.status in (0, 3) and (result.status == 0 or result.err.startswith("aofdoctor: ")), result.err
    assert path.read_bytes() == before
    assert {p.name for p in folder.iterdir()} <= {"a.aof", "plan.json", "out", "out.receipt.json", "out.lost"}
    shutil.rmtree(folder)


def forge(tmp_path: Path, target: Path, old: bytes, new: bytes) -> Path:
    """Write a receipt for a file of ours, then point it to another file with other bytes."""
    (tmp_path / "a.aof").write_bytes(SET + FLUSH + SET)
    receipt = Path(aofdoctor("strip", tmp_path / "a.aof", "--in-place", "-y", "--json").json["receipt"])
    content = json.loads(receipt.read_bytes())
    content["files"][0]["file"]["path"] = str(target)
    content["files"][0]["edits"][0] |= {
        "old": base64.b64encode(old).decode(), "new": base64.b64encode(new).decode(),
    }  # fmt: skip
    receipt.write_text(json.dumps(content))
    return receipt


@pytest.mark.parametrize(
    ("old", "new"), [(b"root:x", b"root::"), (SET, ping_of_size(len(SET))), (FLUSH, FLUSH), (FLUSH + SET, PING),
                     (encode_command([b"EVAL", b"return 1", b"0"]), ping_of_size(40)), (b"", b"")],
)  # fmt: skip
def test_only_a_flush_and_its_ping_are_accepted(old: bytes, new: bytes, tmp_path: Path) -> None:
    receipt = forge(tmp_path, tmp_path / "a.aof", old, new)
    edited = (tmp_path / "a.aof").read_bytes()
    result = aofdoctor("undo", receipt)
    assert result.status == 3 and "not a receipt" in result.err and (tmp_path / "a.aof").read_bytes() == edited


def test_a_receipt_does_not_reach_outside_its_directory(tmp_path: Path) -> None:
    folder, outside = tmp_path / "in", tmp_path / "b.aof"
    folder.mkdir()
    receipt = forge(folder, outside, FLUSH, PING)
    edited = (folder / "a.aof").read_bytes()
    outside.write_bytes(edited)
    assert aofdoctor("undo", receipt).status == 3 and outside.read_bytes() == edited
    (folder / "b.aof").symlink_to(outside)
    assert aofdoctor("undo", receipt).status == 3 and outside.read_bytes() == edited


def test_a_file_that_is_no_aof_is_not_edited(tmp_path: Path) -> None:
    target = tmp_path / "text"
    receipt = forge(tmp_path, target, FLUSH, PING)
    target.write_bytes(b"root:x:0:0\n" * 20)
    result = aofdoctor("undo", receipt)
    assert result.status == 3 and "not an AOF" in result.err and target.read_bytes() == b"root:x:0:0\n" * 20


@pytest.mark.parametrize("kind", ["\ud800x", 5, None, "nosuch", ["copy"]])
def test_a_receipt_of_another_kind_is_one_clear_line(kind: object, tmp_path: Path) -> None:
    (tmp_path / "r.json").write_text(json.dumps({"kind": kind}))
    result = aofdoctor("undo", tmp_path / "r.json")
    assert result.status == 3 and "not a receipt" in result.err


@pytest.mark.parametrize("change", [{"files": []}, {"files": [{"edits": []}]}])
def test_a_receipt_without_edits_is_refused(change: dict[str, Any], tmp_path: Path) -> None:
    receipt = forge(tmp_path, tmp_path / "a.aof", FLUSH, PING)
    content = json.loads(receipt.read_bytes())
    if change["files"]:
        change["files"][0]["file"] = content["files"][0]["file"]
    receipt.write_text(json.dumps(content | change))
    result = aofdoctor("undo", receipt)
    assert result.status == 3 and "is empty" in result.err


@pytest.mark.parametrize("kind", EDITS)
def test_a_second_undo_reports_nothing_done(kind: str, tmp_path: Path) -> None:
    path = make_source(tmp_path, kind)
    receipt = aofdoctor(EDITS[kind][0], path, *EDITS[kind][1:], "--json").json["receipt"]
    first = aofdoctor("undo", receipt, "--json")
    assert first.status == 0 and first.json["changed"] and first.json["bytes"] > 0
    now = state(tmp_path)
    again = aofdoctor("undo", first.json["receipt"], "--json")
    assert (again.status, again.json["changed"], again.json["bytes"]) == (0, False, 0) and state(tmp_path) == now
    assert "nothing to undo" in aofdoctor("undo", first.json["receipt"]).out


@pytest.mark.parametrize(
    ("data", "expected"),
    [(FLUSH, True), (encode_command([b"FLUSHDB", b"ASYNC"]), True), (encode_command([b"xflush"]), True), (SET, False),
     (encode_command([b"xflush", b"a", b"b"]), False), (FLUSH + FLUSH, False), (FLUSH[:-1], False), (b"", False),
     (b"#TS:1\r\n", False)],
)  # fmt: skip
def test_flush_records_are_recognised(data: bytes, expected: bool) -> None:
    assert is_flush_record(data) is expected


def test_a_renamed_flush_can_be_undone(tmp_path: Path) -> None:
    path, data = tmp_path / "a.aof", SET + encode_command([b"secret-flush"]) + SET
    path.write_bytes(data)
    done = aofdoctor("strip", path, "--rename", "secret-flush=FLUSHALL", "--in-place", "-y", "--json")
    assert done.status == 0 and b"secret" not in path.read_bytes()
    assert aofdoctor("undo", done.json["receipt"]).status == 0 and path.read_bytes() == data


def test_a_plan_from_elsewhere_is_applied_in_place_only_if_its_aof_is_named(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "plans").mkdir()
    path, plan = make_source(tmp_path / "data", "overwrite"), tmp_path / "plans" / "plan"
    assert aofdoctor("repair", path, "--plan", plan).status == 0
    before = path.read_bytes()
    refused = aofdoctor("apply", plan, "--in-place", "-y")
    assert refused.status == 3 and f"aofdoctor apply {plan} {path} --in-place" in refused.err
    assert aofdoctor("apply", plan, plan, "--in-place", "-y").status == 3 and path.read_bytes() == before
    assert aofdoctor("apply", plan, path, "--in-place", "-y").status == 0 and path.read_bytes() != before


@pytest.mark.parametrize("verb", ["undo", "apply"])
def test_a_special_file_is_not_read(verb: str, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    for path in (tmp_path / "fifo", "/dev/zero"):
        assert aofdoctor(verb, path).status == 3
