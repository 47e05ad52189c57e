"""A virtual file that presents a damaged file in its reconstructed form, without writing a copy.

It is assembled from pieces of the real file: some moved, some transformed.  Only
one transformed piece is in memory at a time.  Offsets in the virtual file can be
mapped back to offsets in the real file.
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
    """Restores a damaged piece of a file, for example one in which LF became CRLF.

    undo() returns the original bytes of the damaged `data`.  source_offset() maps an offset in the original bytes to
    the offset in the damaged `data`.
    """

    def undo(self, data: bytes) -> bytes: ...
    def source_offset(self, data: bytes, offset: int) -> int: ...


@dataclass(frozen=True, slots=True)
class Replacement:
    """A Transform that replaces a damaged piece of a file with `data`, whatever the piece contains."""

    data: bytes

    def undo(self, data: bytes) -> bytes:
        """Return the replacement; the damaged bytes in the argument `data` are ignored."""
        return self.data

    def source_offset(self, data: bytes, offset: int) -> int:
        """Map an offset in the replacement to the same offset in the replaced `data`, at most to its end."""
        return min(offset, len(data))


class PatchPiece(NamedTuple):
    """A range (`span`) of the real file that a PatchedSource presents as `size` bytes, unchanged or transformed.

    `reason` describes the damage that the transformation reverses.
    """

    span: Span
    size: int
    transform: Transform | None = None
    reason: str = ""


class PatchedSource:
    """A Source that presents pieces of a real file one after the other, as one virtual file."""

    def __init__(self, file: FileSource, pieces: Sequence[PatchPiece]) -> None:
        self.file, self.pieces = file, pieces
        self.starts = [0, *accumulate(piece.size for piece in pieces)]
        self.size = self.starts.pop()
        self._cached: tuple[int, bytes] = (-1, b"")

    @property
    def path(self) -> str:
        """The path of the real file, of which the pieces are shown."""
        return self.file.path

    def readinto(self, view: memoryview, offset: int) -> int:
        """Read bytes at `offset` of the virtual file into `view`, from one piece only, and return their number."""
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
        """Map a byte range of the virtual file to the real file; if it covers several pieces, to all bytes between."""
        first, last = self._file_offset(span.start), self._file_offset(span.end, before=True)
        return Span(min(first, last), max(first, last))

    def _file_offset(self, offset: int, before: bool = False) -> int:
        """Map an offset in the virtual file to the real file.

        At a boundary of two pieces, the result is in the second piece, or with `before` the end of the first one.
        """
        number = bisect_right(self.starts, offset - before) - 1
        piece, at = self.pieces[number], offset - self.starts[number]
        if piece.transform is None:
            return piece.span.start + at
        return piece.span.start + piece.transform.source_offset(pread(self.file, piece.span.size, piece.span.start), at)

    def forget(self, offset: int) -> None:
        """Do nothing: the real file can always be read again."""
