"""Add command arguments and byte ranges of any size to a running digest.

An argument counts with its length, so that the digest depends on where one
argument ends and the next begins.  Large arguments and ranges are read in
pieces of at most 1 MiB.
"""

from collections.abc import Iterable, Iterator

from aofdoctor.aof.records import Arg
from aofdoctor.diff.hashing.digest import Digest
from aofdoctor.rdb.encoding.cursor import LargeString
from aofdoctor.source import Source, pread
from aofdoctor.span import Span

DigestInput = Arg | LargeString
_PIECE_SIZE = 1 << 20


def feed_arguments(digest: Digest, *args: DigestInput, lowercase: bool = False) -> Digest:
    """Add arguments to a digest, each with its length, and return the digest; `lowercase` ignores ASCII case."""
    for arg in args:
        digest.add_number(len(arg) if isinstance(arg, bytes) else arg.size)
        for piece in (arg,) if isinstance(arg, bytes) else align_pieces(arg.pieces()):
            digest.add_bytes(piece, lowercase)
    return digest


def feed_span(digest: Digest, source: Source, span: Span) -> Digest:
    """Add the bytes of a span of a source to a digest, without their length, and return the digest."""
    for at in range(span.start, span.end, _PIECE_SIZE):
        digest.add_bytes(pread(source, min(_PIECE_SIZE, span.end - at), at))
    return digest


def align_pieces(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Cut the same bytes into pieces of a multiple of eight bytes, except for the last piece.

    A digest pads every piece to a multiple of eight bytes, so only the last piece may have another size.
    """
    remainder = b""
    for piece in pieces:
        data = remainder + piece if remainder else piece
        aligned = len(data) - len(data) % 8
        yield data[:aligned]
        remainder = data[aligned:]
    yield remainder
