"""Any value of any option gives a result or a clear error, never a traceback."""

from pathlib import Path

import pytest
import typer
from typer.core import TyperGroup, TyperOption

from aofdoctor.cli.app import VERBS, build_app
from aofdoctor.resp import encode_command
from tests.conftest import aofdoctor

VALUES = [
    "",
    "-1",
    "0",
    "9223372036854775807",
    "9223372036854775808",
    "1" + "0" * 400,
    "nan",
    "inf",
    "1e999",
    "0x",
    "\udcff",
    "*",
]
SECOND_ARGUMENTS = {"show": ["#1"], "diff": ["a.aof"], "apply": ["a.aof"]}


def options_with_values() -> list[tuple[str, str]]:
    """The name of each verb with each of its options that takes a value."""
    group = typer.main.get_command(build_app(["--help"]))
    assert isinstance(group, TyperGroup)
    return [
        (verb, option.opts[0])
        for verb in VERBS
        if verb != "demo"
        for option in group.commands[verb].params
        if isinstance(option, TyperOption) and not option.is_flag
    ]


@pytest.mark.parametrize(("verb", "option"), options_with_values())
def test_any_value_of_an_option_gives_a_result_or_a_clear_error(
    verb: str, option: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.aof").write_bytes(encode_command([b"SELECT", b"0"]) + encode_command([b"SET", b"k", b"v"]))
    for value in VALUES:
        given = f"{option}={value}" if option.startswith("--") else f"{option}{value}"
        result = aofdoctor(verb, "a.aof", *SECOND_ARGUMENTS.get(verb, []), given)
        assert result.status in (0, 1, 2, 3), (value, result.err)
        assert "Traceback" not in result.err, (value, result.err)
