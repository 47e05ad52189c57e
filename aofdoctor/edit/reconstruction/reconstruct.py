"""Reconstruct damaged bytes of an AOF where the file itself proves what they were, one damage at a time.

Each method starts at a damage, where the intact commands before it end. So all bytes that it reads follow whole
commands from the start of the file, and a reconstruction counts only if whole commands follow it again.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import replace

from aofdoctor.aof.model import AOF
from aofdoctor.aof.patched_source import PatchedSource, PatchPiece
from aofdoctor.aof.reader import read_tiles
from aofdoctor.aof.records import RecordBatch
from aofdoctor.damage import Damage, DamageKind
from aofdoctor.edit.drops import Reconstruction
from aofdoctor.edit.reconstruction.bare_line_feeds import RESTORED_REASON, BareLineFeedUndoer
from aofdoctor.edit.reconstruction.embedded_rdbs import move_embedded_rdb
from aofdoctor.edit.reconstruction.swapped_blocks import find_swapped_blocks
from aofdoctor.edit.reconstruction.text_mode import undo_latin1, undo_line_ends
from aofdoctor.server.command_table import command_table
from aofdoctor.source import FileSource, pread
from aofdoctor.span import Span

PIECES_MAX = 1 << 20
TRIES_MAX = 16  # damages of one part on which the slow methods are tried

_LOOK = 1 << 16
_RECORD = re.compile(rb"\*[0-9]+\r\n\$")

GUESS_SUFFIX = " (a guess: a changed length would look the same)"

ReconstructionMethod = Callable[[FileSource, Damage], list[PatchPiece] | None]
_CHEAP_METHODS: tuple[ReconstructionMethod, ...] = (move_embedded_rdb, undo_line_ends)
_COSTLY_METHODS: tuple[ReconstructionMethod, ...] = (find_swapped_blocks,)


def reconstruct(aof: AOF) -> tuple[AOF, list[Reconstruction]]:
    """Reconstruct all damage of an AOF that can be proven; returns (the AOF, the reconstructions).

    If nothing can be reconstructed, the AOF is returned unchanged.
    """
    parts, reconstructions = list(aof.parts), list[Reconstruction]()
    for index, part in enumerate(aof.parts):
        # The bytes around unreadable sectors prove nothing.
        source = part.source if isinstance(part.source, FileSource) and not part.source.unreadable else None
        found = _PartReconstructor(source).run() if source else None
        if found:
            parts[index] = replace(part, source=found)
            reconstructions += _reconstructions(index, found)
    return (replace(aof, parts=parts), reconstructions) if reconstructions else (aof, [])


def _reconstructions(index: int, source: PatchedSource) -> Iterator[Reconstruction]:
    # In one command alone, a wrong length would look the same.
    is_guess = sum(piece.reason == RESTORED_REASON for piece in source.pieces) == 1
    for piece in source.pieces:
        if piece.reason:
            reason = piece.reason + (GUESS_SUFFIX if is_guess and piece.reason == RESTORED_REASON else "")
            yield Reconstruction(index, piece.span, piece.size, reason)


class _PartReconstructor:
    """Reconstructs the damage of one file of the AOF, in file order.

    `pieces` are the reconstructed file up to `covered_end`, an offset in the damaged file; `tries` counts damages.
    """

    def __init__(self, source: FileSource) -> None:
        self.source = source
        self.pieces: list[PatchPiece] = []
        self.covered_end = 0
        self.tries = 0
        self.bare_line_feeds = BareLineFeedUndoer(source)
        self._may_be_latin1: bool | None = None

    def run(self) -> PatchedSource | None:
        start: int | None = 0
        while start is not None and len(self.pieces) < PIECES_MAX:
            start = self._continue_from(start)
        if not self.pieces:
            return None
        self._copy_until(self.source.size)
        return PatchedSource(self.source, self.pieces)

    def _continue_from(self, start: int) -> int | None:
        """Read the file from offset `start`, where a command ends, and reconstruct the damage found on the way.

        If a reconstruction replaces bytes after its damage too, returns the offset where the caller must continue; None
        at the end of the file.
        """
        before: Span | None = None  # the command that ends where the next damage may begin
        for tile in read_tiles(self.source, command_table().names, start):
            if not isinstance(tile, Damage):
                before = tile.record_span(tile.count - 1) if isinstance(tile, RecordBatch) else None
                continue
            found = self._try_methods(tile, before if before and before.start >= self.covered_end else None)
            before = None
            if not found:
                continue
            self._copy_until(min(tile.span.start, *(piece.span.start for piece in found)))
            self.pieces += found
            self.covered_end = max(piece.span.end for piece in found)
            if len(self.pieces) >= PIECES_MAX:
                return None
            if self.covered_end != tile.span.end:
                return self._next_record_end(found)
        return None

    def _try_methods(self, damage: Damage, record_before: Span | None) -> list[PatchPiece] | None:
        """Try all methods to restore a damage; return pieces of a patched file by the first that succeeds, or None.

        `record_before` is the command that ends where the damage begins.
        """
        self.tries += 1
        if record_before and pread(self.source, 1, record_before.start) == b"#":
            # An annotation that has lost its CR is still whole.
            extended = replace(damage, span=Span(record_before.start, damage.span.end))
            if pieces := undo_line_ends(self.source, extended):
                return pieces
        methods = _CHEAP_METHODS + (_COSTLY_METHODS if self.tries <= TRIES_MAX else ())
        if self._check_all_latin1():
            methods = (undo_latin1, *methods)
        found = next((pieces for method in methods if (pieces := method(self.source, damage))), None)
        return found or self.bare_line_feeds.undo(damage, record_before)

    def _check_all_latin1(self) -> bool:
        """Whether the whole file can have been converted from Latin-1 to UTF-8: all intact commands are ASCII.

        One damaged command is not enough evidence: a length that is off by one looks the same.
        """
        if self._may_be_latin1 is None:
            headers_in_damage = 0
            for tile in read_tiles(self.source, command_table().names):
                if isinstance(tile, RecordBatch) and not tile.isascii():
                    self._may_be_latin1 = False
                    return False
                if isinstance(tile, Damage) and tile.kind is DamageKind.ENCODING:
                    head = pread(self.source, min(_LOOK, tile.span.size), tile.span.start)
                    headers_in_damage += len(_RECORD.findall(head))
            self._may_be_latin1 = headers_in_damage > 1
        return self._may_be_latin1

    def _copy_until(self, end: int) -> None:
        if end > self.covered_end:
            self.pieces.append(PatchPiece(Span(self.covered_end, end), end - self.covered_end))
            self.covered_end = end

    def _next_record_end(self, found: list[PatchPiece]) -> int | None:
        """The file offset of the first command end at or after the last reconstructed byte.

        None if the file ends there.
        """
        rest = PatchPiece(Span(self.covered_end, self.source.size), self.source.size - self.covered_end)
        view, reach = PatchedSource(self.source, [*found, rest]), sum(piece.size for piece in found)
        for tile in read_tiles(view, command_table().names, window=1 << 16):
            edges = (
                [tile.record_span(i).end for i in range(tile.count)]
                if isinstance(tile, RecordBatch)
                else [tile.span.end]
            )
            edge = next((edge for edge in edges if edge >= reach), None)
            if edge is not None:
                return self.covered_end + edge - reach if edge < view.size else None
        return None
