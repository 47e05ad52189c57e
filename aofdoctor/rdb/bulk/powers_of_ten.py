"""Compute the table of powers of ten with which double_text.h converts doubles to text and text to doubles."""

import struct
from functools import cache

EXPONENT_MIN, EXPONENT_MAX = -292, 324
_BITS = 128


@cache
def powers_of_ten() -> bytes:
    """Return the table of 10^k for k from EXPONENT_MIN to EXPONENT_MAX, 16 bytes per entry.

    An entry holds the leading 128 bits of 10^k, rounded up, normalized so that the first bit is set; the upper 64 bits
    come first, in native byte order.
    """
    return b"".join(
        struct.pack("=QQ", *divmod(power_of_ten(k), 1 << 64)) for k in range(EXPONENT_MIN, EXPONENT_MAX + 1)
    )


def power_of_ten(k: int) -> int:
    """Return the leading 128 bits of 10^k, rounded up, as an integer with the first bit set."""
    if k < 0:
        scale = (10**-k).bit_length() + _BITS
        return _first_bits(-(-(1 << scale) // 10**-k))
    return _first_bits(10**k)


def _first_bits(number: int) -> int:
    excess = number.bit_length() - _BITS
    return number << -excess if excess <= 0 else -(-number >> excess)
