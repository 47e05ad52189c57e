"""What the tests of diff share: small histories, pairs of files, a comparison in memory."""

from pathlib import Path
from typing import Any

import pytest

from aofdoctor.aof.discovery import AOF, AofPart
from aofdoctor.aof.records import encode_command
from aofdoctor.diff.differ import CommandDiff, Divergence, MovedUnit, OneSidedRun
from aofdoctor.diff.units.side import ComparisonRules, Side
from aofdoctor.source import BytesSource

SELECT_0, SELECT_3 = encode_command([b"SELECT", b"0"]), encode_command([b"SELECT", b"3"])
MULTI, EXEC = encode_command([b"MULTI"]), encode_command([b"EXEC"])
KEY = bytes(range(16))


def sets(*keys: str) -> bytes:
    return b"".join(encode_command([b"SET", key.encode(), b"1"]) for key in keys)


@pytest.fixture
def pair(tmp_path: Path) -> Any:
    def make(a: bytes, b: bytes) -> tuple[Path, Path]:
        one, two = tmp_path / "a.aof", tmp_path / "b.aof"
        one.write_bytes(a)
        two.write_bytes(b)
        return one, two

    return make


def in_memory(*parts: bytes) -> AOF:
    return AOF(
        "memory",
        "single",
        None,
        [AofPart(f"{n}.aof", "incr", n, None, BytesSource(data)) for n, data in enumerate(parts)],
    )


Found = tuple[list[tuple[int, bytes]], list[tuple[bytes, bytes]], CommandDiff]


def compared(a: bytes, b: bytes, exact: bool = False) -> Found:
    """(what only a side has, what has moved, the comparison)."""
    sides = tuple(Side(in_memory(data), ComparisonRules.create(KEY, exact)) for data in (a, b))
    diff = CommandDiff(*sides)
    datas, only, moved = (a, b), [], []
    for event in diff.events():
        if isinstance(event, OneSidedRun):
            only.append((event.side, datas[event.side][event.run.first.start : event.run.last.end]))
        elif isinstance(event, MovedUnit):
            moved.append((a[event.a.start : event.a.end], b[event.b.start : event.b.end]))
        else:
            assert isinstance(event, Divergence)
    return only, moved, diff


def numbered(word: str, count: int) -> bytes:
    return sets(*(f"{word}:{n}" for n in range(count)))
