"""Assemble an RDB from its items: the magic, the items' bytes, the EOF opcode and the checksum."""

from collections.abc import Iterable, Iterator

from aofdoctor.rdb.encoding.crc64 import crc64
from aofdoctor.rdb.encoding.cursor import CorruptValue
from aofdoctor.rdb.header import has_checksum
from aofdoctor.rdb.opcodes import Opcode

_EOF = bytes((Opcode.EOF,))


def assemble_rdb(magic: bytes, pieces: Iterable[bytes | CorruptValue]) -> Iterator[bytes | CorruptValue]:
    """Yield the bytes of an RDB that contains the items in `pieces`: magic, items, EOF opcode, CRC-64.

    A CorruptValue among the pieces is yielded and ends the RDB there.
    """
    crc = crc64(magic)
    yield magic
    for piece in pieces:
        yield piece
        if isinstance(piece, CorruptValue):
            return
        crc = crc64(piece, crc)
    yield _EOF
    if has_checksum(magic):
        yield crc64(_EOF, crc).to_bytes(8, "little")
