"""slice keeps what defines functions, and drops the transaction around it unless a command of it is selected."""

from pathlib import Path

import pytest

from aofdoctor.resp import encode_command
from tests.conftest import aofdoctor

MULTI, EXEC = encode_command([b"MULTI"]), encode_command([b"EXEC"])
SELECT = encode_command([b"SELECT", b"0"])
LIBRARY = encode_command([b"FUNCTION", b"LOAD", b"#!lua name=a\nredis.register_function('a', function() return 1 end)"])
WANTED, OTHER = encode_command([b"SET", b"wanted", b"1"]), encode_command([b"SET", b"other", b"2"])


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        (SELECT + MULTI + LIBRARY + OTHER + EXEC + WANTED, SELECT + LIBRARY + WANTED),
        (SELECT + MULTI + OTHER + LIBRARY + EXEC + WANTED, SELECT + LIBRARY + WANTED),
        (SELECT + MULTI + LIBRARY + OTHER + WANTED + EXEC, SELECT + MULTI + LIBRARY + OTHER + WANTED + EXEC),
        (SELECT + MULTI + SELECT + LIBRARY + OTHER + EXEC + WANTED, SELECT + SELECT + LIBRARY + WANTED),
        (SELECT + MULTI + OTHER + EXEC + LIBRARY + WANTED, SELECT + LIBRARY + WANTED),
    ],
)  # fmt: skip
def test_a_definition_does_not_keep_its_transaction(source: bytes, expected: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.aof"
    path.write_bytes(source)
    assert aofdoctor("slice", path, "--key", "wanted", "-o", tmp_path / "out").status == 0
    assert (tmp_path / "out").read_bytes() == expected


def test_a_selected_definition_keeps_its_transaction(tmp_path: Path) -> None:
    path = tmp_path / "a.aof"
    path.write_bytes(SELECT + OTHER + MULTI + LIBRARY + OTHER + EXEC)
    assert aofdoctor("slice", path, "--cmd", "function", "-o", tmp_path / "out").status == 0
    assert (tmp_path / "out").read_bytes() == SELECT + MULTI + LIBRARY + OTHER + EXEC
