"""An output is loaded by a private server before it has its name: by default if it is small, on request always."""

from pathlib import Path

import pytest

from aofdoctor.cli.proof import Proof
from aofdoctor.resp import encode_command
from aofdoctor.server.sandbox import ServerBinary
from tests.conftest import aofdoctor
from tests.support.samples import FLUSH, SET

NO_SCRIPT = encode_command([b"EVALSHA", b"0" * 40, b"0"])


@pytest.fixture
def wiped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, embedded: ServerBinary) -> Path:
    monkeypatch.setattr(Proof, "size_max", 1 << 30)
    path = tmp_path / "a.aof"
    path.write_bytes(SET + FLUSH)
    return path


def test_a_small_output_is_proven_without_being_asked(wiped: Path, tmp_path: Path) -> None:
    result = aofdoctor("strip", wiped, "-o", tmp_path / "out")
    assert result.status == 0 and "proven: " in result.out and "1 key" in result.out
    assert '"proven": "' in (tmp_path / "out.receipt.json").read_text()


def test_no_prove_starts_no_server(wiped: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aofdoctor.cli.proof.load_in_sandbox", None)
    result = aofdoctor("strip", wiped, "-o", tmp_path / "out", "--no-prove")
    assert result.status == 0 and "proven: " not in result.out


def test_a_large_output_is_not_loaded_and_says_so(wiped: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Proof, "size_max", 10)
    result = aofdoctor("strip", wiped, "-o", tmp_path / "out", "--json")
    assert result.status == 0 and "10 bytes or more" in result.json["not_proven"]


def test_errors_at_replay_are_a_warning_and_with_prove_a_refusal(wiped: Path, tmp_path: Path) -> None:
    wiped.write_bytes(SET + NO_SCRIPT + FLUSH)
    result = aofdoctor("strip", wiped, "-o", tmp_path / "out")
    assert result.status == 1 and "WARNING  1 command of the copy failed at replay" in result.out
    assert (tmp_path / "out").exists()
    refused = aofdoctor("strip", wiped, "-o", tmp_path / "second", "--prove")
    assert refused.status == 3 and "failed at replay" in refused.err and not (tmp_path / "second").exists()


def test_without_a_server_that_can_load_it_the_copy_is_kept_unproven(wiped: Path, tmp_path: Path) -> None:
    wiped.write_bytes(SET + encode_command([b"NO.SUCH", b"k", b"v"]) + FLUSH)
    result = aofdoctor("strip", wiped, "-o", tmp_path / "out")
    assert result.status == 0 and "not proven: no server at hand loads it" in result.out
    assert aofdoctor("strip", wiped, "-o", tmp_path / "second", "--prove").status == 3
