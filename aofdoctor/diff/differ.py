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
from aofdoctor.diff.common_rdb_keys import comparable, first_keys, forward_keys
from aofdoctor.diff.edit_script import Block, matching_blocks
from aofdoctor.diff.pairing import Paired, paired_in
from aofdoctor.diff.units._pyunits import Column, Kind
from aofdoctor.diff.units.side import DiffPosition, Run, Side, Unit
from aofdoctor.source import pread

WINDOW = 1 << 15  # units of each side that are compared at a time
CONTEXT = 3
_AGAIN = 1 << 12  # after so many equal units, bytes are compared again
_GAIN = 1 << 22  # bytes that must be the same for that to be worth while
_RESYNCS = 8  # after so many searches for where the two run together again, their places are kept


class Only(NamedTuple):
    """A run that only one side has: 0 is A, 1 is B."""

    side: int
    run: Run


class Moved(NamedTuple):
    """A unit that stands in another order, which changes nothing."""

    a: Unit
    b: Unit


@dataclass(frozen=True, slots=True)
class Gap:
    """The two part here; `context` are the last units of A before it, `at` where it begins on each side.

    `tx` are the transactions there, 0 for none.
    """

    at: tuple[DiffPosition, DiffPosition]
    tx: tuple[int, int]
    context: list[Unit]


Event = Gap | Only | Moved


@dataclass(slots=True)
class Totals:
    """Commands of the units that both have, that only A has, only B has, and that have moved; and how it was found.

    `keys` are those of RDBs that are the same byte for byte, of which no commands were made.
    """

    same: int = 0
    keys: int = 0
    only: list[int] = field(default_factory=lambda: [0, 0])
    moved: int = 0
    resyncs: int = 0
    guesses: int = 0  # resyncs of sides that have more in common
    cut_short: int = 0
    unlike: bool = False

    @property
    def fell_back(self) -> bool:
        """True if the script may not be the shortest."""
        return bool(self.guesses or self.cut_short)


