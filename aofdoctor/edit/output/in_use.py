"""Find out whether another process has a file open, and keep others out while the file is edited.

Two sources are asked.  /proc shows the processes that this user can see.  A write lease (fcntl F_SETLEASE) is granted
by the kernel only if no other process has the file open, visible or not.  On a network file system neither knows
about other machines.
"""

import errno
import fcntl
import os
import resource
import signal
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from aofdoctor import text
from aofdoctor.edit.output.fingerprint import is_same_file
from aofdoctor.errors import RefusedEdit

_SHARED_FILESYSTEMS = (
    "nfs", "cifs", "smb", "ceph", "gluster", "lustre", "9p", "fuse", "afs", "gfs", "ocfs", "virtiofs",
)  # fmt: skip
_OTHER_DESCRIPTORS = 512  # descriptors for all other purposes
_REWRITE_FRESH_SECONDS = 600  # A temporary file of a rewrite that was written to more recently is in use.
_HINT = (
    "stop the server without a save (redis-cli SHUTDOWN NOSAVE) and keep its supervisor from starting it, "
    "or work on a copy with -o; --force-in-use overrides this"
)


class UseState(StrEnum):
    """Whether another process has a file open: yes, no, or unknown."""

    HELD = "held"
    FREE = "free"
    CANNOT_TELL = "cannot tell"


@dataclass(frozen=True, slots=True)
class UseEvidence:
    """The use state of a file, and the reason for it as part of a sentence."""

    state: UseState
    explanation: str = ""


def in_use(path: Path) -> UseEvidence:
    """Find out whether another process has a file open; this process must not have it open."""
    holders = list(_holders(path))
    if holders:
        return UseEvidence(UseState.HELD, f"held open by {', '.join(holders)}")
    if _is_on_shared_filesystem(path):
        return UseEvidence(
            UseState.CANNOT_TELL, "it is on a network or shared file system, where another machine may hold it"
        )
    leased = _try_lease(path)
    if leased is None:
        return UseEvidence(UseState.CANNOT_TELL, "processes of other users or containers are not seen from here")
    if not leased:
        return UseEvidence(
            UseState.HELD, "held open by a process that is not seen from here (another user or container)"
        )
    return UseEvidence(UseState.FREE)


def require_not_open(path: Path) -> None:
    """Raise RefusedEdit if /proc shows another process that has a file open; this process may have it open."""
    holders = list(_holders(path))
    if holders:
        raise RefusedEdit(
            f"{text.display_path(str(path))} may not be edited in place: held open by {', '.join(holders)}", _HINT
        )


@contextmanager
def exclusive_fds(paths: Iterable[Path], force: bool) -> Iterator[dict[Path, int]]:
    """Descriptors of several files, each as from `exclusive_fd`; names of the same file share one.

    A second descriptor of a file would wait for the lease of the first.
    """
    with ExitStack() as stack:
        by_identity: dict[tuple[int, int], int] = {}
        held: dict[Path, int] = {}
        status_by_path = {path: os.stat(path) for path in paths}
        _allow_descriptors(len(status_by_path))
        for path, status in status_by_path.items():
            identity = (status.st_dev, status.st_ino)
            if identity not in by_identity:
                by_identity[identity] = stack.enter_context(exclusive_fd(path, force))
            held[path] = by_identity[identity]
        yield held


def _allow_descriptors(count: int) -> None:
    """Raise the limit of descriptors to `count` and a usual number; raises RefusedEdit if that is not allowed."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = count + _OTHER_DESCRIPTORS
    if soft == resource.RLIM_INFINITY or needed <= soft:
        return
    if hard != resource.RLIM_INFINITY and needed > hard:
        raise RefusedEdit(
            f"{count:,} files are to be locked at once, and a process may have {hard:,} files open (ulimit -n)",
            "write a copy with -o, or run aofdoctor with a higher limit",
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))


@contextmanager
def exclusive_fd(path: Path, force: bool) -> Iterator[int]:
    """A descriptor to read and write a file that no other process has open; raise RefusedEdit unless that is certain.

    Until the end of the context, anyone who opens the file, this process included, waits until the lease is released
    or the kernel breaks it (/proc/sys/fs/lease-break-time, 45 s).  So all reading and writing goes through the
    descriptor.  With `force` the file is used in any case.
    """
    evidence = in_use(path)
    if evidence.state is not UseState.FREE and not force:
        raise RefusedEdit(f"{text.display_path(str(path))} may not be edited in place: {evidence.explanation}", _HINT)
    with _ignore_lease_breaks():
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        try:
            if not _lease(fd) and not force:
                raise RefusedEdit(f"{text.display_path(str(path))} was opened by another process just now", _HINT)
            yield fd
        finally:
            os.close(fd)


@contextmanager
def _ignore_lease_breaks() -> Iterator[None]:
    """Ignore SIGIO, which the kernel sends to the holder of a lease when another process waits for the file."""
    before = signal.signal(signal.SIGIO, signal.SIG_IGN) if hasattr(signal, "SIGIO") else None
    try:
        yield
    finally:
        if before is not None:
            signal.signal(signal.SIGIO, before)


def require_no_rewrite(folder: Path) -> None:
    """Raise RefusedEdit if a directory has a temporary file of a rewrite that was written to minutes ago."""
    for entry in folder.glob("temp-rewriteaof*"):
        age = time.time() - entry.stat().st_mtime
        if age < _REWRITE_FRESH_SECONDS:
            raise RefusedEdit(
                f"{text.display_path(entry.name)} is {age:.0f} seconds old: a rewrite is at work, "
                "and would replace this file",
                _HINT,
            )


def _holders(path: Path) -> Iterator[str]:
    """The names and ids of other processes that have a file open, as far as /proc shows them."""
    status = os.stat(path)
    for process in Path("/proc").glob("[0-9]*"):
        if process.name == str(os.getpid()):
            continue
        try:
            descriptors = list((process / "fd").iterdir())
        except OSError:
            continue
        if any(_refers_to(descriptor, status) for descriptor in descriptors):
            yield f"{_process_name(process)} (pid {process.name})"


def _refers_to(descriptor: Path, status: os.stat_result) -> bool:
    try:
        return is_same_file(os.stat(descriptor), status)
    except OSError:
        return False


def _process_name(process: Path) -> str:
    try:
        return text.escape((process / "comm").read_bytes().strip())
    except OSError:
        return "a process"


def _try_lease(path: Path) -> bool | None:
    """Try to get a write lease: true if no other process has the file open, false if one has, None if unknown."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return _lease(fd)
    finally:
        os.close(fd)


def _lease(fd: int) -> bool | None:
    if not hasattr(fcntl, "F_SETLEASE"):
        return None
    try:
        fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_WRLCK)
    except OSError as problem:
        return False if problem.errno in (errno.EAGAIN, errno.EBUSY) else None
    return True


def _is_on_shared_filesystem(path: Path) -> bool:
    """Whether /proc/mounts has the file on a file system that other machines can reach."""
    real_path, best, kind = os.path.realpath(path), "", ""
    try:
        mounts = Path("/proc/mounts").read_text("utf-8", "surrogateescape")
    except OSError:
        return False
    for line in mounts.splitlines():
        _, place, fstype, *_ = line.split(" ")
        place = place.replace("\\040", " ")
        if (real_path == place or real_path.startswith(place.rstrip("/") + "/")) and len(place) >= len(best):
            best, kind = place, fstype
    return kind.startswith(_SHARED_FILESYSTEMS)
