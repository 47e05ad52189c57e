"""What the counters of stats, compiled and pure Python, and their users share; the headers next to it repeat it."""

# ---- by database: record_counters.h ----
TRACKED_DBS = 1024  # databases with a row of their own
OTHER_DBS_ROW, UNKNOWN_DB_ROW, DB_ROWS = TRACKED_DBS, TRACKED_DBS + 1, TRACKED_DBS + 2

# ---- over time and over the log: record_counters.h ----
MAX_BUCKETS = 1024  # of one histogram

# ---- by key: heavy_hitters.h ----
SETS, WAYS = 1024, 8  # of the table of the keys that are written most: sets, and keys in each set
KEY_BYTES_KEPT = 88  # bytes that are kept of a key
KEY_BYTES_COMPARED = 4096  # keys of the same length that are equal in their first 4096 bytes count as one key
ALWAYS_COUNTED_BITS = 14  # a record of 2 ** 13 bytes or more is always counted, never sampled
NAMES_MAX = 10_000  # names (prefixes, or unknown commands) that are counted separately
NAME_BYTES_KEPT = 64  # bytes that are kept of a name

# ---- by type byte: rdb_counters.h ----
TYPE_ROWS = 256

Bucket = tuple[int, int, int, int, int, int, int]
"""(index, commands, bytes, commands of burst kind 1, the log offset of the first of them or -1, the same of kind 2)."""
BucketRow = tuple[int, list[Bucket]]
"""(the width of a bucket, the buckets from the first to the last)."""
NameRow = tuple[bytes, int, int, int]
"""(name, count, bytes, a second sum)."""
HeavyHitterRow = tuple[bytes, int, int, int, int, int]
"""(the first bytes of a key, its size, database, count, error, variance of the count)."""
RdbCountsRow = tuple[int, int, int]
"""(keys, bytes, keys that expire)."""


def db_row(db: int) -> int:
    """Return the row that counts a database; negative numbers mean an unknown one."""
    if db < 0:
        return UNKNOWN_DB_ROW
    return db if db < TRACKED_DBS else OTHER_DBS_ROW
