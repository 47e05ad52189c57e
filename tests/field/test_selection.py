"""Field case 27: a selection by keys names the commands that use selected and other keys."""

from pathlib import Path

from tests.conftest import aofdoctor
from tests.field.cases import NEEDS_FIELD_CASES, copy_case

pytestmark = NEEDS_FIELD_CASES


def test_slice_names_what_the_selected_keys_depend_on(tmp_path: Path) -> None:
    data = copy_case("27-slice-dependencies", tmp_path) / "data"
    named = ["RENAME", "LMOVE", "SUNIONSTORE", "SMOVE", "COPY", "build:1", "tmp:q", "other:s"]
    plan = aofdoctor("slice", data, "--key", "user:*")
    assert all(word in plan.out for word in named)
    result = aofdoctor("slice", data, "--key", "user:*", "-o", tmp_path / "out")
    written = result.out.partition("written:")[2]
    assert result.status == 0 and all(word in written for word in named)
    mixed = aofdoctor("slice", data, "--key", "user:*", "--json").json["mixed_commands"]
    readers = [command for command in mixed["commands"] if command["reads_other_keys"]]
    assert mixed["count"] == 7 and [command["cmd"] for command in readers] == named[:5]


def test_strip_names_the_commands_that_change_other_keys(tmp_path: Path) -> None:
    data = copy_case("27-slice-dependencies", tmp_path) / "data"
    mixed = aofdoctor("strip", data, "--key", "tmp:*", "--json").json["mixed_commands"]
    assert [(c["cmd"], c["selected_keys"], c["other_keys"]) for c in mixed["commands"]] == [
        ("LMOVE", ["tmp:q"], ["user:q"]), ("DEL", ["tmp:a"], ["user:7"]),
    ]  # fmt: skip
