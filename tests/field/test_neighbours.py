"""Field cases of files beside an AOF: each is opened, and described by what it holds."""

from pathlib import Path

import pytest

from aofdoctor.server.sandbox import ServerBinary
from tests.conftest import aofdoctor
from tests.field.cases import NEEDS_FIELD_CASES, SHARED, copy_case, keys_loaded

pytestmark = NEEDS_FIELD_CASES


def test_a_dump_that_an_empty_aof_replaced_is_a_danger(tmp_path: Path, embedded: ServerBinary) -> None:
    folder = copy_case("01-flip-appendonly/data", tmp_path)
    findings = aofdoctor("check", folder, "--json").json["findings"]
    (finding,) = [finding for finding in findings if finding["code"] == "dump-not-loaded"]
    assert finding["severity"] == "danger" and "100 keys" in finding["message"] and "older" in finding["message"]
    assert "CONFIG SET save ''" in finding["hint"] and "aofdoctor convert" in finding["commands"][0]
    assert aofdoctor("convert", folder / "dump.rdb", "--layout", "multi-part", "-o", tmp_path / "out").status == 0
    assert keys_loaded(tmp_path / "out", embedded) == 100


def test_a_dump_of_nuls_holds_no_data(tmp_path: Path, embedded: ServerBinary) -> None:
    folder = copy_case("13-wrong-signature/nfs", tmp_path)
    report = aofdoctor("check", folder)
    assert report.status == 1 and "dump.rdb (3,183 bytes) holds no data" in report.out
    assert aofdoctor("repair", folder, "-o", tmp_path / "out").status == 0
    assert keys_loaded(tmp_path / "out", embedded) == 319


def test_a_directory_of_rdb_files_is_examined(tmp_path: Path) -> None:
    report = aofdoctor("check", copy_case("13-wrong-signature/headless", tmp_path))
    assert report.status == 1 and "dump.rdb" in report.out and "temp-4711.rdb" in report.out
    assert "197 keys" in report.out


def test_a_temporary_file_is_an_unfinished_rewrite(tmp_path: Path) -> None:
    report = aofdoctor("check", copy_case("14-temp-files", tmp_path))
    assert report.status == 0
    assert "an unfinished rewrite of this AOF: an RDB that ends inside a record" in report.out


@pytest.mark.skipif(not (SHARED / "newest").is_dir(), reason=f"no sets of the newest servers in {SHARED}")
@pytest.mark.parametrize("case", ["backup-live", "backup-set", "preloaded-aof", "preloaded-manifest"])
def test_sets_of_backup_and_preload_file_are_not_unfinished_rewrites(case: str, tmp_path: Path) -> None:
    folder = copy_case(f"../newest/redis-8.10.2/{case}/data", tmp_path)
    report = aofdoctor("check", folder, "--json")
    assert report.status in (0, 1) and all(part["exists"] and not part["damage"] for part in report.json["parts"])
    codes = {finding["code"] for finding in report.json["findings"]}
    assert "rewrite-unfinished" not in codes
    assert ("other-set" in codes) == (case == "backup-live")
