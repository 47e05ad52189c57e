"""What the tests of diff share: small histories, pairs of files, a comparison in memory."""

from pathlib import Path
from typing import Any

import pytest

from aofdoctor.aof.model import AOF, AofPart
from aofdoctor.diff.differ import CommandDiff, Divergence, MovedUnit, OneSidedRun
from aofdoctor.diff.units.comparison_rules import ComparisonRules
from aofdoctor.diff.units.side import Side
from aofdoctor.resp import encode_command
from aofdoctor.source import BytesSource

SELECT_0, SELECT_3 = encode_command([b"SELECT", b"0"]), encode_command([b"SELECT", b"3"])
MULTI, EXEC = encode_command([b"MULTI"]), encode_command([b"EXEC"])
DIGEST_KEY = bytes(range(16))


def set_commands(*keys: str) -> bytes:
    return b"".join(encode_command([b"SET", key.encode(), b"1"]) for key in keys)


@pytest.fixture
def pair(tmp_path: Path) -> Any:
    def make(a: bytes, b: bytes) -> tuple[Path, Path]:
        path_a, path_b = tmp_path / "a.aof", tmp_path / "b.aof"
        path_a.write_bytes(a)
        path_b.write_bytes(b)
        return path_a, path_b

    return make


def memory_aof(*parts: bytes) -> AOF:
    return AOF(
        "memory",
        "single",
        None,
        [AofPart(f"{n}.aof", "incr", n, None, BytesSource(data)) for n, data in enumerate(parts)],
    )


DiffResult = tuple[list[tuple[int, bytes]], list[tuple[bytes, bytes]], CommandDiff]


def compare(a: bytes, b: bytes, exact: bool = False) -> DiffResult:
    """(what only a side has, what has moved, the comparison)."""
    sides = tuple(Side(memory_aof(data), ComparisonRules.create(DIGEST_KEY, exact)) for data in (a, b))
    diff = CommandDiff(*sides)
    datas, only, moves = (a, b), [], []
    for event in diff.events():
        if isinstance(event, OneSidedRun):
            only.append((event.side, datas[event.side][event.run.first.start : event.run.last.end]))
        elif isinstance(event, MovedUnit):
            moves.append((a[event.a.start : event.a.end], b[event.b.start : event.b.end]))
        else:
            assert isinstance(event, Divergence)
    return only, moves, diff


def numbered_sets(word: str, count: int) -> bytes:
    return set_commands(*(f"{word}:{n}" for n in range(count)))
