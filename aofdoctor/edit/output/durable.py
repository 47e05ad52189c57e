"""Create, copy, sync and rename files so that an interruption leaves either nothing or the whole content.

What the files contain is not known here.
"""

import errno
import json
import os
import secrets
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from aofdoctor import text
from aofdoctor.aof.patched_source import PatchedSource
from aofdoctor.errors import RefusedEdit
from aofdoctor.source import FileSource, pread
from aofdoctor.span import Span

_PIECE = 1 << 20
_COPY_RANGE_MAX = 1 << 30
_LARGE = 1 << 16
_COPY_RANGE_UNSUPPORTED = (errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM, errno.ETXTBSY)


def sync_directory(folder: Path) -> None:
    """Make new and removed names of a directory durable (fsync)."""
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def create_file(path: Path) -> int:
    """Create a file, and return a descriptor to write it; raise FileExistsError if the name is taken."""
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)


def copy_span(source: FileSource | PatchedSource, span: Span, target: int) -> None:
    """Append a byte range of a source to a file; the kernel copies where possible, and may share the disk blocks."""
    at = span.start
    while at < span.end:
        done = _copy_range(source, target, at, min(_COPY_RANGE_MAX, span.end - at))
        if not done:
            break
        at += done
    buffer = memoryview(bytearray(min(_PIECE, span.end - at)))
    while at < span.end:
        got = source.readinto(buffer[: min(_PIECE, span.end - at)], at)
        if not got:
            raise EOFError(f"{source.path} ends at {at}, before {span.end}")
        write_all(target, buffer[:got])
        at += got


def _copy_range(source: FileSource | PatchedSource, target: int, at: int, size: int) -> int:
    if not hasattr(os, "copy_file_range") or size < 1 << 16 or isinstance(source, PatchedSource):
        return 0
    try:
        return os.copy_file_range(source.fd, target, size, offset_src=at)
    except OSError as problem:
        # Unreadable sectors are read as NULs if the source allows that, which only a read by ourselves can do.
        if problem.errno in _COPY_RANGE_UNSUPPORTED or (problem.errno == errno.EIO and source.unreadable is not None):
            return 0
        raise


def batch_small_spans(source: FileSource | PatchedSource, spans: Iterator[Span]) -> Iterator[bytes | Span]:
    """Yield the bytes of many ranges in order: large ranges as spans, small ones read and joined."""
    window, base, pending = b"", 0, bytearray()
    for span in spans:
        if span.size >= _LARGE:
            if pending:
                yield bytes(pending)
                pending.clear()
            yield span
            continue
        if not base <= span.start <= span.end <= base + len(window):
            window, base = pread(source, _PIECE, span.start), span.start
        pending += window[span.start - base : span.end - base]
        if len(pending) >= _PIECE:
            yield bytes(pending)
            pending.clear()
    if pending:
        yield bytes(pending)


def write_all(fd: int, data: bytes | memoryview) -> None:
    """Write all bytes to a file descriptor, however many write calls that takes."""
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def write_all_at(fd: int, data: bytes, offset: int) -> None:
    """Write all bytes at a file offset, however many write calls that takes."""
    view = memoryview(data)
    while view:
        put = os.pwrite(fd, view, offset)
        view, offset = view[put:], offset + put


def write_durably(path: Path, data: bytes, mode: int = 0o600) -> None:
    """Create a file with this content, durably; after an error or a crash it has all of the content or does not exist.

    Raises FileExistsError if the name is taken.
    """
    temp = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    fd = os.open(temp, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    try:
        try:
            write_all(fd, data)
            os.fsync(fd)
        finally:
            os.close(fd)
        rename_file_into_place(temp, path)
    finally:
        temp.unlink(missing_ok=True)


def json_bytes(value: Any) -> bytes:
    """Encode a value as indented JSON."""
    return json.dumps(value, indent=1).encode() + b"\n"


def rename_file_into_place(temp: Path, path: Path) -> None:
    """Rename a finished file durably to its final name; raise FileExistsError if the name is taken.

    After an error the file does not have the final name.
    """
    try:
        os.link(temp, path)
    except FileExistsError:
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path)) from None
    except OSError:  # The file system has no hard links: check and rename in two steps.
        if path.exists():
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path)) from None
        os.rename(temp, path)
    try:
        temp.unlink(missing_ok=True)
        sync_directory(path.parent)
    except BaseException:
        path.unlink()
        raise


def rename_directory_into_place(temp: Path, path: Path) -> None:
    """Rename a finished directory durably; only an empty directory may have the name already."""
    for folder, _, _ in os.walk(temp):
        sync_directory(Path(folder))
    os.rename(temp, path)
    try:
        sync_directory(path.parent)
    except BaseException:
        os.rename(path, temp)
        raise


def timestamped_path(path: Path, suffix: str, other_suffixes: tuple[str, ...] = ()) -> Path | None:
    """A free path next to another: the other's name, the UTC time, a number if needed, and a suffix.

    With any of `other_suffixes` appended the path is free as well.  None after a hundred attempts.
    """
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    for number in range(100):
        candidate = path.with_name(f"{path.name}.{stamp}{f'-{number}' if number else ''}{suffix}")
        if not any(os.path.lexists(candidate.with_name(candidate.name + end)) for end in ("", *other_suffixes)):
            return candidate
    return None


def require_free_name(path: Path, directory: bool = False) -> None:
    """Raise RefusedEdit if the name of an output is taken; an output directory may replace an empty directory."""
    if directory and path.is_dir() and not path.is_symlink() and not any(path.iterdir()):
        return
    if os.path.lexists(path):
        raise RefusedEdit(
            f"{text.display_path(str(path))} exists", "name a new file or directory: nothing is written over"
        )
    if not path.absolute().parent.is_dir():
        raise RefusedEdit(f"{text.display_path(str(path.absolute().parent))} is not a directory")


def require_space(folder: Path, size: int) -> None:
    """Raise RefusedEdit unless the file system of a directory has `size` free bytes."""
    status = os.statvfs(folder)
    free = status.f_bavail * status.f_frsize
    if free < size:
        raise RefusedEdit(
            f"{text.format_size(size)} are needed in {text.display_path(str(folder))}, "
            f"{text.format_size(free)} are free",
            "write to another file system, or strip a flush with --in-place, which needs no room",
        )
