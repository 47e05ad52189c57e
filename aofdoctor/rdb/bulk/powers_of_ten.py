"""The powers of ten that score.h makes text of doubles with, and doubles of text."""

import struct
from functools import cache

LEAST, MOST = -292, 324
_BITS = 128


@cache
def powers() -> bytes:
    """10^k for every k from LEAST to MOST as 128 bits, the first of them set, rounded up: the upper half first."""
    return b"".join(struct.pack("=QQ", *divmod(power(k), 1 << 64)) for k in range(LEAST, MOST + 1))


def power(k: int) -> int:
    """The first 128 bits of 10^k, rounded up."""
    if k < 0:
        scale = (10**-k).bit_length() + _BITS
        return _first_bits(-(-(1 << scale) // 10**-k))
    return _first_bits(10**k)


def _first_bits(number: int) -> int:
    over = number.bit_length() - _BITS
    return number << -over if over <= 0 else -(-number >> over)
