"""Buckets along time, or along the log: few enough to be shown, and the bursts in them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from aofdoctor.stats.counting.counters import Bucket, BucketRow

ROWS = 20
# How much wider each next width of time is: 1, 5, 15, 30 s, 1, 2, 10, 30 min, 1, 2, 6, 12 h, a day, and then twice.
FACTORS = (5, 3, 2, 2, 2, 5, 3, 2, 2, 3, 2, 2, 0)

_BURST_LEAST = 100  # commands
_BURST_RATE = 10  # times the usual one
_USUAL = 0.75  # the lower part of the buckets, whose mean is the usual rate
_SCALE = 4  # how much coarser each next look is
_BUCKETS_LEAST = 16


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
    usual: float
    place: int
    start: int
    width: int


def time_histogram(bucket_row: BucketRow, untimed: tuple[int, int], as_they_are: bool = False) -> Histogram:
    """At most ROWS rows, each as wide as a clock's hand goes; or as they are."""
    width, buckets = bucket_row
    factors, passed = [*FACTORS[:-1]], 1
    while factors and passed < width:
        passed *= factors.pop(0)
    rows = [_sum(b[0], [b]) for b in buckets]
    while len(rows) > ROWS and not as_they_are:
        factor = factors.pop(0) if factors else 2
        width *= factor
        rows = [_sum(number, list(group)) for number, group in groupby(rows, key=lambda row: row[0] // factor)]
    return Histogram("time", width, [(number * width, commands, size) for number, commands, size in rows], untimed)


def position_histogram(bucket_row: BucketRow) -> Histogram:
    """At most ROWS rows of as many bytes of the log."""
    width, buckets = bucket_row
    each = 1
    while buckets and buckets[-1][0] // each - buckets[0][0] // each >= ROWS:
        each += 1
    rows = [_sum(number, list(group)) for number, group in groupby(buckets, key=lambda b: b[0] // each)]
    return Histogram(
        "position", width * each, [(number * width * each, commands, size) for number, commands, size in rows]
    )


def _sum(number: int, rows: "Sequence[tuple[int, int, int]] | Sequence[Bucket]") -> tuple[int, int, int]:
    return number, sum(row[1] for row in rows), sum(row[2] for row in rows)


def bursts(bucket_row: BucketRow, kind: int) -> list[Burst]:
    """Where commands of a kind (1 or 2) stand far closer than usual, the most first."""
    width, buckets = bucket_row
    cells = [(bucket[0], bucket[1 + 2 * kind], bucket[2 + 2 * kind]) for bucket in buckets]
    found: list[Burst] = []
    while len(cells) >= _BUCKETS_LEAST:
        for burst in _at_one_scale(cells, width):
            if not any(burst.start < old.start + old.width and old.start < burst.start + burst.width for old in found):
                found.append(burst)
        width *= _SCALE
        groups = groupby(cells, key=lambda cell: cell[0] // _SCALE)
        cells = [_coarser(number, list(group)) for number, group in groups]
    return sorted(found, key=lambda burst: -burst.count)


def _at_one_scale(cells: list[tuple[int, int, int]], width: int) -> Iterator[Burst]:
    counts = sorted(count for _, count, _ in cells)
    lower = counts[: int(len(counts) * _USUAL)]
    usual = sum(lower) / len(lower)
    for high, group in groupby(cells, key=lambda cell: cell[1] >= max(_BURST_LEAST, _BURST_RATE * usual)):
        if high:
            run = list(group)
            yield Burst(sum(cell[1] for cell in run), usual, run[0][2], run[0][0] * width, len(run) * width)


def _coarser(number: int, cells: list[tuple[int, int, int]]) -> tuple[int, int, int]:
    return number, sum(cell[1] for cell in cells), min((cell[2] for cell in cells if cell[2] >= 0), default=-1)
