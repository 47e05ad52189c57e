"""Writes that stand in another order on the two sides, where that changes nothing.

What is gone on one side and new on the other has moved.  It has moved
harmlessly if each of its keys saw the same units in the same order on both
sides: two orders of the same writes have the same effect if every key agrees on
its own (Mazurkiewicz traces).  A key that a unit only reads is one of its keys:
what it reads must have been written before it on both sides.  A unit that may
touch any key stands in the order of all of them.
"""

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Sequence

Key = tuple[int, bytes]  # the database, and the name or what stands for a long one
_HELD = 256
Keys = frozenset[Key] | None  # None: any key


def key_of(db: int, name: bytes) -> Key:
    """A key; of a long name only a digest is held."""
    return db, name if len(name) <= _HELD else hashlib.blake2b(name).digest()


class KeyAccesses:
    """The units of one side of a region, in order, with the keys that each touches and the barriers before each."""

    def __init__(self, digests: Sequence[int], keys: Sequence[Keys]) -> None:
        self.digests, self.keys = digests, keys
        self.passed: list[int] = []
        self.barriers = [digest for digest, touched in zip(digests, keys, strict=True) if touched is None]
        self._seen: dict[Key, list[tuple[int, int]]] = defaultdict(list)
        passed = 0
        for digest, touched in zip(digests, keys, strict=True):
            self.passed.append(passed)
            passed += touched is None
            for key in touched or ():
                self._seen[key].append((digest, passed))

    def of(self, key: Key) -> list[tuple[int, int]]:
        """The units that touch a key, each with the number of barriers before it."""
        return self._seen.get(key, [])


def pair_by_digest(
    a: Sequence[int], b: Sequence[int], gone: Iterable[int], new: Iterable[int]
) -> list[tuple[int, int]]:
    """What is gone from a paired with what is new in b: the n-th of equal digest with the n-th."""
    waiting: dict[int, list[int]] = defaultdict(list)
    for j in new:
        waiting[b[j]].append(j)
    for stack in waiting.values():
        stack.reverse()
    return [(i, waiting[a[i]].pop()) for i in gone if waiting.get(a[i])]


def shared_barriers(one: KeyAccesses, two: KeyAccesses) -> int:
    """How many barriers both sides pass alike before the first that only one has."""
    pairs = zip(one.barriers, two.barriers, strict=False)
    return next((n for n, (a, b) in enumerate(pairs) if a != b), min(len(one.barriers), len(two.barriers)))


def commuting_moves(one: KeyAccesses, two: KeyAccesses, moved: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """The pairs whose keys saw the same on both sides, and all of it before a barrier that only one has."""
    agree: dict[Key, bool] = {}
    alike = shared_barriers(one, two)

    def same(key: Key) -> bool:
        if key not in agree:
            seen = one.of(key)
            agree[key] = seen == two.of(key) and (not seen or seen[-1][1] <= alike)
        return agree[key]

    return [(i, j) for i, j in moved if (keys := one.keys[i]) is not None and all(map(same, keys))]
