"""The reader takes the time for expired keys from its caller, and never from the clock."""

import pytest

from aofdoctor.aof.reader import read_tiles
from aofdoctor.aof.records import Preamble
from aofdoctor.source import BytesSource
from tests.support.hostile_bytes import COMMAND_IDS

RDB = b"REDIS0009\xfc" + (5000).to_bytes(8, "little") + b"\x00\x01k\x01v\xff" + bytes(8)


@pytest.mark.parametrize(("now_ms", "expired"), [(0, 0), (5000, 0), (5001, 1)])
def test_a_key_is_expired_at_the_time_that_the_caller_passes(now_ms: int, expired: int) -> None:
    preamble = next(read_tiles(BytesSource(RDB), COMMAND_IDS, now_ms=now_ms))
    assert isinstance(preamble, Preamble) and preamble.key_counts
    assert preamble.key_counts.dbs[0] == (1, 1, expired)
