"""Edits with unusual paths, permissions, quotas and concurrent runs leave the source unchanged and no partial output."""

import os
import resource
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from aofdoctor.cli.options import open_path
from aofdoctor.edit.edit import no_progress, write_edit
from aofdoctor.edit.planners.strip import plan_from_recipe
from aofdoctor.edit.recipes import make_edit
from aofdoctor.resp import encode_command
from tests.conftest import aofdoctor
from tests.support.samples import FLUSH, SET, make_small_set, snapshot

B = encode_command([b"SET", b"b", b"x" * 5000])
DATA = SET + B * 40 + FLUSH + B
STRIPPED = SET + B * 40 + B
COMMAND = [sys.executable, "-m", "aofdoctor"]


def write(path: Path) -> Path:
    path.write_bytes(DATA)
    return path


@pytest.fixture
def other_file_system(tmp_path: Path) -> Iterator[Path]:
    """A directory on another file system, such as /dev/shm."""
    here = tmp_path.stat().st_dev
    for place in ("/dev/shm", "/run", "/var/tmp", tempfile.gettempdir()):
        if os.path.isdir(place) and os.access(place, os.W_OK) and os.stat(place).st_dev != here:
            with tempfile.TemporaryDirectory(dir=place) as folder:
                yield Path(folder)
                return
    pytest.fail("no second file system is mounted: mount a tmpfs at /dev/shm")


def test_an_output_on_another_file_system(tmp_path: Path, other_file_system: Path) -> None:
    path = write(tmp_path / "a.aof")
    assert aofdoctor("strip", path, "-o", other_file_system / "out.aof").status == 0
    assert (other_file_system / "out.aof").read_bytes() == STRIPPED and path.read_bytes() == DATA


ODD_NAMES = [
    b"with spaces.aof",
    b"new\nline.aof",
    b"\xff\xfe not utf-8.aof",
    b"-dash.aof",
    b"'quote\".aof",
    b"\x1b[31m.aof",
]


@pytest.mark.parametrize("name", ODD_NAMES)
def test_files_with_unusual_names_are_edited(name: bytes, tmp_path: Path) -> None:
    path = write(tmp_path / os.fsdecode(name))
    out = tmp_path / os.fsdecode(b"out " + name)
    result = aofdoctor("strip", path, "-o", out)
    assert result.status == 0 and out.read_bytes() == STRIPPED and path.read_bytes() == DATA
    assert b"\x1b[31m" not in result.stdout and b"\xff\xfe" not in result.stdout
    done = aofdoctor("strip", path, "--in-place", "-y")
    assert done.status == 0
    receipt = next(p for p in tmp_path.iterdir() if p.name.endswith("receipt.json") and not p.name.startswith("out"))
    assert aofdoctor("undo", receipt).status == 0 and path.read_bytes() == DATA


