"""Suspicious events that stats reports: flushes, mass deletions, administration commands, bursts."""

from pathlib import Path
from typing import Any

import pytest

from aofdoctor.resp import encode_command
from aofdoctor.stats.histogram import find_bursts
from tests.conftest import aofdoctor
from tests.support.samples import SET
from tests.support.stats import bucket_row, run_stats


def suspicious_events(path: Path, *args: str) -> dict[str, Any]:
    return {finding["code"]: finding for finding in run_stats(path, *args)["suspects"]}


def first_shown_command(finding: Any) -> Any:
    """Return the first command that the hint of a finding shows."""
    words = finding["commands"][0].split()
    assert words[:2] == ["aofdoctor", "log"]
    return aofdoctor(*words[1:], "--json").lines[0]


FLUSH_SCRIPT = encode_command([b"EVAL", b"redis.call('FLUSHALL')", b"0"])


def test_suspicious_events_point_at_their_command(tmp_path: Path) -> None:
    path = tmp_path / "a.aof"
    wide, admin, odd = (
        encode_command([b"DEL", *[b"k%d" % n for n in range(150)]]),
        encode_command([b"CONFIG", b"SET", b"a", b"b"]),
        encode_command([b"NOSUCH"]),
    )
    path.write_bytes(SET * 9 + encode_command([b"FLUSHALL"]) + SET + FLUSH_SCRIPT + wide + SET + admin + odd + SET)
    found = suspicious_events(path)
    assert set(found) == {"flush", "flush-in-script", "many-deleted", "admin", "unknown-command"}
    for code, record in (("flush", encode_command([b"FLUSHALL"])), ("flush-in-script", FLUSH_SCRIPT), ("many-deleted", wide), ("admin", admin),
                         ("unknown-command", odd)):  # fmt: skip
        place = path.read_bytes().index(record)
        assert (found[code]["start"], first_shown_command(found[code])["offset"]) == (place, place), code
    assert "150 keys" in found["many-deleted"]["message"]
    assert found["flush"]["severity"] == "danger" and "emptied every database" in found["flush"]["message"]
    text = aofdoctor("stats", path).out
    assert text.index("DANGER  FLUSHALL at a.aof@") < text.index("command ")


def test_a_selection_applies_to_suspicious_events(tmp_path: Path) -> None:
    path = tmp_path / "a.aof"
    path.write_bytes(SET + encode_command([b"FLUSHALL"]) + SET + FLUSH_SCRIPT)
    assert set(suspicious_events(path, "--cmd", "eval")) == {"flush-in-script"}
    assert not suspicious_events(path, "--cmd", "set")
    assert set(suspicious_events(path, "--effect", "flush")) == {"flush"}


def test_many_flushes_are_summarized(tmp_path: Path) -> None:
    path = tmp_path / "a.aof"
    path.write_bytes((SET + encode_command([b"FLUSHDB"])) * 50)
    found = run_stats(path)["suspects"]
    assert [finding["code"] for finding in found] == ["flush"] * 3 + ["flush-more"]
    assert "47 more groups" in found[3]["message"] and first_shown_command(found[3])["offset"] == found[3]["start"]


@pytest.mark.parametrize("timed", [False, True])
@pytest.mark.parametrize(("command", "code"), [(b"DEL", "burst-delete"), (b"PEXPIREAT", "burst-expire")])
def test_a_burst_is_detected_in_steady_traffic(timed: bool, command: bytes, code: str, tmp_path: Path) -> None:
    one = encode_command([command, b"k", *([b"1"] if command != b"DEL" else [])])
    usual = [(b"#TS:%d\r\n" % (1_700_000_000 + n) if timed else b"") + SET * 40 + one for n in range(500)]
    burst = one * 300
    steady, sudden = tmp_path / "steady.aof", tmp_path / "sudden.aof"
    steady.write_bytes(b"".join(usual))
    sudden.write_bytes(b"".join(usual[:250]) + burst + b"".join(usual[250:]))
    assert not suspicious_events(steady)
    found = suspicious_events(sudden)
    assert set(found) == {code}
    place = len(b"".join(usual[:250]))
    assert place - 5000 <= found[code]["start"] <= place + len(one) * 100
    assert first_shown_command(found[code])["cmd"] == command.decode()
    count = int(found[code]["message"].split()[0])
    assert 200 <= count <= 330 and ("usual" in found[code]["message"])


def test_a_short_log_has_no_bursts() -> None:
    assert not find_bursts(bucket_row(1, {0: (1, 1)}), 1) and not find_bursts((1, []), 1)
    cells = [(b, 200, 200, 200 if b == 3 else 1, b, 0, -1) for b in range(20)]
    assert [(burst.count, burst.log_offset) for burst in find_bursts((1, cells), 1)] == [(200, 3)]
