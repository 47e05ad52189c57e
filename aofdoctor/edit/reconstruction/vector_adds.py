"""Replace each VADD with the option CAS that crashes Redis at load by a VADD without CAS of the same size.

CAS only chooses the thread that computes the neighbours, so the result is the same. The bytes of the option become
leading zeros of a length, which every server accepts.
"""

from dataclasses import replace

from aofdoctor.aof.model import AOF
from aofdoctor.aof.patched_source import PatchedSource, PatchPiece, Replacement
from aofdoctor.aof.records import Preamble, RecordBatch
from aofdoctor.check.vector_adds import VectorAdds, find_cas, find_element
from aofdoctor.edit.drops import Reconstruction
from aofdoctor.log.context_walk import walk_aof
from aofdoctor.server.context.tracker import ContextTracker
from aofdoctor.source import FileSource
from aofdoctor.span import Span

VECTOR_ADD_REASON = "VADD without CAS"


def replace_crashing_vector_adds(aof: AOF) -> tuple[AOF, list[Reconstruction]]:
    """Replace the VADD commands that crash Redis at load; returns (the AOF, the replacements).

    Without such a command the AOF is returned unchanged.
    """
    pieces = _find_replacements(aof)
    parts = list(aof.parts)
    for index, found in pieces.items():
        source = parts[index].source
        assert isinstance(source, FileSource)
        parts[index] = replace(parts[index], source=PatchedSource(source, _with_gaps(found, source.size)))
    reconstructions = [
        Reconstruction(index, piece.span, piece.size, VECTOR_ADD_REASON)
        for index in sorted(pieces)
        for piece in pieces[index]
    ]
    return (replace(aof, parts=parts) if pieces else aof), reconstructions


def _find_replacements(aof: AOF) -> dict[int, list[PatchPiece]]:
    vector_adds, tracker = VectorAdds(), ContextTracker(columns=True)
    tracker.flag("vector adds", vector_adds.command_ids)
    pieces: dict[int, list[PatchPiece]] = {}
    for index, part, tile, _ in walk_aof(aof, tracker):
        if isinstance(tile, Preamble):
            vector_adds.add_preamble(tile)
        if not isinstance(tile, RecordBatch):
            continue
        for i in tracker.track(tile):
            crashes = tile.ids[i] in vector_adds.command_ids and vector_adds.add(
                tile, i, tracker.tx[i] != 0, tracker.db[i]
            )
            if crashes and isinstance(part.source, FileSource):
                span = tile.record_span(i)
                data = Replacement(without_cas(bytes(tile.raw(i))))
                pieces.setdefault(index, []).append(PatchPiece(span, span.size, data, VECTOR_ADD_REASON))
    return pieces


def without_cas(record: bytes) -> bytes:
    """Encode a VADD command without its option CAS, in the same number of bytes."""
    header_end = record.index(b"\n") + 1
    at, args, argv = header_end, [], []
    while at < len(record):
        line_end = record.index(b"\n", at) + 1
        end = line_end + int(record[at + 1 : line_end]) + 2
        args.append(record[at:end])
        argv.append(record[line_end : end - 2])
        at = end
    element_index = find_element(argv)
    cas_index = None if element_index is None else find_cas(argv, element_index)
    assert cas_index is not None, "the record has the option CAS"
    padding = len(args.pop(cas_index))
    count = b"%d" % len(args)
    header = b"*%b\r\n" % count.rjust(header_end - 3, b"0")
    return b"".join((header, b"$", b"0" * padding, args[0][1:], *args[1:]))


def _with_gaps(found: list[PatchPiece], size: int) -> list[PatchPiece]:
    """Return the pieces of a patched file of `size` bytes: the replaced pieces, and the unchanged ranges between."""
    pieces, at = [], 0
    for piece in found:
        if piece.span.start > at:
            pieces.append(PatchPiece(Span(at, piece.span.start), piece.span.start - at))
        pieces.append(piece)
        at = piece.span.end
    if at < size:
        pieces.append(PatchPiece(Span(at, size), size - at))
    return pieces
