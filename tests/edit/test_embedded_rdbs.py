"""RDBs behind, among or without bytes that belong to them: found, reported and extracted, in linear time."""

import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aofdoctor.aof.reader import read_tiles
from aofdoctor.damage import Damage, DamageKind
from aofdoctor.edit.reconstruction.damaged_rdbs import find_leading_damaged_rdb, readable_rdb
from aofdoctor.resp import encode_command
from aofdoctor.server.command_table import command_table
from aofdoctor.source import BytesSource
from aofdoctor.span import Span
from tests.conftest import aofdoctor
from tests.support.conversions import key_counts
from tests.support.rdb_files import collection_key, make_rdb, select_db, string_key

RDB = make_rdb(
    *(string_key(b"key:%d" % i, b"value %d" % i) for i in range(40)), collection_key(b"l", b"x", b"y", kind=1),
    select_db(2), string_key(b"two", b"2"), aux=[(b"redis-ver", b"6.2.14")], magic=b"REDIS0009",
)  # fmt: skip
KEYS = {0: 41, 2: 1}
SET = encode_command([b"SET", b"later", b"1"])
HEADS = {
    "bulk": b"$%d\r\n" % len(RDB),
    "fullresync": b"+FULLRESYNC 8371445ee47aaca5f5b1d1d0d4d7e2e0d0a5ed07 0\r\n$%d\r\n" % len(RDB),
    "diskless": b"$EOF:" + b"a" * 40 + b"\r\n",
    "http": b"HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\n\r\n",
    "newlines": b"\n\n\n$%d\r\n" % len(RDB),
}


def salvaged(source: Path, out: Path) -> Path:
    result = aofdoctor("repair", source, "--salvage", "-o", out)
    assert result.status == 0, result.err
    return out


