"""diff --by keys with many keys and large values: the result does not depend on the limits, and memory stays small."""

import json
import subprocess
import sys
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given

from aofdoctor.diff.keys.key_diff import DIFFERS, ONLY_A, KeyDiffLimits, compare_keys
from aofdoctor.diff.units.comparison_rules import ComparisonRules
from aofdoctor.diff.units.side import Side
from aofdoctor.log.selection import Selection
from aofdoctor.resp import encode_command
from tests.support.diffs import DIGEST_KEY, SELECT_3, encode_commands, keys_of, memory_aof, set_commands
from tests.support.hostile_bytes import hostile_aofs, sound_aofs


@pytest.mark.parametrize("name", ["DEL", "UNLINK"])
def test_all_keys_of_a_large_record_count(pair: Any, name: str) -> None:
    keys = [b"key:%014d" % n for n in range(60_000)]
    all_set, gone = (
        encode_command([b"MSET", *(word for key in keys for word in (key, b"v"))]),
        encode_command([name.encode(), *keys]),
    )
    assert len(gone) > 1 << 20
    assert keys_of(*pair(all_set + gone, set_commands("x") + encode_command([b"DEL", b"x"]))) == {"status": 0}
    got = keys_of(*pair(all_set, set_commands("x")))
    assert sorted(got["only_a"]) == [(0, key.decode()) for key in keys]


def test_values_larger_than_a_window_are_exported_in_pieces(pair: Any) -> None:
    big, same = b"x" * (2 << 20), b"y" * 100
    one = (
        encode_command([b"RPUSH", b"l", same, big])
        + encode_command([b"SET", b"s", big, b"PXAT", b"7000000000000"])
        + encode_command([b"HSET", b"h", b"f", big])
    )
    two = (
        encode_command([b"RPUSH", b"l", same])
        + encode_command([b"RPUSH", b"l", big])
        + encode_command([b"SET", b"s", big])
    )
    two += encode_commands("PEXPIREAT s 7000000000000") + encode_command([b"HMSET", b"h", b"f", big])
    assert keys_of(*pair(one, two)) == {"status": 0}
    assert keys_of(*pair(one, two + encode_command([b"SET", b"s", big[:-1] + b"z"])))["differs"] == [(0, "s")]


def histories(seed: int, keys: int, count: int) -> bytes:
    random = Random(seed)
    names = (
        "SET {} 1",
        "SET {} 2",
        "DEL {}",
        "INCR {}",
        "SADD {} x",
        "RENAME {} k0",
        "SELECT 1",
        "SELECT 0",
        "PEXPIREAT {} 7000000000000",
    )
    return encode_commands(*(random.choice(names).format(f"k{random.randrange(keys)}") for _ in range(count)))


def key_events(a: bytes, b: bytes, limits: KeyDiffLimits) -> list[Any]:
    sides = [Side(memory_aof(data), ComparisonRules.create(DIGEST_KEY, False)) for data in (a, b)]
    found = compare_keys(sides[0], sides[1], (Selection(), Selection()), limits)
    return [found.counts, found.equal_keys, *found.rows()]


@pytest.mark.parametrize(
    "limits", [KeyDiffLimits(1 << 13, 300, 50), KeyDiffLimits(0, 300, 50), KeyDiffLimits(0, 1 << 12, 1 << 12)]
)
def test_the_result_does_not_depend_on_the_limits(limits: KeyDiffLimits) -> None:
    front = histories(1, 3000, 9000)
    for a, b in (
        (front + histories(2, 3000, 2000), front + histories(3, 3000, 2000)),
        (front, histories(4, 3000, 9000)),
    ):
        expected = key_events(a, b, KeyDiffLimits())
        assert len(expected) > 500
        assert key_events(a, b, limits) == expected


def test_rows_come_in_the_order_of_their_last_write() -> None:
    found = key_events(histories(1, 500, 4000), histories(2, 500, 4000), KeyDiffLimits(rows=100))[2:]
    places = [(kind, (row.a if kind in (ONLY_A, DIFFERS) else row.b)) for kind, row in found]
    assert places == sorted(places)
    assert all(row.name for _, row in found)


def test_two_million_keys_in_little_memory(tmp_path: Path) -> None:
    count = 2_100_000
    with open(tmp_path / "a.aof", "wb") as one, open(tmp_path / "b.aof", "wb") as two:
        two.write(set_commands("x"))
        for at in range(0, count, 100_000):
            data = b"".join(b"*2\r\n$4\r\nINCR\r\n$7\r\n%07d\r\n" % n for n in range(at, at + 100_000))
            one.write(data)
            two.write(data)
    out, peak = peak_memory_of_diff(tmp_path / "a.aof", tmp_path / "b.aof", "--by", "keys", "--json")
    summary, line = map(json.loads, out.splitlines())
    assert (summary["same"], line["type"], line["key"]) == (count, "only_b", "x")
    assert peak < 128


def peak_memory_of_diff(*args: Path | str) -> tuple[str, float]:
    """Return the output of diff and its peak memory in MiB."""
    code = (
        "import resource, subprocess, sys; print(subprocess.run(sys.argv[1:], capture_output=True, text=True).stdout, end=''); "
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
    )
    command = [sys.executable, "-c", code, sys.executable, "-m", "aofdoctor", "diff", *map(str, args)]
    *lines, last = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    return "\n".join(lines), int(last) / 1024


def test_a_million_flushes_are_fast(pair: Any) -> None:
    """A flush must not visit the keys of the table."""
    some = set_commands(*(f"k:{n}" for n in range(50_000)))
    a = (
        SELECT_3
        + some
        + encode_commands("SELECT 0")
        + (set_commands("a") + encode_commands("FLUSHDB", "SWAPDB 0 1")) * 30_000
    )
    assert keys_of(*pair(a, SELECT_3 + some)) == {"status": 0}


def count_keys(a: bytes, b: bytes) -> tuple[list[int], int | None]:
    sides = [Side(memory_aof(data), ComparisonRules.create(DIGEST_KEY, False)) for data in (a, b)]
    found = compare_keys(sides[0], sides[1], (Selection(), Selection()))
    assert len(list(found.rows())) == sum(found.counts)
    return found.counts, found.equal_keys


@given(sound_aofs | hostile_aofs, sound_aofs | hostile_aofs)
def test_swapping_the_sides_mirrors_the_keys(a: bytes, b: bytes) -> None:
    (only_a, only_b, differ), same = count_keys(a, b)
    assert count_keys(b, a) == ([only_b, only_a, differ], same)
    assert count_keys(a, a)[0] == [0, 0, 0]
