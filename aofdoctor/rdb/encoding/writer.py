"""Encode RDB lengths and strings.  Source: rdb.c (rdbSaveLen, rdbSaveRawString).

Strings are written neither with LZF nor as integers: every reader accepts the plain form.
"""

from collections.abc import Iterable, Iterator

from aofdoctor.rdb.encoding.cursor import String

_CHUNK_SIZE = 1 << 16


def encode_length(value: int) -> bytes:
    """Return the shortest RDB encoding of a length."""
    if value < 1 << 6:
        return bytes((value,))
    if value < 1 << 14:
        return (0x4000 | value).to_bytes(2, "big")
    return b"\x80" + value.to_bytes(4, "big") if value < 1 << 32 else b"\x81" + value.to_bytes(8, "big")


def encode_string(value: String) -> Iterator[bytes]:
    """Yield the uncompressed RDB encoding of a string: its length, then its bytes, in pieces if it is large."""
    yield encode_length(len(value))
    yield from (value,) if isinstance(value, bytes) else value.pieces()


def rechunk(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Join small pieces of bytes: yield the same bytes in pieces of at least 64 KiB, except for the last."""
    out = bytearray()
    for piece in pieces:
        out += piece
        if len(out) >= _CHUNK_SIZE:
            yield bytes(out)
            out.clear()
    yield bytes(out)
