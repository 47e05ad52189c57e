"""Limits and row types shared by the compiled and the pure Python counters of statistics, and by their users.

The C headers in this directory repeat the numbers.
"""

import os

# The seed of all hashes of names from a file: nobody can choose names that all have the same slot.
HASH_SEED = int.from_bytes(os.urandom(8), "little")

# ---- by database: record_counters.h ----
TRACKED_DBS = 1024  # databases with a row of their own
OTHER_DBS_ROW, UNKNOWN_DB_ROW, DB_ROWS = TRACKED_DBS, TRACKED_DBS + 1, TRACKED_DBS + 2

# ---- over time and over the log: record_counters.h ----
MAX_BUCKETS = 1024  # buckets of one histogram, at most

# ---- by key: heavy_hitters.h ----
SETS, WAYS = 1024, 8  # the table of the keys that are written most has this number of sets, and keys in each set
KEY_BYTES_KEPT = 88  # bytes that are kept of a key
KEY_BYTES_COMPARED = 4096  # keys of the same length that are equal in their first 4096 bytes count as one key
ALWAYS_COUNTED_BITS = 14  # a record of 2 ** 13 bytes or more is always counted, never sampled
NAMES_MAX = 10_000  # names (prefixes, or unknown commands) that are counted separately
NAME_BYTES_KEPT = 64  # bytes that are kept of a name

# ---- by type byte: rdb_counters.h ----
TYPE_ROWS = 256  # one row for each type byte

Bucket = tuple[int, int, int, int, int, int, int]
"""A histogram bucket: (bucket number, commands, bytes, deletes, offset of the first or -1, expiries, of the first).

Offsets are counted over all files of the AOF.
"""
BucketRow = tuple[int, list[Bucket]]
"""A histogram: (the width of a bucket in seconds or bytes, the buckets from the first to the last)."""
NameRow = tuple[bytes, int, int, int]
"""Counts of one prefix or command name: (name, commands or keys, bytes, keys with a TTL or 0)."""
HeavyHitterRow = tuple[bytes, int, int, int, int, int]
"""A key that is written much: (first bytes of its name, name's size, database, count, error, variance of the count).

Without sampling, the true count is between `count - error` and `count`.
"""
RdbCountsRow = tuple[int, int, int]
"""Counts of RDB keys: (keys, their bytes, keys with a TTL)."""


def db_row(db: int) -> int:
    """Return the index of database `db` in a table of counts by database; negative numbers mean an unknown database."""
    if db < 0:
        return UNKNOWN_DB_ROW
    return db if db < TRACKED_DBS else OTHER_DBS_ROW
