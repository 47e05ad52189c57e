"""convert on the files of the field cases: each output loads in a real server with the stated keys."""

from pathlib import Path

import pytest

from tests.conftest import aofdoctor
from tests.field.cases import NEEDS_FIELD_CASES, copy_case
from tests.support.conversions import convert, key_counts

pytestmark = NEEDS_FIELD_CASES


def test_a_single_file_with_a_preamble_becomes_commands(tmp_path: Path) -> None:
    source = copy_case("02-pipe-preamble", tmp_path) / "appendonly.aof"
    for words in ([], ["--layout", "single"]):
        out = tmp_path / f"out{len(words)}.aof"
        convert(source, "--base", "resp", *words, "-o", out)
        assert out.read_bytes()[:1] == b"*"
        assert key_counts(out) == {0: 2005, 3: 2}
    assert (tmp_path / "out0.aof").read_bytes() == (tmp_path / "out2.aof").read_bytes()


def test_a_base_of_commands_stays_and_the_layout_changes(tmp_path: Path) -> None:
    convert(
        copy_case("03-reshard", tmp_path) / "data", "--base", "resp", "--layout", "single", "-o", tmp_path / "out.aof"
    )
    counts, value = key_counts(tmp_path / "out.aof", ask=lambda server: server.call("GET", "user:1"))
    assert counts == {0: 601, 1: 1} and value == b"m1"


@pytest.mark.parametrize("words", [["--base", "rdb", "--rdb-version", "10"], ["--base", "resp", "--for", "redis-7.0"]])
def test_module_data_is_refused_or_left_out(words: list[str], tmp_path: Path) -> None:
    source = copy_case("06-module-rdb", tmp_path) / "dump.rdb"
    out = tmp_path / ("out.rdb" if "rdb" in words else "out.aof")
    refused = aofdoctor("convert", source, *words, "-o", out)
    assert refused.status == 3 and "graphdata" in refused.err and not out.exists()
    report = convert(source, *words, "--lossy", "-o", out)
    assert len(report["inexpressible"]) == 4
    assert key_counts(out) == {0: 202}


def test_a_key_that_is_there_twice_is_never_merged(tmp_path: Path) -> None:
    source = copy_case("09-duplicate-key", tmp_path) / "dup-sealed.rdb"
    refused = aofdoctor("convert", source, "--base", "resp", "-o", tmp_path / "out.aof")
    assert refused.status == 3 and "obj.list.cache" in refused.err
    for which, size in (("first", 2), ("last", 3)):
        out = tmp_path / f"{which}.aof"
        convert(source, "--base", "resp", "--duplicates", which, "-o", out)
        counts, length = key_counts(out, ask=lambda server: server.call("LLEN", "obj.list.cache"))
        assert counts == {0: 81} and length == size


def test_expired_keys_come_back_with_shifted_expiries(tmp_path: Path) -> None:
    source = copy_case("10-expired-snapshot", tmp_path) / "data"
    assert "41 of them past it" in aofdoctor("check", source).out
    convert(source, "--shift-ttl", "3650d", "-o", tmp_path / "out")
    counts, ttl = key_counts(tmp_path / "out", ask=lambda server: server.call("TTL", "sess:1"))
    assert counts == {0: 101} and ttl > 0


def test_a_newer_rdb_becomes_an_older_one(tmp_path: Path) -> None:
    source = copy_case("17-newer-rdb", tmp_path) / "dump.rdb"
    convert(source, "--base", "rdb", "--rdb-version", 80, "-o", tmp_path / "80.rdb")
    counts, ttl = key_counts(
        tmp_path / "80.rdb", "valkey-9.1", lambda server: server.call("EVAL", _FIELD_TTLS, "1", "hf")
    )
    assert counts == {0: 6} and any(one > 0 for one in ttl)
    for version in (11, 10):
        out = tmp_path / f"{version}.rdb"
        refused = aofdoctor("convert", source, "--base", "rdb", "--rdb-version", version, "-o", out)
        assert refused.status == 3 and "hf" in refused.err
        convert(source, "--base", "rdb", "--rdb-version", version, "--lossy", "-o", out)
        for line in ("valkey-9.1", *(["redis-7.0"] if version == 10 else [])):
            assert key_counts(out, line) == {0: 6}


_FIELD_TTLS = """local out = {}
for _, f in ipairs(redis.call('HKEYS', KEYS[1])) do out[#out+1] = redis.call('HTTL', KEYS[1], 'FIELDS', 1, f)[1] end
return out"""


def test_the_aux_fields_of_keydb_are_left_out_and_member_expiries_listed(tmp_path: Path) -> None:
    source = copy_case("23-keydb-aux", tmp_path) / "keydb.rdb"
    assert aofdoctor("check", source).status == 0
    for words, out in ((["resp"], "out.aof"), (["rdb", "--rdb-version", "9"], "out.rdb")):
        report = convert(source, "--base", *words, "-o", tmp_path / out)
        assert any("member a of key set1" in note for note in report["notes"])
        assert key_counts(tmp_path / out) == {0: 51}
