"""Measure diff against cmp on files that share 99%, and what it takes on files that share nothing; and diff --by keys.

    python -m tests.bench.diff FILE OTHER      AOFs, large ones, that have nothing in common

FILE is copied twice, each copy with a last hundredth of its own.  The CPU time
of diff is set beside that of cmp on the same copies and of diff on the two tails
alone.  FILE and OTHER, and their first halves, give the largest resident set
and whether the time grows as the size does.  Of diff --by keys on FILE and OTHER the time of a command and the largest
resident set are given; what differs is listed too.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from aofdoctor.aof.record import encode
from aofdoctor.aof.resync import find_record
from aofdoctor.server.commands import table
from aofdoctor.source import FileSource
from tests.bench.peers import cpu_seconds, peak_mib

ROUNDS = 3
DOCTOR = [sys.executable, "-m", "aofdoctor", "diff", "--stat"]


def record_near(path: Path, offset: int) -> int:
    """Where a record begins at an offset or after it."""
    source = FileSource(path)
    found = find_record(source, offset, table().words.ids, run=True)
    source.close()
    assert found is not None, path
    return found


def cut(path: Path, target: Path, size: int) -> Path:
    """A copy of the first bytes, up to a record."""
    shutil.copyfile(path, target)
    os.truncate(target, record_near(path, size))
    return target


def tail(word: str, size: int) -> bytes:
    """Commands that no other tail has."""
    one = len(encode([b"SET", f"{word}:{0:09}".encode(), b"x" * 40]))
    return b"".join(encode([b"SET", f"{word}:{n:09}".encode(), b"x" * 40]) for n in range(size // one))


def median_cpu(command: list[str]) -> float:
    return sorted(cpu_seconds(command)[0] for _ in range(ROUNDS))[ROUNDS // 2]


def shared(path: Path, folder: Path) -> None:
    size = path.stat().st_size
    pairs = []
    for word in ("left", "right"):
        whole, alone = cut(path, folder / word, size * 99 // 100), folder / f"{word}-tail"
        alone.write_bytes(tail(word, size // 100))
        with open(whole, "ab") as out:
            out.write(alone.read_bytes())
        pairs.append((str(whole), str(alone)))
    (a, tail_a), (b, tail_b) = pairs
    seconds = {
        "cmp": median_cpu(["cmp", a, b]),
        "diff": median_cpu([*DOCTOR, a, b]),
        "diff of the tails": median_cpu([*DOCTOR, tail_a, tail_b]),
    }
    for name, value in seconds.items():
        print(f"  {name:<20} {value:6.2f} s CPU")
    ratio = (seconds["diff"] - seconds["diff of the tails"]) / seconds["cmp"]
    print(f"  what is shared takes {ratio:.2f} times the CPU of cmp (at most 2)")


def disjoint(path: Path, other: Path, folder: Path) -> None:
    halves = [str(cut(p, folder / f"half-{n}", p.stat().st_size // 2)) for n, p in enumerate((path, other))]
    half, full = cpu_seconds([*DOCTOR, *halves])[0], cpu_seconds([*DOCTOR, str(path), str(other)])[0]
    print(f"  disjoint: {full:.1f} s CPU, {full / half:.2f} times that of the halves")
    print(f"  peak {peak_mib([*DOCTOR, str(path), str(other)]):.0f} MiB (at most 128)")


def by_keys(path: Path, other: Path) -> None:
    command = [*DOCTOR[:-1], "--by", "keys", str(path), str(other)]
    counted = [sys.executable, "-m", "aofdoctor", "check", "--json"]
    commands = sum(
        part["commands"]
        for file in (path, other)
        for part in json.loads(subprocess.run([*counted, file], capture_output=True, check=False).stdout)["parts"]
    )
    print(f"  by keys: {cpu_seconds(command)[0] / commands * 1e6:.2f} us CPU a command")
    print(f"  peak {peak_mib(command):.0f} MiB (at most 128)")


def main() -> None:
    path, other = map(Path, sys.argv[1:3])
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        shared(path, Path(folder))
        disjoint(path, other, Path(folder))
    by_keys(path, other)


if __name__ == "__main__":
    main()
