"""Find two blocks of a file that were swapped: the swap back must make every command whole again.

The first block contains the first wrong byte. Each later block of the same size is tried in its place. A swap that
makes all commands whole, from before the first block to after the second, is proven if it is the only one.
"""

import re
from collections.abc import Iterator

from aofdoctor.aof.constants import UNKNOWN
from aofdoctor.aof.diagnosis import Defect, RecordDiagnosis, diagnose_record
from aofdoctor.aof.patched_source import PatchedSource, PatchPiece
from aofdoctor.aof.read_window import ReadWindow
from aofdoctor.aof.reader import read_batches
from aofdoctor.damage import Damage
from aofdoctor.server.command_table import command_table
from aofdoctor.source import FileSource, pread
from aofdoctor.span import Span

_SIZES = (512, 1024, 2048, 4096, 8192, 16384, 65536)
_REACH = 1 << 20  # the largest distance of two swapped blocks
_TRIES = 512  # candidates that are tried at one damage
_AFTER_VALUE = re.compile(rb"\r\Z|\r\n(?:\Z|[$*#])")
_LINE_FEED = re.compile(rb"\n(?:\Z|[$*#])")
_SWAP_DEFECTS = (Defect.MISSING_CRLF, Defect.BAD_HEADER, Defect.BAD_FIRST_BYTE, Defect.LINE_END)
_ANY = re.compile(b"")
_NEAR_BLOCKS = 64  # the largest distance in blocks if the damage does not show what the right block must contain
_SWAPPED_REASON = "two blocks had changed places"


def find_swapped_blocks(source: FileSource, damage: Damage) -> list[PatchPiece] | None:
    """Restore two swapped blocks: return pieces of a patched file, from a damage to the end of the second block.

    None if no swap of two blocks is proven.
    """
    diagnosis = diagnose_record(ReadWindow(source), damage.span.start)
    if diagnosis.defect not in _SWAP_DEFECTS:
        return None
    found: list[list[PatchPiece]] = []
    for tries, (first, second, size) in enumerate(_candidates(source, diagnosis)):
        if tries == _TRIES:
            return None
        pieces = _swap_pieces(damage.span.start, first, second, size)
        if pieces and _reads_cleanly(source, pieces):
            found.append(pieces)
    return found[0] if len(found) == 1 else None


def _candidates(source: FileSource, diagnosis: RecordDiagnosis) -> Iterator[tuple[int, int, int]]:
    """Yield (first block's offset, second block's offset, size) of swaps that would put valid bytes at the defect."""
    wrong, payload = diagnosis.end, diagnosis.end - diagnosis.declared_length
    for size in _SIZES:
        # A CRLF may be split between two blocks, so either block may be the wrong one.
        for first, place in {place // size * size: place for place in (wrong + 1, wrong)}.items():
            # A header inside the block itself is no evidence of the right content of the block.
            sure = diagnosis.defect is Defect.MISSING_CRLF and payload <= first
            shape = (_AFTER_VALUE if place == wrong else _LINE_FEED) if sure else _ANY
            reach = _REACH if sure else _NEAR_BLOCKS * size
            data = pread(source, reach, first)
            for at in range(size, len(data) - size + 1, size):
                if shape.match(data, at + place - first, at + size):
                    yield first, first + at, size


def _swap_pieces(start: int, first: int, second: int, size: int) -> list[PatchPiece] | None:
    """Return the pieces of a patched file from `start` to the end of the second block, with both blocks exchanged."""
    if first < start:
        return None
    spans = (
        (Span(start, first), ""), (Span(second, second + size), _SWAPPED_REASON), (Span(first + size, second), ""),
        (Span(first, first + size), _SWAPPED_REASON),
    )  # fmt: skip
    return [PatchPiece(span, span.size, None, reason) for span, reason in spans if span.size]


def _reads_cleanly(source: FileSource, pieces: list[PatchPiece]) -> bool:
    """Whether every command up to the end of the pieces is whole and known to servers."""
    end = max(piece.span.end for piece in pieces)
    view = PatchedSource(source, [*pieces, PatchPiece(Span(end, source.size), source.size - end)])
    reach = sum(piece.size for piece in pieces)
    for batch in read_batches(view, command_table().names, 0, window=1 << 16):  # Ends at the first damage.
        edge = next((i for i in range(batch.count) if batch.record_span(i).end > reach), batch.count)
        if UNKNOWN in batch.ids[: min(edge + 1, batch.count)]:
            return False
        if edge < batch.count or batch.span.end == view.size:
            return True
    return False
