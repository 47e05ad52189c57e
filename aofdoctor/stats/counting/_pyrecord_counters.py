"""Counts and bytes of records, in plain Python: the twin of weigh.h."""

from array import array
from collections.abc import Sequence

from aofdoctor.aof.constants import ANNOTATION
from aofdoctor.aof.records import RecordBatch

DBS = 1024
OTHER_DBS, NO_DB, ROWS = DBS, DBS + 1, DBS + 2
BUCKETS = 1024

Bucket = tuple[int, int, int, int, int, int, int]
BucketRow = tuple[int, list[Bucket]]


_EMPTY = (0, 0, 0, -1, 0, -1)


class _Buckets:
    """Buckets along a line, `width` wide each; at most BUCKETS from the first to the last."""

    def __init__(self, width: int, factors: Sequence[int]) -> None:
        if width < 1:
            raise ValueError("a width, and memory")
        self.width, self.factors = width, list(factors)
        self.buckets: dict[int, list[int]] = {}
        self.low = self.high = -1

    def add(self, x: int, size: int, kind: int, place: int) -> None:
        b = x // self.width
        low, high = (min(b, self.low), max(b, self.high)) if self.buckets else (b, b)
        if high - low >= BUCKETS:
            self._widen()
            return self.add(x, size, kind, place)
        self.low, self.high = low, high
        bucket = self.buckets.setdefault(b, [*_EMPTY])
        bucket[0] += 1
        bucket[1] += size
        if kind:
            bucket[2 * kind] += 1
            bucket[2 * kind + 1] = place if bucket[2 * kind + 1] < 0 else min(place, bucket[2 * kind + 1])
        return None

    def _widen(self) -> None:
        factor = self.factors.pop(0) or 2
        self.factors = self.factors or [0]
        old, self.buckets = self.buckets, {}
        for b, bucket in old.items():
            _merge(self.buckets.setdefault(b // factor, [*_EMPTY]), bucket)
        self.width, self.low, self.high = self.width * factor, self.low // factor, self.high // factor

    def rows(self) -> BucketRow:
        """(the width, every bucket from the first to the last)."""
        reach = range(self.low, self.high + 1) if self.buckets else range(0)
        return self.width, [(b, *self.buckets.get(b, _EMPTY)) for b in reach]


def _merge(into: list[int], other: Sequence[int]) -> None:
    for column in (0, 1, 2, 4):
        into[column] += other[column]
    for column in (3, 5):
        places = [place for place in (into[column], other[column]) if place >= 0]
        into[column] = min(places, default=-1)


class RecordCounters:
    """Counts and bytes by command, by database, over time and over the log.

    `kinds` says by id which commands a burst is looked for of: 0, 1 or 2.  The
    buckets of time are `time_width` wide, until there are too many: `factors` say
    how much wider each next width is, up to a 0; 2 from there on.
    """

    def __init__(self, kinds: bytes, time_width: int, factors: Sequence[int]) -> None:
        if any(kind > 2 for kind in kinds):
            raise ValueError("kinds are 0 to 2")
        if not factors or factors[-1] or any(factor < 2 for factor in factors[:-1]):
            raise ValueError("factors end with a 0")
        self._kinds = kinds
        self._by_id = [[0, 0] for _ in kinds]
        self._by_db = [[0, 0] for _ in range(ROWS)]
        self._untimed = [0, 0]
        self._times, self._places = _Buckets(time_width, factors), _Buckets(1, [0])

    def run(
        self, batch: RecordBatch, place: int, db: Sequence[int], time: Sequence[int], chosen: "array[int] | None",
        least: int, large: "array[int]",
    ) -> int:  # fmt: skip
        """How many of a batch's records have more than `least` bytes; `large` holds their indexes.

        Those that `chosen` names are counted, or all but annotations; `place` is the batch's in the whole log.
        """
        noted = 0
        for i in range(batch.count) if chosen is None else chosen:
            number = batch.ids[i] if batch.ids[i] < len(self._kinds) else 0
            if number == ANNOTATION:
                continue
            size, at, kind = batch.record_span(i).size, place + batch.edges[i], self._kinds[number]
            rows = [self._by_id[number], self._by_db[row_of(db[i])]]
            for row in rows if time[i] >= 0 else [*rows, self._untimed]:
                row[0] += 1
                row[1] += size
            if time[i] >= 0:
                self._times.add(time[i], size, kind, at)
            self._places.add(at, size, kind, at)
            if size > least:
                large[noted] = i
                noted += 1
        return noted

    @property
    def by_id(self) -> list[tuple[int, int]]:
        """(commands, bytes) by id."""
        return [(commands, size) for commands, size in self._by_id]

    @property
    def by_db(self) -> list[tuple[int, int]]:
        """(commands, bytes) by database; then those of others, and of an unknown one."""
        return [(commands, size) for commands, size in self._by_db]

    @property
    def untimed(self) -> tuple[int, int]:
        """(commands, bytes) before the first annotation of their part."""
        return self._untimed[0], self._untimed[1]

    @property
    def times(self) -> BucketRow:
        """(width, buckets over time): the number, commands, bytes, and of each kind how many, and where first."""
        return self._times.rows()

    @property
    def places(self) -> BucketRow:
        """The same over the log."""
        return self._places.rows()


def row_of(db: int) -> int:
    """The row that counts a database."""
    if db < 0:
        return NO_DB
    return db if db < DBS else OTHER_DBS
