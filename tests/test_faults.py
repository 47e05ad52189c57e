"""Commands that are killed or fail at any writing call leave the source unchanged and no partial output."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from aofdoctor.resp import encode_command
from tests.conftest import aofdoctor
from tests.support.fault_injection import DISK_ERRORS, run_failing_at, run_killed_at, trace_calls

Story = Callable[[str], Path]
SET = encode_command([b"SET", b"a", b"1"])
EDITS = {
    "strip a file": ("wiped-redis-6.2", ["strip"]),
    "strip a set": ("wiped-valkey-9.1", ["strip"]),
    "repair a file": ("torn", ["repair"]),
    "salvage a file": ("torn", ["repair", "--salvage"]),
    "salvage a set": ("torn set", ["repair", "--salvage"]),
    "rewind a set": ("wiped-valkey-9.1", ["rewind", "--before", "#5"]),
    "convert a set to commands": ("wiped-valkey-9.1", ["convert", "--base", "resp"]),
    "convert a set to one file": ("wiped-valkey-9.1", ["convert", "--layout", "single", "--shift-ttl", "1h"]),
    "convert a file to a set": ("wiped-redis-6.2-preamble", ["convert", "--layout", "multi-part"]),
}
MANY = 200  # More calls than any of these commands makes.


def state(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.fixture
def make_source(story: Story, tmp_path: Path) -> Callable[[str], Path]:
    """Return a source by name: a fixture, or a torn AOF."""

    def make(name: str) -> Path:
        if name == "torn":
            (tmp_path / "torn").mkdir()
            (tmp_path / "torn" / "a.aof").write_bytes(SET * 5 + b"junk" + SET * 5 + SET[:9])
            return tmp_path / "torn"
        path = story("wiped-valkey-9.1" if name == "torn set" else name)
        if name == "torn set":
            last = max(path.rglob("*.incr.aof"))
            last.write_bytes(last.read_bytes() + SET[:9])
        return path

    return make


def output_without_receipt(out: Path) -> dict[str, bytes]:
    """Return an output and the files next to it, except the receipt, which holds times."""
    found = {out.name: out.read_bytes()} if out.is_file() else state(out) if out.exists() else {}
    lost = out.with_name(out.name + ".lost")
    return found | {f"lost/{name}": data for name, data in (state(lost) if lost.exists() else {}).items()}


@pytest.mark.parametrize("edit", EDITS)
def test_after_a_kill_at_any_call_no_output_is_partial(
    edit: str, make_source: Callable[[str], Path], tmp_path: Path
) -> None:
    name, words = EDITS[edit]
    source = make_source(name)
    before, places = state(source), tmp_path / "places"
    places.mkdir()
    assert aofdoctor(*words, source, "-o", places / "out").status == 0
    whole = output_without_receipt(places / "out")
    for number in range(1, MANY):
        shutil.rmtree(places)
        places.mkdir()
        ended = run_killed_at(number, *words, source, "-o", places / "out")
        assert state(source) == before
        got = output_without_receipt(places / "out")
        assert all(whole.get(name) == data for name, data in got.items()), number
        assert not (places / "out").exists() or {n for n in got if "lost/" not in n} == {
            n for n in whole if "lost/" not in n
        }
        if ended:
            assert got == whole
            break
    assert ended and number > 5


@pytest.mark.parametrize("edit", EDITS)
@pytest.mark.parametrize("code", DISK_ERRORS)
def test_a_failing_call_gives_a_clear_message_and_leaves_nothing(
    code: int, edit: str, make_source: Callable[[str], Path], tmp_path: Path
) -> None:
    name, words = EDITS[edit]
    source, places = make_source(name), tmp_path / "places"
    before = state(source)
    places.mkdir()
    for number in range(1, MANY):
        result, failed = run_failing_at(number, code, *words, source, "-o", places / "out")
        assert state(source) == before
        if not failed:
            assert result.status == 0
            break
        assert result.status in (0, 3), number
        if result.status == 3:
            assert result.err.startswith("aofdoctor: ") and "Traceback" not in result.err
            assert not list(places.iterdir()), number
        shutil.rmtree(places)
        places.mkdir()
    assert not failed and number > 5


def test_after_a_kill_in_place_undo_restores_the_old_bytes(make_source: Callable[[str], Path]) -> None:
    source = make_source("wiped-valkey-9.1")
    before = state(source)
    for number in range(1, MANY):
        ended = run_killed_at(number, "strip", source, "--in-place", "-y")
        receipts = list(source.rglob("*.receipt.json"))
        if receipts:
            assert aofdoctor("undo", receipts[0]).status == 0
        after = {name: data for name, data in state(source).items() if "receipt" not in name}
        assert after == before, number
        for left in [*source.rglob("*receipt*"), *source.rglob(".*.tmp")]:
            left.unlink(missing_ok=True)
        if ended:
            break
    assert ended and number > 5


def test_a_killed_undo_can_be_repeated(make_source: Callable[[str], Path]) -> None:
    source = make_source("wiped-redis-6.2")
    before = (source / "appendonly.aof").read_bytes()
    for number in range(1, MANY):
        receipt = Path(aofdoctor("strip", source, "--in-place", "-y", "--json").json["receipt"])
        ended = run_killed_at(number, "undo", receipt)
        if receipt.exists():
            assert aofdoctor("undo", receipt).status == 0
        assert (source / "appendonly.aof").read_bytes() == before
        if ended:
            break
    assert ended and number > 2


def test_a_failed_write_in_place_reports_the_receipt(make_source: Callable[[str], Path]) -> None:
    source = make_source("wiped-redis-6.2")
    before, named = (source / "appendonly.aof").read_bytes(), 0
    for number in range(1, MANY):
        result, failed = run_failing_at(number, DISK_ERRORS[2], "strip", source, "--in-place", "-y")
        receipts = list(source.glob("*.receipt.json"))
        if failed and result.status and receipts:
            assert str(receipts[0]) in result.err.replace("'", "") and "undo" in result.err
            named += 1
        for receipt in receipts:
            assert aofdoctor("undo", receipt).status == 0
        assert (source / "appendonly.aof").read_bytes() == before
        for left in source.glob("*receipt*"):
            left.unlink(missing_ok=True)
        if not failed:
            break
    assert named >= 2


@pytest.mark.parametrize("edit", EDITS)
def test_files_are_synced_before_the_rename_and_the_directory_after_it(
    edit: str, make_source: Callable[[str], Path], tmp_path: Path
) -> None:
    name, words = EDITS[edit]
    calls = trace_calls(*words, make_source(name), "-o", tmp_path / "out")
    unsynced: set[str] = set()
    for call, path in calls:
        if call in ("write", "copy_file_range", "pwrite"):
            unsynced.add(path)
        elif call == "fsync":
            unsynced.discard(path)
        elif call in ("link", "rename") and path.startswith(str(tmp_path / "out")):
            assert not unsynced, (call, path)
            unsynced.add(str(Path(path).parent))
    assert not unsynced and ("fsync", str(tmp_path)) in calls


def test_the_old_bytes_are_synced_before_the_first_byte_changes(
    make_source: Callable[[str], Path],
) -> None:
    source = make_source("wiped-redis-6.2")
    calls = trace_calls("strip", source, "--in-place", "-y")
    first = calls.index(("pwrite", str(source / "appendonly.aof")))
    named = next(i for i, (call, path) in enumerate(calls) if call == "link" and path.endswith(".receipt.json"))
    written = next(i for i, (call, path) in enumerate(calls) if call == "write")
    synced = next(i for i, (call, path) in enumerate(calls) if call == "fsync")
    assert written < synced < named < calls.index(("fsync", str(source))) < first
    assert calls.index(("fsync", str(source / "appendonly.aof"))) > first
