"""Examine the opcodes before a key's type byte: expiry, idle time, frequency and, from Redis 8.6 on, metadata.

The walker reads these opcodes into columns for all keys; the functions here examine the bytes of a single key again.
They do not know the layout of the metadata itself.
"""

from aofdoctor.rdb.encoding.cursor import Cursor, DecodeError
from aofdoctor.rdb.encoding.lengths import decode_length
from aofdoctor.rdb.opcodes import Opcode
from aofdoctor.source import Source, pread

# Plain ints, because they are compared with bytes once for every key.
_KEY_META, _IDLE = int(Opcode.KEY_META), int(Opcode.IDLE)
# Sizes in bytes, the opcode included.  The idle time is a length, so it has no fixed size.
_FIXED_SIZES = {int(Opcode.EXPIRETIME_MS): 9, int(Opcode.EXPIRETIME): 5, int(Opcode.FREQ): 2}
_PREFIX_MAX = 64  # bytes before a type byte that are searched for the opcode KEY_META


def seek_name(cursor: Cursor, start: int) -> None:
    """Move the cursor from a key's first opcode, at offset `start` of the RDB, to the key's name.

    Raises DecodeError at metadata (Redis 8.6), because its length is not known here.
    """
    cursor.seek(start)
    while (opcode := cursor.byte()) in (*_FIXED_SIZES, _IDLE):
        if opcode == _IDLE:
            cursor.length()
        else:
            cursor.take(_FIXED_SIZES[opcode] - 1)
    if opcode == _KEY_META:
        raise DecodeError(start, "metadata before a name")


def has_key_meta(source: Source, start: int, name_offset: int) -> bool:
    """Return whether a key has metadata (Redis 8.6), by the opcodes between its offset `start` and its type byte."""
    head = pread(source, min(name_offset - 1 - start, _PREFIX_MAX), start)
    at = 0
    while at < len(head) and head[at] != _KEY_META:
        at = at + _FIXED_SIZES[head[at]] if head[at] in _FIXED_SIZES else decode_length(head, at + 1)[1]
    return at < len(head)
