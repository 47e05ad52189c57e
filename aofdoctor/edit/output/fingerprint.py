"""Recognise a file by its identity and modification time, hashes of both ends, and hashes of the bytes around edits."""

import errno
import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aofdoctor.source import PAGE_SIZE
from aofdoctor.span import Span

_PIECE = 1 << 20
NEIGHBOURHOOD_BYTES = 1 << 12  # bytes before and after an edit that are hashed, to recognise the file


def is_same_file(first: os.stat_result, second: os.stat_result) -> bool:
    """Whether two stat results are of the same file on disk."""
    return (first.st_dev, first.st_ino) == (second.st_dev, second.st_ino)


def has_same_content(then: os.stat_result, now: os.stat_result) -> bool:
    """Whether a file still has the size and modification time of an earlier stat result, so it was not written to."""
    return (then.st_size, then.st_mtime_ns) == (now.st_size, now.st_mtime_ns)


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """The identity, size, modification time and hashes of both ends of a file, at one moment."""

    path: str
    device: int
    inode: int
    size: int
    mtime_ns: int
    head_sha256: str
    tail_sha256: str
    full_sha256: str = ""

    END_BYTES = 1 << 16

    def as_json(self) -> dict[str, Any]:
        """The fingerprint as JSON, with the field names of a receipt."""
        return {
            "path": self.path, "device": self.device, "inode": self.inode, "size": self.size,
            "mtime_ns": self.mtime_ns, "sha256_first_64k": self.head_sha256, "sha256_last_64k": self.tail_sha256,
        } | ({"sha256": self.full_sha256} if self.full_sha256 else {})  # fmt: skip


def fingerprint(path: Path, name: Path, full_hash: bool = False) -> Fingerprint:
    """Compute the fingerprint of the file at `path`; it is recorded under `name`, which the file has or will have."""
    with open(path, "rb") as file:
        return fingerprint_fd(file.fileno(), name, full_hash)


def fingerprint_fd(fd: int, path: Path, full_hash: bool = False) -> Fingerprint:
    """The fingerprint of an open file at `path`; with `full_hash` it includes the SHA-256 of all bytes."""
    status = os.fstat(fd)
    head = _read(fd, Fingerprint.END_BYTES, 0)
    tail = _read(fd, Fingerprint.END_BYTES, max(0, status.st_size - Fingerprint.END_BYTES))
    return Fingerprint(
        str(path.absolute()),
        status.st_dev,
        status.st_ino,
        status.st_size,
        status.st_mtime_ns,
        hashlib.sha256(head).hexdigest(),
        hashlib.sha256(tail).hexdigest(),
        _hash(fd, status.st_size) if full_hash else "",
    )


def _hash(fd: int, size: int) -> str:
    """The SHA-256 of the first `size` bytes of a file."""
    digest = hashlib.sha256()
    for at in range(0, size, _PIECE):
        digest.update(_read(fd, min(_PIECE, size - at), at))
    return digest.hexdigest()


def _read(fd: int, size: int, offset: int) -> bytes:
    """Read bytes of a file, with NULs for unreadable sectors, so that a damaged file has a fingerprint too."""
    data = bytearray()
    while len(data) < size:
        try:
            more = os.pread(fd, size - len(data), offset + len(data))
        except OSError as problem:
            if problem.errno != errno.EIO:
                raise
            more = bytes(min(PAGE_SIZE - (offset + len(data)) % PAGE_SIZE, size - len(data)))
        if not more:
            break
        data += more
    return bytes(data)


def neighbourhood_sha256(fd: int, span: Span, edits: Sequence[Span], size: int) -> str:
    """The SHA-256 of the bytes around one overwritten byte range, with all overwritten bytes as NULs.

    File bytes from offset `size` on are ignored.
    """
    before = _read_with_edits_zeroed(fd, Span(max(0, span.start - NEIGHBOURHOOD_BYTES), span.start), edits)
    after = _read_with_edits_zeroed(fd, Span(span.end, max(span.end, min(size, span.end + NEIGHBOURHOOD_BYTES))), edits)
    return hashlib.sha256(before + after).hexdigest()


def _read_with_edits_zeroed(fd: int, span: Span, edits: Sequence[Span]) -> bytearray:
    """Read a byte range of a file, and replace the bytes that an edit overwrites (`edits`) with NULs."""
    data = bytearray(_read(fd, span.size, span.start))
    for edit in edits:
        low, high = max(edit.start, span.start) - span.start, min(edit.end, span.end) - span.start
        if low < high:
            data[low:high] = bytes(high - low)
    return data


def neighbouring_edits(spans: Sequence[Span], number: int) -> Sequence[Span]:
    """The overwritten byte ranges that can be near range `number`; each holds a command of at least 14 bytes."""
    reach = NEIGHBOURHOOD_BYTES // 14 + 1
    return spans[max(0, number - reach) : number + reach + 1]
