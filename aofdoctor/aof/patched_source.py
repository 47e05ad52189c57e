"""A source seen as it was before something changed it: pieces of the file, some elsewhere, some read in another way.

What is read from it is the mended bytes; nothing is held but one piece.  Where
something stands in it can be led back to where it stands in the file.
"""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import NamedTuple, Protocol

from aofdoctor.source import FileSource, pread
from aofdoctor.span import Span

PIECE_MAX = 1 << 24  # bytes of a piece that is read in another way


class Transform(Protocol):
    """Another way to read bytes: what they were, and where in them the front of that ends."""

    def undo(self, data: bytes) -> bytes: ...
    def source_offset(self, data: bytes, offset: int) -> int: ...


@dataclass(frozen=True, slots=True)
class Replacement:
    """Bytes that stand in the place of others, whatever those are; a Reading."""

    data: bytes

    def undo(self, data: bytes) -> bytes:
        """The bytes that are given."""
        return self.data

    def source_offset(self, data: bytes, offset: int) -> int:
        """As far in as there is."""
        return min(offset, len(data))


class PatchPiece(NamedTuple):
    """Bytes of the file that stand here: as they are, or by a reading, which makes `size` bytes of them."""

    span: Span
    size: int
    transform: Transform | None = None
    reason: str = ""


class PatchedSource:
    """A file by its pieces, which follow each other; a Source."""

    def __init__(self, file: FileSource, pieces: Sequence[PatchPiece]) -> None:
        self.file, self.pieces = file, pieces
        self.starts = [0, *accumulate(piece.size for piece in pieces)]
        self.size = self.starts.pop()
        self._cached: tuple[int, bytes] = (-1, b"")

    @property
    def path(self) -> str:
        """Where the file stands."""
        return self.file.path

    def readinto(self, view: memoryview, offset: int) -> int:
        """Fill `view` from `offset`, to the end of the piece at most."""
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
        """Where bytes of this stand in the file; of some that are of several pieces, all from the first to the last."""
        first, last = self._file_offset(span.start), self._file_offset(span.end, before=True)
        return Span(min(first, last), max(first, last))

    def _file_offset(self, offset: int, before: bool = False) -> int:
        """Where in the file the byte at `offset` stands, or the one `before` it ends."""
        number = bisect_right(self.starts, offset - before) - 1
        piece, at = self.pieces[number], offset - self.starts[number]
        if piece.transform is None:
            return piece.span.start + at
        return piece.span.start + piece.transform.source_offset(pread(self.file, piece.span.size, piece.span.start), at)

    def forget(self, offset: int) -> None:
        """Pieces may be read again."""
