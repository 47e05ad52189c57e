"""Helpers for the tests of diff: small histories, comparisons in memory, and results of the command line."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from aofdoctor.aof.model import AOF, AofPart
from aofdoctor.aof.reader import read_tiles
from aofdoctor.aof.records import RecordBatch
from aofdoctor.diff.differ import CommandDiff, Divergence, MovedUnit, OneSidedRun
from aofdoctor.diff.units.comparison_rules import ComparisonRules
from aofdoctor.diff.units.side import Side
from aofdoctor.resp import encode_command
from aofdoctor.server.command_table import command_table
from aofdoctor.source import BytesSource
from tests.conftest import aofdoctor
from tests.support.rdb_files import string_key

SELECT_0, SELECT_3 = encode_command([b"SELECT", b"0"]), encode_command([b"SELECT", b"3"])
MULTI, EXEC = encode_command([b"MULTI"]), encode_command([b"EXEC"])
DIGEST_KEY = bytes(range(16))


def set_commands(*keys: str) -> bytes:
    return b"".join(encode_command([b"SET", key.encode(), b"1"]) for key in keys)


def memory_aof(*parts: bytes) -> AOF:
    return AOF(
        "memory",
        "single",
        None,
        [AofPart(f"{n}.aof", "incr", n, None, BytesSource(data)) for n, data in enumerate(parts)],
    )


DiffResult = tuple[list[tuple[int, bytes]], list[tuple[bytes, bytes]], CommandDiff]


def compare(a: bytes, b: bytes, exact: bool = False) -> DiffResult:
    """Return (the commands of only one side, the moved commands, the comparison)."""
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


def commands_of(path: Path) -> list[list[bytes]]:
    batch = next(read_tiles(BytesSource(path.read_bytes()), command_table().names))
    assert isinstance(batch, RecordBatch)
    assert batch.span.end == path.stat().st_size
    return [batch.argv(i) for i in range(batch.count) if batch.argc[i]]


def encode_commands(*commands: str) -> bytes:
    """Encode commands that are written as space-separated words."""
    return b"".join(encode_command([word.encode() for word in command.split()]) for command in commands)


def keys_of(*args: Any) -> dict[str, Any]:
    result = aofdoctor("diff", *args, "--by", "keys", "--json")
    found: dict[str, Any] = {"status": result.status}
    for line in result.lines[1:]:
        found.setdefault(line["type"], []).append((line["db"], line["key"]))
    return found


def string_keys(*keys: str) -> list[bytes]:
    return [string_key(key.encode(), b"1") for key in keys]


def diff_summary(*args: Any) -> dict[str, Any]:
    found: dict[str, Any] = aofdoctor("diff", *args, "--json").lines[-1]
    return found


@contextmanager
def open_pipe(data: bytes) -> Iterator[str]:
    """Yield the path (/dev/fd/N) of a pipe from which a child process makes these bytes available."""
    read_end, write_end = os.pipe()
    if (child := os.fork()) == 0:
        os.close(read_end)
        with open(write_end, "wb") as out:
            out.write(data)
        os._exit(0)
    os.close(write_end)
    try:
        yield f"/dev/fd/{read_end}"
    finally:
        os.close(read_end)
        os.waitpid(child, 0)
