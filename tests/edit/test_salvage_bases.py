"""repair --salvage of a damaged RDB base: the keys before and after the damage are kept."""

import json
import re
from pathlib import Path

import pytest

from aofdoctor.cli.options import open_path
from aofdoctor.rdb.encoding.crc64 import crc64
from aofdoctor.rdb.items import ItemReader, KeyItem
from aofdoctor.rdb.preamble import walk_rdb
from aofdoctor.resp import encode_command
from aofdoctor.source import BytesSource
from tests.conftest import FIXTURES, aofdoctor
from tests.support import rdb_value_writer as w
from tests.support.base_keys import (
    BASE,
    SELECT_0,
    TAIL,
    USER_KEYS,
    key_names,
    load_key_names,
    make_base,
    overwrite,
    salvage,
    text_key,
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    place = tmp_path / "appendonly.aof"
    place.write_bytes(BASE + TAIL)
    return place


def test_the_keys_before_and_after_damage_are_kept_and_load(path: Path) -> None:
    overwrite(path, BASE.index(USER_KEYS[20]), b"\xf0" * 8)
    data, report = salvage(path)
    whole = walk_rdb(BytesSource(data))
    kept = key_names(data[: whole.end])
    assert (
        whole.complete and whole.checksum == "ok" and data.endswith(TAIL[-len(encode_command([b"DEL", b"user:2"])) :])
    )
    assert kept == [one for one in key_names(BASE) if one != (0, b"user:20")]
    assert load_key_names(data[: whole.end], "valkey-9.1") == set(kept)
    assert "59 keys of it can be read" in str(report["notes"]) and "39 of them found after the damage" in str(
        report["notes"]
    )
    lines = [json.loads(line) for line in (path.with_name("out.lost") / "map.jsonl").read_text().splitlines()]
    assert any(line["reason"] == "corrupt-preamble" for line in lines)


def test_a_strict_salvage_keeps_no_key_after_the_damage(path: Path) -> None:
    overwrite(path, BASE.index(USER_KEYS[20]), b"\xf0" * 8)
    data, _ = salvage(path, "--strict")
    assert key_names(data[: walk_rdb(BytesSource(data)).end]) == key_names(BASE)[:20]


@pytest.mark.parametrize("cut", [60, 300, len(BASE) - 9, len(BASE) - 1])
def test_every_key_before_a_truncation_is_kept(cut: int, path: Path) -> None:
    path.write_bytes(BASE[:cut])
    data, _ = salvage(path)
    expected = key_names(BASE)[: sum(BASE.index(k) + len(k) <= cut for k in USER_KEYS)]
    assert key_names(data)[: len(expected)] == expected and walk_rdb(BytesSource(data)).checksum == "ok"
    assert set(key_names(data)) <= set(key_names(BASE))


def test_a_duplicate_key_is_kept_once(path: Path) -> None:
    """A server refuses to start if an RDB has the same key twice."""
    data = make_base(SELECT_0, *USER_KEYS, b"\xf0" * 8, *USER_KEYS[:20])
    path.write_bytes(data[:-8] + b"not this")
    out, _ = salvage(path)
    kept = key_names(out)
    assert len(kept) == len(set(kept)) and set(kept) == set(key_names(make_base(SELECT_0, *USER_KEYS)))


@pytest.mark.parametrize("sized", [True, False])
def test_keys_of_a_high_database_after_damage_keep_it_or_are_reported(sized: bool, path: Path) -> None:
    high = [text_key(f"high:{number}", "x") for number in range(20)]
    room = b"\xfb" + w.length(20) + w.length(0) if sized else b""
    whole = make_base(SELECT_0, *USER_KEYS[:20], b"\xf0" * 8, *USER_KEYS[20:], b"\xfe" + w.length(20), room, *high)
    path.write_bytes(whole[:-8] + b"not this")
    data, report = salvage(path)
    expected = 20 if sized else 0
    assert [db for db, name in key_names(data) if name.startswith(b"high:")] == [expected] * 20
    guessed = re.search(r"(\d+) in a guessed database", str(report["notes"]))
    assert guessed and int(guessed[1]) == (20 if sized else 40)


def test_a_bad_magic_is_restored_from_the_aux_fields(tmp_path: Path) -> None:
    source = FIXTURES / "rdb" / "keys-v10.rdb"
    data = source.read_bytes()
    (tmp_path / "dump.rdb").write_bytes(b"REDIS0099" + data[9:])
    out, _ = salvage(tmp_path / "dump.rdb")
    assert out[:9] == b"REDIS0010" and key_names(out) == key_names(data)


def test_check_and_repair_suggest_salvage(path: Path) -> None:
    overwrite(path, BASE.index(USER_KEYS[20]), b"\xf0" * 8)
    assert "a salvage keeps the keys" in aofdoctor("check", path).out
    refused = aofdoctor("repair", path, "-o", path.with_name("no"))
    assert refused.status == 3 and "--salvage keeps the keys" in refused.err


def test_a_truncated_list_of_numbers_gives_no_invented_keys(tmp_path: Path) -> None:
    whole = (FIXTURES / "rdb" / "list-quicklist2-v12.rdb").read_bytes()
    names = {key["key"] for key in json.loads((FIXTURES / "rdb" / "list-quicklist2-v12.json").read_text())["keys"]}
    path = tmp_path / "dump.rdb"
    for cut in range(100, 400, 20):
        path.write_bytes(whole[:-cut])
        out = tmp_path / f"out-{cut}.rdb"
        result = aofdoctor("repair", path, "--salvage", "-o", out, "--json")
        assert result.status == 0, result.err
        with open_path(str(out)) as aof:
            source = aof.parts[0].source
            assert source is not None
            got = {
                item.name(source).decode()
                for batch in ItemReader(source)
                for item in batch
                if isinstance(item, KeyItem)
            }
        assert got <= names, cut


def test_a_length_in_a_damaged_base_does_not_swallow_the_commands(tmp_path: Path) -> None:
    base = b"VALKEY080\xfa\nvalkey-ver\x059.1.2\xfa\nredis-bits\xc0@\xfa\x08aof-base\xc0\x01\xff"
    base += crc64(base).to_bytes(8, "little")
    tail = encode_command([b"SELECT", b"0"]) + b"".join(encode_command([b"SET", b"k%d" % i, b"1"]) for i in range(1000))
    path = tmp_path / "a.aof"
    path.write_bytes(base[:21] + bytes(7) + base[28:] + tail)
    result = aofdoctor("repair", path, "--salvage", "-o", tmp_path / "out")
    assert result.status == 0 and (tmp_path / "out").read_bytes().endswith(tail)
