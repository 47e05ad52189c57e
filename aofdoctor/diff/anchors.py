"""Find where two AOFs have equal commands again after a difference that is too long for the search in memory.

An anchor is a unit (a command, a transaction or an RDB key) that occurs exactly once in each of the two AOFs.
Of all anchors the longest sequence that has the same order on both sides is used (a longest
increasing subsequence).  Both sides are read to their ends once.  Memory is
bounded by sampling: of many distinct digests only those with zeros in the low
bits are kept, which selects the same digests on both sides.
"""

from collections.abc import Iterator

from aofdoctor.diff.edit_script import longest_increasing
from aofdoctor.diff.units.columns import UnitColumn
from aofdoctor.diff.units.side import Side

SAMPLE_MAX = 1 << 16  # units kept of each side
_STEP = 1 << 14
_REPEATED = -1


def resync_anchors(a: Side, b: Side) -> tuple[list[tuple[int, int]], bool]:
    """Return the anchors, as (index in a, index in b) in ascending order, and whether no unit is common.

    The second value is True only if it is certain, that is if no digest had to be left out of the samples.
    Both sides are read to their ends and cannot be used afterwards.
    """
    one, two = _DigestSample(), _DigestSample()
    for sample, side in ((one, a), (two, b)):
        for start, digests in _digests(side):
            sample.add(start, digests)
    one.thin(two.mask)
    two.thin(one.mask)
    disjoint = not one.mask and one.ordinals.keys().isdisjoint(two.ordinals)
    candidates = [
        (at, two.ordinals[digest])
        for digest, at in one.ordinals.items()
        if two.ordinals.get(digest, _REPEATED) != _REPEATED
    ]
    return longest_increasing(sorted(pair for pair in candidates if pair[0] != _REPEATED)), disjoint


def _digests(side: Side) -> Iterator[tuple[int, list[int]]]:
    """Yield (index of the first unit, digests) for pieces of an AOF; a unit is a command, transaction or RDB key."""
    start = 0
    while True:
        side.read_units(_STEP)
        if not side.count:
            return
        yield start, side.column(UnitColumn.DIGEST, side.count).tolist()
        start += side.count
        side.discard(side.count)


class _DigestSample:
    """A bounded sample of the digests of an AOF's commands: digest to index in the AOF, or _REPEATED if not unique."""

    def __init__(self) -> None:
        self.ordinals: dict[int, int] = {}
        self.mask = 0

    def add(self, start: int, digests: list[int]) -> None:
        mask, ordinals = self.mask, self.ordinals
        for at, digest in enumerate(digests, start):
            if not digest & mask:
                ordinals[digest] = _REPEATED if digest in ordinals else at
        if len(ordinals) > SAMPLE_MAX:
            self.thin(2 * mask + 1)
            while len(self.ordinals) > SAMPLE_MAX:
                self.thin(2 * self.mask + 1)

    def thin(self, mask: int) -> None:
        """Make the sample smaller: keep only the digests that have zeros at the bits of the mask."""
        if mask > self.mask:
            self.mask = mask
            self.ordinals = {digest: at for digest, at in self.ordinals.items() if not digest & mask}
