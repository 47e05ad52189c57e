"""diff of RDB bases: an RDB equals the commands that make its keys; damage and undecodable values are reported."""

from pathlib import Path
from random import Random
from typing import Any

import pytest

from aofdoctor.rdb.encoding.cursor import LARGE_STRING_SIZE
from aofdoctor.rdb.walk.window import WINDOW_SIZE
from aofdoctor.resp import encode_command
from tests.conftest import FIXTURES, aofdoctor
from tests.support.diffs import SELECT_3, commands_of, set_commands, string_keys
from tests.support.rdb_files import compress_rdb, make_rdb, module_key, select_db, string_key
from tests.support.rdb_unreleased import template
from tests.support.rdb_value_writer import length, lzf, lzf_string, string

# -- equality of keys --


def test_another_encoding_of_the_same_keys_is_no_difference(pair: Any) -> None:
    packed = b"\x00" + string(b"k") + lzf_string(lzf(b"y" * 100), 100)
    a, b = pair(
        make_rdb(packed, *string_keys("n"), aux=[(b"ctime", b"1700000000")]),
        make_rdb(string_key(b"k", b"y" * 100), b"\xf9\x07" + string_key(b"n", b"1"), magic=b"REDIS0009"),
    )
    result = aofdoctor("diff", a, b)
    assert (result.status, result.out.splitlines()[0]) == (0, "no difference: 2 commands on both sides")
    assert "their bytes differ" in result.out
    same = aofdoctor("diff", a, a)
    assert same.out == "no difference: 0 commands, 2 keys of an RDB byte for byte on both sides\n"


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("exact", [False, True])
def test_a_value_too_large_to_hold_is_compared(pair: Any, packed: bool, exact: bool) -> None:
    value = b"y" * (3 * LARGE_STRING_SIZE + 5)
    stored = b"\x00" + string(b"k") + (lzf_string(lzf(value), len(value)) if packed else string(value))
    options = ["--exact"] if exact else []
    assert aofdoctor("diff", *pair(make_rdb(stored), encode_command([b"SET", b"k", value])), *options).status == 0
    assert (
        aofdoctor("diff", *pair(make_rdb(stored), encode_command([b"SET", b"k", value[:-1] + b"z"])), *options).status
        == 1
    )


@pytest.mark.parametrize("packed", [False, True])
def test_a_value_too_large_to_hold_is_counted_shown_and_patched(pair: Any, tmp_path: Path, packed: bool) -> None:
    value = Random(1).randbytes(WINDOW_SIZE) + b"y" * (5 * WINDOW_SIZE)
    stored = b"\x00" + string(b"k") + (lzf_string(lzf(value), len(value)) if packed else string(value))
    a, b = pair(set_commands("a"), make_rdb(stored, *string_keys("l")))
    patch = tmp_path / "patch"
    lines = aofdoctor("diff", a, b, "--patch", patch, "--json").lines
    assert [line["keys"] for line in lines if line["type"] == "only"] == [["a"], ["k"], ["l"]]
    assert lines[-1]["only_b"] == 2
    assert patch.read_bytes() == encode_command([b"SELECT", b"0"]) + encode_command(
        [b"SET", b"k", value]
    ) + set_commands("l")


def test_the_database_and_the_expiry_count(pair: Any) -> None:
    key = string_keys("k")
    assert aofdoctor("diff", *pair(make_rdb(*key), make_rdb(select_db(3), *key))).status == 1
    assert aofdoctor("diff", *pair(make_rdb(select_db(3), *key), SELECT_3 + set_commands("k"))).status == 0
    assert aofdoctor("diff", *pair(make_rdb(string_key(b"k", b"1", 5)), make_rdb(*key))).status == 1
    expires = encode_command([b"PEXPIREAT", b"k", b"5"])
    assert aofdoctor("diff", *pair(make_rdb(string_key(b"k", b"1", 5)), set_commands("k") + expires)).status == 0


# -- values without commands, and damage --


def test_values_without_commands_are_compared_as_bytes_and_reported(pair: Any, tmp_path: Path) -> None:
    a, b = pair(
        make_rdb(*string_keys("s"), module_key(b"m", b"one")),
        make_rdb(*string_keys("s"), module_key(b"m", b"two"), *string_keys("t")),
    )
    result = aofdoctor("diff", a, b)
    assert result.status == 1 and result.out.count("key m: a value of the module type unknown-t") == 2
    opaque = [line for line in aofdoctor("diff", a, b, "--json").lines if line["type"] == "opaque"]
    assert {line["side"]: line["size"] for line in opaque} == dict.fromkeys("ab", len(module_key(b"m", b"one")))
    assert all(line["kind"] == "rdb" and line["what"].startswith("key m: ") for line in opaque)
    patch = tmp_path / "patch"
    refused = aofdoctor("diff", a, b, "--patch", patch)
    assert refused.status == 3 and "key m" in refused.err and not patch.exists()
    assert aofdoctor("diff", a, b, "--key", "s").status == 0


