"""The powers of ten that score.h makes text of doubles with, and doubles of text."""

import struct
from functools import cache

EXPONENT_MIN, EXPONENT_MAX = -292, 324
_BITS = 128


@cache
def powers_of_ten() -> bytes:
    """10^k for every k from LEAST to MOST as 128 bits, the first of them set, rounded up: the upper half first."""
    return b"".join(
        struct.pack("=QQ", *divmod(power_of_ten(k), 1 << 64)) for k in range(EXPONENT_MIN, EXPONENT_MAX + 1)
    )


def power_of_ten(k: int) -> int:
    """The first 128 bits of 10^k, rounded up."""
    if k < 0:
        scale = (10**-k).bit_length() + _BITS
        return _first_bits(-(-(1 << scale) // 10**-k))
    return _first_bits(10**k)


def _first_bits(number: int) -> int:
    excess = number.bit_length() - _BITS
    return number << -excess if excess <= 0 else -(-number >> excess)
