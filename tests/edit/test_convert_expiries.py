"""convert --shift-ttl and --now: every absolute expiry is shifted, and nothing else changes."""

import hashlib
import time
from pathlib import Path

import pytest

from aofdoctor.aof.records import encode_command
from tests.conftest import FIXTURES, aofdoctor
from tests.rdb.test_values import FILES, loading
from tests.support.conversions import comparable_state, convert, loaded_state
from tests.support.servers import servers_by_line

named = pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)


# -- expiries --

HOURS = 2 * 3_600_000


@named
@pytest.mark.parametrize("base", [[], ["--base", "resp"]], ids=["as it is", "commands"])
def test_every_expiry_of_a_base_moves_and_nothing_else(path: Path, base: list[str], tmp_path: Path) -> None:
    out = tmp_path / ("out.aof" if base else "out.rdb")
    convert(path, *base, "--shift-ttl", "2h", "-o", out)
    line = loading(path.read_bytes())[-1]
    binary = servers_by_line()[line]
    got, expected = loaded_state(binary, out)[1], loaded_state(binary, path)[1]
    for key in expected:
        key["expire_ms"] = key["expire_ms"] and key["expire_ms"] + HOURS
        if key["type"] == "hash":
            key["value"] = [[name, value, expire and expire + HOURS] for name, value, expire in key["value"]]
    for key in got + expected:  # Servers only estimate these fields for a stream written before 7.0.
        if key["type"] == "stream" and path.stem.startswith("stream-"):
            key["value"].update(max_deleted=None, added=None)
    assert comparable_state((0, got, [])) == comparable_state((0, expected, []))


MOVED: list[tuple[list[bytes], list[bytes]]] = [
    ([b"SET", b"PXAT", b"PXAT", b"pxat", b"1000"], [b"SET", b"PXAT", b"PXAT", b"pxat", b"7201000"]),
    ([b"SET", b"k", b"v", b"EXAT", b"1000", b"NX"], [b"SET", b"k", b"v", b"EXAT", b"8200", b"NX"]),
    ([b"set", b"k", b"v", b"KEEPTTL"], [b"set", b"k", b"v", b"KEEPTTL"]),
    ([b"SETEX", b"k", b"10", b"v"], [b"SETEX", b"k", b"10", b"v"]),
    ([b"PEXPIREAT", b"k", b"5"], [b"PEXPIREAT", b"k", b"7200005"]),
    ([b"expireat", b"k", b"5", b"GT"], [b"expireat", b"k", b"7205", b"GT"]),
    ([b"GETEX", b"k", b"PXAT", b"5"], [b"GETEX", b"k", b"PXAT", b"7200005"]),
    ([b"HPEXPIREAT", b"h", b"5", b"FIELDS", b"1", b"PXAT"], [b"HPEXPIREAT", b"h", b"7200005", b"FIELDS", b"1", b"PXAT"]),
    ([b"HSETEX", b"h", b"FXX", b"EXAT", b"5", b"FIELDS", b"1", b"f", b"v"], [b"HSETEX", b"h", b"FXX", b"EXAT", b"7205", b"FIELDS", b"1", b"f", b"v"]),
    ([b"HSETEX", b"h", b"FIELDS", b"1", b"EXAT", b"5"], [b"HSETEX", b"h", b"FIELDS", b"1", b"EXAT", b"5"]),
    ([b"RESTORE", b"k", b"5", b"x", b"REPLACE", b"ABSTTL"], [b"RESTORE", b"k", b"7200005", b"x", b"REPLACE", b"ABSTTL"]),
    ([b"RESTORE", b"k", b"5", b"x"], [b"RESTORE", b"k", b"5", b"x"]),
    ([b"MSETEX", b"1", b"PXAT", b"5", b"PXAT", b"6"], [b"MSETEX", b"1", b"PXAT", b"5", b"PXAT", b"7200006"]),
    ([b"PEXPIREAT", b"k", b"9223372036854775807"], [b"PEXPIREAT", b"k", b"9223372036854775807"]),
]  # fmt: skip


def test_expiries_of_commands_move_and_every_other_byte_stays(tmp_path: Path) -> None:
    between = [b"#TS:1700000000\r\n", b"*3\r\n$0003\r\nset\r\n$1\r\nk\r\n$1\r\nv\r\n"]
    before = b"".join(encode_command(argv) + between[i % 2] for i, (argv, _) in enumerate(MOVED))
    after = b"".join(encode_command(argv) + between[i % 2] for i, (_, argv) in enumerate(MOVED))
    (tmp_path / "a.aof").write_bytes(before)
    report = convert(tmp_path / "a.aof", "--shift-ttl", "2h", "-o", tmp_path / "out.aof")
    assert (tmp_path / "out.aof").read_bytes() == after
    assert report["converted"]["moved_commands"] == sum(old != new for old, new in MOVED)


def test_a_value_larger_than_any_window_keeps_its_bytes_and_gets_its_expiry(tmp_path: Path) -> None:
    value = hashlib.sha256(b"x").digest() * (3 << 15)
    (tmp_path / "a.aof").write_bytes(
        encode_command([b"SET", b"big", value, b"PXAT", b"1000"]) + encode_command([b"SET", b"far", value])
    )
    convert(tmp_path / "a.aof", "--shift-ttl", "1s", "-o", tmp_path / "out.aof")
    assert (tmp_path / "out.aof").read_bytes() == encode_command(
        [b"SET", b"big", value, b"PXAT", b"2000"]
    ) + encode_command([b"SET", b"far", value])


def test_now_moves_by_what_has_passed_since_the_log_ended(tmp_path: Path) -> None:
    (tmp_path / "a.aof").write_bytes(b"#TS:1700000000\r\n" + encode_command([b"PEXPIREAT", b"k", b"1700000060000"]))
    convert(tmp_path / "a.aof", "--now", "1700003600", "-o", tmp_path / "out.aof")
    assert encode_command([b"PEXPIREAT", b"k", b"1700003660000"]) in (tmp_path / "out.aof").read_bytes()
    report = convert(tmp_path / "a.aof", "--now", "now")
    assert abs(report["converted"]["shift_ms"] / 1000 - (time.time() - 1700000000)) < 60
    assert convert(FIXTURES / "rdb" / "keys-v12.rdb", "--now", "now")["converted"]["shift_ms"] > 0
    (tmp_path / "b.aof").write_bytes(encode_command([b"PEXPIREAT", b"k", b"1700000060000"]))
    assert aofdoctor("convert", tmp_path / "b.aof", "--now", "now").status == 3


def test_keys_past_their_expiry_at_restart_live_on(tmp_path: Path) -> None:
    past = int(time.time() * 1000) - 1000
    (tmp_path / "a.aof").write_bytes(
        encode_command([b"SET", b"k", b"v", b"PXAT", b"%d" % past]) + encode_command([b"SET", b"other", b"v"])
    )
    convert(tmp_path / "a.aof", "--shift-ttl", "2h", "-o", tmp_path / "out.aof")
    keys = loaded_state(servers_by_line()["valkey-9.1"], tmp_path / "out.aof")[1]
    assert {key["key"]: key["expire_ms"] for key in keys} == {"k": past + HOURS, "other": None}
