"""Write RDB lengths and strings.  Source: rdb.c (rdbSaveLen, rdbSaveRawString).

Nothing is compressed and no integer encoding is chosen: every reader accepts the plain form.
"""

from collections.abc import Iterable, Iterator

from aofdoctor.rdb.encoding.cursor import String

_CHUNK_SIZE = 1 << 16


def encode_length(value: int) -> bytes:
    """Return the shortest encoding of an RDB length."""
    if value < 1 << 6:
        return bytes((value,))
    if value < 1 << 14:
        return (0x4000 | value).to_bytes(2, "big")
    return b"\x80" + value.to_bytes(4, "big") if value < 1 << 32 else b"\x81" + value.to_bytes(8, "big")


def encode_string(value: String) -> Iterator[bytes]:
    """Yield an uncompressed RDB string: its length, then its bytes, in pieces if it is large."""
    yield encode_length(len(value))
    yield from (value,) if isinstance(value, bytes) else value.pieces()


def rechunk(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the same bytes in fewer, larger pieces; the last piece can be empty."""
    out = bytearray()
    for piece in pieces:
        out += piece
        if len(out) >= _CHUNK_SIZE:
            yield bytes(out)
            out.clear()
    yield bytes(out)
