"""A signal at any moment leaves a state that the next run finishes or cleans up: no output without its receipt."""

import json
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from aofdoctor.edit.output.interrupted import clean_up, interrupts_deferred, scratch_directory
from tests.conftest import aofdoctor
from tests.support.fault_injection import count_calls, run_killed_at
from tests.support.samples import FLUSH, SET, make_small_set

COPIES = {"file": ["strip"], "set": ["strip"], "salvage": ["repair", "--salvage"]}
MANY = 300  # More calls than any of these commands makes.


def make_source(folder: Path, kind: str) -> Path:
    folder.mkdir(exist_ok=True)
    if kind == "set":
        return make_small_set(folder, {"base": SET, "one": SET, "two": SET + FLUSH + SET})
    (folder / "a.aof").write_bytes(SET + FLUSH + SET + b"junk" + SET)
    return folder / "a.aof"


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def run_signalled_at(number: int, *args: str | Path) -> bool:
    """Run a command line that gets SIGTERM before this writing call; return whether it finished first."""
    previous = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with count_calls(lambda n: signal.raise_signal(signal.SIGTERM) if n == number else None) as calls:
            aofdoctor(*args)
        return len(calls.log) < number
    finally:
        signal.signal(signal.SIGTERM, previous)


INTERRUPTIONS: dict[str, Callable[..., bool]] = {"SIGTERM": run_signalled_at, "SIGKILL": run_killed_at}


@pytest.mark.parametrize("how", INTERRUPTIONS)
@pytest.mark.parametrize("kind", COPIES)
def test_a_copy_is_complete_or_the_next_run_makes_it(kind: str, how: str, tmp_path: Path) -> None:
    source, words = make_source(tmp_path / "source", kind), COPIES[kind]
    whole = tmp_path / "whole"
    whole.mkdir()
    assert aofdoctor(words[0], source, *words[1:], "-o", whole / "out").status == 0
    finished, number = False, 0
    while not finished:
        number += 1
        assert number < MANY
        folder = tmp_path / str(number)
        folder.mkdir()
        finished = INTERRUPTIONS[how](number, words[0], source, *words[1:], "-o", folder / "out")
        if how == "SIGTERM":
            assert names(folder) in (set(), names(whole)), number
        elif "out" in names(folder):
            assert names(folder) >= names(whole), number
        again = aofdoctor(words[0], source, *words[1:], "-o", folder / "out")
        assert again.status == 0 or (again.status == 3 and "exists" in again.err), again.err
        assert names(folder) == names(whole), number
        shutil.rmtree(folder)
    assert number > 5


@pytest.mark.parametrize("how", INTERRUPTIONS)
@pytest.mark.parametrize("kind", ["file", "set"])
def test_an_edit_in_place_is_done_or_the_next_run_does_it(kind: str, how: str, tmp_path: Path) -> None:
    words = ["rewind", "--before", "#2", "--in-place", "-y"]
    finished, number = False, 0
    while not finished:
        number += 1
        assert number < MANY
        folder = tmp_path / str(number)
        source = make_source(folder, kind)
        finished = INTERRUPTIONS[how](number, words[0], source, *words[1:])
        is_done = any(name.endswith(".receipt.json") for name in names(source.parent)) and (
            aofdoctor("log", source, "--json").stdout.count(b"\n") == 1
        )
        if how == "SIGTERM":
            assert is_done or names(source.parent) == {source.name}, number
        aofdoctor(words[0], source, *words[1:])
        # A run that has nothing to do cleans nothing up: what a complete run has left is an empty directory.
        kept = sorted(name for name in names(source.parent) if name != source.name and not name.endswith(".tmp"))
        backups = [name for name in kept if name.endswith(".before")]
        assert kept == sorted(backups + [f"{name}.receipt.json" for name in backups]), number
        for name in sorted(
            backups, key=lambda name: name.replace("Z.", "Z-0."), reverse=True
        ):  # Every receipt that is left can be undone.
            assert aofdoctor("undo", source.parent / f"{name}.receipt.json").status == 0, number
        assert aofdoctor("log", source, "--json").stdout.count(b"\n") > 1
        assert aofdoctor(words[0], source, *words[1:]).status == 0
        assert [name for name in names(source.parent) if name.endswith(".tmp")] == [], number
        shutil.rmtree(folder)
    assert number > 5


def test_the_directory_of_a_living_run_is_left_alone(tmp_path: Path) -> None:
    with scratch_directory(tmp_path / "out") as folder:
        (folder / "aof").write_bytes(b"x")
        if (child := os.fork()) == 0:
            try:
                clean_up(tmp_path / "out")
            finally:
                os._exit(0)
        os.waitpid(child, 0)
        assert (folder / "aof").exists()


@pytest.mark.parametrize("journal", [b"", b"[]", b"{", b'{"output": 5, "files": []}', None])
def test_only_files_of_the_run_are_removed(journal: bytes | None, tmp_path: Path) -> None:
    folder = tmp_path / ".out.0123abcd.tmp"
    precious = tmp_path / "precious"
    precious.write_bytes(b"x")
    identity = {"device": precious.stat().st_dev, "inode": precious.stat().st_ino}
    for name in ("precious", "../precious", "out.lost/../precious"):
        folder.mkdir()
        forged = {"output": {"name": "out", "made": "precious"} | identity, "files": [{"name": name} | identity]}
        (folder / "names.json").write_bytes(json.dumps(forged).encode() if journal is None else journal)
        clean_up(tmp_path / "out")
        assert names(tmp_path) == {"precious"}


def test_a_deferred_signal_arrives_at_the_end() -> None:
    previous = signal.signal(signal.SIGTERM, signal.default_int_handler)
    reached = arrived = False
    try:
        with interrupts_deferred():
            signal.raise_signal(signal.SIGTERM)
            reached = True
    except KeyboardInterrupt:
        arrived = True
    finally:
        signal.signal(signal.SIGTERM, previous)
    assert reached and arrived
