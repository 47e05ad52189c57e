"""Counts of the items of a batch, in plain Python: the twin of tally.h."""

from array import array

from aofdoctor.rdb.walk._pywalker import ItemColumns

KEYS_INDEX, EXPIRING_INDEX, EXPIRED_INDEX, COUNTS_SIZE = 256, 257, 258, 259  # before them: how many items of each kind


def count_items(columns: ItemColumns, at: int, db: int, now_ms: int, counts: "array[int]") -> int:
    """Add the items from `at` on to `counts`, which has SIZE places; the first key of another database than `db`."""
    while at < columns.count:
        if columns.name[at] >= 0:
            if columns.db[at] != db:
                break
            expire = columns.expire[at]
            counts[KEYS_INDEX] += 1
            counts[EXPIRING_INDEX] += expire != -1
            counts[EXPIRED_INDEX] += expire != -1 and expire < now_ms
        if columns.kind[at] < KEYS_INDEX:
            counts[columns.kind[at]] += 1
        at += 1
    return at
