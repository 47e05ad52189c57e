"""Edit an AOF in place by exchange: write the new AOF next to the old one, then exchange their names.

One system call exchanges the names, so each name always has either the old or the new content, whole. The old content
is kept under the other name until the user removes it. Exchanged once more, everything is as before: bytes, owner,
mode, times.
"""

import ctypes
import errno
import os
import re
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from aofdoctor import text
from aofdoctor.aof.model import AOF
from aofdoctor.edit.output.durable import sync_directory, timestamped_path
from aofdoctor.edit.output.fingerprint import has_same_content, is_same_file
from aofdoctor.edit.output.in_use import exclusive_fds, require_no_rewrite, require_not_open
from aofdoctor.edit.output.interrupted import clean_up, interrupts_deferred, scratch_directory, write_journal
from aofdoctor.edit.output.receipt import Receipt
from aofdoctor.errors import RefusedEdit, SourceChanged

# Writes the new content to the first path; the second is the path of the AOF that it will replace.
OutputWriter = Callable[[Path, Path], Receipt]
_RENAME_EXCHANGE_FLAG = 2  # RENAME_EXCHANGE of Linux (3.15), RENAME_SWAP of macOS (10.12)
_AT_FDCWD = -100
# The end of the name of a receipt next to an edited file, also after undo.
_RECEIPT_NAME = re.compile(r"\.[0-9]{8}T[0-9]{6}Z(-[0-9]+)?\.receipt\.json(\.undone)?\Z")
_HINT = "write a copy with -o, and put it in place as the last lines say"


@dataclass(frozen=True, slots=True)
class _FileSnapshot:
    """A file of the AOF and its status at the time when it was read, to notice later changes."""

    path: Path
    status: os.stat_result


def exchange_path(aof: AOF) -> Path:
    """The path that an edit in place exchanges: the file of a single AOF, the directory of a multi-part AOF."""
    if aof.layout == "multi-part":
        assert aof.directory is not None
        return Path(os.path.realpath(aof.directory))
    return Path(os.path.realpath(aof.require_file(aof.parts[0]).path))


def exchange(aof: AOF, write: OutputWriter, force: bool) -> Receipt:
    """Edit an AOF in place: write a new AOF and exchange its name with that of the old one; `undo` reverses that.

    Raises RefusedEdit if another process has a file of the AOF open, unless `force` is given, and SourceChanged if a
    file is not the one that was read.  The descriptors of the AOF are closed.
    """
    place = exchange_path(aof)
    # A part can be a link to another part: each file once, because a second lock would wait for the first one.
    files = {(file.stat.st_dev, file.stat.st_ino): file for file in map(aof.require_file, aof.existing_parts)}
    snapshots = [_FileSnapshot(Path(os.path.realpath(file.path)), file.stat) for file in files.values()]
    names = _directory_names(aof, place)
    if Path(os.path.realpath(os.curdir)).is_relative_to(place):
        raise RefusedEdit("the directory that you are in cannot be exchanged", "cd out of it, and name it")
    if not force:
        for folder in {place.parent, place if place.is_dir() else place.parent}:
            require_no_rewrite(folder)
        for one in snapshots:
            require_not_open(one.path)
    if aof.manifest_path and aof.manifest_path.exists():
        snapshots.append(_FileSnapshot(aof.manifest_path, os.stat(aof.manifest_path)))
    clean_up(place)
    with scratch_directory(place) as folder:
        backup = _backup_path(place)
        try:
            receipt = write(backup, place)
        except KeyboardInterrupt:
            _remove_output(backup)
            raise
        aof.close()
        output_inode = os.stat(receipt.output).st_ino
        try:
            write_journal(folder, _named_files(receipt), (receipt.output, place))
            with interrupts_deferred():
                _swap_exclusively(place, receipt.output, snapshots, names, force)
        except BaseException as problem:
            if os.stat(place).st_ino == output_inode:
                problem.add_note(
                    f"it is done, and may not be on disk yet: aofdoctor undo {text.shell_quote(str(receipt.path))}"
                )
            else:
                _remove_output(backup)
            raise
    return receipt


def _named_files(receipt: Receipt) -> list[tuple[Path, Path]]:
    """The files that `write` has made, as pairs of the same path for the journal."""
    return [(path, path) for path in (receipt.output, receipt.path, receipt.dropped_path) if path]


def _directory_names(aof: AOF, place: Path) -> frozenset[str]:
    """The file names in the directory of a multi-part AOF.

    Raises RefusedEdit if a file in it does not belong to the AOF.  Receipts of edits of its files belong to it: they
    stay with the old files, which they can restore.
    """
    if not place.is_dir():
        return frozenset()
    found = frozenset(os.listdir(place))
    ours = {part.name for part in (*aof.parts, *aof.history, *aof.unlisted)}
    ours |= {aof.manifest_path.name} if aof.manifest_path else set()
    foreign_names = sorted(name for name in found - ours if _RECEIPT_NAME.sub("", name) not in ours)
    if foreign_names:
        shown = ", ".join(text.display_path(name) for name in foreign_names[:3]) + (
            ", ..." if len(foreign_names) > 3 else ""
        )
        raise RefusedEdit(
            f"{text.display_path(str(place))} holds more than this AOF: {shown}", "move that away, or " + _HINT
        )
    return found


def _remove_output(backup: Path) -> None:
    """Remove an output of this run, its receipt and its dropped bytes: the names were not exchanged."""
    for path in (backup.with_name(backup.name + suffix) for suffix in ("", ".receipt.json", ".lost")):
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def swap_names(first: Path, second: Path) -> None:
    """Exchange the names of two files or directories atomically and durably.

    Raises RefusedEdit if the file system does not support it.
    """
    try:
        _rename_exchange(os.fsencode(first), os.fsencode(second))
    except OSError as problem:
        if problem.errno in (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EBUSY, errno.EXDEV):
            raise RefusedEdit("this file system cannot exchange two names", _HINT) from None
        raise
    for folder in {first.parent, second.parent}:
        sync_directory(folder)


def _rename_exchange(first: bytes, second: bytes) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if sys.platform == "darwin":
        status = libc.renamex_np(first, second, _RENAME_EXCHANGE_FLAG)
    elif hasattr(libc, "renameat2"):
        status = libc.renameat2(_AT_FDCWD, first, _AT_FDCWD, second, _RENAME_EXCHANGE_FLAG)
    else:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    if status:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), os.fsdecode(first))


def _swap_exclusively(
    place: Path, new_path: Path, snapshots: Sequence[_FileSnapshot], names: frozenset[str], force: bool
) -> None:
    """Exchange the names of the old and new AOF while no other process has the old files open.

    The old files must be as they were when they were read.
    """
    with exclusive_fds([one.path for one in snapshots], force) as held:
        for one in snapshots:
            now = os.fstat(held[one.path])
            if not (is_same_file(one.status, now) and has_same_content(one.status, now)):
                raise SourceChanged(
                    f"{text.display_path(str(one.path))} is not what it was when it was read", "run it again"
                )
        if place.is_dir() and frozenset(os.listdir(place)) != names:
            raise SourceChanged(f"files have come or gone in {text.display_path(str(place))} meanwhile", "run it again")
        swap_names(place, new_path)


def _backup_path(place: Path) -> Path:
    """The path where the new AOF is written; after the exchange of names the old AOF is there."""
    path = timestamped_path(place, ".before", (".receipt.json", ".lost"))
    if path is None:
        raise RefusedEdit(f"too many copies beside {text.display_path(str(place))}")
    return path
