"""Recognise a file by its identity and modification time, hashes of both ends, and hashes of the bytes around edits.

Bytes that the disk cannot read raise an OSError.  Only for evidence, a source that is rescued from a failing disk, they
are hashed as NULs; the fingerprint says so, and its hashes are then not compared.
"""

import errno
import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aofdoctor.source import PAGE_SIZE, FileSource
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
    is_unreadable: bool = False  # Some of the hashed bytes could not be read, and were hashed as NULs.

    END_BYTES = 1 << 16

    def as_json(self) -> dict[str, Any]:
        """The fingerprint as JSON, with the field names of a receipt."""
        return {
            "path": self.path, "device": self.device, "inode": self.inode, "size": self.size,
            "mtime_ns": self.mtime_ns, "sha256_first_64k": self.head_sha256, "sha256_last_64k": self.tail_sha256,
        } | ({"sha256": self.full_sha256} if self.full_sha256 else {}) | (
            {"unreadable": True} if self.is_unreadable else {}
        )  # fmt: skip


def fingerprint(path: Path, name: Path, full_hash: bool = False, is_evidence: bool = False) -> Fingerprint:
    """Compute the fingerprint of the file at `path`; it is recorded under `name`, which the file has or will have.

    With `is_evidence` it can have unreadable bytes; otherwise they raise an OSError.
    """
    with open(path, "rb") as file:
        return fingerprint_fd(file.fileno(), name, full_hash, is_evidence)


def fingerprint_source(source: FileSource, full_hash: bool = False) -> Fingerprint:
    """The fingerprint of a source file of an edit, which may have unreadable bytes if the edit tolerates them."""
    return fingerprint_fd(source.fd, Path(source.path), full_hash, is_evidence=source.unreadable is not None)


def fingerprint_fd(fd: int, path: Path, full_hash: bool = False, is_evidence: bool = False) -> Fingerprint:
    """The fingerprint of an open file at `path`; with `full_hash` it includes the SHA-256 of all bytes.

    With `is_evidence` it can have unreadable bytes; otherwise they raise an OSError.
    """
    status = os.fstat(fd)
    reader = _Reader(fd, str(path), is_evidence)
    head = reader.read(Fingerprint.END_BYTES, 0)
    tail = reader.read(Fingerprint.END_BYTES, max(0, status.st_size - Fingerprint.END_BYTES))
    full_sha256 = _hash(reader, status.st_size) if full_hash else ""
    return Fingerprint(
        str(path.absolute()),
        status.st_dev,
        status.st_ino,
        status.st_size,
        status.st_mtime_ns,
        hashlib.sha256(head).hexdigest(),
        hashlib.sha256(tail).hexdigest(),
        full_sha256,
        reader.has_failed,
    )


def _hash(reader: "_Reader", size: int) -> str:
    """The SHA-256 of the first `size` bytes."""
    digest = hashlib.sha256()
    for at in range(0, size, _PIECE):
        digest.update(reader.read(min(_PIECE, size - at), at))
    return digest.hexdigest()


@dataclass(slots=True)
class _Reader:
    """Reads a file; of evidence, pages that cannot be read become NULs, and `has_failed` is set."""

    fd: int
    path: str
    is_evidence: bool = False
    has_failed: bool = False

    def read(self, size: int, offset: int) -> bytes:
        """Read `size` bytes, or fewer at the end of the file."""
        data = bytearray()
        while len(data) < size:
            try:
                more = os.pread(self.fd, size - len(data), offset + len(data))
            except OSError as problem:
                if problem.errno != errno.EIO or not self.is_evidence:
                    raise OSError(problem.errno, problem.strerror, self.path) from None
                more = bytes(min(PAGE_SIZE - (offset + len(data)) % PAGE_SIZE, size - len(data)))
                self.has_failed = True
            if not more:
                break
            data += more
        return bytes(data)


def neighbourhood_sha256(fd: int, span: Span, edits: Sequence[Span], size: int, is_evidence: bool = False) -> str:
    """The SHA-256 of the bytes around an edit, with the bytes of all edits zeroed.

    File bytes from offset `size` on are ignored.  Unreadable bytes raise an OSError, but with `is_evidence` are NULs.
    """
    reader = _Reader(fd, "", is_evidence)
    before = _read_with_edits_zeroed(reader, Span(max(0, span.start - NEIGHBOURHOOD_BYTES), span.start), edits)
    end = max(span.end, min(size, span.end + NEIGHBOURHOOD_BYTES))
    after = _read_with_edits_zeroed(reader, Span(span.end, end), edits)
    return hashlib.sha256(before + after).hexdigest()


def _read_with_edits_zeroed(reader: _Reader, span: Span, edits: Sequence[Span]) -> bytearray:
    """Read a byte range of a file, with the bytes of the edits in it zeroed."""
    data = bytearray(reader.read(span.size, span.start))
    for edit in edits:
        low, high = max(edit.start, span.start) - span.start, min(edit.end, span.end) - span.start
        if low < high:
            data[low:high] = bytes(high - low)
    return data


def neighbouring_edits(spans: Sequence[Span], number: int) -> Sequence[Span]:
    """The overwritten byte ranges that can be near range `number`; each holds a command of at least 14 bytes."""
    reach = NEIGHBOURHOOD_BYTES // 14 + 1
    return spans[max(0, number - reach) : number + reach + 1]
