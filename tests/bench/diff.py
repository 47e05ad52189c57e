"""Compare the CPU time of diff with cmp on files that share 99%, and measure its time and memory on unrelated files.

    python -m tests.bench.diff FILE OTHER [MB]      two large AOFs that have nothing in common

FILE is copied twice, and each copy ends with one percent of different commands.
The CPU time of diff is compared with that of cmp on the same copies, and with
diff on the two tails alone. FILE and OTHER, and their first halves, show the
largest resident set and whether the time grows in proportion to the size.

Then two RDBs of MB megabytes (default 500) in which the last percent of the
keys differs are compared in the same way. An RDB of a tenth of that size is
compared with its exported commands, and with a copy in another key order.

For diff --by keys on FILE and OTHER, the time per command and the largest
resident set are printed, with and without the list of differing keys.
"""

import json
import os
import random
import shutil
import struct
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from functools import partial
from itertools import chain, islice
from pathlib import Path

from aofdoctor.aof.recovery.resync import find_record
from aofdoctor.rdb.encoding.crc64 import crc64
from aofdoctor.resp import encode_command
from aofdoctor.server.command_table import command_table
from aofdoctor.source import FileSource
from tests.bench.peers import cpu_seconds, peak_mib
from tests.support.rdb_value_writer import length, listpack, string

ROUNDS = 3
DOCTOR = [sys.executable, "-m", "aofdoctor", "diff", "--stat"]


def record_near(path: Path, offset: int) -> int:
    """Return the offset of the first record at or after an offset."""
    source = FileSource(path)
    found = find_record(source, offset, command_table().names.ids, run=True)
    source.close()
    assert found is not None, path
    return found


def truncated_copy(path: Path, target: Path, size: int) -> Path:
    """Copy the first bytes of a file, up to a record boundary."""
    shutil.copyfile(path, target)
    os.truncate(target, record_near(path, size))
    return target