def test_a_symlink_is_followed_and_kept(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    path = write(tmp_path / "real" / "a.aof")
    link = tmp_path / "link.aof"
    link.symlink_to(path)
    assert aofdoctor("strip", link, "-o", tmp_path / "out").status == 0
    assert (tmp_path / "out").read_bytes() == STRIPPED and not (tmp_path / "out").is_symlink()
    assert aofdoctor("strip", link, "--key", "b", "--in-place", "-y").status == 0
    assert link.is_symlink() and path.read_bytes() == SET + FLUSH


def test_a_hard_link_of_the_source_keeps_the_old_bytes(tmp_path: Path) -> None:
    path = write(tmp_path / "a.aof")
    os.link(path, tmp_path / "second")
    assert aofdoctor("strip", path, "--key", "b", "--in-place", "-y").status == 0
    assert (tmp_path / "second").read_bytes() == DATA
    other = write(tmp_path / "c.aof")
    os.link(other, tmp_path / "third")
    result = aofdoctor("strip", other, "--in-place", "-y")
    assert result.status == 3 and "2 names" in result.err
    assert (tmp_path / "third").read_bytes() == other.read_bytes() == DATA


def test_a_read_only_source_is_read_and_never_written(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    path = write(folder / "a.aof")
    path.chmod(0o444)
    folder.chmod(0o555)
    before = snapshot(folder)
    edits: list[list[str | Path]] = [
        ["-o", folder / "out.aof"], ["--in-place", "-y"], ["--key", "b", "--in-place", "-y"],
    ]  # fmt: skip
    for number, words in enumerate(edits):  # Import everything first, because the modules may not be readable later.
        aofdoctor("strip", write(tmp_path / f"{number}.aof"), *(["-o", tmp_path / "warm"] if number == 0 else words))
    try:
        assert run_unprivileged(tmp_path, "strip", path, "-o", tmp_path / "out.aof") == 0
        assert [run_unprivileged(tmp_path, "strip", path, *words) for words in edits] == [3, 3, 3]
    finally:
        folder.chmod(0o755)
    assert snapshot(folder) == before and (tmp_path / "out.aof").read_bytes() == STRIPPED


def run_unprivileged(folder: Path, *args: str | Path) -> int:
    """Return the exit status of a command line that runs as a user with restricted permissions; root ignores modes."""
    child = os.fork()
    if not child:
        status = 99
        try:
            if os.getuid() == 0:
                for place in (folder, *folder.parents[:3]):
                    place.chmod(0o777)
                os.setgid(65534)
                os.setuid(65534)
            status = aofdoctor(*args).status
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@pytest.mark.parametrize("limit", [0, 1, 4096, 100_000, 200_000])
@pytest.mark.parametrize("words", [["strip"], ["repair", "--salvage"], ["slice", "--key", "b"]])
def test_a_quota_at_any_byte_leaves_no_partial_output(words: list[str], limit: int, tmp_path: Path) -> None:
    path = tmp_path / "a.aof"
    path.write_bytes(DATA + b"*1\r\n$9\r\nNOSUCH")
    before = snapshot(tmp_path)
    result = subprocess.run(
        [*COMMAND, words[0], path, *words[1:], "-o", tmp_path / "out.aof"], capture_output=True, check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
    )  # fmt: skip
    assert result.returncode == 3 and b"File too large" in result.stderr and b"Traceback" not in result.stderr
    assert snapshot(tmp_path) == before


def test_growth_of_a_source_during_a_copy_is_reported_and_its_beginning_copied(tmp_path: Path) -> None:
    path = write(tmp_path / "a.aof")
    with open_path(str(path)) as aof:
        plan = make_edit(plan_from_recipe, "strip", aof, recipe(), writes=True, open_progress=no_progress)
        grown: list[int] = []

        def grow(done: int) -> None:
            if not grown:
                grown.append(done)
                with open(path, "ab") as file:
                    file.write(SET)

        receipt = write_edit(plan, tmp_path / "out.aof", grow)
    assert (tmp_path / "out.aof").read_bytes() == STRIPPED
    assert any(f"grown by {len(SET)} bytes" in warning for warning in receipt.warnings)


def test_a_source_that_is_truncated_during_a_copy_gives_no_copy(tmp_path: Path) -> None:
    path = write(tmp_path / "a.aof")
    with open_path(str(path)) as aof:
        plan = make_edit(plan_from_recipe, "strip", aof, recipe(), writes=True, open_progress=no_progress)
        with pytest.raises(Exception, match=r"shrank|ends at"):
            write_edit(plan, tmp_path / "out.aof", lambda done: os.truncate(path, 1000))
    assert sorted(tmp_path.iterdir()) == [path]


def recipe() -> dict[str, object]:
    from aofdoctor.cli.options import NO_SELECTION

    return {"position": None, "last": False, "all": False, "and_after": False, "selection": dict(NO_SELECTION)}


def run_together(*actions: Callable[[], object]) -> None:
    """Run several functions at once, each in its own thread and process."""
    threads = [threading.Thread(target=action) for action in actions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_two_edits_to_one_output_at_once_leave_one_complete_copy(tmp_path: Path) -> None:
    path, status = write(tmp_path / "a.aof"), list[int]()

    def strip() -> None:
        run = subprocess.run([*COMMAND, "strip", path, "-o", tmp_path / "out"], capture_output=True, check=False)
        assert b"Traceback" not in run.stderr
        status.append(run.returncode)

    run_together(strip, strip, strip)
    assert sorted(status) == [0, 3, 3]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.aof", "out", "out.receipt.json"]
    assert (tmp_path / "out").read_bytes() == STRIPPED and path.read_bytes() == DATA


@pytest.mark.parametrize("words", [[], ["--key", "b"]])
def test_two_edits_in_place_at_once_change_the_file_once(words: list[str], tmp_path: Path) -> None:
    path, status = write(tmp_path / "a.aof"), list[int]()

    def strip() -> None:
        command: list[str | Path] = [*COMMAND, "strip", path, *words, "--in-place", "-y"]
        run = subprocess.run(command, capture_output=True, check=False)
        assert b"Traceback" not in run.stderr
        status.append(run.returncode)

    run_together(strip, strip, strip)
    assert set(status) <= {0, 3} and 0 in status
    receipts = [p for p in tmp_path.iterdir() if p.name.endswith("receipt.json")]
    for receipt in sorted(receipts, reverse=True):
        aofdoctor("undo", receipt)
    assert path.read_bytes() == DATA


def test_a_multi_part_aof_of_symlinks_is_edited_in_place(tmp_path: Path) -> None:
    folder = make_small_set(tmp_path, {"base": SET, "one": B + FLUSH, "two": SET})
    real = tmp_path / "real"
    real.mkdir()
    (folder / "a.aof.2.incr.aof").rename(real / "x")
    (folder / "a.aof.2.incr.aof").symlink_to(real / "x")
    done = aofdoctor("strip", folder, "--key", "b", "--in-place", "-y", "--json")
    assert done.status == 0 and (real / "x").read_bytes() == B + FLUSH
    assert (folder / "a.aof.2.incr.aof").read_bytes() == FLUSH
    assert aofdoctor("undo", done.json["receipt"]).status == 0
    assert (folder / "a.aof.2.incr.aof").is_symlink() and (folder / "a.aof.2.incr.aof").read_bytes() == B + FLUSH
