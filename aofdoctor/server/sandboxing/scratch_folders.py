"""Temporary folders of private servers: each is locked while its owner lives, and removed by a later run otherwise.

A process that is killed cannot remove its folder, but the kernel releases its lock.  So a folder with our name and
owner belongs to nobody any more if its lock is free.
"""

import fcntl
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_PREFIX = "aofdoctor-"
_LOCK_NAME = ".aofdoctor-lock"


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """A new private folder, which is removed at the end; folders of dead processes are removed first."""
    remove_abandoned()
    folder = Path(tempfile.mkdtemp(prefix=_PREFIX))
    lock = os.open(folder / "new", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        # The lock has its name only once it is held: another process must not take the new folder for an abandoned one.
        with suppress(OSError):  # A file system without locks: the folder then never has a lock file.
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.rename(folder / "new", folder / _LOCK_NAME)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def remove_abandoned() -> int:
    """Remove the scratch folders in the temporary directory that no living process owns; return how many."""
    removed = 0
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        if _is_ours(folder) and _is_abandoned(folder):
            shutil.rmtree(folder, ignore_errors=True)
            removed += 1
    return removed


def _is_ours(folder: Path) -> bool:
    """Whether a path is a real directory that this user made for itself alone."""
    try:
        status = os.lstat(folder)
    except OSError:
        return False
    return stat.S_ISDIR(status.st_mode) and status.st_uid == os.geteuid() and not status.st_mode & 0o077


def _is_abandoned(folder: Path) -> bool:
    try:
        lock = os.open(folder / _LOCK_NAME, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return False  # Without a lock file it was not made here, or its owner has not finished making it.
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    finally:
        os.close(lock)
    return True
