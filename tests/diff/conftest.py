"""Fixtures that the tests of diff share."""

from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def pair(tmp_path: Path) -> Any:
    """Write two AOFs to compare; returns a function from their bytes to their paths."""

    def make(a: bytes, b: bytes) -> tuple[Path, Path]:
        path_a, path_b = tmp_path / "a.aof", tmp_path / "b.aof"
        path_a.write_bytes(a)
        path_b.write_bytes(b)
        return path_a, path_b

    return make
