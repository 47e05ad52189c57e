"""Keys that servers skip or refuse because they are empty: a salvage drops and names them, and counts what loads."""

import struct
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aofdoctor.server.versions import VERSIONS
from tests.conftest import aofdoctor
from tests.support import rdb_value_writer as w
from tests.support.rdb_files import make_rdb, select_db, string_key
from tests.support.rdb_loading import load_dump
from tests.support.servers import servers_by_line

PACK, ZIP = w.string(w.listpack([])), w.string(w.ziplist([]))
# By name: the type byte, the empty value, and the first RDB version that has it.
SKIPPED = {
    "list": (1, b"\0", 6), "set": (2, b"\0", 6), "zset": (3, b"\0", 6), "hash": (4, b"\0", 6), "zset2": (5, b"\0", 8),
    "list ziplist": (10, ZIP, 6), "zset ziplist": (12, ZIP, 6), "hash ziplist": (13, ZIP, 6),
    "quicklist": (14, b"\0", 7), "nodes": (14, b"\x02" + ZIP + ZIP, 7), "hash listpack": (16, PACK, 10),
    "zset listpack": (17, PACK, 10), "quicklist2": (18, b"\0", 10),
    "nodes2": (18, b"\x02\x02" + PACK + b"\x02" + PACK, 10),
    "set listpack": (20, PACK, 11), "hash metadata": (24, bytes(9), 12), "hash listpack ex": (25, bytes(8) + PACK, 12),
}  # fmt: skip
REFUSED = {
    "zipmap": (9, w.string(b"\0\xff"), 6), "intset": (11, w.string(struct.pack("<II", 2, 0)), 6),
    "plain node": (18, b"\x01\x01\0", 10), "array": (28, b"\0\0", 14),
}  # fmt: skip
LOADED = {"string": (0, b"\0", 6), "stream": (15, bytes(5), 9), "stream3": (21, bytes(10), 11)}
ALL = SKIPPED | REFUSED | LOADED
FULL = [string_key(b"full:%d" % n, b"value %d" % n) for n in range(3)]


def empty_key(kind: str, name: bytes = b"e") -> bytes:
    return bytes([ALL[kind][0]]) + w.string(name) + ALL[kind][1]


def lines_for(version: int) -> list[str]:
    return [line for line in servers_by_line() if VERSIONS[line].newest_rdb("redis") >= version]


def salvage(path: Path) -> tuple[bytes, Any]:
    out = path.with_name(path.name + ".out")
    done = aofdoctor("repair", path, "--salvage", "-o", out, "--json")
    assert done.status == 0, done.err
    return out.read_bytes(), done.json


@pytest.mark.parametrize("kind", ALL)
def test_servers_skip_refuse_or_load_an_empty_value_as_the_examination_says(kind: str, tmp_path: Path) -> None:
    data = make_rdb(select_db(0), *FULL, empty_key(kind), magic=b"REDIS%04d" % ALL[kind][2])
    path = tmp_path / "dump.rdb"
    path.write_bytes(data)
    found = aofdoctor("check", path, "--json")
    contents = found.json["parts"][0]["rdb_contents"]
    assert contents["skipped_key_count"] == (kind in SKIPPED)
    assert found.status == (kind in REFUSED)
    for line in lines_for(ALL[kind][2]):
        keys = load_dump(servers_by_line()[line], data)
        assert keys == (None if kind in REFUSED else {"db0": contents["readable_keys"]}), line
    if kind in SKIPPED:
        [finding] = [finding for finding in found.json["findings"] if finding["code"] == "empty-key"]
        assert finding["severity"] == "note" and "e of db0" in finding["message"]


@pytest.mark.parametrize("kind", ["quicklist2", "intset"])
def test_an_empty_key_of_a_damaged_rdb_is_dropped_and_named(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "dump.rdb"
    whole = make_rdb(select_db(0), *FULL, empty_key(kind), string_key(b"after", b"x"), magic=b"REDIS0010")
    path.write_bytes(whole[:-4])  # The checksum is cut.
    out, plan = salvage(path)
    assert plan["keys"]["after"] == 4
    assert any("key e of db0" in note and "is left out" in note for note in plan["notes"])
    assert load_dump(servers_by_line()[lines_for(10)[0]], out) == {"db0": 4}
    assert aofdoctor("check", path.with_name("dump.rdb.out"), "--json").json["parts"][0]["preamble"]["keys"] == 4


def test_an_empty_key_of_a_sound_base_stays_and_is_not_counted(tmp_path: Path) -> None:
    path = tmp_path / "appendonly.aof"
    base = make_rdb(select_db(0), *FULL, empty_key("list"), magic=b"REDIS0009", aux=[(b"aof-preamble", b"1")])
    path.write_bytes(base + b"*3\r\n$3\r\nSET\r\n$1\r\na\r\n$1")
    out, plan = salvage(path)
    assert out == base and plan["keys"] == {"before": 3, "after": 3, "dropped": 0, "added": 0}
    assert any("1 key has no elements" in note for note in plan["notes"])


@settings(max_examples=12)
@given(
    keys=st.lists(st.tuples(st.sampled_from(["full", *(k for k in ALL if ALL[k][2] <= 10)]), st.integers(0, 5))),
    is_cut=st.booleans(),
)
def test_a_salvage_counts_the_keys_that_a_server_has(keys: list[tuple[str, int]], is_cut: bool) -> None:
    encoded = [
        string_key(b"name:%d" % n, b"v") if kind == "full" else empty_key(kind, b"name:%d" % n) for kind, n in keys
    ]
    data = make_rdb(select_db(0), *encoded, string_key(b"last", b"x"), magic=b"REDIS0010")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "dump.rdb"
        path.write_bytes(data[:-8] if is_cut else data[:-1] + bytes([data[-1] ^ 1]))
        out, plan = salvage(path)
    assert load_dump(servers_by_line()[lines_for(10)[0]], out) == {"db0": plan["keys"]["after"]}
