"""Writing an RDB: lengths, strings, opcodes, the end.  Source: rdb.c (rdbSaveLen, rdbSaveRawString)."""

from collections.abc import Iterable, Iterator

from aofdoctor.rdb.encoding.crc64 import crc64
from aofdoctor.rdb.encoding.cursor import CorruptValue, String
from aofdoctor.rdb.header import has_checksum

_CHUNK_SIZE = 1 << 16


def encode_length(value: int) -> bytes:
    """An RDB length."""
    if value < 1 << 6:
        return bytes((value,))
    if value < 1 << 14:
        return (0x4000 | value).to_bytes(2, "big")
    return b"\x80" + value.to_bytes(4, "big") if value < 1 << 32 else b"\x81" + value.to_bytes(8, "big")


def encode_string(value: String) -> Iterator[bytes]:
    """A plain RDB string; a large one in pieces."""
    yield encode_length(len(value))
    yield from (value,) if isinstance(value, bytes) else value.pieces()


def rechunk(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The same bytes in fewer pieces."""
    out = bytearray()
    for piece in pieces:
        out += piece
        if len(out) >= _CHUNK_SIZE:
            yield bytes(out)
            out.clear()
    yield bytes(out)


def assemble_rdb(magic: bytes, pieces: Iterable[bytes | CorruptValue]) -> Iterator[bytes | CorruptValue]:
    """An RDB of the items in `pieces`: the magic before them, the end and the checksum after; a Corrupt ends it."""
    crc = crc64(magic)
    yield magic
    for piece in pieces:
        yield piece
        if isinstance(piece, CorruptValue):
            return
        crc = crc64(piece, crc)
    yield b"\xff"
    if has_checksum(magic):
        yield crc64(b"\xff", crc).to_bytes(8, "little")
