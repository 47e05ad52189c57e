"""Choose the counters of statistics: the compiled ones, or the pure Python ones if they were not built.

RecordCounters counts commands by name, database, time and offset over all AOF files without looking at arguments,
KeyCounters by first key, and RdbKeyCounters the keys of an RDB.
"""

from array import array
from typing import TYPE_CHECKING

from aofdoctor.stats.counting.constants import (
    KEY_BYTES_KEPT,
    OTHER_DBS_ROW,
    TRACKED_DBS,
    UNKNOWN_DB_ROW,
    Bucket,
    BucketRow,
    HeavyHitterRow,
    NameRow,
)  # fmt: skip

if TYPE_CHECKING:
    from aofdoctor.stats.counting._pyheavy_hitters import KeyCounters
    from aofdoctor.stats.counting._pyrdb_counters import RdbKeyCounters
    from aofdoctor.stats.counting._pyrecord_counters import RecordCounters
else:
    try:
        from aofdoctor.stats.counting._counters import KeyCounters, RdbKeyCounters, RecordCounters
    except ImportError:
        from aofdoctor.stats.counting._pyheavy_hitters import KeyCounters
        from aofdoctor.stats.counting._pyrdb_counters import RdbKeyCounters
        from aofdoctor.stats.counting._pyrecord_counters import RecordCounters

__all__ = [
    "KEY_BYTES_KEPT",
    "OTHER_DBS_ROW",
    "TRACKED_DBS",
    "UNKNOWN_DB_ROW",
    "Bucket",
    "BucketRow",
    "HeavyHitterRow",
    "KeyCounters",
    "NameRow",
    "RdbKeyCounters",
    "RecordCounters",
    "to_index_array",
]


def to_index_array(indexes: list[int]) -> "array[int]":
    """Convert a list of record indexes to the array type that the counters accept."""
    return array("I", indexes)
