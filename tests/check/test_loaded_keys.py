"""`verify` and `--prove` compare the keys of a server after the load with those of the RDB, database by database."""

import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aofdoctor.check.loaded_keys import DatabaseKeys, ExpectedKeys, describe_difference
from aofdoctor.server.sandbox import Sandbox
from aofdoctor.server.versions import VERSIONS
from tests.conftest import aofdoctor
from tests.support import rdb_value_writer as w
from tests.support.rdb_files import collection_key, make_rdb, select_db, string_key
from tests.support.servers import servers_by_line

PAST, FUTURE = 1_000_000_000_000, int(time.time() * 1000) + 10**9
KEYS = [
    select_db(0), *(string_key(b"k%d" % n, b"v") for n in range(5)), string_key(b"past", b"v", PAST),
    string_key(b"later", b"v", FUTURE), collection_key(b"empty", kind=1), select_db(9), collection_key(b"set", b"a"),
]  # fmt: skip
ROWS = st.builds(DatabaseKeys, st.integers(0, 9), st.integers(0, 3), st.just(0))
EXPECTED = st.builds(ExpectedKeys, st.dictionaries(st.integers(0, 3), ROWS, max_size=3), st.integers(0, 2))


@pytest.mark.parametrize("line", servers_by_line())
@pytest.mark.parametrize("name", ["dump.rdb", "appendonly.aof"])
def test_the_keys_of_an_rdb_agree_with_those_of_the_server(line: str, name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(make_rdb(*KEYS, magic=b"REDIS0009"))
    done = aofdoctor("verify", path, "--with", servers_by_line()[line].path, "--json")
    assert done.status == 0 and done.json["difference"] is None
    assert done.json["expected"] == 8 == done.json["total"] + done.json["expired"]
    text = aofdoctor("verify", path, "--with", servers_by_line()[line].path)
    assert text.status == 0 and ("key was past the expiry" in text.out or "8 keys" in text.out)


def test_a_hash_may_vanish_with_its_last_field(tmp_path: Path) -> None:
    lines = [line for line in servers_by_line() if VERSIONS[line].newest_rdb("redis") >= 12]
    if not lines:
        pytest.skip("no server at hand that reads RDB 12")
    key = (
        b"\x18" + w.string(b"h") + PAST.to_bytes(8, "little") + w.length(1) + b"\x01" + w.string(b"f") + w.string(b"v")
    )
    path = tmp_path / "dump.rdb"
    path.write_bytes(make_rdb(select_db(0), string_key(b"a", b"v"), key, magic=b"REDIS0012"))
    done = aofdoctor("verify", path, "--with", servers_by_line()[lines[0]].path, "--json")
    assert done.status == 0 and done.json["difference"] is None, done.stdout


def test_commands_behind_the_rdb_make_the_number_unknown(tmp_path: Path) -> None:
    path = tmp_path / "appendonly.aof"
    path.write_bytes(make_rdb(*KEYS, magic=b"REDIS0009") + b"*2\r\n$3\r\nDEL\r\n$2\r\nk1\r\n")
    done = aofdoctor("verify", path, "--json")
    assert done.status == 0 and done.json["expected"] is None


def test_a_missing_key_fails_with_both_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "dump.rdb"
    path.write_bytes(make_rdb(*KEYS[:-1], *(string_key(b"m%d" % n, b"v") for n in range(3)), magic=b"REDIS0009")[:-4])
    out = tmp_path / "out.rdb"
    assert aofdoctor("repair", path, "--salvage", "-o", out, "--prove").status == 0
    original = Sandbox.info

    def info_without_a_key(self: Sandbox, section: str) -> dict[str, str]:
        return original(self, section) | {"db9": "keys=2,expires=0,avg_ttl=0"}

    monkeypatch.setattr(Sandbox, "info", info_without_a_key)
    done = aofdoctor("verify", out)
    assert done.status == 1 and "db9 of the RDB has 3 keys, and the server 2" in done.out
    refused = aofdoctor("repair", path, "--salvage", "-o", tmp_path / "again.rdb", "--prove")
    assert refused.status == 3 and "db9 of the RDB has 3 keys, and the server 2" in refused.err
    assert not (tmp_path / "again.rdb").exists()


@given(EXPECTED, st.data())
def test_any_number_of_expired_keys_that_is_counted_agrees(expected: ExpectedKeys, data: st.DataObject) -> None:
    deleted = {db: data.draw(st.integers(0, row.keys - row.least)) for db, row in expected.dbs.items()}
    loaded = {db: row.keys - deleted[db] for db, row in expected.dbs.items() if row.keys > deleted[db]}
    assert not describe_difference(expected, loaded, sum(deleted.values()))


@given(EXPECTED, st.integers(0, 4), st.integers(1, 3), st.booleans())
def test_any_other_number_is_a_difference(expected: ExpectedKeys, db: int, change: int, is_more: bool) -> None:
    loaded = {number: row.keys for number, row in expected.dbs.items()}
    before = loaded.get(db, 0)
    loaded[db] = before + change if is_more else max(0, before - change)
    assert bool(describe_difference(expected, loaded, 0)) == (loaded[db] != before)
