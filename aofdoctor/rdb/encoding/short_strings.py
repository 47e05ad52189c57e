"""The short strings of an RDB: a key's name, the writer's own words.

As they stand there: a length and bytes, an integer, or LZF; how much of one is
unpacked is bounded by who asks, whatever it claims.
"""

from aofdoctor.rdb.encoding.cursor import Cursor, DecodeError
from aofdoctor.rdb.encoding.lzf import MAX_COPY_SIZE, decompress_prefix
from aofdoctor.source import Source, pread
from aofdoctor.span import Span

_HEAD = 19  # an encoding byte and two lengths


def read_short_string(source: Source, span: Span, limit: int) -> bytes:
    """The first `limit` bytes of the string that is encoded in `span`; an integer as its digits."""
    head = pread(source, min(_HEAD, span.size), span.start)
    first = head[0] if head else 0
    if first < 0xC0:
        _, at = parse_length(head, 0)
        return pread(source, min(limit, span.size - at), span.start + at)
    if first < 0xC3:
        return b"%d" % int.from_bytes(head[1 : 1 + (1 << (first & 3))], "little", signed=True)
    _, at = parse_length(head, 1)
    unpacked_size, at = parse_length(head, at)
    packed = pread(source, min(limit * 2 + 64, span.size - at), span.start + at)
    result = decompress_prefix(packed, b"", min(unpacked_size, limit) + MAX_COPY_SIZE)
    return result[0][: min(unpacked_size, limit)] if result else b""


def parse_length(data: bytes, at: int) -> tuple[int, int]:
    """(the length at `at`, the place after it)."""
    first = data[at] if at < len(data) else 0
    if first < 0x40:
        return first, at + 1
    if first < 0x80:
        return (first & 63) << 8 | data[at + 1] if at + 1 < len(data) else 0, at + 2
    size = 4 if first == 0x80 else 8
    return int.from_bytes(data[at + 1 : at + 1 + size], "big"), at + 1 + size


def seek_name(cursor: Cursor, start: int) -> None:
    """Step from a key's first opcode to its name; metadata (opcode 243 of Redis 8.6) is Broken, it has no end here."""
    cursor.seek(start)
    while (opcode := cursor.byte()) in (*_OPCODE_SIZES, 248):
        if opcode == 248:
            cursor.length()
        else:
            cursor.take(_OPCODE_SIZES[opcode] - 1)
    if opcode == 243:
        raise DecodeError(start, "metadata before a name")


_OPCODE_SIZES = {252: 9, 253: 5, 249: 2}  # expiry in ms and in s, frequency: with their opcodes


def has_key_meta(source: Source, start: int, name_at: int) -> bool:
    """True if metadata (opcode 243 of Redis 8.6) stands among a key's own opcodes, before its type and name."""
    head = pread(source, min(name_at - 1 - start, 64), start)
    at = 0
    while at < len(head) and head[at] != 243:
        at = at + _OPCODE_SIZES[head[at]] if head[at] in _OPCODE_SIZES else parse_length(head, at + 1)[1]
    return at < len(head)
