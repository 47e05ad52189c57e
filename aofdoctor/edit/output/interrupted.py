"""Give the files of an output their names so that an interruption at any point can be cleaned up by the next run.

The files are made in a scratch directory, which is locked while its process lives.  Before the first rename, the
directory gets a journal with the name and the inode of every file; the output itself is renamed last, which completes
the run.  A later run for the same output finds scratch directories without a living process, and removes what an
incomplete run has renamed.
"""

import fcntl
import json
import os
import re
import secrets
import shutil
import signal
import stat
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType

from aofdoctor.edit.output.durable import (
    create_file,
    rename_directory_into_place,
    rename_file_into_place,
    sync_directory,
    write_all,
)

_JOURNAL_NAME = "names.json"
_JOURNAL_MAX = 1 << 16
_BACKUP = r"(\.[0-9]{8}T[0-9]{6}Z(-[0-9]+)?\.before)?"
_INTERRUPTS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def scratch_directory(path: Path) -> Iterator[Path]:
    """Create a locked directory next to a path, on the same file system; it is removed with its content at the end."""
    folder = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    folder.mkdir(mode=0o700)
    lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        _lock(lock)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def rename_into_place(folder: Path, finished: Sequence[tuple[Path, Path]]) -> None:
    """Rename finished files and directories, given as (scratch path, final path): all of them, or none on an error.

    `folder` is their scratch directory.  The last one is the output, which completes the run.
    """
    write_journal(folder, finished, finished[-1])
    done: list[Path] = []
    try:
        for made, path in finished:
            rename_directory_into_place(made, path) if made.is_dir() else rename_file_into_place(made, path)
            done.append(path)
    except BaseException:
        for path in done:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        raise


def write_journal(folder: Path, files: Sequence[tuple[Path, Path]], last: tuple[Path, Path]) -> None:
    """Record durably which names files, given as (present path, final path), will get.

    The run is incomplete as long as `last`, the output, is at its present path and not at its final path.
    """
    made = os.path.relpath(last[0], folder.parent)
    journal = {"output": _journal_entry(*last) | {"made": made}, "files": [_journal_entry(*pair) for pair in files]}
    fd = create_file(folder / _JOURNAL_NAME)
    try:
        write_all(fd, json.dumps(journal).encode())
        os.fsync(fd)
    finally:
        os.close(fd)
    sync_directory(folder)


def _journal_entry(made: Path, path: Path) -> dict[str, str | int]:
    status = os.lstat(made)
    return {"name": path.name, "device": status.st_dev, "inode": status.st_ino}


@contextmanager
def interrupts_deferred() -> Iterator[None]:
    """Delay SIGINT, SIGTERM and SIGHUP until the end of the context, so that it happens completely or not at all."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    received: list[int] = []

    def remember(number: int, frame: FrameType | None) -> None:
        received.append(number)

    previous = {number: signal.signal(number, remember) for number in _INTERRUPTS}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
        if received:
            signal.raise_signal(received[0])


# -- the next run --


def clean_up(path: Path) -> None:
    """Remove what killed runs have left of an output at `path`, or of an edit in place of it.

    A scratch directory is only touched if it belongs to this user and no process holds its lock.
    """
    pattern = re.compile(rf"\.{re.escape(path.name)}{_BACKUP}\.[0-9a-f]{{8}}\.tmp", re.DOTALL)
    parent = path.absolute().parent
    with suppress(OSError):
        for name in os.listdir(parent):
            if pattern.fullmatch(name):
                _clean_up_scratch(parent / name, path.name)


def _clean_up_scratch(folder: Path, name: str) -> None:
    with suppress(OSError):
        lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            if os.fstat(lock).st_uid != os.geteuid() or not _lock(lock):
                return
            for entry in _unfinished_files(folder, name):
                shutil.rmtree(entry) if entry.is_dir() and not entry.is_symlink() else entry.unlink()
            shutil.rmtree(folder)
            sync_directory(folder.parent)
        finally:
            os.close(lock)


def _unfinished_files(folder: Path, name: str) -> list[Path]:
    """The files that a killed run has renamed out of its scratch directory, if the run is incomplete."""
    allowed = re.compile(rf"{re.escape(name)}{_BACKUP}(\.lost|\.receipt\.json)?", re.DOTALL)
    try:
        journal = folder / _JOURNAL_NAME
        if not stat.S_ISREG(os.lstat(journal).st_mode) or os.lstat(journal).st_size > _JOURNAL_MAX:
            return []
        data = json.loads(journal.read_bytes())
        made = str(data["output"]["made"])
        entries = [(str(e["name"]), (e["device"], e["inode"])) for e in (data["output"], *data["files"])]
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        return []  # Nothing was renamed before the journal was whole.
    if not all(allowed.fullmatch(entry_name) for entry_name, _ in entries):
        return []
    (output, output_identity), *files = entries
    is_at_final_path = _identity(folder.parent / output) == output_identity
    if is_at_final_path or _identity(folder.parent / made) != output_identity:
        return []
    return [folder.parent / entry for entry, identity in files if _identity(folder.parent / entry) == identity]


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        status = os.lstat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _lock(fd: int) -> bool:
    """Lock an open directory until it is closed; false if another process has it, or the file system cannot lock."""
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
