"""Every verb on RDBs with one damage each: false end marks, wrong lengths, distant expiries, undecodable values."""

import struct
from pathlib import Path

import pytest

from aofdoctor.rdb.encoding.crc64 import crc64
from aofdoctor.rdb.items import ItemReader, KeyItem
from aofdoctor.resp import encode_command
from aofdoctor.source import BytesSource
from tests.conftest import aofdoctor
from tests.support import rdb_value_writer as w
from tests.support.conversions import convert, load_output, loaded_state, sealed_rdb
from tests.support.rdb_loading import digest_server
from tests.support.servers import servers_by_line


def key(kind: int, name: bytes, body: bytes) -> bytes:
    return bytes((kind,)) + w.string(name) + body


KEYS = [key(0, b"key:%d" % n, w.string(b"value %d" % n)) for n in range(50)]


def names(data: bytes) -> list[bytes]:
    source = BytesSource(data)
    return [item.name(source) for batch in ItemReader(source) for item in batch if isinstance(item, KeyItem)]


def salvage(path: Path, *words: str) -> bytes:
    out = path.with_name("out.rdb")
    done = aofdoctor("repair", path, "--salvage", *words, "-o", out)
    assert done.status == 0, done.err
    return out.read_bytes()


@pytest.mark.parametrize("at", [1, 25, 49])
def test_a_false_end_mark_ends_nothing(at: int, tmp_path: Path) -> None:
    value = b"\r\n*1\r\n$8\r\nFLUSHALL\r\n"
    data = sealed_rdb(b"REDIS0010", b"\xfe\x00" + b"".join(KEYS) + key(0, b"note", w.string(value)))
    place = data.index(KEYS[at])
    path = tmp_path / "dump.rdb"
    path.write_bytes(data[:place] + b"\xff" + data[place + 1 :])
    found = aofdoctor("check", path, "--json").json
    assert not [one for one in found["findings"] if one["code"] == "flush"] and not found["parts"][0]["commands"]
    assert "--salvage" in aofdoctor("check", path).out.partition("Next:")[2]
    out = salvage(path)
    assert names(out) == names(data)  # The checksum proves which byte was changed.
    with load_output(servers_by_line()["redis-7.0"], path.with_name("out.rdb")) as running:
        assert running.call("DBSIZE") == 51


def test_an_end_mark_with_a_wrong_checksum_is_the_end(tmp_path: Path) -> None:
    data = sealed_rdb(b"REDIS0010", b"\xfe\x00" + b"".join(KEYS))
    path = tmp_path / "a.aof"
    path.write_bytes(
        data[:-8] + b"not this" + encode_command([b"SET", b"a", b"1"]) + encode_command([b"SET", b"b", b"1"])
    )
    part = aofdoctor("check", path, "--json").json["parts"][0]
    assert part["preamble"]["end"] == len(data) and part["preamble"]["checksum"] == "bad" and part["commands"] == 2


@pytest.mark.parametrize("words", [[], ["--strict"]], ids=["all", "strict"])
def test_keys_inside_a_grown_value_are_kept_once(words: list[str], tmp_path: Path) -> None:
    """Bytes are missing inside a listpack, so the walk continues inside another key and finds false keys."""
    hurt = key(16, b"h", w.string(w.listpack([b"f", b"a" * 40, b"g", b"b" * 30])))
    like = key(0, b"k", w.string(b"\0\0\1y" * 3))
    body = b"\xfe\x00" + key(0, b"", w.string(b"x")) + hurt + like + b"".join(KEYS)
    whole = b"REDIS0010" + body + b"\xff" + b"\1" * 8
    cut = whole.index(b"a" * 40)
    path = tmp_path / "dump.rdb"
    path.write_bytes(whole[:cut] + whole[cut + len(like) - 12 :])
    kept = names(salvage(path, *words))
    assert kept == ([b""] if words else [b"", *(b"key:%d" % n for n in range(50))])
    with load_output(servers_by_line()["redis-7.0"], path.with_name("out.rdb")) as running:
        assert running.call("DBSIZE") == len(kept)


