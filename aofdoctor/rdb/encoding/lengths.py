"""Decode RDB lengths: the variable-length integers that precede strings, counts and ids.

The two high bits of the first byte choose the form: 6 bits, 14 bits, or 32 or 64 bits big endian after a byte 0x80 or
0x81.  First bytes from 0xC0 on are no lengths but string encodings.  Source: rdb.c (rdbLoadLenByRef).  The compiled
readers and their fallbacks have bounded copies of their own; writer.encode_length is the inverse.
"""


def length_size(first: int) -> int:
    """Return the size in bytes of an RDB length that begins with the byte `first`; 0 if no length begins with it."""
    if first < 0x40:
        return 1
    if first < 0x80:
        return 2
    return {0x80: 5, 0x81: 9}.get(first, 0)


def decode_length(data: bytes, at: int) -> tuple[int, int]:
    """Return (the RDB length at index `at` of `data`, the index after it); missing bytes count as zero."""
    first = data[at] if at < len(data) else 0
    if first < 0x40:
        return first, at + 1
    if first < 0x80:
        return (first & 63) << 8 | data[at + 1] if at + 1 < len(data) else 0, at + 2
    end = at + (length_size(first) or 9)
    return int.from_bytes(data[at + 1 : end], "big"), end
