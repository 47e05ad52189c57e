"""Build printable histograms of an AOF's commands over time or file offset, and find bursts in them.

The counters supply narrow buckets; this module merges neighbouring ones until at most MAX_ROWS are left.  It does not
know what the counted commands are.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from aofdoctor.stats.counting.counters import Bucket, BucketRow

MAX_ROWS = 20  # rows of a histogram that is printed, at most
# The factors between the bucket widths 1, 5, 15, 30 s, 1, 2, 10, 30 min, 1, 2, 6, 12 h and 1 day.  The 0 ends the list
# for the counters, which double the width after it.
WIDTH_FACTORS = (5, 3, 2, 2, 2, 5, 3, 2, 2, 3, 2, 2, 0)

_BURST_MIN = 100  # A burst has at least this number of commands per bucket,
_BURST_RATE = 10  # and at least this multiple of the baseline.
_BASELINE_SHARE = 0.75  # The baseline is the mean of this share of the buckets, those with the lowest counts.
_COARSENING_FACTOR = 4  # Bursts are searched again in buckets that are wider by this factor.
_BUCKETS_MIN = 16  # With fewer buckets, no bursts are searched.


@dataclass(frozen=True, slots=True)
class Histogram:
    """Commands and bytes of an AOF in buckets of equal width, by time or by offset (`kind`: time or position).

    `rows` are (start of the bucket, commands, bytes).  Starts and `width` are in seconds, or in bytes counted over all
    files.  `untimed` is (commands, bytes) of the commands without a time.
    """

    kind: str
    width: int
    rows: list[tuple[int, int, int]]
    untimed: tuple[int, int] = (0, 0)


@dataclass(frozen=True, slots=True)
class Burst:
    """A range of time, or of offsets in the AOF, with far more commands of one kind than usual.

    It has `count` commands, where a usual bucket of the histogram has `baseline`.  `log_offset` is the offset of the
    first of them, counted over all files of the AOF.  `start` and `width` are the range, in seconds or bytes.
    """

    count: int
    baseline: float
    log_offset: int
    start: int
    width: int


def time_histogram(bucket_row: BucketRow, untimed: tuple[int, int], keep_width: bool = False) -> Histogram:
    """Build a histogram of commands over time from narrow buckets, merging neighbours to at most MAX_ROWS rows.

    The width is a product of the first WIDTH_FACTORS, in seconds; with `keep_width` the buckets are not merged.
    `untimed` is (commands, bytes) without a time.
    """
    width, buckets = bucket_row
    factors, reached_width = [*WIDTH_FACTORS[:-1]], 1
    while factors and reached_width < width:
        reached_width *= factors.pop(0)
    rows = [_sum_rows(b[0], [b]) for b in buckets]
    while len(rows) > MAX_ROWS and not keep_width:
        factor = factors.pop(0) if factors else 2
        width *= factor
        rows = [_sum_rows(number, list(group)) for number, group in groupby(rows, key=lambda row: row[0] // factor)]
    return Histogram("time", width, [(number * width, commands, size) for number, commands, size in rows], untimed)


def position_histogram(bucket_row: BucketRow) -> Histogram:
    """Build a histogram of commands over the AOF's offsets from narrow buckets, merged to at most MAX_ROWS rows."""
    width, buckets = bucket_row
    factor = 1
    while buckets and buckets[-1][0] // factor - buckets[0][0] // factor >= MAX_ROWS:
        factor += 1
    rows = [_sum_rows(number, list(group)) for number, group in groupby(buckets, key=lambda b: b[0] // factor)]
    return Histogram(
        "position", width * factor, [(number * width * factor, commands, size) for number, commands, size in rows]
    )


def _sum_rows(number: int, rows: "Sequence[tuple[int, int, int]] | Sequence[Bucket]") -> tuple[int, int, int]:
    return number, sum(row[1] for row in rows), sum(row[2] for row in rows)


def find_bursts(bucket_row: BucketRow, kind: int) -> list[Burst]:
    """Find the ranges of a histogram with far more commands of one kind than usual; return them, the largest first.

    `kind` is a number from `burst_kinds`: 1 for deletes, 2 for expiries.  The search is repeated in wider buckets; a
    burst that overlaps one found in narrower buckets is left out.
    """
    width, buckets = bucket_row
    cells = [(bucket[0], bucket[1 + 2 * kind], bucket[2 + 2 * kind]) for bucket in buckets]
    result: list[Burst] = []
    while len(cells) >= _BUCKETS_MIN:
        for burst in _bursts_at_width(cells, width):
            if not any(
                burst.start < earlier.start + earlier.width and earlier.start < burst.start + burst.width
                for earlier in result
            ):
                result.append(burst)
        width *= _COARSENING_FACTOR
        groups = groupby(cells, key=lambda cell: cell[0] // _COARSENING_FACTOR)
        cells = [_merge_cells(number, list(group)) for number, group in groups]
    return sorted(result, key=lambda burst: -burst.count)


def _bursts_at_width(cells: list[tuple[int, int, int]], width: int) -> Iterator[Burst]:
    """Yield the bursts in a histogram of commands: ranges of buckets with far more commands than usual.

    Each bucket of a burst has at least _BURST_MIN commands and _BURST_RATE times the usual number, the baseline.
    `cells` are the buckets: (bucket number, commands, offset of the first command over all files or -1).
    """
    counts = sorted(count for _, count, _ in cells)
    lower = counts[: int(len(counts) * _BASELINE_SHARE)]
    baseline = sum(lower) / len(lower)
    for is_burst, group in groupby(cells, key=lambda cell: cell[1] >= max(_BURST_MIN, _BURST_RATE * baseline)):
        if is_burst:
            run = list(group)
            yield Burst(sum(cell[1] for cell in run), baseline, run[0][2], run[0][0] * width, len(run) * width)


def _merge_cells(number: int, cells: list[tuple[int, int, int]]) -> tuple[int, int, int]:
    """Merge neighbouring buckets of a histogram into one with the bucket number `number`.

    A bucket is (number, commands, offset of the first command over all files or -1).
    """
    return number, sum(cell[1] for cell in cells), min((cell[2] for cell in cells if cell[2] >= 0), default=-1)
