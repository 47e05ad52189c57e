"""Join a command or a transaction that is split over two files of the AOF: move its rest to the first file."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

from aofdoctor import text
from aofdoctor.aof.model import AOF
from aofdoctor.aof.patched_source import PatchedSource, PatchPiece, Replacement
from aofdoctor.check.report import Report
from aofdoctor.edit.drops import Reconstruction
from aofdoctor.log.restarts.continued_parts import Continuation, continuations
from aofdoctor.source import FileSource, pread
from aofdoctor.span import Span

_PIECE = 1 << 20


@dataclass(frozen=True, slots=True)
class BorrowedBytes:
    """A Transform for a patched view of a file that inserts bytes of another file, read on demand."""

    source: FileSource
    span: Span

    def undo(self, data: bytes) -> bytes:
        """Read and return the inserted bytes from the other file; `data` is ignored."""
        return pread(self.source, self.span.size, self.span.start)

    def source_offset(self, data: bytes, offset: int) -> int:
        """Return 0: the inserted bytes have no offset in the patched file itself."""
        return 0


class _Move(NamedTuple):
    """The end of a split command: the first `size` bytes of file `origin` (`source`), moved to the end of `target`."""

    target: str
    origin: str
    source: FileSource
    size: int


def join_continued_parts(report: Report) -> tuple[AOF, list[Reconstruction]]:
    """Join commands and transactions that are split over two files; returns the AOF and the changes.

    If none is split, the AOF is returned unchanged.
    """
    parts, moved = list(report.aof.parts), dict[int, _Move]()
    appended = dict[int, _Move]()
    for first, second, found in _continuations_of_files(report):
        source = parts[second].source
        assert isinstance(source, FileSource)
        if first in moved and found.head.start < moved[first].size:
            continue
        move = _Move(parts[first].name, parts[second].name, source, found.rest)
        moved[second] = appended[first] = move
    changes = list[Reconstruction]()
    for index in sorted(moved.keys() | appended.keys()):
        source = parts[index].source
        assert isinstance(source, FileSource)
        pieces = list(_pieces(source, moved.get(index), appended.get(index)))
        changes += _reconstructions(index, pieces)
        parts[index] = replace(parts[index], source=PatchedSource(source, pieces))
    return (replace(report.aof, parts=parts), changes) if changes else (report.aof, [])


def _continuations_of_files(report: Report) -> Iterator[tuple[int, int, Continuation]]:
    for first, second, found in continuations([(part.part, part.damage) for part in report.parts]):
        sources = report.parts[first].part.source, report.parts[second].part.source
        if all(isinstance(source, FileSource) and not source.unreadable for source in sources):
            yield first, second, found


def _pieces(source: FileSource, moved: _Move | None, appended: _Move | None) -> Iterator[PatchPiece]:
    """The pieces of a patched file, without the bytes `moved` from its start, and with `appended` at its end."""
    start = moved.size if moved else 0
    if moved:
        yield PatchPiece(Span(0, start), 0, Replacement(b""), f"moved to {text.display_path(moved.target)}")
    if source.size > start:
        yield PatchPiece(Span(start, source.size), source.size - start)
    if appended:
        reason = f"joined, from {text.display_path(appended.origin)}"
        for at in range(0, appended.size, _PIECE):
            span = Span(at, min(appended.size, at + _PIECE))
            transform = BorrowedBytes(appended.source, span)
            yield PatchPiece(Span(source.size, source.size), span.size, transform, reason)


def _reconstructions(index: int, pieces: list[PatchPiece]) -> Iterator[Reconstruction]:
    """Yield a Reconstruction for each change of one file: bytes moved from its start, or appended to its end."""
    for reason in dict.fromkeys(piece.reason for piece in pieces if piece.reason):
        of_one = [piece for piece in pieces if piece.reason == reason]
        span = Span(of_one[0].span.start, of_one[-1].span.end)
        yield Reconstruction(index, span, sum(piece.size for piece in of_one), reason)
