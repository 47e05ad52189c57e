"""A virtual file assembled from pieces of another: some moved, some transformed.

It presents damaged bytes in their reconstructed form without a copy: only one
transformed piece is in memory at a time.  Its offsets can be mapped back to
offsets of the real file.
"""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import NamedTuple, Protocol

from aofdoctor.source import FileSource, pread
from aofdoctor.span import Span

PIECE_MAX = 1 << 24  # bytes of a transformed piece


class Transform(Protocol):
    """The reversal of a change: undo() returns the original bytes, source_offset() maps their offsets back."""

    def undo(self, data: bytes) -> bytes: ...
    def source_offset(self, data: bytes, offset: int) -> int: ...


@dataclass(frozen=True, slots=True)
class Replacement:
    """A Transform that replaces any bytes with `data`."""

    data: bytes

    def undo(self, data: bytes) -> bytes:
        """Return the replacement."""
        return self.data

    def source_offset(self, data: bytes, offset: int) -> int:
        """Return the offset, limited to the replaced bytes."""
        return min(offset, len(data))


class PatchPiece(NamedTuple):
    """A range of the real file that appears here, unchanged or transformed into `size` bytes."""

    span: Span
    size: int
    transform: Transform | None = None
    reason: str = ""


class PatchedSource:
    """A Source that presents pieces of a file one after the other."""

    def __init__(self, file: FileSource, pieces: Sequence[PatchPiece]) -> None:
        self.file, self.pieces = file, pieces
        self.starts = [0, *accumulate(piece.size for piece in pieces)]
        self.size = self.starts.pop()
        self._cached: tuple[int, bytes] = (-1, b"")

    @property
    def path(self) -> str:
        """The path of the real file."""
        return self.file.path

    def readinto(self, view: memoryview, offset: int) -> int:
        """Fill `view` from `offset`, at most to the end of the piece, and return the number of bytes."""
        if offset >= self.size:
            return 0
        number = bisect_right(self.starts, offset) - 1
        piece, at = self.pieces[number], offset - self.starts[number]
        length = min(len(view), piece.size - at)
        if piece.transform is None:
            return self.file.readinto(view[:length], piece.span.start + at)
        view[:length] = self._transformed(number)[at : at + length]
        return length

    def _transformed(self, number: int) -> bytes:
        if self._cached[0] != number:
            piece = self.pieces[number]
            assert piece.transform is not None
            data = piece.transform.undo(pread(self.file, piece.span.size, piece.span.start))
            self._cached = number, data
        return self._cached[1]

    def file_span(self, span: Span) -> Span:
        """Map a range to the real file; a range over several pieces becomes all bytes between its ends."""
        first, last = self._file_offset(span.start), self._file_offset(span.end, before=True)
        return Span(min(first, last), max(first, last))

    def _file_offset(self, offset: int, before: bool = False) -> int:
        """Map an offset to the real file; `before`: as the end of the byte before it."""
        number = bisect_right(self.starts, offset - before) - 1
        piece, at = self.pieces[number], offset - self.starts[number]
        if piece.transform is None:
            return piece.span.start + at
        return piece.span.start + piece.transform.source_offset(pread(self.file, piece.span.size, piece.span.start), at)

    def forget(self, offset: int) -> None:
        """Do nothing: every piece can be read again."""
