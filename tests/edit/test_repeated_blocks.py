"""repair --salvage of a block that was written twice: one copy stays, wherever the block begins and ends."""

from pathlib import Path

import pytest

from aofdoctor.resp import encode_command
from tests.conftest import aofdoctor

COMMANDS = [[b"SELECT", b"0"], *([b"SET", b"key:%d" % n, b"value %d of a key" % n] for n in range(60))]
IN_TRANSACTIONS = [COMMANDS[0]]
for number in range(1, 60, 6):
    IN_TRANSACTIONS += [[b"MULTI"], *COMMANDS[number : number + 5], [b"EXEC"], COMMANDS[number + 5]]
LOGS = {
    "single commands": b"".join(map(encode_command, COMMANDS)),
    "transactions": b"".join(map(encode_command, IN_TRANSACTIONS)),
}


@pytest.mark.parametrize("kind", LOGS)
@pytest.mark.parametrize("start", [0, 512, 1024])
@pytest.mark.parametrize("size", [512, 1024])
def test_a_repeated_block_is_left_out(kind: str, start: int, size: int, tmp_path: Path) -> None:
    """Blocks at the beginning of the file, and those that end inside a transaction, are like all others."""
    log = LOGS[kind]
    data = log[: start + size] + log[start:]
    path, out = tmp_path / "appendonly.aof", tmp_path / "out"
    path.write_bytes(data)
    assert aofdoctor("repair", path, "--salvage", "-o", out).status == 0
    assert out.read_bytes() == log
