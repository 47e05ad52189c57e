"""What a salvage writes loads: names are unique, libraries compile, and damaged keys are named by check and the plan."""

from pathlib import Path
from typing import Any

import pytest

from tests.conftest import aofdoctor
from tests.support import rdb_value_writer as w
from tests.support.rdb_files import collection_key, make_rdb, select_db, string_key
from tests.support.rdb_loading import load_dump
from tests.support.servers import servers_by_line

LIBRARY = b"#!lua name=l\nredis.register_function('f', function(keys, args) return 1 end)"
KEYS = [string_key(b"key:%d" % n, b"value %d" % n) for n in range(20)]
TWICE = collection_key(b"twice", b"a", b"b", kind=1)
BAD_HASH = b"\x10" + w.string(b"bad") + w.string(w.listpack([b"f", b"1", b"g", b"2"])[:4] + b"\x09\x00" + b"\x81f\x02")


def function(code: bytes) -> bytes:
    return b"\xf5" + w.string(code)


def salvage(path: Path, *words: str) -> tuple[bytes, Any]:
    out = path.with_name("out.rdb")
    done = aofdoctor("repair", path, "--salvage", *words, "-o", out, "--json")
    assert done.status == 0, done.err
    return out.read_bytes(), done.json


def save(tmp_path: Path, *pieces: bytes) -> Path:
    path = tmp_path / "dump.rdb"
    path.write_bytes(make_rdb(*pieces, magic=b"REDIS0010"))
    return path


def loads(data: bytes) -> dict[str, int] | None:
    return load_dump(servers_by_line().get("redis-7.0") or servers_by_line()["valkey-9.1"], data)


def test_a_key_that_is_there_twice_is_named_and_kept_once(tmp_path: Path) -> None:
    path = save(tmp_path, select_db(0), *KEYS, TWICE, select_db(3), TWICE, select_db(0), TWICE)
    found = aofdoctor("check", path, "--json")
    assert found.status == 1
    [damage] = found.json["parts"][0]["damage"]
    assert damage["kind"] == "duplicate-name" and "key twice of db0" in damage["note"]
    assert found.json["parts"][0]["rdb_contents"]["readable_keys"] == 22
    assert all(verdict["outcome"] == "refuses" for verdict in found.json["verdicts"])
    assert loads(path.read_bytes()) is None
    out, plan = salvage(path)
    assert loads(out) == {"db0": 21, "db3": 1}
    assert any("key twice of db0" in note for note in plan["notes"])


def test_a_packed_value_that_lies_under_a_right_checksum_is_damage(tmp_path: Path) -> None:
    path = save(tmp_path, select_db(0), *KEYS, BAD_HASH, string_key(b"last", b"v"))
    found = aofdoctor("check", path)
    assert found.status == 1 and "key bad of db0" in found.out
    assert aofdoctor("repair", path).status == 3
    out, _ = salvage(path)
    assert loads(out) == {"db0": 21}
    assert aofdoctor("check", path.with_name("out.rdb")).status == 0


def test_a_large_sound_rdb_is_decoded_by_deep_only(tmp_path: Path) -> None:
    path = save(tmp_path, select_db(0), string_key(b"big", bytes(1 << 20)), TWICE, TWICE)
    assert aofdoctor("check", path).status == 0
    found = aofdoctor("check", path, "--deep")
    assert found.status == 1 and "key twice of db0" in found.out


@pytest.mark.parametrize(
    ("libraries", "kept"), [([LIBRARY, LIBRARY], 1), ([LIBRARY[:-1]], 0), ([LIBRARY, b"#!lua name=m\n("], 1)]
)
def test_libraries_that_no_server_loads_are_left_out(libraries: list[bytes], kept: int, tmp_path: Path) -> None:
    path = save(tmp_path, *map(function, libraries), select_db(0), *KEYS)
    assert aofdoctor("check", path).status == 1 and loads(path.read_bytes()) is None
    out, _ = salvage(path)
    assert loads(out) == {"db0": 20} and out.count(b"#!lua") == kept


def test_a_convert_of_what_no_server_loads_is_refused_with_the_key(tmp_path: Path) -> None:
    path = save(tmp_path, select_db(0), *KEYS, TWICE, TWICE)
    done = aofdoctor("convert", path, "--base", "rdb", "--rdb-version", "9", "-o", tmp_path / "out.rdb")
    assert done.status == 3 and "key twice" in done.err and not (tmp_path / "out.rdb").exists()


def test_an_empty_dump_stays_a_dump(tmp_path: Path) -> None:
    path = save(tmp_path, select_db(0))
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(bytes(data))
    out, _ = salvage(path)
    assert loads(out) == {}


def test_a_byte_between_the_keys_is_restored_by_the_checksum(tmp_path: Path) -> None:
    path = save(tmp_path, function(LIBRARY), select_db(0), *KEYS, select_db(5), TWICE)
    whole = path.read_bytes()
    for number, at in enumerate((whole.index(b"register") + 3, whole.index(b"\xfe\x05") + 1)):
        (tmp_path / str(number)).mkdir()
        hurt = tmp_path / str(number) / "dump.rdb"
        hurt.write_bytes(whole[:at] + bytes((whole[at] ^ 0x20,)) + whole[at + 1 :])
        assert salvage(hurt)[0] == whole


# -- partial values --


@pytest.mark.parametrize("kind", ["zset", "hash", "list"])
def test_partial_values_keep_what_precedes_the_damage(kind: str, tmp_path: Path) -> None:
    members = [b"member-%03d" % n for n in range(60)]
    if kind == "zset":
        value = b"\x05" + w.string(b"z") + w.length(60) + b"".join(w.string(m) + bytes(8) for m in members)
    elif kind == "hash":
        value = b"\x04" + w.string(b"z") + w.length(60) + b"".join(w.string(m) * 2 for m in members)
    else:
        value = collection_key(b"z", *members, kind=1)
    path = save(tmp_path, select_db(0), *KEYS[:10], select_db(7), value, *KEYS[10:])
    data = path.read_bytes()
    at = data.index(b"member-030") - 1
    path.write_bytes(data[:at] + b"\xe0" + data[at + 1 :])
    assert "key z of db7" in aofdoctor("check", path).out
    out, plan = salvage(path, "--partial-values")
    assert loads(out) == {"db0": 10, "db7": 11}
    assert any("30 elements" in note for note in plan["notes"])
    path.with_name("out.rdb").unlink()
    assert out != path.read_bytes()


def test_partial_values_go_with_salvage(tmp_path: Path) -> None:
    assert aofdoctor("repair", save(tmp_path, *KEYS), "--partial-values").status == 2
