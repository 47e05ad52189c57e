"""Key counts of an RDB by database, type and expiry: compiled code, fallback and fixtures agree."""

import json
from array import array
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from aofdoctor.rdb.items import ItemReader, KeyItem
from aofdoctor.rdb.key_counts import DBS_MAX, OTHER_DBS, KeyCounts
from aofdoctor.rdb.preamble import walk_rdb
from aofdoctor.rdb.walk._pycount import count_items as plain_tally
from aofdoctor.rdb.walk.constants import COUNTS_SIZE
from aofdoctor.rdb.walk.walker import count_items
from aofdoctor.source import BytesSource
from tests.conftest import FIXTURES
from tests.support import rdb_value_writer as w

RDBS = sorted((FIXTURES / "rdb").glob("*.rdb"))
NOW = 1_700_000_000_000


def count_keys(data: bytes, now_ms: int = NOW) -> KeyCounts:
    census = KeyCounts(now_ms)
    walk_rdb(BytesSource(data), census)
    return census


def keys_of(data: bytes) -> list[KeyItem]:
    return [item for batch in ItemReader(BytesSource(data)) for item in batch if isinstance(item, KeyItem)]


@pytest.mark.parametrize("path", RDBS, ids=lambda path: path.stem)
def test_the_counts_are_those_of_the_keys(path: Path) -> None:
    data = path.read_bytes()
    keys, census = keys_of(data), count_keys(data)
    per_db = Counter(key.db for key in keys)
    assert {db: row.keys for db, row in census.dbs.items()} == per_db
    assert sum(row.expires for row in census.dbs.values()) == sum(key.expire_ms != -1 for key in keys)
    assert sum(row.past for row in census.dbs.values()) == sum(-1 < key.expire_ms < NOW for key in keys)
    dialect = "valkey" if data.startswith(b"VALKEY") else "redis"
    types = census.types(dialect)
    assert sum(types.values()) == len(keys) and not [name for name in types if name.startswith("type ")]
    fixture: Any = json.loads(path.with_suffix(".json").read_text())
    functions = fixture.get("functions") if isinstance(fixture, dict) else None
    assert (
        census.function_libraries == len(functions or []) if functions is not None else census.function_libraries >= 0
    )


@pytest.mark.parametrize("path", RDBS, ids=lambda path: path.stem)
def test_compiled_counting_equals_the_fallback(path: Path) -> None:
    for batch in ItemReader(BytesSource(path.read_bytes())):
        got, plain, at = array("q", bytes(8 * COUNTS_SIZE)), array("q", bytes(8 * COUNTS_SIZE)), 0
        while at < batch.columns.count:
            db = next((batch.columns.db[i] for i in range(at, batch.columns.count) if batch.columns.name[i] >= 0), -1)
            end = count_items(batch.columns, at, db, NOW, got)
            assert plain_tally(batch.columns, at, db, NOW, plain) == end
            at = end
        assert got == plain


def test_databases_beyond_the_limit_share_one_row() -> None:
    many = 3 * DBS_MAX
    body = b"".join(b"\xfe" + w.length(db) + b"\x00" + w.string(b"k%d" % db) + w.string(b"v") for db in range(many))
    census = count_keys(b"REDIS0009" + body + b"\xff" + bytes(8))
    assert len(census.dbs) == DBS_MAX + 1 and census.dbs[OTHER_DBS].keys == many - DBS_MAX
    assert sum(row.keys for row in census.dbs.values()) == many


def test_an_expiry_in_the_past_is_counted_as_expired() -> None:
    def key(name: bytes, expire: int) -> bytes:
        return b"\xfc" + expire.to_bytes(8, "little", signed=True) + b"\x00" + w.string(name) + w.string(b"v")

    body = key(b"past", NOW - 1) + key(b"now", NOW) + key(b"later", NOW + 1) + b"\x00" + w.string(b"n") + w.string(b"v")
    assert count_keys(b"REDIS0009" + body + b"\xff" + bytes(8)).dbs == {0: (4, 3, 1)}
