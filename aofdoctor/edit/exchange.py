"""Any plan in place: the new file is made beside the old one, and the two exchange their names.

The exchange is one call of the kernel, so a name always has the old content or
the new one, whole.  The old one stays, under the other name, until somebody
removes it; exchanged once more, everything is as it was: bytes, owner, mode, times.
"""

import ctypes
import errno
import os
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from aofdoctor import text
from aofdoctor.edit.apply import write_copy
from aofdoctor.edit.files import sync_directory
from aofdoctor.edit.guard import demand_no_rewrite, demand_unheld, held_alone
from aofdoctor.edit.placing import Progress, Proof, Receipt
from aofdoctor.edit.plan import Plan
from aofdoctor.errors import Refused, SourceChanged

_SWAP = 2  # RENAME_EXCHANGE of Linux (3.15), RENAME_SWAP of macOS (10.12)
_CWD = -100
_HINT = "write a copy with -o, and put it in place as the last lines say"


@dataclass(frozen=True, slots=True)
class _Seen:
    """A file as it was when it was read."""

    path: Path
    status: os.stat_result


def place_of(plan: Plan) -> Path:
    """What is exchanged: the file of a single AOF, the directory of a multi part one."""
    aof = plan.aof
    if aof.layout == "multi-part":
        assert aof.directory is not None
        return Path(os.path.realpath(aof.directory))
    path = aof.parts[0].path
    if path is None:
        raise Refused("only files can be edited, not a pipe", "save it to a file first")
    return Path(os.path.realpath(path))


def exchange(
    plan: Plan, force: bool, progress: Progress | None = None, proof: Proof | None = None, whole_hash: bool = False
) -> Receipt:
    """Carry out a plan in the place of its source, which stays beside it; `undo` takes that back.

    The plan's descriptors are closed in between: files that anybody has open, or
    that are not what was read, are refused, unless `force`.
    """
    place = place_of(plan)
    if not force:
        for folder in (place.parent, place):
            demand_no_rewrite(folder)
    seen = [
        _Seen(Path(os.path.realpath(source.path)), source.stat) for source in map(plan.aof.file_of, plan.aof.present)
    ]
    if not force:
        for one in seen:
            demand_unheld(one.path)
    receipt = write_copy(plan, _beside(place), progress, proof, whole_hash, instead_of=place)
    plan.aof.close()
    try:
        _swap_held(place, receipt.output, seen, force)
    except BaseException as problem:
        problem.add_note(f"nothing was changed; what was to stand there is {receipt.output}")
        raise
    return receipt


def swap(one: Path, other: Path) -> None:
    """Exchange two names in one call, and make that durable; Refused where the file system cannot."""
    try:
        _rename_exchange(os.fsencode(one), os.fsencode(other))
    except OSError as problem:
        if problem.errno in (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP):
            raise Refused("this file system cannot exchange two names", _HINT) from None
        raise
    for folder in {one.parent, other.parent}:
        sync_directory(folder)


def _rename_exchange(one: bytes, other: bytes) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if sys.platform == "darwin":
        status = libc.renamex_np(one, other, _SWAP)
    elif hasattr(libc, "renameat2"):
        status = libc.renameat2(_CWD, one, _CWD, other, _SWAP)
    else:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    if status:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), os.fsdecode(one))


def _swap_held(place: Path, other: Path, seen: Sequence[_Seen], force: bool) -> None:
    with ExitStack() as stack:
        for one in seen:
            now = os.fstat(stack.enter_context(held_alone(one.path, force)))
            then = one.status
            if (now.st_dev, now.st_ino, now.st_size, now.st_mtime_ns) != (
                then.st_dev, then.st_ino, then.st_size, then.st_mtime_ns,
            ):  # fmt: skip
                raise SourceChanged(f"{text.name(str(one.path))} is not what it was when it was read", "run it again")
        swap(place, other)


def _beside(place: Path) -> Path:
    """The name that the new content is made under, and the old one has afterwards."""
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    for number in range(100):
        candidate = place.with_name(f"{place.name}.{stamp}{f'-{number}' if number else ''}.before")
        taken = (candidate.with_name(candidate.name + end) for end in ("", ".receipt.json", ".lost"))
        if not any(map(os.path.lexists, taken)):
            return candidate
    raise Refused(f"too many copies beside {text.name(str(place))}")
