"""Counts of the items of a batch, in plain Python: the twin of tally.h."""

from array import array

from aofdoctor.rdb.walk._pywalker import Columns

KEYS, EXPIRING, PAST, SIZE = 256, 257, 258, 259  # before them: how many items of each kind


def count_items(columns: Columns, at: int, db: int, now_ms: int, counts: "array[int]") -> int:
    """Add the items from `at` on to `counts`, which has SIZE places; the first key of another database than `db`."""
    while at < columns.count:
        if columns.name[at] >= 0:
            if columns.db[at] != db:
                break
            expire = columns.expire[at]
            counts[KEYS] += 1
            counts[EXPIRING] += expire != -1
            counts[PAST] += expire != -1 and expire < now_ms
        if columns.kind[at] < KEYS:
            counts[columns.kind[at]] += 1
        at += 1
    return at
