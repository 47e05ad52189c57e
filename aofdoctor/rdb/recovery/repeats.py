"""Find names that occur twice among any number of names, exactly and in bounded memory.

Few names are compared in a set.  For many, a first pass over them collects in a Bloom filter which may be repeated, and
a second pass compares those.
"""

from collections.abc import Callable, Iterable
from hashlib import blake2b

from aofdoctor.rdb.recovery.bloom_filter import BloomFilter

Name = tuple[int, bytes]  # a database number and a name; members of one value use 0
_COMPARED_IN_MEMORY = 1 << 16


def digest_of(db: int, name: bytes) -> bytes:
    """Return 16 bytes that are the same only for the same name in the same database."""
    return blake2b(name, digest_size=16, salt=(db % (1 << 64)).to_bytes(8, "little")).digest()


def suspected_repeats(names: Iterable[Name]) -> set[bytes]:
    """Return the digests of all names that occur twice, and of few others."""
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
    """Tells for names in a second pass whether the same name came before; `suspects` are from the first pass."""

    def __init__(self, suspects: set[bytes]) -> None:
        self.suspects, self._passed = suspects, set[bytes]()

    def is_repeated(self, db: int, name: bytes) -> bool:
        """Return whether the name has been passed before, and remember it."""
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
    """Return whether a name occurs twice in what `read_names` yields each time that it is called."""
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
