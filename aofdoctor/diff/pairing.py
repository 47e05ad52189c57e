"""Pair commands of two AOFs that match although the edit script calls them different.

Two kinds: a unit that only moved, with the same effect (moves.py); and the units
that add the same elements to a key in other chunks (rechunked_keys.py), which
are either at the same place on both sides or moved.
"""

from dataclasses import dataclass, field
from itertools import pairwise

from aofdoctor.diff.edit_script import Block
from aofdoctor.diff.moves import KeyAccesses, commuting_moves, pair_by_digest
from aofdoctor.diff.rechunked_keys import groups_in_same_place, match_rechunked_keys
from aofdoctor.diff.units.columns import UnitColumn, UnitKind
from aofdoctor.diff.units.side import Side
from aofdoctor.diff.units.touched_keys import touched_keys
from aofdoctor.diff.units.unit import Unit

UnmatchedRanges = tuple[range, range]  # units of A and of B between two matching blocks


@dataclass(slots=True)
class PairedUnits:
    """Commands and transactions (units) of a window that have a partner on the other side, by (side, index).

    `moved_partners` lists the partners of each moved unit on the other side; `equal` holds the units that need no
    mention because they have the same effect at the same place.
    """

    moved_partners: dict[tuple[int, int], list[Unit]] = field(default_factory=dict)
    equal: set[tuple[int, int]] = field(default_factory=set)
    equal_commands: int = 0

    def is_paired(self, side: int, at: int) -> bool:
        """Whether a command or transaction of one AOF has an equal partner in the other."""
        return (side, at) in self.moved_partners or (side, at) in self.equal

    def add_moves(self, units: list[Unit], others: list[Unit], own: list[int], other: list[int]) -> None:
        """Pair units at different places: the n-th of one list with the n-th of the other.

        Surplus units of the longer list are paired with the last unit of the shorter one.
        """
        for n in range(max(len(own), len(other))):
            i, j = min(n, len(own) - 1), min(n, len(other) - 1)
            self.moved_partners.setdefault((0, own[i]), []).append(others[j])
            self.moved_partners.setdefault((1, other[j]), []).append(units[i])


def pair_units(sides: tuple[Side, Side], ends: tuple[int, int], blocks: list[Block]) -> PairedUnits:
    """Pair commands among the first `ends` ones of each AOF; `blocks` are matched by the edit script already."""
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
    """Pair the commands of keys that get the same elements in other chunks, moved or at the same place."""
    groups = match_rechunked_keys(sides, accesses, unpaired)
    in_same_place = groups_in_same_place(groups, gaps, accesses[0])
    for number, (own, other) in enumerate(groups):
        units, others = list(map(sides[0].unit, own)), list(map(sides[1].unit, other))
        if number in in_same_place:
            paired.equal |= {(0, i) for i in own} | {(1, j) for j in other}
            paired.equal_commands += min(sum(unit.commands for unit in side) for side in (units, others))
        else:
            paired.add_moves(units, others, own, other)
