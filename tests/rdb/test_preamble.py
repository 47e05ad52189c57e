"""The RDB walk finds the end of a preamble, verifies its checksum, and reports what can be read of a damaged one."""

from pathlib import Path
from random import Random

import anycrc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aofdoctor.rdb.encoding.crc64 import _py_crc64, _py_find_end_by_crc, crc64, find_end_by_crc
from aofdoctor.rdb.preamble import is_rdb, read_aux, walk_rdb
from aofdoctor.resp import encode_command
from aofdoctor.server.sandbox import Sandbox
from aofdoctor.source import BytesSource, FileSource
from tests.conftest import FIXTURES, aofdoctor
from tests.support.servers import servers_by_line

BASES = sorted((FIXTURES / "aof").rglob("*.base.rdb"))
VALUES = [
    ("SET", "string", "x" * 5000), ("SET", "int", "12345"), ("SET", "packed", "ab" * 3000), ("RPUSH", "list", *"abc"),
    ("RPUSH", "long", *["v" * 100] * 400), ("SADD", "ints", 1, 2, 3), ("SADD", "words", *"abc"), ("ZADD", "zset", 1.5, "a", "-inf", "b"),
    ("ZADD", "bigzset", *[x for n in range(200) for x in (n, f"m{n}")]), ("HSET", "hash", "f", "v"),
    ("HSET", "bighash", *[x for n in range(600) for x in (f"f{n}", n)]), ("XADD", "stream", "1-1", "f", "v"),
    ("XGROUP", "CREATE", "stream", "group", "0"), ("XREADGROUP", "GROUP", "group", "me", "STREAMS", "stream", ">"),
    ("SET", "ttl", "1", "EX", 100000),
]  # fmt: skip


def test_the_check_value_of_the_checksum() -> None:
    assert crc64(b"123456789") == _py_crc64(b"123456789") == 0xE9C6D914C4B8D9CA


@given(st.binary(max_size=3000), st.binary(max_size=3000))
def test_the_checksum_is_that_of_another_implementation(one: bytes, other: bytes) -> None:
    oracle = anycrc.CRC(64, 0xAD93D23594C935A9, 0, True, True, 0)
    assert crc64(other, crc64(one)) == _py_crc64(one + other) == oracle.calc(one + other)


def test_the_checksum_of_the_portable_path_is_the_same() -> None:
    from aofdoctor.rdb.encoding._crc64 import portable_crc64

    data = Random(3).randbytes(2000)
    for size in [*range(300), 511, 512, 513, 2000]:
        assert crc64(data[:size], size) == portable_crc64(data[:size], size) == _py_crc64(data[:size], size)


@given(st.binary(max_size=100), st.binary(max_size=50))
def test_the_end_is_found_by_the_checksum_alone(body: bytes, tail: bytes) -> None:
    data = body + b"\xff"
    data += crc64(data).to_bytes(8, "little") + tail + bytes(8)
    assert find_end_by_crc(data, 0) == _py_find_end_by_crc(data, 0)
    assert find_end_by_crc(data, 0)[0] <= len(body)


@pytest.mark.parametrize("base", BASES, ids=lambda p: p.parent.parent.name)
def test_a_base_of_a_real_server_is_walked_to_its_end(base: Path) -> None:
    rdb = walk_rdb(FileSource(base))
    assert (rdb.end, rdb.complete, rdb.checksum) == (base.stat().st_size, True, "ok")
    assert rdb.key_count == (0 if base.name.endswith(".1.base.rdb") else 21)
    assert read_aux(FileSource(base)) == rdb.aux


@pytest.mark.parametrize("line", sorted(servers_by_line()))
def test_every_type_that_a_real_server_writes_is_skipped(line: str) -> None:
    with Sandbox(servers_by_line()[line], hide=()) as server:
        server.client.pipeline(VALUES)
        if line in ("valkey-9.1", "redis-8.2"):
            server.call("HSETEX", "expiring", "EX", 10000, "FIELDS", 1, "f", "v")
        if line != "redis-6.2":
            server.call("FUNCTION", "LOAD", "#!lua name=lib\nserver.register_function('f', function() return 1 end)"
                        if line == "valkey-9.1" else "#!lua name=lib\nredis.register_function('f', function() return 1 end)")  # fmt: skip
        keys = server.call("DBSIZE")
        for compressed in ("yes", "no"):
            server.call("CONFIG", "SET", "rdbcompression", compressed)
            server.call("SAVE")
            rdb = walk_rdb(FileSource(server.folder / "dump.rdb"))
            assert (rdb.key_count, rdb.checksum, rdb.note) == (keys, "ok", "")


def test_every_prefix_of_an_rdb_is_truncated_and_never_raises() -> None:
    data = BASES[-1].read_bytes()
    for size in range(len(data)):
        source = BytesSource(data[:size])
        if is_rdb(source):
            rdb = walk_rdb(source)
            assert not rdb.complete and rdb.note.startswith("the file ends") and rdb.end <= size


@given(st.integers(0, 470), st.binary(min_size=1, max_size=9))
def test_an_rdb_with_any_bytes_changed_never_raises(at: int, bad: bytes) -> None:
    data = bytearray(BASES[-1].read_bytes())
    data[at : at + len(bad)] = bad
    source = BytesSource(bytes(data))
    if is_rdb(source):
        rdb = walk_rdb(source)
        assert rdb.checksum != "ok" or bytes(data) == BASES[-1].read_bytes() or rdb.end != len(data)


def test_an_unknown_type_is_skipped_by_the_checksum() -> None:
    data = BASES[-1].read_bytes()
    body = data[:-9] + b"\x6b\x01k\x03abc" + b"\xff"
    body += crc64(body).to_bytes(8, "little")
    rdb = walk_rdb(BytesSource(body + encode_command([b"SET", b"a", b"1"])))
    assert (rdb.end, rdb.key_count, rdb.checksum, rdb.complete) == (len(body), None, "ok", True)
    assert "type 107" in rdb.note


def test_a_flipped_bit_in_the_magic_is_distinguished_from_garbage(tmp_path: Path) -> None:
    data = bytearray((FIXTURES / "aof" / "wiped-redis-6.2-preamble" / "appendonly.aof").read_bytes())
    data[0] ^= 8
    path = tmp_path / "appendonly.aof"
    path.write_bytes(data)
    part = aofdoctor("check", path, "--json").json["parts"][0]
    assert [d["kind"] for d in part["damage"]] == ["corrupt-preamble"] and part["commands"] > 10


def test_hostile_lengths_end_at_once() -> None:
    for tail in (b"\x00\x81" + b"\xff" * 8 + b"x", b"\x01\x01k\x81" + b"\xff" * 8, b"\x0f\x01k\x81" + b"\x7f" * 8, b"\x07\x01k\x01\x09",
                 b"\x00\x01k\xc3\x81" + b"\xff" * 16):  # fmt: skip
        rdb = walk_rdb(BytesSource(b"REDIS0011" + tail))
        assert not rdb.complete
