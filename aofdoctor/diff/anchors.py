"""Where two histories run together again after a stretch that no window holds: units that are unique on both sides.

Both are read to their ends once.  Of many units a sample by digest is kept, the
same on both sides, so that memory stays bounded.
"""

from collections.abc import Iterator

from aofdoctor.diff.edit_script import longest_increasing
from aofdoctor.diff.units.columns import UnitColumn
from aofdoctor.diff.units.side import Side

SAMPLE_MAX = 1 << 16  # units kept of each side
_STEP = 1 << 14
_REPEATED = -1


def resync_anchors(a: Side, b: Side) -> tuple[list[tuple[int, int]], bool]:
    """((ordinal in a, in b) of units that both have once, in their longest common order; if they surely share none).

    Both sides are spent.
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
    """The digests of all units, each piece with the ordinal of its first."""
    start = 0
    while True:
        side.read_units(_STEP)
        if not side.count:
            return
        yield start, side.column(UnitColumn.DIGEST, side.count).tolist()
        start += side.count
        side.discard(side.count)


class _DigestSample:
    """Where each digest whose low bits are zero stands; _OFTEN if in more than one place."""

    def __init__(self) -> None:
        self.ordinals: dict[int, int] = {}
        self.mask = 0

    def add(self, start: int, digests: list[int]) -> None:
        mask, places = self.mask, self.ordinals
        for at, digest in enumerate(digests, start):
            if not digest & mask:
                places[digest] = _REPEATED if digest in places else at
        if len(places) > SAMPLE_MAX:
            self.thin(2 * mask + 1)
            while len(self.ordinals) > SAMPLE_MAX:
                self.thin(2 * self.mask + 1)

    def thin(self, mask: int) -> None:
        """Keep only the digests that a mask lets through."""
        if mask > self.mask:
            self.mask = mask
            self.ordinals = {digest: at for digest, at in self.ordinals.items() if not digest & mask}
