"""Field cases of RDBs that a loader refuses: the damaged key is named, and what a salvage writes loads.

Runs only where the shared cases are: AOFDOCTOR_SHARED names their folder, or ../shared exists.
"""

import os
from pathlib import Path

import pytest

from tests.conftest import aofdoctor
from tests.support.conversions import load_output
from tests.support.rdb_loading import load_dump
from tests.support.servers import servers_by_line

SHARED = Path(os.environ.get("AOFDOCTOR_SHARED") or Path(__file__).parents[2].parent / "shared")
pytestmark = pytest.mark.skipif(
    not (SHARED / "field").is_dir(), reason="the field cases are neither in AOFDOCTOR_SHARED nor in ../shared"
)
TRADES = {"db6": 70, "db7": 376, "db9": 100}
CASES = {
    "07-one-bad-byte/zset-0x20.rdb": ("trades:btc:stats", TRADES),
    "08-broken-ziplist/badlist.rdb": ("badkey-x", {"db0": 220}),
    "08-broken-ziplist/badlist-sealed.rdb": ("badkey-x", {"db0": 220}),
    "09-duplicate-key/dup.rdb": ("obj.list.cache", {"db0": 81}),
    "09-duplicate-key/dup-sealed.rdb": ("obj.list.cache", {"db0": 81}),
    "25-rdb-changes/cut64-in-zset.rdb": ("trades:btc:stats", TRADES),
    "25-rdb-changes/flip-dup-name.rdb": ("ll:60", TRADES),
}


@pytest.mark.parametrize("case", CASES)
def test_the_damaged_key_is_named_and_all_others_load(case: str, tmp_path: Path) -> None:
    name, keys = CASES[case]
    path, out = tmp_path / "dump.rdb", tmp_path / "out.rdb"
    path.write_bytes((SHARED / "field" / case).read_bytes())
    found = aofdoctor("check", path, "--server", "redis-7.0", "--json")
    contents = found.json["parts"][0]["rdb_contents"]
    assert found.status == 1 and contents["readable_keys"] == sum(keys.values())
    assert [one["key"] for one in contents["damaged_keys"]] == [name]
    assert name in aofdoctor("check", path).out
    assert {v["outcome"] for v in found.json["verdicts"] if v["server"] == "redis-7.0"} == {"refuses"}
    done = aofdoctor("repair", path, "--salvage", "-o", out, "--json")
    assert done.status == 0 and any(name in note for note in done.json["notes"])
    assert load_dump(servers_by_line().get("redis-7.0") or servers_by_line()["valkey-9.1"], out.read_bytes()) == keys
    assert aofdoctor("check", out, "--deep").status == 0


def test_the_members_before_the_bad_byte_are_kept_on_request(tmp_path: Path) -> None:
    path, out = tmp_path / "dump.rdb", tmp_path / "out.rdb"
    path.write_bytes((SHARED / "field" / "07-one-bad-byte" / "zset-0x20.rdb").read_bytes())
    assert aofdoctor("repair", path, "--salvage", "--partial-values", "-o", out).status == 0
    binary = servers_by_line().get("redis-7.0") or servers_by_line()["valkey-9.1"]
    assert load_dump(binary, out.read_bytes()) == TRADES | {"db7": 377}


@pytest.mark.parametrize(
    ("case", "line"),
    [("functions-dmg", "redis-7.0"), ("lzf-library-dmg", "redis-8.2"), ("intset-dmg", "valkey-9.1")],
)
def test_a_set_with_a_damaged_library_or_integer_set_loads_after_a_salvage(
    case: str, line: str, tmp_path: Path
) -> None:
    source, folder = SHARED / "attack" / case, tmp_path / "appendonlydir"
    folder.mkdir()
    for path in source.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    out = tmp_path / "out"
    assert aofdoctor("check", folder).status == 1
    done = aofdoctor("repair", folder, "--salvage", "-o", out)
    if case == "lzf-library-dmg":  # Its only item is the damaged library; NUL bytes follow.
        assert done.status == 3 and "can be read" in done.err and not out.exists()
        return
    assert done.status == 0 and aofdoctor("check", out, "--deep").status == 0
    if line in servers_by_line():
        with load_output(servers_by_line()[line], out) as running:
            assert running.call("PING") == b"PONG"
