"""Find duplicate key names in an RDB, or duplicate members in a value, exactly and in bounded memory.

A small number of names is compared in a set.  Otherwise a first pass over all names finds candidates with a Bloom
filter, and a second pass compares only the candidates.
"""

from collections.abc import Callable, Iterable
from hashlib import blake2b

from aofdoctor.rdb.recovery.bloom_filter import BloomFilter

Name = tuple[int, bytes]  # a database number and a name; members of one value use 0
_COMPARED_IN_MEMORY = 1 << 16


def digest_of(db: int, name: bytes) -> bytes:
    """Return a 16-byte BLAKE2 hash of a database number and a name, taken as unique for each pair."""
    return blake2b(name, digest_size=16, salt=(db % (1 << 64)).to_bytes(8, "little")).digest()


def suspected_repeats(names: Iterable[Name]) -> set[bytes]:
    """First pass over names: return the hashes (digest_of) of all names that occur twice, and of a few others."""
    bloom, exact, suspects = None, set[bytes](), set[bytes]()
    for db, name in names:
        digest = digest_of(db, name)
        if bloom is None:
            if digest in exact:
                suspects.add(digest)
            exact.add(digest)
            if len(exact) == _COMPARED_IN_MEMORY:
                bloom = BloomFilter()
                for known in exact:
                    bloom.add(0, known)
                exact = set()
        elif bloom.add(0, digest):
            suspects.add(digest)
    return suspects


class RepeatedNames:
    """Second pass over names: finds repeated ones exactly, given the hashes that suspected_repeats has returned."""

    def __init__(self, suspects: set[bytes]) -> None:
        self.suspects, self._passed = suspects, set[bytes]()

    def is_repeated(self, db: int, name: bytes) -> bool:
        """Whether this method was called before with this name, if it is among the suspects; remembers the name."""
        if not self.suspects:
            return False
        digest = digest_of(db, name)
        if digest not in self.suspects:
            return False
        if digest in self._passed:
            return True
        self._passed.add(digest)
        return False


def has_repeats(read_names: Callable[[], Iterable[bytes]]) -> bool:
    """Whether any name occurs twice; `read_names` yields all names, and is called again for each pass."""
    exact = set[bytes]()
    for name in read_names():
        if name in exact:
            return True
        exact.add(name)
        if len(exact) == _COMPARED_IN_MEMORY:
            break
    else:
        return False
    repeated = RepeatedNames(suspected_repeats((0, name) for name in read_names()))
    return bool(repeated.suspects) and any(repeated.is_repeated(0, name) for name in read_names())
