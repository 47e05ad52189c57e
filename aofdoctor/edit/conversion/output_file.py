"""A file of new and old bytes, written in pieces that are bounded, and read again against what they were.

What is new is held by its checksum, what is old is compared with where it came
from.
"""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import NamedTuple

from aofdoctor.edit.output.durable import copy_span, create_file, write_all
from aofdoctor.edit.output.receipt import OnBytesWritten, Ownership
from aofdoctor.edit.output.verify_copy import require_same_bytes, require_size
from aofdoctor.errors import RefusedEdit
from aofdoctor.rdb.encoding.crc64 import crc64
from aofdoctor.source import FileSource, pread
from aofdoctor.span import Span

_PIECE = 1 << 18


class CopiedSpan(NamedTuple):
    """Bytes that stay as they are in their source."""

    source: FileSource
    span: Span


OutputPiece = bytes | CopiedSpan


@dataclass(slots=True)
class OutputFile:
    """What is to stand in a file: `head`, which takes an RDB's place, and `rest`; `status` has its owner and mode.

    `head_size` is that of the head as it was written.
    """

    name: str
    status: os.stat_result
    head: Callable[[], Iterator[OutputPiece]]
    rest: Callable[[], Iterator[OutputPiece]]
    head_size: int = 0
    written_runs: list["_WrittenRun"] = field(default_factory=list)

    def pieces(self) -> Iterator[OutputPiece]:
        """All of it, in order."""
        return chain(self.head(), self.rest())

    def write(self, path: Path, owners: Ownership, progress: OnBytesWritten | None) -> None:
        """Make it, on disk."""
        fd, done = create_file(path), 0
        self.written_runs, ends = [], []
        try:
            for pieces in (self.head(), self.rest()):
                for piece in pieces:
                    self._write_piece(fd, piece)
                    done += _size(piece)
                    if progress:
                        progress(done)
                ends.append(done)
            self.head_size = ends[0]
            owners.copy_to(fd, self.status, path)
            os.fsync(fd)
        finally:
            os.close(fd)

    def check(self, path: Path) -> None:
        """Raise Refused unless the file is, byte for byte, what was written."""
        written, at = FileSource(path), 0
        try:
            for run in self.written_runs:
                if run.copied:
                    at = require_same_bytes(run.copied.source, iter([run.copied.span]), written, at)
                else:
                    at = _require_checksum(written, Span(at, at + run.size), run.crc)
            require_size(written, at)
        finally:
            written.close()

    def _write_piece(self, fd: int, piece: OutputPiece) -> None:
        if isinstance(piece, CopiedSpan):
            copy_span(piece.source, piece.span, fd)
            self.written_runs.append(_WrittenRun(piece.span.size, copied=piece))
            return
        write_all(fd, piece)
        if not self.written_runs or self.written_runs[-1].copied:
            self.written_runs.append(_WrittenRun())
        self.written_runs[-1].size += len(piece)
        self.written_runs[-1].crc = crc64(piece, self.written_runs[-1].crc)


@dataclass(slots=True)
class _WrittenRun:
    """Bytes of one origin that follow each other."""

    size: int = 0
    crc: int = 0
    copied: CopiedSpan | None = None


def _size(piece: OutputPiece) -> int:
    return piece.span.size if isinstance(piece, CopiedSpan) else len(piece)


def _require_checksum(written: FileSource, span: Span, expected: int) -> int:
    crc, at = 0, span.start
    while at < span.end and (data := pread(written, min(_PIECE, span.end - at), at)):
        crc, at = crc64(data, crc), at + len(data)
    if crc != expected or at != span.end:
        raise RefusedEdit(
            f"the copy does not read back as it was written, from {span.start} to {span.end}: it is not kept"
        )
    return at