def tail_commands(word: str, size: int) -> bytes:
    """Return commands that occur in no other tail."""
    one = len(encode_command([b"SET", f"{word}:{0:09}".encode(), b"x" * 40]))
    return b"".join(encode_command([b"SET", f"{word}:{n:09}".encode(), b"x" * 40]) for n in range(size // one))


def median_cpu(command: list[str]) -> float:
    return sorted(cpu_seconds(command)[0] for _ in range(ROUNDS))[ROUNDS // 2]


def measure_shared(path: Path, folder: Path) -> None:
    size = path.stat().st_size
    pairs = []
    for word in ("left", "right"):
        whole, alone = truncated_copy(path, folder / word, size * 99 // 100), folder / f"{word}-tail"
        alone.write_bytes(tail_commands(word, size // 100))
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


def measure_disjoint(path: Path, other: Path, folder: Path) -> None:
    halves = [str(truncated_copy(p, folder / f"half-{n}", p.stat().st_size // 2)) for n, p in enumerate((path, other))]
    half, full = cpu_seconds([*DOCTOR, *halves])[0], cpu_seconds([*DOCTOR, str(path), str(other)])[0]
    print(f"  disjoint: {full:.1f} s CPU, {full / half:.2f} times that of the halves")
    print(f"  peak {peak_mib([*DOCTOR, str(path), str(other)]):.0f} MiB (at most 128)")


def measure_by_keys(path: Path, other: Path) -> None:
    command = [*DOCTOR[:-1], "--by", "keys", str(path), str(other)]
    counted = [sys.executable, "-m", "aofdoctor", "check", "--json"]
    commands = sum(
        part["commands"]
        for file in (path, other)
        for part in json.loads(subprocess.run([*counted, file], capture_output=True, check=False).stdout)["parts"]
    )
    print(f"  by keys: {cpu_seconds(command)[0] / commands * 1e6:.2f} us CPU a command")
    print(f"  peak {peak_mib(command):.0f} MiB (at most 128)")


# -- RDBs --


def key_of(n: int, word: bytes) -> bytes:
    """Return a string, list, hash or expiring string of about 130 bytes."""
    name, value = string(b"key:%09d" % n), b"%s-%09d-" % (word, n) + b"x" * 90
    if n % 4 == 1:
        return b"\x01" + name + length(4) + b"".join(string(value[:25] + b"%d" % part) for part in range(4))
    if n % 4 == 2:
        return b"\x10" + name + string(listpack([value[:12] + b"%d" % part for part in range(8)]))
    return (b"\xfc" + struct.pack("<Q", 4102444800000 + n) if n % 4 == 3 else b"") + b"\x00" + name + string(value)


def write_rdb(path: Path, numbers: Iterable[int], tail: Iterable[int] = (), word: bytes = b"own") -> Path:
    """Write an RDB of numbered keys; the values of the tail keys and the ctime depend on `word`."""
    crc = 0
    with open(path, "wb") as out:
        head = b"REDIS0011\xfa" + string(b"ctime") + string(word) + b"\xfe\x00"
        keys = chain((key_of(n, b"shared") for n in numbers), (key_of(n, word) for n in tail))
        for piece in chain([head], iter(lambda: b"".join(islice(keys, 4096)), b""), [b"\xff"]):
            crc = crc64(piece, crc)
            out.write(piece)
        out.write(struct.pack("<Q", crc))
    return path


def measure_bases(size: int, folder: Path) -> None:
    count = size // 125
    first, last = range(count * 99 // 100), range(count * 99 // 100, count)
    a, b = (str(write_rdb(folder / f"{word}.rdb", first, last, word.encode())) for word in ("left", "right"))
    tails = [str(write_rdb(folder / f"{word}-tail.rdb", (), last, word.encode())) for word in ("left", "right")]
    seconds = {
        "cmp": median_cpu(["cmp", a, str(shutil.copyfile(a, folder / "copy"))]),
        "diff": median_cpu([*DOCTOR, a, b]),
        "diff of the tails": median_cpu([*DOCTOR, *tails]),
        "diff of one and itself": median_cpu([*DOCTOR, a, a]),
    }
    for name, value in seconds.items():
        print(f"  {name:<24} {value:6.2f} s CPU")
    ratio = (seconds["diff"] - seconds["diff of the tails"]) / seconds["cmp"]
    print(f"  bases of {os.path.getsize(a) / 1e6:.0f} MB: what is shared takes {ratio:.2f} times the CPU of cmp")
    print(f"  peak {peak_mib([*DOCTOR, a, b]):.0f} MiB")


def measure_exported(size: int, folder: Path) -> None:
    """Compare an RDB with its exported commands and with a copy in another key order, also at half the size."""
    found: dict[str, list[float]] = {}
    for count in (size // 250, size // 125):
        order = list(range(count))
        a = write_rdb(folder / "a.rdb", order)
        random.Random(1).shuffle(order)
        b, patch, empty = write_rdb(folder / "b.rdb", order), folder / "patch", folder / "empty"
        empty.write_bytes(encode_command([b"PING"]))
        patch.unlink(missing_ok=True)
        cpu_seconds([*DOCTOR, str(empty), str(a), "--patch", str(patch)])
        for name, other in (("its commands", patch), ("another order", b)):
            found.setdefault(name, []).append(cpu_seconds([*DOCTOR, str(a), str(other)])[0])
            peak = peak_mib([*DOCTOR, str(a), str(other)])
            print(f"  {count:,} keys against {name}: {found[name][-1]:.1f} s CPU, peak {peak:.0f} MiB")
    for name, (half, full) in found.items():
        print(f"  against {name}: {full / half:.2f} times that of half the keys")


def main() -> None:
    path, other = map(Path, sys.argv[1:3])
    size = int(sys.argv[3] if len(sys.argv) > 3 else 500) * 1_000_000
    for measure in (
        partial(measure_shared, path),
        partial(measure_disjoint, path, other),
        partial(measure_bases, size),
        partial(measure_exported, size // 10),
    ):
        with tempfile.TemporaryDirectory(dir=path.parent) as folder:
            measure(Path(folder))
    measure_by_keys(path, other)


if __name__ == "__main__":
    main()
