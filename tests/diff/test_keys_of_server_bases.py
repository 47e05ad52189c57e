"""diff --by keys on bases of real servers: one dataset has equal keys in every format that a server writes."""

import shutil
import time
from functools import cache
from itertools import combinations
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import pytest

from aofdoctor.server.sandbox import Sandbox
from tests.conftest import aofdoctor
from tests.support.servers import servers_by_line

VERSIONS = ("redis-7.0", "redis-8.2", "valkey-9.1")
SOON = 4_000_000_000_000  # Milliseconds.
BIG = b"z" * 200_000  # Larger than the window, and compressed by LZF.
Commands = list[list[bytes]]
WRITTEN_PATHS: list[Path] = []


def members(count: int) -> list[bytes]:
    return [b"member:%d" % (n * 7919) for n in range(count)]


def dataset(field_expiry: bool) -> Commands:
    """Return the commands for every type, small and large, in more than one database."""
    made: Commands = [
        [b"SET", b"s", b"text"], [b"SET", b"s:number", b"12345"], [b"SET", b"s:zeros", b"00012"],
        [b"SET", b"s:lzf", b"ab" * 500], [b"SET", b"s:big", BIG], [b"SET", b"s:empty", b""], [b"SET", b"", b"no name"],
        [b"SET", b"s:ttl", b"v", b"PXAT", b"%d" % SOON],
        [b"SADD", b"set:ints", *(b"%d" % n for n in range(40))], [b"SADD", b"set:small", *members(9)],
        [b"SADD", b"set:large", *members(700)],
        [b"RPUSH", b"l:small", b"a", b"1", b"a"], [b"RPUSH", b"l:large", *(b"%d" % (n * n) for n in range(900))],
        [b"RPUSH", b"l:big", b"x", BIG, b"y"],
        [b"ZADD", b"z:small", b"1", b"one", b"-0.5", b"half", b"inf", b"most", b"-0", b"zero"],
        [b"ZADD", b"z:large", *(w for n in range(600) for w in (b"%r" % (n / 7), b"m%d" % n))],
        [b"ZADD", b"z:odd", b"0.1", b"a", b"1e300", b"b", b"3.0000000000000004", b"c", b"17", b"d", b"123456789012345678", b"e"],
        [b"HSET", b"h:small", b"f", b"1", b"g", b"two"],
        [b"HSET", b"h:large", *(w for n in range(600) for w in (b"f%d" % n, b"v%d" % n))],
        [b"HSET", b"h:big", b"f", BIG], [b"PEXPIREAT", b"h:large", b"%d" % (SOON + 1)],
        [b"XADD", b"st", b"1-1", b"f", b"v"], [b"XADD", b"st", b"1-2", b"f", b"w", b"g", b"x"], [b"XADD", b"st", b"5-0", b"other", b"v"],
        [b"XGROUP", b"CREATE", b"st", b"g1", b"0"], [b"XGROUP", b"CREATE", b"st", b"g2", b"1-2"],
        [b"XGROUP", b"CREATECONSUMER", b"st", b"g1", b"idle"],
        [b"XCLAIM", b"st", b"g1", b"alice", b"0", b"1-1", b"1-2", b"TIME", b"1700000000000", b"RETRYCOUNT", b"3", b"FORCE", b"JUSTID"],
        [b"XCLAIM", b"st", b"g1", b"bob", b"0", b"5-0", b"TIME", b"1700000000001", b"FORCE", b"JUSTID"],
        [b"XDEL", b"st", b"5-0"], [b"XADD", b"st:gone", b"3-3", b"a", b"b"], [b"XDEL", b"st:gone", b"3-3"],
        [b"SELECT", b"3"], [b"SET", b"s", b"in three"], [b"SADD", b"set:small", b"x"],
    ]  # fmt: skip
    if field_expiry:
        made += [[b"HSET", b"h:ttl", b"a", b"1", b"b", b"2", b"c", b"3"],
                 [b"HPEXPIREAT", b"h:ttl", b"%d" % SOON, b"FIELDS", b"2", b"a", b"c"]]  # fmt: skip
    return made


PACKING = {
    "packed": [], "loose": ["--hash-max-listpack-entries", "0", "--zset-max-listpack-entries", "0", "--set-max-intset-entries", "0",
                            "--list-max-listpack-size", "1", "--rdbcompression", "no"],
}  # fmt: skip


@cache
def rewrite_dataset(line: str, preamble: str, packing: str, field_expiry: bool) -> Path:
    """Return the AOF of a server that has executed the dataset and rewritten its AOF."""
    folder = Path(mkdtemp(prefix="aofdoctor-test-"))
    WRITTEN_PATHS.append(folder)
    binary = servers_by_line()[line]
    commands = dataset(field_expiry)
    options = ["--appendonly", "yes", "--aof-use-rdb-preamble", preamble, *PACKING[packing]]
    with Sandbox(binary, options, hide=(), timeout=60) as server:
        for command in commands:
            server.call(*command)
        server.call("SELECT", 0)
        server.call("BGREWRITEAOF")
        until = time.monotonic() + 30
        while (
            server.info("persistence")["aof_rewrite_in_progress"] == "1"
            or server.info("persistence").get("aof_rewrite_scheduled") == "1"
        ):
            assert time.monotonic() < until
            time.sleep(0.02)
        target = folder / "appendonlydir"
        shutil.copytree(server.folder / "appendonlydir", target)
    return target


@pytest.fixture(scope="module", autouse=True)
def _clean() -> Any:
    yield
    rewrite_dataset.cache_clear()
    for folder in WRITTEN_PATHS:
        shutil.rmtree(folder)
    WRITTEN_PATHS.clear()


def key_differences(a: Path, b: Path) -> list[Any]:
    result = aofdoctor("diff", a, b, "--by", "keys", "--json")
    assert result.lines[0]["same"] + result.lines[0]["differ"] > 20, result.lines[:30]
    return [(line["type"], line["db"], line["key"]) for line in result.lines[1:]]


@pytest.mark.parametrize("line", VERSIONS)
def test_a_base_is_the_same_as_rdb_and_as_commands_and_however_it_is_packed(line: str) -> None:
    if line not in servers_by_line():
        pytest.skip(f"{line} is not installed")
    timed = line != "redis-7.0"
    sets = [rewrite_dataset(line, preamble, packing, timed) for preamble in ("yes", "no") for packing in PACKING]
    assert {p.suffix for s in sets[:2] for p in s.glob("*.base.*")} == {".rdb"}
    assert {p.suffix for s in sets[2:] for p in s.glob("*.base.*")} == {".aof"}
    for a, b in combinations(sets, 2):
        assert key_differences(a, b) == []


def test_bases_of_other_servers_are_the_same() -> None:
    known = [line for line in VERSIONS if line in servers_by_line()]
    for one, two in combinations(known, 2):
        assert (
            key_differences(rewrite_dataset(one, "yes", "packed", False), rewrite_dataset(two, "no", "loose", False))
            == []
        )
