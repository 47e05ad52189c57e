"""A value that looks like an RDB is not taken for one, wherever damage is."""

from pathlib import Path

import pytest

from aofdoctor.resp import encode_command
from tests.conftest import aofdoctor

LOOKALIKE = b"REDIS0009\xfa\x09redis-ver\x056.2.0\xfe\x00\x00\x01k\x01v\xff"
COMMANDS = b"".join(encode_command([b"SET", b"k%d" % number, b"v"]) for number in range(20))


@pytest.mark.parametrize("lead", [b"\xef\xbb\xbf", b"log line\n", b"\x00\x01\x02"])
def test_commands_before_a_value_with_an_rdb_are_kept_behind_garbage(lead: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.aof"
    path.write_bytes(lead + COMMANDS + encode_command([b"SET", b"rdb", LOOKALIKE]) + COMMANDS)
    plan = aofdoctor("repair", path, "--salvage", "--json").json
    assert plan["commands"]["after"] == 41 and plan["commands"]["dropped"] == 0
    assert [(drop["start"], drop["end"]) for drop in plan["dropped"]] == [(0, len(lead))]