def test_keys_that_expire_in_the_year_9999_are_found_again_with_their_expiry(tmp_path: Path) -> None:
    never = 253_402_300_799_000
    keys = [b"\xfc" + never.to_bytes(8, "little") + one for one in KEYS]
    data = sealed_rdb(b"REDIS0010", b"\xfe\x00" + b"".join(keys))
    at = data.index(keys[25]) + 9
    path = tmp_path / "dump.rdb"
    path.write_bytes(data[:at] + b"\x8f" + data[at + 1 :])
    out = BytesSource(salvage(path))
    found = [item for batch in ItemReader(out) for item in batch if isinstance(item, KeyItem)]
    assert len(found) == 49 and {item.expire_ms for item in found} == {never}


def test_a_dump_is_salvaged_as_a_dump(tmp_path: Path) -> None:
    path = tmp_path / "dump.rdb"
    path.write_bytes(sealed_rdb(b"REDIS0010", b"\xfe\x00" + b"".join(KEYS))[:-8] + b"not this")
    output = aofdoctor("repair", path, "--salvage", "-o", tmp_path / "out.rdb").out
    assert "appendonly no" in output and "with appendonly yes" not in output
    assert "appendonly no" in aofdoctor("repair", path, "--salvage", "--in-place", "-y").out
    with digest_server(servers_by_line()["redis-7.0"], path.read_bytes()) as running:
        assert running.call("DBSIZE") == 50


@pytest.mark.parametrize("cut", [9, "after a key", "in a key", "in the checksum", "a byte of it"])
@pytest.mark.parametrize("words", [[], ["--base"], ["--base", "-r"], ["-r"], ["-n", "3", "--base"]], ids=" ".join)
def test_a_log_of_a_damaged_rdb_warns_once(cut: int | str, words: list[str], tmp_path: Path) -> None:
    data = sealed_rdb(b"REDIS0010", b"\xfe\x00" + b"".join(KEYS))
    end = data.index(KEYS[25])
    places = {"after a key": end, "in a key": end + 3, "in the checksum": len(data) - 3}
    path = tmp_path / "dump.rdb"
    path.write_bytes(data[:-1] + bytes((data[-1] ^ 1,)) if cut == "a byte of it" else data[: places.get(str(cut), 9)])
    result = aofdoctor("log", path, *words, "--json")
    assert result.status == 1 and result.err.count("damage at") == 1
    count = {9: 0, "in the checksum": 50, "a byte of it": 50}.get(cut, 25) if "--base" in words else 0
    assert len(result.lines) == (min(count, 3) if "-n" in words else count)


# -- slice --


@pytest.mark.parametrize("words", [["--key", "nosuch*"], ["--cmd", "append"]])
def test_an_empty_slice_is_refused(words: list[str], tmp_path: Path) -> None:
    path = tmp_path / "dump.rdb"
    path.write_bytes(sealed_rdb(b"REDIS0010", b"\xfe\x00" + b"".join(KEYS)))
    result = aofdoctor("slice", path, *words, "-o", tmp_path / "out")
    assert result.status == 2 and "nothing is selected" in result.err and not (tmp_path / "out").exists()


def test_a_slice_without_keys_keeps_the_functions_of_the_base(tmp_path: Path) -> None:
    code = b"#!lua name=mylib\nredis.register_function('f', function() return 1 end)"
    base = sealed_rdb(b"REDIS0010", b"\xf5" + w.string(code) + b"\xfe\x00" + b"".join(KEYS))
    (tmp_path / "a.aof").write_bytes(
        base + encode_command([b"SET", b"a", b"1"]) + encode_command([b"APPEND", b"b", b"1"])
    )
    report = aofdoctor("slice", tmp_path / "a.aof", "--cmd", "append", "-o", tmp_path / "out.aof", "--json").json
    assert any("1 library of functions" in note for note in report["notes"])
    _, keys, functions = loaded_state(servers_by_line()["redis-7.0"], tmp_path / "out.aof")
    assert [one["key"] for one in keys] == ["b"] and len(functions) == 1


# -- convert --


def expiring_key(kind: int, soonest: bytes, time: bytes) -> bytes:
    body = w.length(2) + time + w.string(b"f") + w.string(b"v") + w.length(0) + w.string(b"g") + w.string(b"v")
    return key(kind, b"h", soonest + body)


