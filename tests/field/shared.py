"""The field cases of AOFDOCTOR_SHARED, or of ../shared: copies of them for a test, or the reason to skip."""

import os
import shutil
from pathlib import Path

import pytest

_SHARED = Path(os.environ.get("AOFDOCTOR_SHARED") or Path(__file__).parents[3] / "shared")


def field_case(number: str, folder: Path) -> Path:
    """Copy the case with a number to a folder, and return the copy; skip the test if the cases are not here."""
    found = sorted((_SHARED / "field").glob(f"{number}-*"))
    if not found:
        pytest.skip(f"no field case {number}: AOFDOCTOR_SHARED names the folder that has them")
    copy = folder / found[0].name
    shutil.copytree(found[0], copy)
    for path in [copy, *copy.rglob("*")]:
        path.chmod(0o755 if path.is_dir() else 0o644)
    return copy
