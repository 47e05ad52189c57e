"""Field cases 16 and 21: evictions, a mass deletion and two flushes are found, and can be taken back."""

from pathlib import Path

from aofdoctor.server.sandbox import ServerBinary
from tests.conftest import aofdoctor
from tests.field.cases import NEEDS_FIELD_CASES, copy_case, keys_loaded

pytestmark = NEEDS_FIELD_CASES


def test_evicted_keys_come_back_and_the_deletion_of_the_application_stays(
    tmp_path: Path, embedded: ServerBinary
) -> None:
    path, out = copy_case("16-evictions", tmp_path) / "appendonly.aof", tmp_path / "out"
    findings = aofdoctor("check", path, "--json").json["findings"]
    (found,) = [finding for finding in findings if finding["code"] in ("mass-delete", "deleted-keys")]
    assert "item:" in found["message"] and "--key 'item:*'" in found["commands"][0]
    result = aofdoctor(
        "strip", path, "--cmd", "del", "--cmd", "unlink", "--key", "item:*", "-o", out, "--json"
    )  # fmt: skip
    assert result.status == 0, result.err
    assert keys_loaded(out, embedded) == 1200
    returning = result.json["returning_keys"]
    assert returning["exact"] and keys_loaded(path, embedded) + returning["count"] == 1200


def test_both_flushes_and_the_mass_deletion_are_found(tmp_path: Path) -> None:
    data = copy_case("21-vanished", tmp_path) / "data"
    findings = aofdoctor("check", data, "--json").json["findings"]
    flushes = [finding["message"] for finding in findings if finding["code"] == "flush"]
    assert ["database 0" in message for message in flushes] == [True, False] and "database 2" in flushes[1]
    (found,) = [finding for finding in findings if finding["code"] == "mass-delete"]
    assert "400 keys of the prefix user:" in found["message"] and "within one second" in found["message"]
    assert "--cmd unlink --key 'user:*'" in found["commands"][0]


def test_the_flushes_and_the_mass_deletion_are_taken_back(tmp_path: Path, embedded: ServerBinary) -> None:
    data, first, second = copy_case("21-vanished", tmp_path) / "data", tmp_path / "first", tmp_path / "second"
    assert aofdoctor("strip", data, "--all", "-o", first).status == 0
    result = aofdoctor("strip", first, "--cmd", "unlink", "--key", "user:*", "-o", second, "--json")
    assert result.json["returning_keys"]["count"] == 400 and result.json["returning_keys"]["exact"]
    loaded = aofdoctor("verify", second, "--with", embedded.path, "--json").json
    assert loaded["keys"] == {"0": 404, "2": 2}
