"""Remember which key names have occurred, in 32 MiB: a Bloom filter.

A name that was added is always recognized.  A name that was not added is wrongly recognized with a probability of 1 in
10 million at a million names, 1 in 2,700 at ten million, and 1 in 24 at forty million.
"""

from hashlib import blake2b

_LOG2_BITS = 28
_PROBES = 4


class BloomFilter:
    """A set of (database, key name) pairs that may claim to contain a pair that was never added.

    It never misses one that was added.  Untouched pages use no memory.
    """

    def __init__(self) -> None:
        self._bits = bytearray(1 << _LOG2_BITS - 3)

    def add(self, db: int, name: bytes) -> bool:
        """Add the key `name` in database `db`; return whether it was probably present before."""
        was_present = True
        for place in _bit_positions(db, name):
            bit = 1 << (place & 7)
            if not self._bits[place >> 3] & bit:
                was_present = False
                self._bits[place >> 3] |= bit
        return was_present

    def probably_contains(self, db: int, name: bytes) -> bool:
        """Return whether the key `name` in database `db` was probably added; False is certain."""
        return all(self._bits[place >> 3] & 1 << (place & 7) for place in _bit_positions(db, name))


def _bit_positions(db: int, name: bytes) -> list[int]:
    digest = blake2b(name, digest_size=4 * _PROBES, salt=(db % (1 << 64)).to_bytes(8, "little")).digest()
    mask = (1 << _LOG2_BITS) - 1
    return [int.from_bytes(digest[at : at + 4], "little") & mask for at in range(0, 4 * _PROBES, 4)]
