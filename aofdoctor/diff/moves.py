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

DbKey = tuple[int, bytes]  # the database, and the name or what stands for a long one
_NAME_MAX = 256
TouchedKeys = frozenset[DbKey] | None  # None: any key


def make_db_key(db: int, name: bytes) -> DbKey:
    """A key; of a long name only a digest is held."""
    return db, name if len(name) <= _NAME_MAX else hashlib.blake2b(name).digest()


class KeyAccesses:
    """The units of one side of a region, in order, with the keys that each touches and the barriers before each."""

    def __init__(self, digests: Sequence[int], keys: Sequence[TouchedKeys]) -> None:
        self.digests, self.keys = digests, keys
        self.barriers_before: list[int] = []
        self.barriers = [digest for digest, touched in zip(digests, keys, strict=True) if touched is None]
        self._by_key: dict[DbKey, list[tuple[int, int]]] = defaultdict(list)
        barrier_count = 0
        for digest, touched in zip(digests, keys, strict=True):
            self.barriers_before.append(barrier_count)
            barrier_count += touched is None
            for key in touched or ():
                self._by_key[key].append((digest, barrier_count))

    def for_key(self, key: DbKey) -> list[tuple[int, int]]:
        """The units that touch a key, each with the number of barriers before it."""
        return self._by_key.get(key, [])


def pair_by_digest(
    a: Sequence[int], b: Sequence[int], removed: Iterable[int], added: Iterable[int]
) -> list[tuple[int, int]]:
    """What is gone from a paired with what is new in b: the n-th of equal digest with the n-th."""
    waiting: dict[int, list[int]] = defaultdict(list)
    for j in added:
        waiting[b[j]].append(j)
    for stack in waiting.values():
        stack.reverse()
    return [(i, waiting[a[i]].pop()) for i in removed if waiting.get(a[i])]


def count_shared_barriers(one: KeyAccesses, two: KeyAccesses) -> int:
    """How many barriers both sides pass alike before the first that only one has."""
    pairs = zip(one.barriers, two.barriers, strict=False)
    return next((n for n, (a, b) in enumerate(pairs) if a != b), min(len(one.barriers), len(two.barriers)))


def commuting_moves(one: KeyAccesses, two: KeyAccesses, candidates: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """The pairs whose keys saw the same on both sides, and all of it before a barrier that only one has."""
    agree: dict[DbKey, bool] = {}
    shared_count = count_shared_barriers(one, two)

    def is_equal(key: DbKey) -> bool:
        if key not in agree:
            accesses = one.for_key(key)
            agree[key] = accesses == two.for_key(key) and (not accesses or accesses[-1][1] <= shared_count)
        return agree[key]

    return [(i, j) for i, j in candidates if (keys := one.keys[i]) is not None and all(map(is_equal, keys))]
