"""Field case 24: line ends that a transfer in text mode has changed are restored byte for byte."""

from pathlib import Path

import pytest

from tests.conftest import aofdoctor
from tests.field.cases import NEEDS_FIELD_CASES, copy_case

pytestmark = NEEDS_FIELD_CASES


@pytest.mark.parametrize(
    ("changed", "original"), [("lf", "orig"), ("crlf", "orig"), ("json-crlf", "json-orig")]
)  # fmt: skip
def test_the_original_is_restored_byte_for_byte(changed: str, original: str, tmp_path: Path) -> None:
    case = copy_case("24-text-mode", tmp_path)
    result = aofdoctor("repair", case / f"{changed}.aof", "--salvage", "-o", tmp_path / "out")
    assert result.status == 0, result.err
    assert (tmp_path / "out").read_bytes() == (case / f"{original}.aof").read_bytes()


def test_what_could_also_be_a_changed_length_is_marked_as_a_guess(tmp_path: Path) -> None:
    case = copy_case("24-text-mode", tmp_path)
    assert "a guess" in aofdoctor("repair", case / "crlf.aof", "--salvage").out
    assert "a guess" not in aofdoctor("repair", case / "json-crlf.aof", "--salvage").out
