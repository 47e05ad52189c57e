"""Remove items from an RDB at the start of an AOF file, and give it a new EOF opcode and checksum.

Kept items are copied byte for byte. The new end is inserted after all dropped bytes in a `PatchedSource` view of the
file. So the removed items are byte ranges of a file, like other dropped bytes: they can be kept in OUT.lost.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

from aofdoctor.aof.patched_source import PatchedSource, PatchPiece, Replacement
from aofdoctor.check.rdb_examination import OLD_END_REASON
from aofdoctor.edit.drops import Drop, Reconstruction, merge_adjacent
from aofdoctor.rdb.encoding.crc64 import crc64
from aofdoctor.rdb.header import MAGIC_SIZE, has_checksum
from aofdoctor.rdb.opcodes import Opcode
from aofdoctor.source import FileSource, Source, pread
from aofdoctor.span import Span

NEW_END_REASON = "the RDB's new end and checksum"
MAGIC_REASON = "the RDB's magic, by its writer's own words"
CHANGED_BYTE_REASON = "the only byte that was changed, by the checksum"
_PIECE = 1 << 20

# Yields adjacent byte ranges from the start of an RDB to its end, each with the reason to drop it ("" to keep it).
ItemVerdicts = Callable[[], Iterator[tuple[Span, str]]]


class SplicedRdb(NamedTuple):
    """A file of the AOF with an RDB from which items were removed.

    `source` is the file with the RDB's new end inserted before offset `end`; `drops` are the byte ranges of the removed
    items in it.
    `reconstructions` are the inserted end, and a corrected magic.
    """

    source: PatchedSource
    end: int
    drops: Callable[[], Iterator[Drop]]
    reconstructions: list[Reconstruction]


def splice_rdb(
    index: int, source: FileSource | PatchedSource, end: int, item_verdicts: ItemVerdicts, added: bytes = b""
) -> SplicedRdb:
    """Remove the unwanted items of an RDB, and insert a new EOF opcode and checksum.

    The RDB is that of the file with `index`, and ends at file offset `end`. `added` are encoded keys that are placed
    before the new EOF opcode.
    """
    tail = _new_end(source, end, item_verdicts, added)
    view = _insert(source, end, tail)

    def drops() -> Iterator[Drop]:
        yield from merge_adjacent(Drop(index, span, 0, why) for span, why in _cover_to_end(item_verdicts(), end) if why)

    at = view.file_span(Span(end, end + len(tail))).start
    reconstructions = [
        Reconstruction(index, piece.span, piece.size, piece.reason)
        for piece in view.pieces
        if piece.reason in (MAGIC_REASON, CHANGED_BYTE_REASON)
    ]
    return SplicedRdb(
        view, end + len(tail), drops, [*reconstructions, Reconstruction(index, Span(at, at), len(tail), NEW_END_REASON)]
    )


def replace_byte(source: FileSource, offset: int, byte: int) -> PatchedSource:
    """Return a view of a file with another byte at a file offset."""
    changed = Replacement(bytes((byte,)))
    pieces = [
        PatchPiece(Span(0, offset), offset),
        PatchPiece(Span(offset, offset + 1), 1, changed, CHANGED_BYTE_REASON),
        PatchPiece(Span(offset + 1, source.size), source.size - offset - 1),
    ]
    return PatchedSource(source, [piece for piece in pieces if piece.size])


def replace_magic(source: FileSource | PatchedSource, magic: bytes) -> PatchedSource:
    """Return a view of a file with another RDB magic at its start.

    A magic that a reconstruction has put there is replaced under the reconstruction's own reason, so that a plan lists
    it once.
    """
    file, pieces = (source.file, source.pieces) if isinstance(source, PatchedSource) else (source, ())
    pieces = pieces or [PatchPiece(Span(0, source.size), source.size)]
    number = next(i for i, piece in enumerate(pieces) if piece.size)  # The pieces before it leave bytes out.
    left_out, first, rest = pieces[:number], pieces[number], pieces[number + 1 :]
    start, changed = first.span.start, Replacement(magic)
    if first.transform is not None:
        assert first.size == MAGIC_SIZE, "an RDB is read as it is"
        return PatchedSource(file, [*left_out, first._replace(transform=changed), *rest])
    head = PatchPiece(Span(start, start + MAGIC_SIZE), MAGIC_SIZE, changed, MAGIC_REASON)
    after = PatchPiece(Span(start + MAGIC_SIZE, first.span.end), first.size - MAGIC_SIZE)
    return PatchedSource(file, [*left_out, head, after, *rest])


def _cover_to_end(item_verdicts: Iterator[tuple[Span, str]], end: int) -> Iterator[tuple[Span, str]]:
    """Yield (byte range, reason to drop it or "") of each RDB item, then of any bytes from the last one up to `end`."""
    at = 0
    for span, why in item_verdicts:
        yield span, why
        at = span.end
    if at < end:
        yield Span(at, end), OLD_END_REASON


def _new_end(source: Source, end: int, item_verdicts: ItemVerdicts, added: bytes) -> bytes:
    """Encode the new end of an RDB from which items were removed: added keys, EOF opcode, checksum if it has one."""
    last = added + bytes([Opcode.EOF])
    if not has_checksum(pread(source, MAGIC_SIZE, 0)):
        return last
    crc = 0
    for span in _merge_spans(span for span, why in _cover_to_end(item_verdicts(), end) if not why):
        for at in range(span.start, span.end, _PIECE):
            crc = crc64(pread(source, min(_PIECE, span.end - at), at), crc)
    return last + crc64(last, crc).to_bytes(8, "little")


def _merge_spans(spans: Iterator[Span]) -> Iterator[Span]:
    """Yield byte ranges with adjacent ones joined."""
    held: Span | None = None
    for span in spans:
        if held and held.end == span.start:
            held = Span(held.start, span.end)
        else:
            if held:
                yield held
            held = span
    if held:
        yield held


def _insert(source: FileSource | PatchedSource, at: int, data: bytes) -> PatchedSource:
    """Return a view of a file with `data` inserted at file offset `at`."""
    pieces = source.pieces if isinstance(source, PatchedSource) else [PatchPiece(Span(0, source.size), source.size)]
    out: list[PatchPiece] = []
    start = 0
    for piece in pieces:
        first = max(0, min(piece.size, at - start))
        assert first in (0, piece.size) or piece.transform is None, "an RDB is read as it is"
        place = piece.span.start + first
        if first and first < piece.size:
            out += [PatchPiece(Span(piece.span.start, place), first), _inserted_piece(place, data),
                    PatchPiece(Span(place, piece.span.end), piece.size - first)]  # fmt: skip
        else:
            out += [_inserted_piece(place, data)] * (start == at) + [piece]
        start += piece.size
    if start == at:
        out.append(_inserted_piece(out[-1].span.end, data))
    file = source.file if isinstance(source, PatchedSource) else source
    return PatchedSource(file, out)


def _inserted_piece(place: int, data: bytes) -> PatchPiece:
    return PatchPiece(Span(place, place), len(data), Replacement(data), NEW_END_REASON)
