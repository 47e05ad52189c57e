"""Find commands that two AOFs have in a different order, but with the same effect on the data.

A unit that only A has at one place and only B at another has moved.  The move
has no effect if each of the unit's keys was accessed by the same units in the
same order on both sides: two orders of the same operations are equivalent if
they agree for every key (Mazurkiewicz traces).  Keys that a unit only reads
count too, because the value it reads must have been written before it on both
sides.  A unit that may access any key is a barrier: its order counts for every
key.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence

from aofdoctor.diff.units.touched_keys import DbKey, TouchedKeys


class KeyAccesses:
    """The commands of one AOF that are in memory, in order, with the keys of each and the number of barriers before it.

    A barrier is a command that can touch any key, such as FLUSHALL.
    """

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
        """Return (digest, number of barriers before it) of each command that accesses a key, in order."""
        return self._by_key.get(key, [])


def pair_by_digest(
    a: Sequence[int], b: Sequence[int], removed: Iterable[int], added: Iterable[int]
) -> list[tuple[int, int]]:
    """Pair commands that only a has with those that only b has: the n-th of a digest with the n-th of that digest."""
    waiting: dict[int, list[int]] = defaultdict(list)
    for j in added:
        waiting[b[j]].append(j)
    for stack in waiting.values():
        stack.reverse()
    return [(i, waiting[a[i]].pop()) for i in removed if waiting.get(a[i])]


def count_shared_barriers(one: KeyAccesses, two: KeyAccesses) -> int:
    """Count the leading barriers (commands that can touch any key, such as FLUSHALL) that are equal on both sides."""
    pairs = zip(one.barriers, two.barriers, strict=False)
    return next((n for n, (a, b) in enumerate(pairs) if a != b), min(len(one.barriers), len(two.barriers)))


def commuting_moves(one: KeyAccesses, two: KeyAccesses, candidates: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return those candidate pairs of moved commands that have keys which both AOFs accessed equally.

    All accesses of such a key must precede the first barrier that differs.
    """
    agree: dict[DbKey, bool] = {}
    shared_count = count_shared_barriers(one, two)

    def is_equal(key: DbKey) -> bool:
        if key not in agree:
            accesses = one.for_key(key)
            agree[key] = accesses == two.for_key(key) and (not accesses or accesses[-1][1] <= shared_count)
        return agree[key]

    return [(i, j) for i, j in candidates if (keys := one.keys[i]) is not None and all(map(is_equal, keys))]