def test_template_hashes_are_exported_from_any_key_on(pair: Any, tmp_path: Path) -> None:
    """Redis 8.10 stores the field names of template hashes before the keys, shorter names first, then by bytes."""
    body = template(70, b"mail", b"name")
    keys = [b"\x20" + string(b"h%d" % n) + length(70) + string(b"mail %d" % n) + string(b"Ann") for n in range(50)]
    other = [*keys[:20], b"\x20" + string(b"h20") + length(70) + string(b"b@c") + string(b"Bob"), *keys[21:]]
    a, b = pair(make_rdb(body, *keys, magic=b"REDIS0015"), make_rdb(body, *other, magic=b"REDIS0015"))
    lines = [line for line in aofdoctor("diff", a, b, "--json").lines if line["type"] == "only"]
    assert [(line["side"], line["keys"]) for line in lines] == [("a", ["h20"]), ("b", ["h20"])]
    commands = b"".join(
        encode_command([b"HMSET", b"h%d" % n, b"mail", b"mail %d" % n, b"name", b"Ann"]) for n in range(50)
    )
    path, patch = tmp_path / "commands.aof", tmp_path / "patch"
    path.write_bytes(commands)
    assert aofdoctor("diff", a, path).out.startswith("no difference: 50 commands")
    assert aofdoctor("diff", path, b, "--patch", patch).status == 1
    assert commands_of(patch)[1:] == [[b"HMSET", b"h20", b"mail", b"b@c", b"name", b"Bob"]]


def test_a_compressed_rdb_is_compared_as_it_is(pair: Any, tmp_path: Path) -> None:
    whole = make_rdb(*string_keys("a", "b"), magic=b"VALKEY080")
    a, b = pair(compress_rdb(whole, "LZ4") + set_commands("c"), whole + set_commands("c"))
    assert aofdoctor("diff", a, a).status == 0
    for one, two in ((a, b), (b, a)):
        lines = aofdoctor("diff", one, two, "--json").lines
        assert [line["what"] for line in lines if line["type"] == "opaque"] == ["an RDB compressed by LZ4"]
        assert lines[-1]["same"] == 1
    patch = tmp_path / "patch"
    refused = aofdoctor("diff", b, a, "--patch", patch)
    assert refused.status == 3 and "compressed by LZ4" in refused.err and not patch.exists()


def test_a_truncated_rdb_is_exported_up_to_its_end(pair: Any) -> None:
    whole = make_rdb(*string_keys("a", "b", "c"))
    torn = whole[: whole.index(b"\x01c") + 3]
    lines = aofdoctor("diff", *pair(torn, whole), "--json").lines
    opaque = [(line["side"], line["offset"], line["size"]) for line in lines if line["type"] == "opaque"]
    start = whole.index(b"\x00\x01c")
    assert opaque == [("a", start, len(torn) - start)]
    assert [line["keys"] for line in lines if line["type"] == "only"] == [["c"]]
    assert lines[-1]["same"] == 2


def test_a_wrong_checksum_is_a_difference_of_its_own(pair: Any) -> None:
    whole = make_rdb(*string_keys("a", "b"))
    wrong = whole[:-1] + bytes([whole[-1] ^ 1])
    lines = aofdoctor("diff", *pair(whole, wrong), "--json").lines
    assert [(line["type"], line.get("side")) for line in lines[1:-1]] == [("opaque", "b")]
    assert "checksum" in lines[1]["what"]
    assert lines[-1]["same"] == 2


def test_fixtures_equal_themselves_and_their_commands(tmp_path: Path) -> None:
    judged = 0
    for path in sorted((FIXTURES / "rdb").glob("*.rdb")):
        patch, empty = tmp_path / f"{path.stem}.patch", tmp_path / "empty.aof"
        empty.write_bytes(encode_command([b"PING"]))
        assert aofdoctor("diff", path, path).status == 0, path
        result = aofdoctor("diff", empty, path, "--patch", patch)
        if result.status == 1:
            assert aofdoctor("diff", path, patch).status == 0, path
            judged += 1
    assert judged > 50
