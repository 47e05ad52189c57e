"""Read short RDB strings, such as key names and AUX fields, straight from a file.

A string is stored as a length and bytes, as an integer, or compressed with LZF.  The caller limits how many bytes are
read and decompressed, whatever size the string claims to have.  Values are read with cursor.py instead.
"""

from aofdoctor.rdb.encoding.lengths import decode_length
from aofdoctor.rdb.encoding.lzf import MAX_COPY_SIZE, decompress_prefix
from aofdoctor.source import Source, pread
from aofdoctor.span import Span

_HEAD_MAX = 19  # bytes: an encoding byte and two lengths
_FIRST_INTEGER, _LZF = 0xC0, 0xC3  # first bytes of integers (C0 to C2: 1, 2 or 4 bytes) and of LZF


def encoded_size(data: bytes) -> int:
    """Return how many bytes the RDB string at the start of `data` occupies; only its first bytes need to be present."""
    first = data[0] if data else 0
    if first < _FIRST_INTEGER:
        size, at = decode_length(data, 0)
        return at + size
    if first < _LZF:
        return 1 + (1 << (first & 3))
    size, at = decode_length(data, 1)
    return decode_length(data, at)[1] + size


def read_short_string(source: Source, span: Span, limit: int) -> bytes:
    """Return the first `limit` bytes of the RDB string that is stored in `span`; an integer becomes its digits."""
    head = pread(source, min(_HEAD_MAX, span.size), span.start)
    first = head[0] if head else 0
    if first < _FIRST_INTEGER:
        _, at = decode_length(head, 0)
        return pread(source, min(limit, span.size - at), span.start + at)
    if first < _LZF:
        return b"%d" % int.from_bytes(head[1 : 1 + (1 << (first & 3))], "little", signed=True)
    _, at = decode_length(head, 1)
    unpacked_size, at = decode_length(head, at)
    packed = pread(source, min(limit * 2 + 64, span.size - at), span.start + at)
    result = decompress_prefix(packed, b"", min(unpacked_size, limit) + MAX_COPY_SIZE)
    return result[0][: min(unpacked_size, limit)] if result else b""
