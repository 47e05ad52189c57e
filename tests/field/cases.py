"""The field cases, in the directory that AOFDOCTOR_SHARED names, or in ../shared: tests work on copies."""

import os
import shutil
from pathlib import Path

import pytest

from aofdoctor.server.sandbox import ServerBinary
from tests.conftest import aofdoctor

SHARED = Path(os.environ.get("AOFDOCTOR_SHARED", Path(__file__).parents[3] / "shared"))
FIELD = SHARED / "field"
NEEDS_FIELD_CASES = pytest.mark.skipif(not FIELD.is_dir(), reason=f"no field cases in {SHARED}: set AOFDOCTOR_SHARED")


def copy_case(name: str, tmp_path: Path) -> Path:
    """Return a copy of a file or folder of the cases that can be written to; its parent folder is new."""
    source, copy = FIELD / name, tmp_path / "case" / Path(name).name
    if source.is_file():
        copy.parent.mkdir()
        shutil.copy(source, copy)
    else:
        shutil.copytree(source, copy, copy_function=shutil.copy)
    for path in [copy, *copy.rglob("*")]:
        path.chmod(0o755 if path.is_dir() else 0o644)
    return copy


def keys_loaded(path: Path, binary: ServerBinary) -> int:
    """Return the number of keys that a server has after it loaded an AOF."""
    result = aofdoctor("verify", path, "--with", binary.path, "--json")
    assert result.status == 0, result.err
    total: int = result.json["total"]
    return total
