"""Find the one byte that was changed in an RDB, by its checksum: which byte it is, and what it was before.

A CRC is linear: the difference between the stored and the computed checksum is the CRC of the change alone, advanced
over the bytes behind it.  Stepping that difference back byte by byte gives a value below 256 exactly at the changed
byte, and with 64 bits practically nowhere else, so a hit is a proof.  Two changed bytes are not found.
"""

from typing import NamedTuple

from aofdoctor.rdb.encoding.crc64 import crc64
from aofdoctor.rdb.header import MAGIC_SIZE, has_checksum
from aofdoctor.source import Source, pread

_SIZE_MAX = 1 << 24  # stepping back takes about 0.2 microseconds a byte
_CHECKSUM_SIZE = 8
_PIECE = 1 << 20


class ChangedByte(NamedTuple):
    """A byte of an RDB that was changed: its file offset, and its original value from 0 to 255."""

    offset: int
    original: int


def find_changed_byte(source: Source, end: int) -> ChangedByte | None:
    """Return the changed byte of an RDB that ends at offset `end`, by its checksum; None for two or over 16 MiB."""
    body = end - _CHECKSUM_SIZE
    if not MAGIC_SIZE < body <= _SIZE_MAX or not has_checksum(pread(source, MAGIC_SIZE, 0)):
        return None
    stored = int.from_bytes(pread(source, _CHECKSUM_SIZE, body), "little")
    crc = 0
    for at in range(0, body, _PIECE):
        crc = crc64(pread(source, min(_PIECE, body - at), at), crc)
    difference = crc ^ stored
    if not stored or not difference:
        return None
    table = [crc64(bytes((byte,)), 0) for byte in range(256)]
    by_top = {entry >> 56: byte for byte, entry in enumerate(table)}
    step = [(byte, table[byte]) for byte in (by_top[top] for top in range(256))]
    for at in range(body - 1, -1, -1):
        byte, entry = step[difference >> 56]
        difference = (difference ^ entry) << 8 | byte
        if difference < 256:
            [changed] = pread(source, 1, at)
            return ChangedByte(at, changed ^ difference)
    return None
