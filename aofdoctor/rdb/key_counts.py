"""Count the keys of an RDB by database and by type, and how many of them have a TTL.

Items are counted in batches while the RDB is read, in constant memory: databases beyond the first 1,024 share
one row, because a damaged or hostile file can name any number of them.
"""

from array import array
from collections import Counter
from typing import NamedTuple

from aofdoctor.rdb.opcodes import FIRST_OPCODE, Opcode
from aofdoctor.rdb.walk.constants import COUNTS_SIZE, EXPIRED_INDEX, EXPIRING_INDEX, KEYS_INDEX
from aofdoctor.rdb.walk.walker import ItemColumns, count_items

DBS_MAX = 1 << 10
OTHER_DBS = -2  # the row of all databases that have no row of their own
_FUNCTIONS = (Opcode.FUNCTION2, Opcode.FUNCTION_PRE_GA)


class Database(NamedTuple):
    """Key counts of one database: all keys, those with a TTL, and those with a TTL that passed before the counting."""

    keys: int = 0
    expires: int = 0
    past: int = 0


class KeyCounts:
    """Running counts of the keys of an RDB; a key is expired if its TTL ended before `now_ms` (unix milliseconds).

    `dbs` maps database numbers to counts.  The row OTHER_DBS holds the databases after the first DBS_MAX, and the row
    -1 the keys in an unknown database.
    """

    def __init__(self, now_ms: int) -> None:
        self.now_ms = now_ms
        self.dbs: dict[int, Database] = {}
        self._type_counts = array("q", bytes(8 * COUNTS_SIZE))

    def add(self, columns: ItemColumns) -> None:
        """Add the items of one batch of the RDB, given as columns, to the counts by database and type."""
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

    def count_of(self, value_type: int) -> int:
        """The number of keys with a value type of the RDB format."""
        return self._type_counts[value_type]

    @property
    def function_libraries(self) -> int:
        """The number of function libraries in the RDB."""
        return sum(self._type_counts[kind] for kind in _FUNCTIONS)

    def types(self, dialect: str) -> Counter[str]:
        """Return the number of keys by type name (string, list ...); a type that cannot be decoded is `type 33`."""
        # Imported late: the decoders are a tenth of the start-up, and an AOF without an RDB does not need them.
        from aofdoctor.rdb.values.decoders import ValueRef, type_name

        by_type: Counter[str] = Counter()
        for kind in range(FIRST_OPCODE):
            if self._type_counts[kind]:
                by_type[type_name(ValueRef(0, kind, dialect)) or f"type {kind}"] += self._type_counts[kind]
        return by_type
