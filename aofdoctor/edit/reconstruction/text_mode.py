"""Reconstruct damage of an AOF by text mode: changed line ends, or a conversion from Latin-1 to UTF-8."""

from aofdoctor.aof.diagnosis import diagnose_record
from aofdoctor.aof.patched_source import PIECE_MAX, PatchPiece
from aofdoctor.aof.read_window import ReadWindow
from aofdoctor.aof.reader import read_tiles
from aofdoctor.aof.records import RecordBatch
from aofdoctor.aof.recovery.text_mode import CR_ADDED, CR_LOST, LATIN1, TextModeDamage
from aofdoctor.damage import Damage
from aofdoctor.server.command_table import command_table
from aofdoctor.source import BytesSource, FileSource, pread
from aofdoctor.span import Span

_HEAD = 64
_WINDOW = 1 << 16
_OVERRUN_MAX = 1 << 16  # bytes read past the end of the damage, which may be inside a value
_PIECE = 1 << 20


def undo_line_ends(source: FileSource, damage: Damage) -> list[PatchPiece] | None:
    """Restore a damage, as pieces of a patched file, if changed line ends explain all of it; otherwise None."""
    return _undo_modes(source, damage, (CR_LOST, CR_ADDED))


def undo_latin1(source: FileSource, damage: Damage) -> list[PatchPiece] | None:
    """Restore a damage, as pieces of a patched file, if a conversion from Latin-1 to UTF-8 explains it; else None."""
    return _undo_modes(source, damage, (LATIN1,))


def _undo_modes(source: FileSource, damage: Damage, modes: tuple[TextModeDamage, ...]) -> list[PatchPiece] | None:
    head = pread(source, _HEAD, damage.span.start)
    fitting = (mode for mode in modes if mode.header_pattern.match(head))
    return next((found for mode in fitting if (found := _TextModeRegion(source, damage, mode).run())), None)


class _TextModeRegion:
    """Reads one damage as commands that text mode changed in one way.

    `at` is the file offset reached, `end` the file offset where the damage ends.
    """

    def __init__(self, source: FileSource, damage: Damage, mode: TextModeDamage) -> None:
        self.source, self.end, self.mode = source, damage.span.end, mode
        self.at = damage.span.start
        self.pieces: list[PatchPiece] = []

    def run(self) -> list[PatchPiece] | None:
        window = _WINDOW
        while self.at < self.end:
            data = pread(self.source, window, self.at)
            inside = data[: self.end - self.at]
            if self._consume(inside) or (len(inside) < len(data) and self._consume(data)):
                window = _PIECE
            elif len(data) < window or window >= min(PIECE_MAX, self.end - self.at + _OVERRUN_MAX):
                break
            else:
                window *= 4
        if not any(piece.transform for piece in self.pieces) or not self._is_followed_by_record():
            return None
        return self.pieces if self._has_known_command() else None

    def _consume(self, data: bytes) -> bool:
        """Restore the commands at the start of the damaged bytes `data`; false if none can be restored."""
        before = self.at
        for run in self.mode.find_runs(data):
            self._add(run.source_size, run.size)
            if self.at >= self.end:
                break
        return self.at > before

    def _add(self, taken: int, size: int) -> None:
        last = self.pieces[-1] if self.pieces else None
        span, self.at = Span(self.at, self.at + taken), self.at + taken
        if not size:  # An intact run, but its original form is ambiguous: it is kept as it is.
            self.pieces.append(PatchPiece(span, taken))
        elif last and last.transform and last.span.size < _PIECE:
            self.pieces[-1] = last._replace(span=Span(last.span.start, span.end), size=last.size + size)
        else:
            self.pieces.append(PatchPiece(span, size, self.mode, self.mode.reason))

    def _is_followed_by_record(self) -> bool:
        """Whether a command follows the damage, or the file ends, perhaps inside a truncated command."""
        if self.at < self.end:
            rest = self.end == self.source.size
            if rest:
                self.pieces.append(PatchPiece(Span(self.at, self.end), self.end - self.at))
            return rest
        if self.at == self.end or self.at == self.source.size:
            return True
        return diagnose_record(ReadWindow(self.source), self.at).is_complete

    def _has_known_command(self) -> bool:
        """Whether a server knows one of the first reconstructed commands."""
        first = next(piece for piece in self.pieces if piece.transform)
        assert first.transform is not None
        data = first.transform.undo(pread(self.source, first.span.size, first.span.start))
        for tile in read_tiles(BytesSource(data), command_table().names):
            if isinstance(tile, RecordBatch):
                return any(tile.ids[i] > 1 for i in range(tile.count))
        return False
