"""A failure of standard output: the status is right, and standard error says whether an edit was made."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.samples import FLUSH, SET

EDITS = {
    "a copy": ["strip", "a.aof", "-o", "out"],
    "an overwrite": ["strip", "a.aof", "--in-place", "-y"],
    "an exchange": ["rewind", "a.aof", "--before", "#2", "--in-place", "-y"],
    "a copy with JSON": ["repair", "a.aof", "-o", "out", "--json"],
}


def run(folder: Path, words: list[str], stdout: str) -> tuple[int, str]:
    (folder / "a.aof").write_bytes(SET + FLUSH + SET + SET[:9])
    if stdout == "closed pipe":
        read_end, write_end = os.pipe()
        os.close(read_end)
    else:
        write_end = os.open(stdout, os.O_WRONLY)
    try:
        done = subprocess.run([sys.executable, "-m", "aofdoctor", *words], cwd=folder, stdout=write_end,
                              stderr=subprocess.PIPE, text=True, check=False)  # fmt: skip
    finally:
        os.close(write_end)
    assert "Traceback" not in done.stderr and "Exception ignored" not in done.stderr
    return done.returncode, done.stderr


@pytest.mark.parametrize("edit", EDITS)
def test_a_full_disk_gives_status_3_and_says_whether_the_edit_was_made(edit: str, tmp_path: Path) -> None:
    status, err = run(tmp_path, EDITS[edit], "/dev/full")
    is_made = any(path.name.endswith(".receipt.json") for path in tmp_path.iterdir())
    assert status == 3 and "No space left on device" in err
    assert ("the edit is done" in err and "receipt" in err) if is_made else "nothing was written" in err


@pytest.mark.parametrize("edit", EDITS)
def test_a_closed_pipe_does_not_stop_an_edit_and_its_receipt_is_named(edit: str, tmp_path: Path) -> None:
    status, err = run(tmp_path, EDITS[edit], "closed pipe")
    assert any(path.name.endswith(".receipt.json") for path in tmp_path.iterdir())
    assert status == 0 and "standard output is closed: the edit is done" in err


@pytest.mark.parametrize("words", [["check", "a.aof"], ["log", "a.aof"], ["show", "a.aof", "#1"], ["strip", "a.aof"]])
def test_a_command_that_only_reads_fails_on_a_full_disk_and_not_on_a_closed_pipe(
    words: list[str], tmp_path: Path
) -> None:
    assert run(tmp_path, words, "/dev/full")[0] == 3
    assert run(tmp_path, words, "closed pipe")[0] in (0, 1)