FAR_EXPIRIES = {
    "the last moment": (b"REDIS0012", expiring_key(24, struct.pack("<q", 2**63 - 1), w.length(1))),
    "past any": (b"REDIS0012", expiring_key(24, struct.pack("<q", 1), b"\x81" + b"\xff" * 8)),
    "a negative soonest": (b"REDIS0012", expiring_key(24, struct.pack("<q", -1), b"\x81" + b"\xff" * 8)),
    "Valkey's last moment": (b"VALKEY080", key(22, b"h", w.length(1) + w.string(b"f") + w.string(b"v")
                                               + struct.pack("<q", 2**63 - 1))),
}  # fmt: skip


@pytest.mark.parametrize("name", FAR_EXPIRIES)
@pytest.mark.parametrize("shift", [[], ["--shift-ttl", "999999999d"], ["--shift-ttl", "-999999999d"]])
@pytest.mark.parametrize("base", [[], ["--base", "resp"], ["--base", "rdb", "--rdb-version", "80"],
                                  ["--base", "rdb", "--rdb-version", "12"]])  # fmt: skip
def test_expiries_of_fields_at_the_end_of_time(name: str, shift: list[str], base: list[str], tmp_path: Path) -> None:
    path = tmp_path / "dump.rdb"
    path.write_bytes(sealed_rdb(*FAR_EXPIRIES[name]))
    result = aofdoctor("convert", path, *base, *shift, "-o", tmp_path / "out")
    # Redis 7.4 to 8.10 refuse a field that expires so late; Valkey loads it, and commands limit it.
    is_redis = base[-1:] == ["12"] or (not base and name == "the last moment")
    loads = "last moment" in name and not is_redis
    assert result.status == (2 if not base + shift else 0 if loads else 3), result.err
    if result.status == 0:
        assert aofdoctor("check", tmp_path / "out", "--json").json["parts"][0]["damage"] == []


def test_an_undecodable_value_without_a_checksum_is_dropped_by_salvage(tmp_path: Path) -> None:
    body = b"\xfe\x00" + key(16, b"lies", w.string(b"no listpack")) + b"".join(KEYS)
    path = tmp_path / "dump.rdb"
    path.write_bytes(b"REDIS0011" + body + b"\xff" + bytes(8))
    assert "--salvage" in aofdoctor("convert", path, "--base", "resp").err
    out = salvage(path)
    assert names(out) == [b"key:%d" % n for n in range(50)] and crc64(out[:-8]).to_bytes(8, "little") == out[-8:]
    convert(path.with_name("out.rdb"), "--base", "resp", "-o", tmp_path / "out.aof")
    path.write_bytes(b"REDIS0011" + b"\xfe\x00" + b"".join(KEYS) + b"\xff" + bytes(8))
    assert not aofdoctor("repair", path, "--salvage", "--json").json["changed"]


def test_stream_counters_that_a_version_cannot_represent_are_listed(tmp_path: Path) -> None:
    with digest_server(servers_by_line()["redis-7.0"]) as running:
        for name, gone in (("whole", 0), ("less", 1)):
            running.call("XADD", name, "1-1", "f", "v")
            running.call("XADD", name, "1-2", "f", "v")
            running.call("XDEL", name, "1-2") if gone else None
        running.call("SAVE")
        data = (running.folder / "dump.rdb").read_bytes()
    (tmp_path / "dump.rdb").write_bytes(data)
    lost = {
        line: [one["key"] for one in convert(tmp_path / "dump.rdb", "--base", "resp", "--for", line)["inexpressible"]]
        for line in ("redis-6.2", "redis-7.0")
    }
    assert lost == {"redis-6.2": ["less"], "redis-7.0": []}


def test_a_lost_library_and_an_empty_collection_are_reported(tmp_path: Path) -> None:
    code = b"#!lua name=mylib\nredis.register_function('f', function() return 1 end)"
    body = b"\xf5" + w.string(code) + b"\xfe\x00" + key(2, b"empty", w.length(0)) + KEYS[0]
    (tmp_path / "dump.rdb").write_bytes(sealed_rdb(b"REDIS0010", body))
    for words in (["--base", "resp", "--for", "redis-6.2"], ["--base", "rdb", "--rdb-version", "9"]):
        report = convert(tmp_path / "dump.rdb", *words)
        assert [(one["type"], one["key"]) for one in report["inexpressible"]] == [("function", "mylib")]
    report = convert(tmp_path / "dump.rdb", "--base", "resp", "--for", "redis-6.2")
    assert any("without an element" in note for note in report["notes"])
