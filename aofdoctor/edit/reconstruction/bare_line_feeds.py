"""Reconstruct commands of an AOF in which a text-mode transfer changed each bare LF to CRLF.

A value that is longer than its declared length is often misread: the command seems to end inside the value, and the
rest of the value is the damage. So the command before the damage is examined too. A command of this kind that cannot be
proven is left out as a whole: it is never shortened to its declared length.
"""

from aofdoctor.aof.patched_source import PIECE_MAX, PatchPiece, Replacement
from aofdoctor.aof.recovery.bare_line_feeds import (
    BARE_LINE_FEEDS,
    ChangedRecord,
    IncompleteData,
    parse_changed_record,
)
from aofdoctor.damage import Damage
from aofdoctor.source import FileSource, pread
from aofdoctor.span import Span

RESTORED_REASON = "bare LF had become CRLF"
UNPROVEN_REASON = "bare LF had become CRLF, and the lengths do not prove which: the record is left out"
_FIRST_READ = 1 << 12
_BLOCK = 1 << 20
_FREE_READS = 1 << 26  # bytes that may be read in addition to a multiple of the file's size
_READS_PER_BYTE = 8


class BareLineFeedUndoer:
    """Restores the commands of one file in which each bare LF became CRLF.

    It reads at most a fixed multiple of the file's size.
    """

    def __init__(self, source: FileSource) -> None:
        self.source = source
        self._budget = _FREE_READS + _READS_PER_BYTE * source.size
        self._scanned_to, self._has_bare_lf, self._ends_with_cr = 0, False, False

    def undo(self, damage: Damage, record_before: Span | None) -> list[PatchPiece] | None:
        """Restore a damage in which LF became CRLF, as pieces of a patched file; None if that is not its cause.

        The pieces begin at the damage, or at the command before it. `record_before` is the command that ends where the
        damage begins, if it has not been reconstructed.
        """
        for start in (damage.span.start, *([record_before.start] if record_before else ())):
            record = self._parse(start)
            if record is None or (record.is_provable and start + record.source_size <= damage.span.start):
                continue
            if self._contains_bare_lf(start + record.source_size):
                return None
            if pieces := self._pieces(start, damage.span.end):
                return pieces
        return None

    def _pieces(self, start: int, end: int) -> list[PatchPiece] | None:
        """The reconstructed commands from file offset `start` to at least `end`; None if no command is changed."""
        at, pieces = start, list[PatchPiece]()
        while at < end:
            record = self._parse(at)
            if record is None:  # The rest stays as it is: damage.
                pieces.append(PatchPiece(Span(at, end), end - at))
                break
            if not record.has_end:
                pieces.append(_left_out(Span(at, end)))
                break
            pieces.append(_piece(at, record))
            at += record.source_size
        return pieces if any(piece.transform for piece in pieces) else None

    def _parse(self, start: int) -> ChangedRecord | None:
        size = _FIRST_READ
        while self._budget > 0:
            data = pread(self.source, size, start)
            self._budget -= len(data)
            try:
                return parse_changed_record(data, is_end_of_file=start + len(data) >= self.source.size)
            except IncompleteData:
                if size >= PIECE_MAX:
                    return None
                size *= 4
        return None

    def _contains_bare_lf(self, end: int) -> bool:
        """Whether a bare LF is among the bytes before file offset `end`; if LF became CRLF, none is left."""
        while self._scanned_to < end and not self._has_bare_lf:
            data = pread(self.source, min(_BLOCK, end - self._scanned_to), self._scanned_to)
            if not data:
                break
            self._scanned_to += len(data)
            self._has_bare_lf = data.count(b"\n") != data.count(b"\r\n") + (self._ends_with_cr and data[:1] == b"\n")
            self._ends_with_cr = data.endswith(b"\r")
        return self._has_bare_lf


def _piece(start: int, record: ChangedRecord) -> PatchPiece:
    span = Span(start, start + record.source_size)
    if not record.is_provable:
        return _left_out(span)
    if not record.added:
        return PatchPiece(span, span.size)
    return PatchPiece(span, span.size - record.added, BARE_LINE_FEEDS, RESTORED_REASON)


def _left_out(span: Span) -> PatchPiece:
    return PatchPiece(span, 0, Replacement(b""), UNPROVEN_REASON)
