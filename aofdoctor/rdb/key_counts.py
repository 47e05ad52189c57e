"""How many keys an RDB holds: by database, by type, and how many of them expire.

Counted while the end is looked for, a batch at a time, in constant memory: of
a file that names more databases than any server has, the rest are one row.
"""

from array import array
from collections import Counter
from typing import NamedTuple

from aofdoctor.rdb.values.decoders import ValueRef, type_name
from aofdoctor.rdb.walk.constants import COUNTS_SIZE, EXPIRED_INDEX, EXPIRING_INDEX, KEYS_INDEX
from aofdoctor.rdb.walk.walker import ItemColumns, count_items

DBS_MAX = 1 << 10
OTHER_DBS = -2
_OPCODES = 240
_FUNCTIONS = (245, 246)


class Database(NamedTuple):
    """Keys of one database; `expires` of them have a TTL, and `past` of those had run out when they were counted."""

    keys: int = 0
    expires: int = 0
    past: int = 0


class KeyCounts:
    """What has been counted so far; `now_ms` is what a TTL is compared with, unix milliseconds.

    `dbs` are by number; those past the first DBS_MAX are OTHER_DBS, and -1 is one that is not known.
    """

    def __init__(self, now_ms: int) -> None:
        self.now_ms = now_ms
        self.dbs: dict[int, Database] = {}
        self._type_counts = array("q", bytes(8 * COUNTS_SIZE))

    def add(self, columns: ItemColumns) -> None:
        """Count the items of a batch."""
        counts, at = self._type_counts, 0
        while at < columns.count:
            db = next((columns.db[i] for i in range(at, columns.count) if columns.name[i] >= 0), -1)
            counts[KEYS_INDEX] = counts[EXPIRING_INDEX] = counts[EXPIRED_INDEX] = 0
            at = count_items(columns, at, db, self.now_ms, counts)
            if counts[KEYS_INDEX]:
                self._add_to_db(db, counts)

    def _add_to_db(self, db: int, counts: "array[int]") -> None:
        row = db if db in self.dbs or len(self.dbs) < DBS_MAX else OTHER_DBS
        keys, expires, past = self.dbs.get(row, Database())
        self.dbs[row] = Database(
            keys + counts[KEYS_INDEX], expires + counts[EXPIRING_INDEX], past + counts[EXPIRED_INDEX]
        )

    @property
    def function_libraries(self) -> int:
        """Libraries of functions."""
        return sum(self._type_counts[kind] for kind in _FUNCTIONS)

    def types(self, dialect: str) -> Counter[str]:
        """Keys by what they are to a user: string, list ...; `type 33` where its bytes are not read."""
        by_type: Counter[str] = Counter()
        for kind in range(_OPCODES):
            if self._type_counts[kind]:
                by_type[type_name(ValueRef(0, kind, dialect)) or f"type {kind}"] += self._type_counts[kind]
        return by_type
