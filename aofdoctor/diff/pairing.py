"""What of a window has a partner on the other side that no edit script gives.

A unit that stands in another order, where that changes nothing (diff_moved.py);
and units that make a key of an RDB the same in other chunks, which are elsewhere
or in the same place (diff_anew.py).
"""

from dataclasses import dataclass, field
from itertools import pairwise

from aofdoctor.diff.edit_script import Block
from aofdoctor.diff.moves import KeyAccesses, commuting_moves, pair_by_digest
from aofdoctor.diff.rechunked_keys import groups_in_same_place, match_rechunked_keys
from aofdoctor.diff.units.columns import UnitColumn, UnitKind
from aofdoctor.diff.units.side import Side, Unit
from aofdoctor.diff.units.unit_commands import touched_keys

UnmatchedRanges = tuple[range, range]  # what only one side has between what both have: of A, of B


@dataclass(slots=True)
class PairedUnits:
    """By (side, index) the units of a window that have partners which no script gives: elsewhere, or in the same place.

    A unit of B has those of A that have moved to where it stands.
    """

    moved_partners: dict[tuple[int, int], list[Unit]] = field(default_factory=dict)
    equal: set[tuple[int, int]] = field(default_factory=set)
    equal_commands: int = 0

    def is_paired(self, side: int, at: int) -> bool:
        """True if a unit has a partner."""
        return (side, at) in self.moved_partners or (side, at) in self.equal

    def add_moves(self, units: list[Unit], others: list[Unit], own: list[int], other: list[int]) -> None:
        """Note that units stand elsewhere on the other side: the n-th with the n-th, what is over with the last."""
        for n in range(max(len(own), len(other))):
            i, j = min(n, len(own) - 1), min(n, len(other) - 1)
            self.moved_partners.setdefault((0, own[i]), []).append(others[j])
            self.moved_partners.setdefault((1, other[j]), []).append(units[i])


def pair_units(sides: tuple[Side, Side], ends: tuple[int, int], blocks: list[Block]) -> PairedUnits:
    """The partners in the first units of two sides, of which `found` is common."""
    edges = [(0, 0, 0), *blocks, (*ends, 0)]
    gaps: list[UnmatchedRanges] = [(range(i + n, k), range(j + n, m)) for (i, j, n), (k, m, _) in pairwise(edges)]
    removed, added = ([at for gap in gaps for at in gap[number]] for number in (0, 1))
    if not removed or not added:
        return PairedUnits()
    digests, kinds = (
        [side.column(column, end) for side, end in zip(sides, ends, strict=True)]
        for column in (UnitColumn.DIGEST, UnitColumn.KIND)
    )
    pairs = pair_by_digest(digests[0], digests[1], removed, added)
    has_rdb_keys = any(kinds[0][i] == UnitKind.KEY for i in removed) or any(kinds[1][j] == UnitKind.KEY for j in added)
    if not pairs and not has_rdb_keys:
        return PairedUnits()
    one, two = (KeyAccesses(own, list(touched_keys(side, len(own)))) for own, side in zip(digests, sides, strict=True))
    paired = PairedUnits()
    for i, j in commuting_moves(one, two, pairs):
        paired.add_moves([sides[0].unit(i)], [sides[1].unit(j)], [i], [j])
    if has_rdb_keys:
        unpaired = [i for i in removed if not paired.is_paired(0, i)], [j for j in added if not paired.is_paired(1, j)]
        _pair_rechunked_keys(sides, (one, two), unpaired, gaps, paired)
    return paired


def _pair_rechunked_keys(
    sides: tuple[Side, Side],
    accesses: tuple[KeyAccesses, KeyAccesses],
    unpaired: tuple[list[int], list[int]],
    gaps: list[UnmatchedRanges],
    paired: PairedUnits,
) -> None:
    """Keys that are made the same in other chunks, where they stand or elsewhere."""
    groups = match_rechunked_keys(sides, accesses, unpaired)
    in_same_place = groups_in_same_place(groups, gaps, accesses[0])
    for number, (own, other) in enumerate(groups):
        units, others = list(map(sides[0].unit, own)), list(map(sides[1].unit, other))
        if number in in_same_place:
            paired.equal |= {(0, i) for i in own} | {(1, j) for j in other}
            paired.equal_commands += min(sum(unit.commands for unit in side) for side in (units, others))
        else:
            paired.add_moves(units, others, own, other)
