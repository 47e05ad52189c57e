"""Compare the commands of two AOFs in their order, in bounded memory.

Strategy: common bytes are skipped at memory speed (common_bytes.py).  Then both
sides are read as units, one window of each at a time.  The edit script of a
window (edit_script.py) is used up to the last common unit; what follows that
unit becomes the front of the next window.  If two windows have nothing in
common, both sides are read to their ends once to find anchors, units that occur
exactly once on each side (anchors.py), and the comparison goes on at those.
The result is then correct but may not be the shortest, which
`DiffTotals.may_not_be_shortest` reports.

An RDB is compared as the commands that recreate its keys.  Units that only
changed their order, and keys that have their elements in other chunks, are
matched within a window (pairing.py).

Swapping the sides gives the mirrored result: the bytes decide which side is
searched first, not the order of the arguments.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from aofdoctor.diff.anchors import resync_anchors
from aofdoctor.diff.common_bytes import CommonBytes, skip_common_bytes
from aofdoctor.diff.common_rdb_keys import first_key_positions, have_comparable_keys, skip_common_keys
from aofdoctor.diff.edit_script import Block, matching_blocks
from aofdoctor.diff.pairing import PairedUnits, pair_units
from aofdoctor.diff.units.columns import UnitColumn, UnitKind
from aofdoctor.diff.units.side import Side
from aofdoctor.diff.units.unit import DiffPosition, Unit, UnitRun
from aofdoctor.source import pread

WINDOW_UNITS = 1 << 15  # units of each side that are compared at a time
CONTEXT_UNITS = 3  # equal units that are shown before a difference
_RECHECK_AFTER = 1 << 12  # equal units after which bytes are compared again
_SKIPPED_BYTES_MIN = 1 << 22  # a comparison of bytes that skips less is tried only half as often
_RESYNCS_MAX = 8  # searches for anchors after which bytes are not compared again, which would discard the anchors


class OneSidedRun(NamedTuple):
    """Adjacent commands, transactions or RDB keys (units) that only one AOF has; `side` is 0 for A and 1 for B."""

    side: int
    run: UnitRun


class MovedUnit(NamedTuple):
    """A command or transaction (unit) that both AOFs have at different places, with the same effect on the data."""

    a: Unit
    b: Unit


@dataclass(frozen=True, slots=True)
class Divergence:
    """The start of a difference.

    `positions` are where it begins on each side, `transactions` the ordinals of the transactions there (0: none),
    and `context` the last common units of A before it.
    """

    positions: tuple[DiffPosition, DiffPosition]
    transactions: tuple[int, int]
    context: list[Unit]


DiffEvent = Divergence | OneSidedRun | MovedUnit


@dataclass(slots=True)
class DiffTotals:
    """Numbers of commands by outcome, and how the result was found.

    `common_keys` counts the RDB keys that are equal byte for byte; they are not counted as commands.
    """

    common_commands: int = 0
    common_keys: int = 0
    only_commands: list[int] = field(default_factory=lambda: [0, 0])
    moved_commands: int = 0
    resyncs: int = 0  # searches for anchors
    inexact_resyncs: int = 0  # of these, those of sides that may have more in common than the anchors
    truncated_searches: int = 0  # windows with an edit script that was cut short
    mostly_unrelated: bool = False

    @property
    def may_not_be_shortest(self) -> bool:
        """Whether the search was cut short, so that a shorter list of differences may exist."""
        return bool(self.inexact_resyncs or self.truncated_searches)


class CommandDiff:
    """The comparison of two AOFs as ordered commands, which can be run once.

    `fork` is the position of the first difference on each side, None until one is found.
    """

    def __init__(self, a: Side, b: Side) -> None:
        self.sides = a, b
        self.totals = DiffTotals()
        self.fork: tuple[DiffPosition, DiffPosition] | None = None
        self.fork_transactions: tuple[int, int] | None = None
        self.fork_common_bytes = 0  # equal leading bytes of the record at the fork
        self.equal_bytes_end = DiffPosition(), DiffPosition()  # all records before it are equal byte for byte
        self.common_record_bytes = 0  # equal leading bytes of the record at equal_bytes_end
        self.has_byte_differences = False
        self._context: deque[Unit] = deque(maxlen=CONTEXT_UNITS)
        self._common_ends: tuple[DiffPosition, DiffPosition] | None = None  # ends of the last common unit
        self._anchors: deque[tuple[int, int]] | None = None
        self._search_swapped: bool | None = None
        self._in_divergence = False
        self._recheck_after = _RECHECK_AFTER
        self._equal_units = 0  # since the last difference
        self._resume: tuple[DiffPosition, DiffPosition] | None = None  # where the next comparison of bytes can start

    def events(self) -> Iterator[DiffEvent]:
        """Yield the differences in order: each Divergence is followed by its one-sided runs and moved units."""
        a, b = self.sides
        common = self._skip_common((DiffPosition(), DiffPosition()))
        self.equal_bytes_end = common.fork
        self.common_record_bytes = max(0, common.bytes_past_fork)
        self.has_byte_differences = common.bytes_past_fork >= 0
        if keys := first_key_positions(a, b, common.resume):
            self._skip_common(keys)
        while True:
            a.read_units(WINDOW_UNITS)
            b.read_units(WINDOW_UNITS)
            if self._discard_common(a.common_prefix(b)):
                self._recheck_bytes()
            elif a.count or b.count:
                yield from self._diff_window()
            else:
                return

    # -- common units --

    def _skip_common(self, positions: tuple[DiffPosition, DiffPosition]) -> CommonBytes:
        """Skip the bytes that both AOFs have in common, from two positions on; then continue command by command."""
        skip = skip_common_keys if have_comparable_keys(*self.sides, positions) else skip_common_bytes
        common = skip(*self.sides, positions)
        for side, position in zip(self.sides, common.resume, strict=True):
            side.seek(position)
        self.totals.common_commands += common.commands
        self.totals.common_keys += common.keys
        return common

    def _recheck_bytes(self) -> None:
        """Go back to comparing bytes, which is faster, if many equal commands have passed since the last difference."""
        if self._equal_units < self._recheck_after or self._resume is None or self.totals.resyncs > _RESYNCS_MAX:
            return
        before, self._equal_units = self._resume, 0
        fork = self._skip_common(before).fork
        worthwhile = fork[0].part != before[0].part or fork[0].offset - before[0].offset >= _SKIPPED_BYTES_MIN
        self._recheck_after = _RECHECK_AFTER if worthwhile else 2 * self._recheck_after
        self._anchors = None  # Anchors are unit numbers, and the units just skipped were not counted.

    def _discard_common(self, count: int) -> int:
        """Drop the commands, transactions and RDB keys that both AOFs have next in common; return their number."""
        if count:
            a, b = self.sides
            self._in_divergence = False
            self._equal_units += count
            self.totals.common_commands += min(sum(side.column(UnitColumn.COMMANDS, count)) for side in self.sides)
            self._context.extend(map(a.unit, range(max(0, count - CONTEXT_UNITS), count)))
            last = a.unit(count - 1), b.unit(count - 1)
            a.discard(count)
            b.discard(count)
            self._common_ends = last[0].end_position(a.transactions), last[1].end_position(b.transactions)
            self._resume = (
                self._common_ends if all(unit.kind == UnitKind.COMMAND for unit in last) else self._next_key_positions()
            )
        return count

    def _next_key_positions(self) -> tuple[DiffPosition, DiffPosition] | None:
        """Return the current position in each AOF if both are at the start of an RDB key, else None."""
        for side in self.sides:
            side.read_units(1)
        if not all(side.count and side.unit(0).kind == UnitKind.KEY and not side.unit(0).chunk for side in self.sides):
            return None
        return self.sides[0].position(), self.sides[1].position()

    # -- differences --

    def _diff_window(self) -> Iterator[DiffEvent]:
        """Yield the differences among the commands now in memory (the windows), and drop those that are dealt with."""
        self._equal_units = 0
        limits = self._window_limits()
        own, other = (
            side.column(UnitColumn.DIGEST, limit).tolist() for side, (limit, _) in zip(self.sides, limits, strict=True)
        )
        ended = limits[0][1], limits[1][1]
        first = self._search_swapped is None
        if first:
            self._search_swapped = _ordering_key(self.sides[0]) > _ordering_key(self.sides[1])
        blocks, shortest = self._matching_blocks(own, other)
        if first:
            self._check_relatedness(own, other, None if all(ended) else sum(n for *_, n in blocks))
        self.totals.truncated_searches += not shortest
        if all(ended):
            yield from self._emit_differences(len(own), len(other), blocks)
        elif blocks:
            i, j, n = blocks[-1]
            yield from self._emit_differences(i + n, j + n, blocks)
        elif any(ended):
            yield from self._emit_differences(0 if ended[0] else len(own), 0 if ended[1] else len(other), [])
        elif self._anchors is None:
            self._find_anchors()
        else:
            yield from self._emit_differences(len(own), len(other), [])

    def _window_limits(self) -> list[tuple[int, bool]]:
        """Return for each side how many units the window may use, and whether the window has to end there.

        It ends at the end of the AOF or at the next anchor.
        """
        while self._anchors and any(
            x < side.discarded_units for x, side in zip(self._anchors[0], self.sides, strict=True)
        ):
            self._anchors.popleft()
        limits = []
        for number, side in enumerate(self.sides):
            limit, last = min(WINDOW_UNITS, side.count), side.at_end and side.count <= WINDOW_UNITS
            if self._anchors and self._anchors[0][number] - side.discarded_units <= limit:
                limit, last = self._anchors[0][number] - side.discarded_units, True
            limits.append((limit, last))
        return limits

    def _check_relatedness(self, own: list[int], other: list[int], in_order: int | None) -> None:
        """Decide at the first difference whether the sides have less than a tenth of a window in common.

        `in_order` counts the common units in equal order; it is None if both sides end in the window, where the order
        does not count.
        """
        start, least = self._common_ends is None and self.equal_bytes_end[0].commands < 2, min(len(own), len(other))
        common = len(set(own) & set(other))
        self.totals.mostly_unrelated = start and 10 * (common if in_order is None else in_order) < least

    def _matching_blocks(self, own: list[int], other: list[int]) -> tuple[list[Block], bool]:
        if not self._search_swapped:
            return matching_blocks(own, other)
        blocks_found, shortest = matching_blocks(other, own)
        return [(j, i, n) for i, j, n in blocks_found], shortest

    def _find_anchors(self) -> None:
        """Read both AOFs to their ends to find where they have equal commands again (anchors)."""
        self.totals.resyncs += 1
        a, b = (side.reopen_at(side.position()) for side in self.sides)
        one, two = (side.discarded_units for side in self.sides)
        pairs, disjoint = resync_anchors(b, a) if self._search_swapped else resync_anchors(a, b)
        if self._search_swapped:
            pairs = [(y, x) for x, y in pairs]
        self.totals.inexact_resyncs += not disjoint
        self._anchors = deque((one + x, two + y) for x, y in pairs)

    def _emit_differences(self, end: int, other_end: int, blocks: list[Block]) -> Iterator[DiffEvent]:
        """Yield the differences among the first commands in memory of each AOF, up to one index each, and drop them."""
        consumed = 0, 0
        paired = pair_units(self.sides, (end, other_end), blocks)
        self.totals.common_commands += paired.equal_commands
        for i, j, n in [*blocks, (end, other_end, 0)]:
            if i - consumed[0] or j - consumed[1]:
                yield from self._emit_divergence(i - consumed[0], j - consumed[1], paired, consumed)
            self._discard_common(n)
            consumed = i + n, j + n

    def _emit_divergence(
        self, count: int, other_count: int, paired: PairedUnits, consumed: tuple[int, int]
    ) -> Iterator[DiffEvent]:
        """Yield the first units of each side, which the other side lacks, except for those with a partner there."""
        sizes = count, other_count
        if all((number, consumed[number] + i) in paired.equal for number in (0, 1) for i in range(sizes[number])):
            self._discard_equal(sizes)
            return
        if not self._in_divergence:
            self._in_divergence = True
            yield self._new_divergence()
        for number, (side, size) in enumerate(zip(self.sides, sizes, strict=True)):
            begin, first = 0, consumed[number]
            for i in [i for i in range(size) if paired.is_paired(number, first + i)]:
                yield from self._emit_runs(number, begin, i)
                begin = i + 1
                if number == 1:
                    yield from self._emit_moves(paired, first + i, side.unit(i))
            yield from self._emit_runs(number, begin, size)
            side.discard(size)

    def _discard_equal(self, sizes: tuple[int, int]) -> None:
        """Drop groups of commands of both AOFs that add the same elements to the same keys in other chunks."""
        self._in_divergence = False
        last = [side.unit(size - 1) for side, size in zip(self.sides, sizes, strict=True)]
        for side, size in zip(self.sides, sizes, strict=True):
            side.discard(size)
        self._common_ends = (
            last[0].end_position(self.sides[0].transactions),
            last[1].end_position(self.sides[1].transactions),
        )

    def _emit_moves(self, paired: PairedUnits, at: int, unit: Unit) -> Iterator[MovedUnit]:
        for partner in paired.moved_partners.get((1, at), ()):
            self.totals.moved_commands += unit.commands
            yield MovedUnit(partner, unit)

    def _emit_runs(self, number: int, begin: int, end: int) -> Iterator[OneSidedRun]:
        for run in self.sides[number].runs(begin, end):
            self.totals.only_commands[number] += run.commands
            yield OneSidedRun(number, run)

    def _new_divergence(self) -> Divergence:
        at = (
            (self._with_next_database(0, self._common_ends[0]), self._with_next_database(1, self._common_ends[1]))
            if self._common_ends
            else self.equal_bytes_end
        )
        if self.fork is None:
            at = max(at[0], self.equal_bytes_end[0]), max(at[1], self.equal_bytes_end[1])
            self.fork, start = at, self.equal_bytes_end[0]
            end = start.offset + self.common_record_bytes if at[0].part == start.part else 0
            self.fork_common_bytes = max(0, end - at[0].offset)
        context = list(self._context)
        self._context.clear()
        one, two = (side.unit(0).tx if side.count else 0 for side in self.sides)
        if self.fork_transactions is None:
            self.fork_transactions = one, two
        return Divergence(at, (one, two), context)

    def _with_next_database(self, number: int, end: DiffPosition) -> DiffPosition:
        """Return the end of the last common unit with the database of the unit that follows it.

        A SELECT between the two is no unit and may have changed the database.
        """
        side = self.sides[number]
        return end._replace(db=side.unit(0).db) if side.count else end


def _ordering_key(side: Side) -> tuple[bytes, int, int, int]:
    """Return a sort key by which two AOFs have the same order, whichever is given first on the command line."""
    if not side.count:
        return b"", 0, 0, 0
    unit = side.unit(0)
    source = side.sources[unit.part]
    assert source is not None
    size = unit.end - unit.start
    return pread(source, min(1 << 12, size), unit.start), size, unit.db, unit.chunk
