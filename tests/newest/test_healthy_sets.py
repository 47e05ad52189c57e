"""Healthy sets that the newest servers wrote: check finds no damage in them, and a salvage keeps everything."""

import csv
import os
import shutil
from pathlib import Path

import pytest

from tests.conftest import aofdoctor

NEWEST = Path(os.environ.get("AOFDOCTOR_SHARED", Path(__file__).parents[3] / "shared")) / "newest"
pytestmark = pytest.mark.skipif(not NEWEST.is_dir(), reason=f"no sets in {NEWEST}: set AOFDOCTOR_SHARED")
# The servers that wrote these sets crash on them: VADD with CAS is written as it was sent.
CRASHING = ("vadd-cas",)
# The directory holds two sets; this is the live one.
LIVE_SET = {"redis-8.10.2/backup-live": "appendonlydir"}


def healthy_sets() -> list[str]:
    """Return the names of the sets that are not damaged on purpose."""
    if not NEWEST.is_dir():
        return []
    rows = csv.DictReader((NEWEST / "index.tsv").read_text().splitlines(), delimiter="\t")
    names = [row["case"].partition("/") for row in rows]
    return [f"{server}/{name}" for server, _, name in names if not name.startswith("x-") and name not in CRASHING]


@pytest.mark.parametrize("name", healthy_sets())
def test_a_healthy_set_is_sound_and_kept_whole(name: str, tmp_path: Path) -> None:
    data = tmp_path / "data"
    shutil.copytree(NEWEST / name / "data", data, copy_function=shutil.copy)
    path = data / LIVE_SET.get(name, "")
    result = aofdoctor("check", path, "--json")
    assert result.status == 0, result.out + result.err
    assert not any(part["damage"] for part in result.json["parts"])
    salvage = aofdoctor("repair", path, "--salvage", "--json")
    assert salvage.status == 0, salvage.err
    assert salvage.json["commands"]["dropped"] == salvage.json["bytes"]["dropped"] == 0
