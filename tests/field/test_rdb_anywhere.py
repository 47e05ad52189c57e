"""RDBs behind, before or among other bytes in the files of the field cases; dumps; replication streams."""

from pathlib import Path

import pytest

from tests.conftest import aofdoctor
from tests.field.cases import NEEDS_FIELD_CASES, copy_case
from tests.support.conversions import key_counts

pytestmark = NEEDS_FIELD_CASES


def salvaged(source: Path, out: Path) -> Path:
    result = aofdoctor("repair", source, "--salvage", "-o", out)
    assert result.status == 0, result.err
    return out


@pytest.mark.parametrize(("name", "output", "extra"), [("noredis", "out.rdb", {}), ("nc", "out.aof", {0: 1})])
def test_an_rdb_behind_other_bytes_is_salvaged(name: str, output: str, extra: dict[int, int], tmp_path: Path) -> None:
    source = copy_case("26-rdb-behind-bytes", tmp_path) / f"{name}.rdb"
    assert aofdoctor("check", source).status == 1
    assert key_counts(salvaged(source, tmp_path / output)) == {6: 70, 7: 377, 9: 100} | extra


def test_a_dump_with_bytes_behind_it_loads(tmp_path: Path) -> None:
    report = aofdoctor("check", copy_case("26-rdb-behind-bytes", tmp_path) / "eof-tail.rdb", "--json").json
    assert {verdict["outcome"] for verdict in report["verdicts"]} == {"loads"}


def test_an_rdb_without_its_beginning_is_salvaged(tmp_path: Path) -> None:
    case = copy_case("13-wrong-signature", tmp_path)
    assert key_counts(salvaged(case / "magic" / "dump.rdb", tmp_path / "magic.rdb")) == {0: 300}
    assert key_counts(salvaged(case / "headless" / "dump.rdb", tmp_path / "headless.rdb"))[0] in (257, 258)
    result = aofdoctor("check", case / "headless")
    assert result.status == 1 and "dump.rdb" in result.out and "temp-4711.rdb" in result.out
    assert aofdoctor("check", case / "nfs" / "dump.rdb").status in (1, 3)
    assert key_counts(salvaged(case / "nfs", tmp_path / "nfs.aof")) == {0: 319}


def test_concatenated_aofs_keep_the_keys_of_every_rdb(tmp_path: Path) -> None:
    source = copy_case("19-concatenated", tmp_path) / "old-cat.aof"
    result = aofdoctor("check", source)
    assert result.status == 1 and "718 (0x2ce)" in result.out and "1436 (0x59c)" in result.out
    assert key_counts(salvaged(source, tmp_path / "out.aof")) == {0: 153}


@pytest.mark.parametrize(("name", "keys"), [("stream.aof", 83), ("rdb-then-stream.aof", 114)])
def test_a_replication_stream_without_its_flush(name: str, keys: int, tmp_path: Path) -> None:
    assert (
        aofdoctor("strip", copy_case("12-psync-capture", tmp_path) / name, "--all", "-o", tmp_path / "out.aof").status
        == 0
    )
    assert key_counts(tmp_path / "out.aof") == {0: keys, 2: 4}
