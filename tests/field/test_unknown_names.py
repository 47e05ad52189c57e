"""Field cases with commands that the table does not know: a renamed FLUSHALL, and commands of newer servers."""

from pathlib import Path

import pytest

from aofdoctor.server.sandbox import ServerBinary
from tests.conftest import aofdoctor
from tests.field.cases import NEEDS_FIELD_CASES, copy_case

pytestmark = NEEDS_FIELD_CASES


def test_a_renamed_flush_is_named_and_kept(tmp_path: Path) -> None:
    data = copy_case("04-renamed-flush/data", tmp_path)
    result = aofdoctor("check", data)
    assert result.status == 1 and "xflush" in result.out and "rename-command" in result.out
    salvage = aofdoctor("repair", data, "--salvage", "--json")
    assert salvage.status == 0 and salvage.json["commands"]["dropped"] == 0
    assert any("xflush" in note for note in salvage.json["notes"])


@pytest.mark.parametrize("selection", [["--cmd", "xflush"], ["--rename", "xflush=FLUSHALL"]])
def test_a_renamed_flush_can_be_stripped(tmp_path: Path, selection: list[str], embedded: ServerBinary) -> None:
    data = copy_case("04-renamed-flush/data", tmp_path)
    assert aofdoctor("strip", data, *selection, "-o", tmp_path / "out").status == 0
    verified = aofdoctor("verify", tmp_path / "out", "--with", embedded.path, "--json")
    assert verified.status == 0 and verified.json["total"] == 22


@pytest.mark.parametrize(("name", "commands"), [("redis-8.0-modules", 8), ("redis-8.4", 5), ("redis-8.12", 8)])
def test_commands_of_newer_servers_are_no_damage(tmp_path: Path, name: str, commands: int) -> None:
    path = copy_case(f"28-newer-commands/{name}.aof", tmp_path)
    result = aofdoctor("check", path, "--json")
    assert result.status == 0 and result.json["sound"]
    assert result.json["parts"][0]["commands"] == commands and not result.json["parts"][0]["damage"]
    assert all(row["count"] == 1 for row in result.json["unknown_commands"])
    salvage = aofdoctor("repair", path, "--salvage", "--json")
    assert (
        salvage.status == 0 and salvage.json["commands"] | {"after": commands, "dropped": 0} == salvage.json["commands"]
    )