@pytest.mark.parametrize("head", HEADS.values(), ids=HEADS)
def test_bytes_before_an_rdb_are_reported_and_left_out(head: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.rdb").write_bytes(head + RDB + SET)
    report = aofdoctor("check", tmp_path / "a.rdb")
    assert report.status == 1 and "before an RDB" in report.out and "42 keys" in report.out
    assert key_counts(salvaged(tmp_path / "a.rdb", tmp_path / "out.aof")) == {0: 42, 2: 1}


def test_an_rdb_among_commands_becomes_commands_and_merges_nothing(tmp_path: Path) -> None:
    before = encode_command([b"SELECT", b"5"]) + encode_command([b"RPUSH", b"l", b"old"])
    before += encode_command([b"SELECT", b"0"]) + encode_command([b"RPUSH", b"l", b"old"])
    (tmp_path / "a.aof").write_bytes(before + encode_command([b"SELECT", b"5"]) + RDB + SET)
    assert aofdoctor("check", tmp_path / "a.aof").status == 1
    out = salvaged(tmp_path / "a.aof", tmp_path / "out.aof")
    counts, elements = key_counts(out, ask=lambda server: server.call("LRANGE", "l", "0", "-1"))
    assert counts == {0: 42, 2: 1, 5: 1} and elements == [b"x", b"y"]


@pytest.mark.parametrize("lost", [5, 9, 60])
@pytest.mark.parametrize("fill", [b"", b"\0"], ids=["cut", "nul"])
def test_an_rdb_without_its_beginning_is_salvaged(lost: int, fill: bytes, tmp_path: Path) -> None:
    (tmp_path / "dump.rdb").write_bytes(fill * lost + RDB[lost:])
    assert aofdoctor("check", tmp_path / "dump.rdb").status == 1
    counts = key_counts(salvaged(tmp_path / "dump.rdb", tmp_path / "out.rdb"))
    assert counts == KEYS if lost < 10 else counts[0] >= 37 and counts[2] == 1


@pytest.mark.parametrize("version", [b"5.0.7", b"6.2.14", b"7.0.15"])
@pytest.mark.parametrize("head", [b"", bytes(9), b"\r\n$900\r\n"], ids=["cut", "nul", "debris"])
def test_a_lost_magic_becomes_that_of_the_writer(version: bytes, head: bytes, tmp_path: Path) -> None:
    """The magic that fits the first keys differs from that of the version in the AUX fields."""
    keys = (string_key(b"key:%d" % i, b"value %d" % i) for i in range(40))
    rdb = make_rdb(*keys, aux=[(b"redis-ver", version)], magic=b"REDIS0010")
    (tmp_path / "appendonly.aof").write_bytes(head + rdb[9:] + SET)
    out = salvaged(tmp_path / "appendonly.aof", tmp_path / "out.aof")
    assert out.read_bytes().startswith(b"REDIS00") and key_counts(out) == {0: 41}


@given(st.binary(max_size=60), st.binary(max_size=60), st.integers(0, len(RDB)))
@settings(deadline=None)
def test_the_tiles_cover_every_byte(before: bytes, after: bytes, size: int) -> None:
    data = before + RDB[:size] + after
    at = 0
    for tile in read_tiles(BytesSource(data), command_table().names):
        assert tile.span.start == at < tile.span.end
        at = tile.span.end
    assert at == len(data)


@given(st.lists(st.sampled_from([RDB, SET, encode_command([b"SELECT", b"3"])]), min_size=1, max_size=5))
@settings(deadline=None)
def test_every_whole_rdb_is_a_tile_of_its_own(pieces: list[bytes]) -> None:
    tiles = [*read_tiles(BytesSource(b"".join(pieces)), command_table().names)]
    found = sum(tile.kind is DamageKind.SECOND_AOF for tile in tiles if isinstance(tile, Damage))
    assert found == pieces[1:].count(RDB)
    assert all(tile.span.size == len(RDB) for tile in tiles if isinstance(tile, Damage))


def test_an_rdb_inside_a_damaged_value_stays_a_value(tmp_path: Path) -> None:
    torn = b"*3\r\n$3\r\nSET\r\n$1\r\nd\r\n$%d\r\n" % len(RDB) + RDB + b"XX"
    (tmp_path / "a.aof").write_bytes(SET + torn + SET)
    assert key_counts(salvaged(tmp_path / "a.aof", tmp_path / "out.aof")) == {0: 1}


def test_many_magics_cost_linear_time() -> None:
    seconds = []
    for count in (20_000, 80_000):
        data = SET + b"".join(b"REDIS0009\x00\xc1" + SET for _ in range(count))
        start = time.process_time()
        assert sum(1 for _ in read_tiles(BytesSource(data), command_table().names)) > 2_000
        seconds.append(time.process_time() - start)
    assert seconds[1] < 10 * seconds[0] + 1


def test_a_data_directory_with_an_rdb_alone_is_opened(tmp_path: Path) -> None:
    (tmp_path / "dump.rdb").write_bytes(RDB)
    (tmp_path / "temp-4711.rdb").write_bytes(RDB[:-20])
    result = aofdoctor("check", tmp_path)
    assert result.status == 0 and "42 keys" in result.out and "temp-4711.rdb" in result.out


def test_a_second_rdb_behind_the_debris_of_a_dump_is_kept_as_commands(tmp_path: Path) -> None:
    other = make_rdb(string_key(b"other", b"1"), magic=b"REDIS0009")
    (tmp_path / "dump.rdb").write_bytes(RDB + b"0123456789" * 4 + other)
    report = aofdoctor("check", tmp_path / "dump.rdb", "--json").json
    assert {verdict["outcome"] for verdict in report["verdicts"]} == {"loads"}
    result = aofdoctor("repair", tmp_path / "dump.rdb", "--salvage", "-o", tmp_path / "out.aof")
    assert result.status == 0 and "appendonly yes" in result.out
    assert key_counts(tmp_path / "out.aof") == {0: 42, 2: 1}


# -- damaged RDBs: they give the keys that they give as a base --


def hole(at: int, size: int) -> bytes:
    return RDB[:at] + bytes(size) + RDB[at + size :]


DAMAGED = {
    "hole": hole(300, 20),
    "cut": RDB[:500],
    "flip": RDB[:400] + b"\xee" + RDB[401:],
    "checksum": RDB[:-1] + b"x",
}


def readable_keys(path: Path, data: bytes) -> int:
    path.write_bytes(data)
    keys: int = aofdoctor("repair", path, "--salvage", "--json").json["keys"]["after"]
    return keys


@pytest.mark.parametrize("damaged", DAMAGED.values(), ids=DAMAGED)
@pytest.mark.parametrize("head", HEADS.values(), ids=HEADS)
def test_a_damaged_rdb_behind_bytes_gives_the_keys_of_a_base(head: bytes, damaged: bytes, tmp_path: Path) -> None:
    expected = readable_keys(tmp_path / "base.aof", damaged)
    assert expected >= 29 and readable_keys(tmp_path / "a.aof", head + damaged) == expected
    assert sum(key_counts(salvaged(tmp_path / "a.aof", tmp_path / "out")).values()) == expected


@pytest.mark.parametrize("damaged", DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_rdb_among_commands_gives_its_readable_keys(damaged: bytes, tmp_path: Path) -> None:
    expected = readable_keys(tmp_path / "base.aof", damaged)
    after = b"" if damaged == DAMAGED["cut"] else encode_command([b"SET", b"after", b"1"])
    (tmp_path / "a.aof").write_bytes(SET + damaged + after)
    plan = aofdoctor("repair", tmp_path / "a.aof", "--salvage", "--json").json
    assert any("RDB among the commands" in change["reason"] for change in plan["mended"])
    counts = key_counts(salvaged(tmp_path / "a.aof", tmp_path / "out"))
    assert sum(counts.values()) == expected + 1 + bool(after)


def test_the_name_of_a_magic_alone_is_no_rdb(tmp_path: Path) -> None:
    assert find_leading_damaged_rdb(BytesSource(b"junk REDIS0009\xff\xff\xff")) is None
    assert find_leading_damaged_rdb(BytesSource(SET + RDB[:500])) is None


@settings(max_examples=60)
@given(st.integers(9, len(RDB) - 1), st.integers(1, 30), st.binary(max_size=30))
def test_readable_rdbs_load_or_are_none(at: int, size: int, fill: bytes) -> None:
    data = RDB[:at] + fill + RDB[at + size :]
    salvaged_rdb = readable_rdb(BytesSource(data), Span(0, len(data)))
    if salvaged_rdb is None:
        return
    again = readable_rdb(BytesSource(salvaged_rdb[0]), Span(0, len(salvaged_rdb[0])))
    assert again == salvaged_rdb
