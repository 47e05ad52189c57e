"""A damaged RDB behind other bytes or among the commands gives the keys that it gives as a base."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aofdoctor.edit.reconstruction.damaged_rdbs import find_leading_damaged_rdb, readable_rdb
from aofdoctor.resp import encode_command
from aofdoctor.source import BytesSource
from aofdoctor.span import Span
from tests.conftest import aofdoctor
from tests.edit.test_embedded_rdbs import HEADS, RDB, SET, salvaged
from tests.support.conversions import key_counts


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
