"""Field cases of an index that contradicts the files: which generation a salvage takes, and how many keys it has."""

import shutil
from pathlib import Path

import pytest

from aofdoctor.server.sandbox import ServerBinary
from tests.conftest import aofdoctor
from tests.field.cases import NEEDS_FIELD_CASES, copy_case, keys_loaded

pytestmark = NEEDS_FIELD_CASES


@pytest.mark.parametrize(("case", "keys"), [("29-base-lost/a", 350), ("29-base-lost/c", 350), ("05-live-tar/1", 701)])
def test_salvage_takes_the_generation_that_is_whole(
    case: str, keys: int, tmp_path: Path, embedded: ServerBinary
) -> None:
    folder = copy_case(case, tmp_path)
    report = aofdoctor("check", folder, "--json")
    messages = [f["message"] for f in report.json["findings"] if f["code"] == "generation-found"]
    assert report.status == 1 and len(messages) == 1 and f"{keys} keys" in messages[0]
    assert "are whole and continue each other" in messages[0]
    result = aofdoctor("repair", folder, "--salvage", "-o", tmp_path / "out", "--json")
    assert result.status == 0 and f"with {keys} keys" in result.json["notes"][0]
    assert keys_loaded(tmp_path / "out", embedded) == keys


def test_a_set_of_one_instant_is_sound(tmp_path: Path, embedded: ServerBinary) -> None:
    folder = copy_case("05-live-tar/3", tmp_path)
    assert aofdoctor("check", folder).status == 0 and keys_loaded(folder, embedded) == 701


def test_the_history_of_an_emptied_replica_is_counted(tmp_path: Path, embedded: ServerBinary) -> None:
    folder = copy_case("22-resync-wipe", tmp_path)
    findings = aofdoctor("check", folder, "--json").json["findings"]
    (history,) = [finding for finding in findings if finding["code"] == "history-generation"]
    assert "are whole and hold 300 keys" in history["message"] and history["commands"][0].startswith("mkdir history-2")
    (dump,) = [finding for finding in findings if finding["code"] == "leftover"]
    assert "holds 0 keys" in dump["message"] and "no evidence" in dump["message"] and "resync" in dump["detail"]
    files = (folder / "appendonlydir").glob("*.2.*")
    (tmp_path / "history").mkdir()
    for path in files:
        shutil.copy(path, tmp_path / "history")
    assert aofdoctor("repair", tmp_path / "history", "--salvage", "-o", tmp_path / "out").status == 0
    assert keys_loaded(tmp_path / "out", embedded) == 300
