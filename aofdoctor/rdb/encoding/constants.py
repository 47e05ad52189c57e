"""What the decoders of runs of items, compiled and pure Python, and their users share; runs.h repeats it."""

MAX_RUN_ITEMS = 384  # items that one call decodes at most


def encode_backlen(length: int) -> bytes:
    """Encode the length of a listpack entry as it follows the entry, for reading backwards (listpack.c)."""
    size = 1 + sum(length >= limit for limit in (128, 16383, 2097151, 268435455))
    out = [length >> 7 * i & 127 | 128 for i in range(size)]
    out[-1] &= 127
    return bytes(reversed(out))
