"""Constants shared by the compiled and the pure Python decoders of listpack, ziplist and string items.

runs.h repeats the number.
"""

MAX_RUN_ITEMS = 384  # items that one call of a decoder returns at most


def encode_backlen(length: int) -> bytes:
    """Encode the length of a listpack entry in the form that follows the entry, for reading backwards (listpack.c)."""
    size = 1 + sum(length >= limit for limit in (128, 16383, 2097151, 268435455))
    out = [length >> 7 * i & 127 | 128 for i in range(size)]
    out[-1] &= 127
    return bytes(reversed(out))
