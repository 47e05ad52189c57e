"""Field cases that a server starts with although commands fail at replay."""

from pathlib import Path

import pytest

from aofdoctor.server.sandbox import ServerBinary
from tests.conftest import Result, aofdoctor
from tests.field.cases import NEEDS_FIELD_CASES, copy_case
from tests.support.servers import servers_by_line

pytestmark = NEEDS_FIELD_CASES


def verify(path: Path, server: ServerBinary) -> Result:
    return aofdoctor("verify", path, "--with", server.path, "--json")


def test_the_log_of_another_program_loads_in_no_server(tmp_path: Path, embedded: ServerBinary) -> None:
    path = copy_case("11-foreign-log/tile38.aof", tmp_path)
    report, verified = aofdoctor("check", path, "--json"), verify(path, embedded)
    assert report.status == verified.status == 1
    assert "loads" not in {verdict["outcome"] for verdict in report.json["verdicts"]}
    assert (verified.json["total"], verified.json["failed_commands"]) == (0, 12)
    assert "12 SET commands with options that no judged server knows" in aofdoctor("check", path).out


@pytest.mark.parametrize(
    ("name", "needed", "databases"),
    [
        ("aof", "databases 1000", {"0": 4, "5": 2, "17": 2, "999": 2}),
        ("min.aof", "databases 21", {"20": 1}),
    ],
)
def test_high_databases_are_a_danger_and_are_verified_apart(
    name: str, needed: str, databases: dict[str, int], tmp_path: Path
) -> None:
    path = copy_case(f"18-databases/{name}", tmp_path)
    report = aofdoctor("check", path)
    assert report.status == 1 and needed in report.out and "DANGER" in report.out
    reader_of_sets = next(binary for binary in servers_by_line().values() if binary.version >= (7, 0, 0))
    verified = verify(path, reader_of_sets)
    assert verified.status == 0
    assert verified.json["keys"] == databases


def test_scripts_that_the_log_does_not_define_are_counted(tmp_path: Path, embedded: ServerBinary) -> None:
    path = copy_case("20-evalsha/evalsha-rewritten.aof", tmp_path)
    report, verified = aofdoctor("check", path), verify(path, embedded)
    assert report.status == verified.status == 1
    assert "2 commands cannot run: their script is not defined in this log" in report.out
    assert (verified.json["total"], verified.json["errors"]) == (21, {"NOSCRIPT": 2})
