"""Count the items of an RDB batch by type byte or opcode: the pure Python fallback of count.h."""

from array import array
from typing import TYPE_CHECKING

from aofdoctor.rdb.walk.constants import EXPIRED_INDEX, EXPIRING_INDEX, KEYS_INDEX

if TYPE_CHECKING:
    from aofdoctor.rdb.walk._pywalker import ItemColumns


def count_items(columns: "ItemColumns", at: int, db: int, now_ms: int, counts: "array[int]") -> int:
    """Add the RDB items in `columns` from index `at` on to `counts`, which has COUNTS_SIZE elements.

    Counts by type byte or opcode, and all keys, those with an expiry and those expired.  Stops at the first key that is
    in another database than `db`, and returns its index, or else the number of items.  A key is expired if its expiry
    is before `now_ms`, a Unix time in milliseconds.
    """
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
