"""Deletions of many keys of one prefix are findings, with the command that takes them back."""

import shlex
from pathlib import Path
from typing import Any

import pytest

from aofdoctor.log import mass_deletions
from aofdoctor.resp import encode_command
from tests.conftest import aofdoctor


def deletes(count: int, prefix: str = "user:", name: bytes = b"DEL") -> bytes:
    return b"".join(encode_command([name, b"%b%d" % (prefix.encode(), i)]) for i in range(count))


def sets(count: int, prefix: str = "user:") -> bytes:
    return b"".join(encode_command([b"SET", b"%b%d" % (prefix.encode(), i), b"1"]) for i in range(count))


def findings(path: Path) -> list[dict[str, str]]:
    found = aofdoctor("check", path, "--json").json["findings"]
    return [finding for finding in found if finding["code"] in ("mass-delete", "deleted-keys", "deletions-sampled")]


def run_command(finding: Any) -> int:
    """Run the command of a finding; return how many keys come back."""
    (command,) = finding["commands"]
    result = aofdoctor(*shlex.split(command)[1:], "--json")
    assert result.status == 0, result.err
    return int(result.json["returning_keys"]["count"])


def test_many_keys_within_one_second_are_a_mass_deletion(tmp_path: Path) -> None:
    path = tmp_path / "a.aof"
    path.write_bytes(b"#TS:1700000000\r\n" + sets(150) + b"#TS:1700000100\r\n" + deletes(150, name=b"UNLINK"))
    (found,) = findings(path)
    assert found["code"] == "mass-delete" and found["severity"] == "warning"
    assert "UNLINK removed 150 keys of the prefix user: within one second" in found["message"]
    assert run_command(found) == 150


def test_one_command_with_many_keys_is_a_mass_deletion(tmp_path: Path) -> None:
    path = tmp_path / "a.aof"
    path.write_bytes(sets(150) + encode_command([b"DEL", *(b"user:%d" % i for i in range(150))]))
    (found,) = findings(path)
    assert "DEL removed 150 keys of the prefix user: in a row" in found["message"] and run_command(found) == 150


def test_scattered_deletions_are_a_note(tmp_path: Path) -> None:
    path = tmp_path / "a.aof"
    pairs = [encode_command([b"SET", b"user:%d" % i, b"1"]) * 3 + encode_command([b"DEL", b"user:%d" % i])
             for i in range(120)]  # fmt: skip
    path.write_bytes(b"".join(pairs))
    (found,) = findings(path)
    assert found["code"] == "deleted-keys" and found["severity"] == "note" and run_command(found) == 120


def test_the_hint_of_a_burst_selects_the_burst_alone(tmp_path: Path) -> None:
    path = tmp_path / "a.aof"
    early = sets(20) + deletes(20)
    path.write_bytes(
        b"#TS:1700000000\r\n" + early + b"#TS:1700000100\r\n" + sets(200) + b"#TS:1700000200\r\n" + deletes(110)
    )
    (found,) = findings(path)
    assert "removed 110 keys" in found["message"] and "130 keys" in found["detail"]
    assert run_command(found) == 110


@pytest.mark.parametrize("prefix", ["a*b:", "it's [x]:", "sp ace?:", "back\\slash:"])
def test_hints_of_odd_prefixes_can_be_pasted(prefix: str, tmp_path: Path) -> None:
    path = tmp_path / "a.aof"
    path.write_bytes(sets(100, prefix) + sets(3, "axb:") + deletes(100, prefix) + deletes(3, "axb:"))
    (found,) = findings(path)
    assert run_command(found) == 100


def test_few_deletions_and_keys_without_a_prefix_are_no_finding(tmp_path: Path) -> None:
    path = tmp_path / "a.aof"
    path.write_bytes(sets(99) + deletes(99) + sets(300, "x") + deletes(300, "x"))
    assert findings(path) == []


def test_in_a_large_log_a_limited_number_of_deletions_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mass_deletions, "_SMALL_LOG", 0)
    monkeypatch.setattr(mass_deletions, "_READS_OF_LARGE_LOG", 500)
    path = tmp_path / "a.aof"
    path.write_bytes(sets(5000) + deletes(5000))
    sampled, found = sorted(findings(path), key=lambda finding: finding["code"], reverse=True)
    if found["code"] == "deletions-sampled":
        sampled, found = found, sampled
    assert "5,000 DEL or UNLINK commands" in sampled["message"] and "at least" in found["message"]
