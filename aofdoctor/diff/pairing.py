"""What of a window has a partner on the other side that no edit script gives.

A unit that stands in another order, where that changes nothing (diff_moved.py);
and units that make a key of an RDB the same in other chunks, which are elsewhere
or in the same place (diff_anew.py).
"""

from dataclasses import dataclass, field
from itertools import pairwise

from aofdoctor.diff.edit_script import Block
from aofdoctor.diff.moves import KeyAccesses, commuting_moves, pair_by_digest
from aofdoctor.diff.rechunked_keys import in_place, match_rechunked_keys
from aofdoctor.diff.units._pyunits import Column, Kind
from aofdoctor.diff.units.side import Side, Unit
from aofdoctor.diff.units.unit_commands import touched

Gap = tuple[range, range]  # what only one side has between what both have: of A, of B


@dataclass(slots=True)
class Paired:
    """By (side, index) the units of a window that have partners which no script gives: elsewhere, or in the same place.

    A unit of B has those of A that have moved to where it stands.
    """

    moved: dict[tuple[int, int], list[Unit]] = field(default_factory=dict)
    same: set[tuple[int, int]] = field(default_factory=set)
    same_commands: int = 0

    def has(self, side: int, at: int) -> bool:
        """True if a unit has a partner."""
        return (side, at) in self.moved or (side, at) in self.same

    def moves(self, units: list[Unit], others: list[Unit], own: list[int], other: list[int]) -> None:
        """Note that units stand elsewhere on the other side: the n-th with the n-th, what is over with the last."""
        for n in range(max(len(own), len(other))):
            i, j = min(n, len(own) - 1), min(n, len(other) - 1)
            self.moved.setdefault((0, own[i]), []).append(others[j])
            self.moved.setdefault((1, other[j]), []).append(units[i])


def paired_in(sides: tuple[Side, Side], ends: tuple[int, int], found: list[Block]) -> Paired:
    """The partners in the first units of two sides, of which `found` is common."""
    edges = [(0, 0, 0), *found, (*ends, 0)]
    gaps: list[Gap] = [(range(i + n, k), range(j + n, m)) for (i, j, n), (k, m, _) in pairwise(edges)]
    gone, new = ([at for gap in gaps for at in gap[number]] for number in (0, 1))
    if not gone or not new:
        return Paired()
    digests, kinds = (
        [side.column(column, end) for side, end in zip(sides, ends, strict=True)]
        for column in (Column.DIGEST, Column.KIND)
    )
    pairs = pair_by_digest(digests[0], digests[1], gone, new)
    bases = any(kinds[0][i] == Kind.KEY for i in gone) or any(kinds[1][j] == Kind.KEY for j in new)
    if not pairs and not bases:
        return Paired()
    one, two = (KeyAccesses(own, list(touched(side, len(own)))) for own, side in zip(digests, sides, strict=True))
    paired = Paired()
    for i, j in commuting_moves(one, two, pairs):
        paired.moves([sides[0].unit(i)], [sides[1].unit(j)], [i], [j])
    if bases:
        left = [i for i in gone if not paired.has(0, i)], [j for j in new if not paired.has(1, j)]
        _anew(sides, (one, two), left, gaps, paired)
    return paired


def _anew(
    sides: tuple[Side, Side], touched: tuple[KeyAccesses, KeyAccesses], left: tuple[list[int], list[int]], gaps: list[Gap],
    paired: Paired,
) -> None:  # fmt: skip
    """Keys that are made the same in other chunks, where they stand or elsewhere."""
    groups = match_rechunked_keys(sides, touched, left)
    there = in_place(groups, gaps, touched[0])
    for number, (own, other) in enumerate(groups):
        units, others = list(map(sides[0].unit, own)), list(map(sides[1].unit, other))
        if number in there:
            paired.same |= {(0, i) for i in own} | {(1, j) for j in other}
            paired.same_commands += min(sum(unit.commands for unit in side) for side in (units, others))
        else:
            paired.moves(units, others, own, other)
