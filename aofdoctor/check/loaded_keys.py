"""Compare the keys that a server has after a load with those that an RDB holds, database by database.

The number is known exactly only for an RDB without commands behind it.  A server skips empty keys.  It loads the keys
of a base that are past their expiry, and deletes them soon afterwards, so they may be there or not; a hash can vanish
with its last field.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from aofdoctor import text
from aofdoctor.rdb.items import ItemReader
from aofdoctor.rdb.opcodes import RdbType, ValkeyOpcode, ValkeyRdbType
from aofdoctor.rdb.recovery.empty_values import empty_collection
from aofdoctor.source import Source

_DBS_MAX = 1 << 16  # as many as a private server can have
_WITH_FIELD_EXPIRY = {
    "redis": frozenset({
        RdbType.HASH_METADATA_PRE_GA, RdbType.HASH_LISTPACK_EX_PRE_GA, RdbType.HASH_METADATA, RdbType.HASH_LISTPACK_EX,
    }),
    "valkey": frozenset({ValkeyRdbType.HASH_2}),
}  # fmt: skip
_UNCOUNTED_OPCODES = {
    "redis": frozenset[int](),
    "valkey": frozenset({int(ValkeyOpcode.UPDATE), int(ValkeyOpcode.SLOT_IMPORT)}),
}
_STRING = int(RdbType.STRING)


@dataclass(slots=True)
class DatabaseKeys:
    """The keys of one database of an RDB that a server loads, and how many of them may have been deleted since.

    `past` counts the keys that were past their expiry when they were counted, `with_fields` the hashes with fields that
    may expire.
    """

    keys: int = 0
    past: int = 0
    with_fields: int = 0

    @property
    def least(self) -> int:
        """The number of keys that must be there."""
        return max(0, self.keys - self.past - self.with_fields)


@dataclass(slots=True)
class ExpectedKeys:
    """The keys by database that a server loads from an RDB, without the `empty` ones, which it skips."""

    dbs: dict[int, DatabaseKeys] = field(default_factory=dict)
    empty: int = 0

    @property
    def total(self) -> int:
        """The number of keys that are loaded."""
        return sum(row.keys for row in self.dbs.values())


def count_expected_keys(source: Source, dialect: str, now_ms: int) -> ExpectedKeys | None:
    """Count the keys of the sound RDB at the start of `source` that a server loads; None if that is not certain."""
    expected, items = ExpectedKeys(), ItemReader(source, verify=False)
    with_fields, uncounted = _WITH_FIELD_EXPIRY[dialect], _UNCOUNTED_OPCODES[dialect]
    for batch in items:
        columns = batch.columns
        if any(columns.kind[i] in uncounted and columns.name[i] < 0 for i in range(batch.first, batch.stop)):
            return None
        for i in batch.key_indexes():
            kind, db = columns.kind[i], columns.db[i]
            if kind != _STRING and empty_collection(items.source, batch.key_at(i), items.rdb.magic):
                expected.empty += 1
                continue
            row = expected.dbs.get(db)
            if row is None:
                if len(expected.dbs) >= _DBS_MAX or db < 0:
                    return None
                row = expected.dbs[db] = DatabaseKeys()
            row.keys += 1
            row.past += 0 <= columns.expire[i] <= now_ms
            row.with_fields += kind in with_fields
    return expected if items.rdb.complete and items.rdb.key_count is not None else None


def describe_difference(expected: ExpectedKeys, loaded: Mapping[int, int], expired: int) -> str:
    """Return how the keys of a server differ from those expected of an RDB, with both numbers; empty if they agree.

    `expired` is the number of keys that the server has deleted because their expiry had passed.
    """
    differences = list(_differences(expected, loaded))
    if not differences and not any(row.with_fields for row in expected.dbs.values()):
        count = sum(loaded.values())
        if count + expired != expected.total:
            expired_text = f" ({text.format_count(expired, 'more key')} had expired)" if expired else ""
            differences = [
                f"the RDB has {text.format_count(expected.total, 'key')}, and the server {count:,}{expired_text}"
            ]
    return "; ".join(differences)


def _differences(expected: ExpectedKeys, loaded: Mapping[int, int]) -> Iterator[str]:
    for db in sorted({*expected.dbs, *loaded}):
        row, count = expected.dbs.get(db, DatabaseKeys()), loaded.get(db, 0)
        if not row.least <= count <= row.keys:
            past = row.keys - row.least
            may_be_gone = f" ({past:,} of them may have expired)" if past else ""
            yield f"db{db} of the RDB has {text.format_count(row.keys, 'key')}{may_be_gone}, and the server {count:,}"
