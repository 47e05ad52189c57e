"""Buckets along time, or along the log: few enough to be shown, and the bursts in them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from aofdoctor.stats.counting.counters import Bucket, BucketRow

MAX_ROWS = 20
# How much wider each next width of time is: 1, 5, 15, 30 s, 1, 2, 10, 30 min, 1, 2, 6, 12 h, a day, and then twice.
WIDTH_FACTORS = (5, 3, 2, 2, 2, 5, 3, 2, 2, 3, 2, 2, 0)

_BURST_MIN = 100  # commands
_BURST_RATE = 10  # times the usual one
_BASELINE_SHARE = 0.75  # the lower part of the buckets, whose mean is the usual rate
_COARSENING_FACTOR = 4  # how much coarser each next look is
_BUCKETS_MIN = 16


@dataclass(frozen=True, slots=True)
class Histogram:
    """Commands and bytes along `kind`, time or position: (where a bucket begins, commands, bytes), `width` apart.

    `untimed` are (commands, bytes) that stand before the first annotation of their part.
    """

    kind: str
    width: int
    rows: list[tuple[int, int, int]]
    untimed: tuple[int, int] = (0, 0)


@dataclass(frozen=True, slots=True)
class Burst:
    """So many commands where the usual bucket has `usual`; `place` is that of the first, in the whole log."""

    count: int
    baseline: float
    log_offset: int
    start: int
    width: int


def time_histogram(bucket_row: BucketRow, untimed: tuple[int, int], keep_width: bool = False) -> Histogram:
    """At most ROWS rows, each as wide as a clock's hand goes; or as they are."""
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
    """At most ROWS rows of as many bytes of the log."""
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
    """Where commands of a kind (1 or 2) stand far closer than usual, the most first."""
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
    counts = sorted(count for _, count, _ in cells)
    lower = counts[: int(len(counts) * _BASELINE_SHARE)]
    baseline = sum(lower) / len(lower)
    for is_burst, group in groupby(cells, key=lambda cell: cell[1] >= max(_BURST_MIN, _BURST_RATE * baseline)):
        if is_burst:
            run = list(group)
            yield Burst(sum(cell[1] for cell in run), baseline, run[0][2], run[0][0] * width, len(run) * width)


def _merge_cells(number: int, cells: list[tuple[int, int, int]]) -> tuple[int, int, int]:
    return number, sum(cell[1] for cell in cells), min((cell[2] for cell in cells if cell[2] >= 0), default=-1)
