"""What one history has that another lacks, in order, with bounded memory.

Strategy: what is the same byte for byte goes by at the speed of memory; then
both are read as units, a window of each at a time.  The script of a window is
taken up to the last unit that both have; the rest stands at the head of the
next window.  Where a window has nothing in common, both are read to their ends
once, for units that only stand once in each (diff_sample.py), and those are
where the two run together again; that the answer may then not be the shortest
is said (`fell_back`).

What an RDB holds are the commands that make its keys; those of a key that are
in other chunks, or stand in another order, find their partners in the window
(diff_paired.py).

Swapped sides give the mirrored answer: which side is searched first is decided
by the bytes, not by who came first.
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
from aofdoctor.diff.units.side import DiffPosition, Side, Unit, UnitRun
from aofdoctor.source import pread

WINDOW_UNITS = 1 << 15  # units of each side that are compared at a time
CONTEXT_UNITS = 3
_RECHECK_AFTER = 1 << 12  # after so many equal units, bytes are compared again
_SKIPPED_BYTES_MIN = 1 << 22  # bytes that must be the same for that to be worth while
_RESYNCS_MAX = 8  # after so many searches for where the two run together again, their places are kept


class OneSidedRun(NamedTuple):
    """A run that only one side has: 0 is A, 1 is B."""

    side: int
    run: UnitRun


class MovedUnit(NamedTuple):
    """A unit that stands in another order, which changes nothing."""

    a: Unit
    b: Unit


@dataclass(frozen=True, slots=True)
class Divergence:
    """The two part here; `context` are the last units of A before it, `at` where it begins on each side.

    `tx` are the transactions there, 0 for none.
    """

    positions: tuple[DiffPosition, DiffPosition]
    transactions: tuple[int, int]
    context: list[Unit]


DiffEvent = Divergence | OneSidedRun | MovedUnit


@dataclass(slots=True)
class DiffTotals:
    """Commands of the units that both have, that only A has, only B has, and that have moved; and how it was found.

    `keys` are those of RDBs that are the same byte for byte, of which no commands were made.
    """

    common_commands: int = 0
    common_keys: int = 0
    only_commands: list[int] = field(default_factory=lambda: [0, 0])
    moved_commands: int = 0
    resyncs: int = 0
    inexact_resyncs: int = 0  # resyncs of sides that have more in common
    truncated_searches: int = 0
    mostly_unrelated: bool = False

    @property
    def may_not_be_shortest(self) -> bool:
        """True if the script may not be the shortest."""
        return bool(self.inexact_resyncs or self.truncated_searches)


class CommandDiff:
    """The comparison of two sides, once; `fork` is where they part, None as long as they have not."""

    def __init__(self, a: Side, b: Side) -> None:
        self.sides = a, b
        self.totals = DiffTotals()
        self.fork: tuple[DiffPosition, DiffPosition] | None = None
        self.fork_transactions: tuple[int, int] | None = None
        self.fork_common_bytes = 0  # so many bytes of what stands there are the same
        self.equal_bytes_end: tuple[DiffPosition, DiffPosition] = (
            DiffPosition(),
            DiffPosition(),
        )  # records up to here are the same bytes
        self.common_record_bytes = 0  # and so many bytes of the record there
        self.has_byte_differences = False
        self._context: deque[Unit] = deque(maxlen=CONTEXT_UNITS)
        self._common_ends: tuple[DiffPosition, DiffPosition] | None = None  # of the last unit that both have
        self._anchors: deque[tuple[int, int]] | None = None
        self._search_swapped: bool | None = None
        self._in_divergence = False
        self._recheck_after = _RECHECK_AFTER
        self._equal_units = 0  # equal units since the last difference
        self._resume: tuple[DiffPosition, DiffPosition] | None = None  # where bytes can be compared again

    def events(self) -> Iterator[DiffEvent]:
        """The differences in order."""
        a, b = self.sides
        common = self._skip_common((DiffPosition(), DiffPosition()))
        self.equal_bytes_end, self.common_record_bytes, self.has_byte_differences = (
            common.fork,
            max(0, common.bytes_past_fork),
            common.bytes_past_fork >= 0,
        )
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

    # -- what both have --

    def _skip_common(self, positions: tuple[DiffPosition, DiffPosition]) -> CommonBytes:
        """Compare bytes from places outside of a transaction, and go on by units where that ends."""
        common = (skip_common_keys if have_comparable_keys(*self.sides, positions) else skip_common_bytes)(
            *self.sides, positions
        )
        for side, place in zip(self.sides, common.resume, strict=True):
            side.seek(place)
        self.totals.common_commands += common.commands
        self.totals.common_keys += common.keys
        return common

    def _recheck_bytes(self) -> None:
        """After a long run of equal units bytes may be compared again."""
        if self._equal_units < self._recheck_after or self._resume is None or self.totals.resyncs > _RESYNCS_MAX:
            return
        before, self._equal_units = self._resume, 0
        fork = self._skip_common(before).fork
        worthwhile = fork[0].part != before[0].part or fork[0].offset - before[0].offset >= _SKIPPED_BYTES_MIN
        self._recheck_after = _RECHECK_AFTER if worthwhile else 2 * self._recheck_after
        self._anchors = None  # they count units, and these were not

    def _discard_common(self, count: int) -> int:
        """Drop the first units of both, which are the same; their number."""
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
        """Where both stand at a key of an RDB."""
        for side in self.sides:
            side.read_units(1)
        if not all(side.count and side.unit(0).kind == UnitKind.KEY and not side.unit(0).chunk for side in self.sides):
            return None
        return self.sides[0].position(), self.sides[1].position()

    # -- what differs --

    def _diff_window(self) -> Iterator[DiffEvent]:
        """The differences of a window, and the windows moved on past them."""
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
        """Of each side: how many units the window may use, and whether what is beyond is out of reach."""
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
        """At the first difference: whether they have anything in common; in the same order, if not all is in sight."""
        start, least = self._common_ends is None and self.equal_bytes_end[0].commands < 2, min(len(own), len(other))
        common = len(set(own) & set(other))
        self.totals.mostly_unrelated = start and 10 * (common if in_order is None else in_order) < least

    def _matching_blocks(self, own: list[int], other: list[int]) -> tuple[list[Block], bool]:
        if not self._search_swapped:
            return matching_blocks(own, other)
        blocks_found, shortest = matching_blocks(other, own)
        return [(j, i, n) for i, j, n in blocks_found], shortest

    def _find_anchors(self) -> None:
        """Read both to their ends for where they run together again."""
        self.totals.resyncs += 1
        a, b = (side.reopen_at(side.position()) for side in self.sides)
        one, two = (side.discarded_units for side in self.sides)
        pairs, disjoint = resync_anchors(b, a) if self._search_swapped else resync_anchors(a, b)
        if self._search_swapped:
            pairs = [(y, x) for x, y in pairs]
        self.totals.inexact_resyncs += not disjoint
        self._anchors = deque((one + x, two + y) for x, y in pairs)

    def _emit_differences(self, end: int, other_end: int, blocks: list[Block]) -> Iterator[DiffEvent]:
        """Say what differs up to an end on each side, and drop it."""
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
        """The first units of the sides, which only they have, as far as they have no partner on the other side."""
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
        """Let go of units that make the same."""
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
        """The end of the last unit that both have, in the database of the next one: SELECTs may stand between."""
        side = self.sides[number]
        return end._replace(db=side.unit(0).db) if side.count else end


def _ordering_key(side: Side) -> tuple[bytes, int, int, int]:
    """What tells one side from another whichever is named first: the bytes of its first unit, and its context."""
    if not side.count:
        return b"", 0, 0, 0
    unit = side.unit(0)
    source = side.sources[unit.part]
    assert source is not None
    size = unit.end - unit.start
    return pread(source, min(1 << 12, size), unit.start), size, unit.db, unit.chunk
