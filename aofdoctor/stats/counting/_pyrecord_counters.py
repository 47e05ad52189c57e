"""Count commands by name, database, time and offset over all AOF files: the Python fallback of record_counters.h."""

from array import array
from collections.abc import Sequence

from aofdoctor.aof.constants import ANNOTATION
from aofdoctor.aof.records import RecordBatch
from aofdoctor.stats.counting.constants import DB_ROWS, MAX_BUCKETS, BucketRow, db_row

_EMPTY_BUCKET = (0, 0, 0, -1, 0, -1)  # the fields of a Bucket (constants.py) after its number


class _Buckets:
    """A histogram of commands over time or offsets, in at most MAX_BUCKETS buckets; their width grows as needed."""

    def __init__(self, width: int, factors: Sequence[int]) -> None:
        if width < 1:
            raise ValueError("a width, and memory")
        self.width, self.factors = width, list(factors)
        self.buckets: dict[int, list[int]] = {}
        self.low = self.high = -1

    def add(self, x: int, size: int, kind: int, log_offset: int) -> None:
        b = x // self.width
        low, high = (min(b, self.low), max(b, self.high)) if self.buckets else (b, b)
        if high - low >= MAX_BUCKETS:
            self._widen()
            return self.add(x, size, kind, log_offset)
        self.low, self.high = low, high
        bucket = self.buckets.setdefault(b, [*_EMPTY_BUCKET])
        bucket[0] += 1
        bucket[1] += size
        if kind:
            bucket[2 * kind] += 1
            bucket[2 * kind + 1] = log_offset if bucket[2 * kind + 1] < 0 else min(log_offset, bucket[2 * kind + 1])
        return None

    def _widen(self) -> None:
        factor = self.factors.pop(0) or 2
        self.factors = self.factors or [0]
        old_buckets, self.buckets = self.buckets, {}
        for b, bucket in old_buckets.items():
            _merge_buckets(self.buckets.setdefault(b // factor, [*_EMPTY_BUCKET]), bucket)
        self.width, self.low, self.high = self.width * factor, self.low // factor, self.high // factor

    def rows(self) -> BucketRow:
        """Return the histogram: (the width of a bucket in seconds or bytes, all buckets from the first to the last)."""
        reach = range(self.low, self.high + 1) if self.buckets else range(0)
        return self.width, [(b, *self.buckets.get(b, _EMPTY_BUCKET)) for b in reach]


def _merge_buckets(into: list[int], bucket: Sequence[int]) -> None:
    for column in (0, 1, 2, 4):
        into[column] += bucket[column]
    for column in (3, 5):
        places = [place for place in (into[column], bucket[column]) if place >= 0]
        into[column] = min(places, default=-1)


class RecordCounters:
    """Count commands and bytes by command name, by database, over time, and over the offsets of all AOF files.

    `burst_kinds` has a byte for each command id: 1 or 2 if bursts of this command are searched for, else 0.  The
    histogram over time has buckets of `time_width` seconds until there are too many.  Each time they then become wider
    by the next of the `factors`, an array that ends with a 0; after that they double.
    """

    def __init__(self, burst_kinds: bytes, time_width: int, factors: Sequence[int]) -> None:
        if any(kind > 2 for kind in burst_kinds):
            raise ValueError("kinds are 0 to 2")
        if not factors or factors[-1] or any(factor < 2 for factor in factors[:-1]):
            raise ValueError("factors end with a 0")
        self._burst_kinds = burst_kinds
        self._by_id = [[0, 0] for _ in burst_kinds]
        self._by_db = [[0, 0] for _ in range(DB_ROWS)]
        self._untimed = [0, 0]
        self._times, self._positions = _Buckets(time_width, factors), _Buckets(1, [0])

    def count_batch(
        self, batch: RecordBatch, log_offset: int, db: Sequence[int], time: Sequence[int], indexes: "array[int] | None",
        threshold: int, larger_indexes: "array[int]",
    ) -> int:  # fmt: skip
        """Count the commands of a batch: those in `indexes`, or all if it is None; annotations are skipped.

        `log_offset` is the offset of the batch, counted over all files; `db` and `time` have the database and unix time
        of each command.  The indexes of the commands with more than `threshold` bytes are written to `larger_indexes`;
        returns their number.
        """
        larger_count = 0
        for i in range(batch.count) if indexes is None else indexes:
            number = batch.ids[i] if batch.ids[i] < len(self._burst_kinds) else 0
            if number == ANNOTATION:
                continue
            size, at, kind = batch.record_span(i).size, log_offset + batch.edges[i], self._burst_kinds[number]
            rows = [self._by_id[number], self._by_db[db_row(db[i])]]
            for row in rows if time[i] >= 0 else [*rows, self._untimed]:
                row[0] += 1
                row[1] += size
            if time[i] >= 0:
                self._times.add(time[i], size, kind, at)
            self._positions.add(at, size, kind, at)
            if size > threshold:
                larger_indexes[larger_count] = i
                larger_count += 1
        return larger_count

    @property
    def by_id(self) -> list[tuple[int, int]]:
        """The counted (commands, bytes) for each command id from 0 on."""
        return [(commands, size) for commands, size in self._by_id]

    @property
    def by_db(self) -> list[tuple[int, int]]:
        """The counted (commands, bytes) for databases 0 to 1023, then for all others, then for the unknown one."""
        return [(commands, size) for commands, size in self._by_db]

    @property
    def untimed(self) -> tuple[int, int]:
        """The counted (commands, bytes) without a time, because no timestamp annotation precedes them in their file."""
        return self._untimed[0], self._untimed[1]

    @property
    def times(self) -> BucketRow:
        """The histogram of commands over time: (the width of a bucket in seconds, buckets)."""
        return self._times.rows()

    @property
    def positions(self) -> BucketRow:
        """The histogram of commands over the offsets of all files: (the width of a bucket in bytes, buckets)."""
        return self._positions.rows()