class Diff:
    """The comparison of two sides, once; `fork` is where they part, None as long as they have not."""

    def __init__(self, a: Side, b: Side) -> None:
        self.sides = a, b
        self.totals = Totals()
        self.fork: tuple[DiffPosition, DiffPosition] | None = None
        self.fork_tx: tuple[int, int] | None = None
        self.fork_past = 0  # so many bytes of what stands there are the same
        self.equal_bytes: tuple[DiffPosition, DiffPosition] = (
            DiffPosition(),
            DiffPosition(),
        )  # records up to here are the same bytes
        self.past = 0  # and so many bytes of the record there
        self.other_bytes = False
        self._context: deque[Unit] = deque(maxlen=CONTEXT)
        self._ends: tuple[DiffPosition, DiffPosition] | None = None  # of the last unit that both have
        self._anchors: deque[tuple[int, int]] | None = None
        self._flip: bool | None = None
        self._gap = False
        self._wait = _AGAIN
        self._run = 0  # equal units since the last difference
        self._resume: tuple[DiffPosition, DiffPosition] | None = None  # where bytes can be compared again

    def events(self) -> Iterator[Event]:
        """The differences in order."""
        a, b = self.sides
        common = self._forward((DiffPosition(), DiffPosition()))
        self.equal_bytes, self.past, self.other_bytes = common.fork, max(0, common.past), common.past >= 0
        if keys := first_keys(a, b, common.resume):
            self._forward(keys)
        while True:
            a.read_units(WINDOW)
            b.read_units(WINDOW)
            if self._keep(a.common_prefix(b)):
                self._again()
            elif a.count or b.count:
                yield from self._window()
            else:
                return

    # -- what both have --

    def _forward(self, positions: tuple[DiffPosition, DiffPosition]) -> CommonBytes:
        """Compare bytes from places outside of a transaction, and go on by units where that ends."""
        common = (forward_keys if comparable(*self.sides, positions) else skip_common_bytes)(*self.sides, positions)
        for side, place in zip(self.sides, common.resume, strict=True):
            side.seek(place)
        self.totals.same += common.commands
        self.totals.keys += common.keys
        return common

    def _again(self) -> None:
        """After a long run of equal units bytes may be compared again."""
        if self._run < self._wait or self._resume is None or self.totals.resyncs > _RESYNCS:
            return
        before, self._run = self._resume, 0
        fork = self._forward(before).fork
        far = fork[0].part != before[0].part or fork[0].offset - before[0].offset >= _GAIN
        self._wait = _AGAIN if far else 2 * self._wait
        self._anchors = None  # they count units, and these were not

    def _keep(self, count: int) -> int:
        """Drop the first units of both, which are the same; their number."""
        if count:
            a, b = self.sides
            self._gap = False
            self._run += count
            self.totals.same += min(sum(side.column(Column.COMMANDS, count)) for side in self.sides)
            self._context.extend(map(a.unit, range(max(0, count - CONTEXT), count)))
            last = a.unit(count - 1), b.unit(count - 1)
            a.discard(count)
            b.discard(count)
            self._ends = last[0].after(a.transactions), last[1].after(b.transactions)
            self._resume = self._ends if all(unit.kind == Kind.COMMAND for unit in last) else self._next_keys()
        return count

    def _next_keys(self) -> tuple[DiffPosition, DiffPosition] | None:
        """Where both stand at a key of an RDB."""
        for side in self.sides:
            side.read_units(1)
        if not all(side.count and side.unit(0).kind == Kind.KEY and not side.unit(0).chunk for side in self.sides):
            return None
        return self.sides[0].position(), self.sides[1].position()

    # -- what differs --

    def _window(self) -> Iterator[Event]:
        """The differences of a window, and the windows moved on past them."""
        self._run = 0
        limits = self._limits()
        own, other = (
            side.column(Column.DIGEST, limit).tolist() for side, (limit, _) in zip(self.sides, limits, strict=True)
        )
        ended = limits[0][1], limits[1][1]
        first = self._flip is None
        if first:
            self._flip = _head(self.sides[0]) > _head(self.sides[1])
        found, shortest = self._matching_blocks(own, other)
        if first:
            self._first_look(own, other, None if all(ended) else sum(n for *_, n in found))
        self.totals.cut_short += not shortest
        if all(ended):
            yield from self._take(len(own), len(other), found)
        elif found:
            i, j, n = found[-1]
            yield from self._take(i + n, j + n, found)
        elif any(ended):
            yield from self._take(0 if ended[0] else len(own), 0 if ended[1] else len(other), [])
        elif self._anchors is None:
            self._seek_anchors()
        else:
            yield from self._take(len(own), len(other), [])

    def _limits(self) -> list[tuple[int, bool]]:
        """Of each side: how many units the window may use, and whether what is beyond is out of reach."""
        while self._anchors and any(x < side.dropped for x, side in zip(self._anchors[0], self.sides, strict=True)):
            self._anchors.popleft()
        limits = []
        for number, side in enumerate(self.sides):
            limit, last = min(WINDOW, side.count), side.ended and side.count <= WINDOW
            if self._anchors and self._anchors[0][number] - side.dropped <= limit:
                limit, last = self._anchors[0][number] - side.dropped, True
            limits.append((limit, last))
        return limits

    def _first_look(self, own: list[int], other: list[int], in_order: int | None) -> None:
        """At the first difference: whether they have anything in common; in the same order, if not all is in sight."""
        start, least = self._ends is None and self.equal_bytes[0].commands < 2, min(len(own), len(other))
        common = len(set(own) & set(other))
        self.totals.unlike = start and 10 * (common if in_order is None else in_order) < least

    def _matching_blocks(self, own: list[int], other: list[int]) -> tuple[list[Block], bool]:
        if not self._flip:
            return matching_blocks(own, other)
        found, shortest = matching_blocks(other, own)
        return [(j, i, n) for i, j, n in found], shortest

    def _seek_anchors(self) -> None:
        """Read both to their ends for where they run together again."""
        self.totals.resyncs += 1
        a, b = (side.reopen_at(side.position()) for side in self.sides)
        one, two = (side.dropped for side in self.sides)
        found, nothing = resync_anchors(b, a) if self._flip else resync_anchors(a, b)
        if self._flip:
            found = [(y, x) for x, y in found]
        self.totals.guesses += not nothing
        self._anchors = deque((one + x, two + y) for x, y in found)

    def _take(self, end: int, other_end: int, found: list[Block]) -> Iterator[Event]:
        """Say what differs up to an end on each side, and drop it."""
        done = 0, 0
        paired = paired_in(self.sides, (end, other_end), found)
        self.totals.same += paired.same_commands
        for i, j, n in [*found, (end, other_end, 0)]:
            if i - done[0] or j - done[1]:
                yield from self._differ(i - done[0], j - done[1], paired, done)
            self._keep(n)
            done = i + n, j + n

    def _differ(self, count: int, other_count: int, paired: Paired, done: tuple[int, int]) -> Iterator[Event]:
        """The first units of the sides, which only they have, as far as they have no partner on the other side."""
        sizes = count, other_count
        if all((number, done[number] + i) in paired.same for number in (0, 1) for i in range(sizes[number])):
            self._drop(sizes)
            return
        if not self._gap:
            self._gap = True
            yield self._new_gap()
        for number, (side, size) in enumerate(zip(self.sides, sizes, strict=True)):
            begin, first = 0, done[number]
            for i in [i for i in range(size) if paired.has(number, first + i)]:
                yield from self._only(number, begin, i)
                begin = i + 1
                if number == 1:
                    yield from self._moved(paired, first + i, side.unit(i))
            yield from self._only(number, begin, size)
            side.discard(size)

    def _drop(self, sizes: tuple[int, int]) -> None:
        """Let go of units that make the same."""
        self._gap = False
        last = [side.unit(size - 1) for side, size in zip(self.sides, sizes, strict=True)]
        for side, size in zip(self.sides, sizes, strict=True):
            side.discard(size)
        self._ends = last[0].after(self.sides[0].transactions), last[1].after(self.sides[1].transactions)

    def _moved(self, paired: Paired, at: int, unit: Unit) -> Iterator[Moved]:
        for partner in paired.moved.get((1, at), ()):
            self.totals.moved += unit.commands
            yield Moved(partner, unit)

    def _only(self, number: int, begin: int, end: int) -> Iterator[Only]:
        for run in self.sides[number].runs(begin, end):
            self.totals.only[number] += run.commands
            yield Only(number, run)

    def _new_gap(self) -> Gap:
        at = (self._here(0, self._ends[0]), self._here(1, self._ends[1])) if self._ends else self.equal_bytes
        if self.fork is None:
            at = max(at[0], self.equal_bytes[0]), max(at[1], self.equal_bytes[1])
            self.fork, start = at, self.equal_bytes[0]
            end = start.offset + self.past if at[0].part == start.part else 0
            self.fork_past = max(0, end - at[0].offset)
        context = list(self._context)
        self._context.clear()
        one, two = (side.unit(0).tx if side.count else 0 for side in self.sides)
        if self.fork_tx is None:
            self.fork_tx = one, two
        return Gap(at, (one, two), context)

    def _here(self, number: int, end: DiffPosition) -> DiffPosition:
        """The end of the last unit that both have, in the database of the next one: SELECTs may stand between."""
        side = self.sides[number]
        return end._replace(db=side.unit(0).db) if side.count else end


def _head(side: Side) -> tuple[bytes, int, int, int]:
    """What tells one side from another whichever is named first: the bytes of its first unit, and its context."""
    if not side.count:
        return b"", 0, 0, 0
    unit = side.unit(0)
    source = side.sources[unit.part]
    assert source is not None
    size = unit.end - unit.start
    return pread(source, min(1 << 12, size), unit.start), size, unit.db, unit.chunk
