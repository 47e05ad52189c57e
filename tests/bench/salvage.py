"""Measure what `aofdoctor repair --salvage` and `redis-check-aof --fix` keep of damaged AOFs, for each kind of damage.

    python -m tests.bench.salvage [CASES]            CASES of each kind, by default 30; prints the table of the README
    python -m tests.bench.salvage CASES --kind TEXT  only the kinds with TEXT in their name, and each case that lost

Real servers write sound AOFs of which every command and key is known (tests/bench/salvage_samples.py).  Copies are
damaged at random, with a fixed seed for each case, and given to both tools.  The result is what a server of the same
version loads: its commands, read by this package from the files that the server left, and its keys, compared by the
server's own digests (tests/bench/salvage_score.py).  The checker is that of the same server.

Recall counts the commands and keys that the damage left intact.  Commands of a transaction that it touched count for
neither tool.  "Invented" are commands and keys of the salvage that are not in the source, or are there with other
values, unless the damage itself changed them inside a value, which no reader of an AOF can see.  Those "in another
database" follow damage that took a SELECT with it; the salvage reports them as guesses.
"""

import argparse
import os
import sys
import traceback
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from multiprocessing import Pool
from pathlib import Path
from random import Random

from tests.bench.salvage_cases import DamagedCase
from tests.bench.salvage_samples import Sample, make_sample
from tests.bench.salvage_score import Score, fix_and_load, salvage_and_load, score, write_files
from tests.bench.salvage_set_damage import (
    FLIP_RDB_BIT,
    LOG_FAMILIES,
    RDB_FAMILIES,
    RESTART_FAMILIES,
    SET_FAMILIES,
    MakeCase,
)
from tests.bench.salvage_values import VALUE_TYPES
from tests.support.servers import servers_by_line

COMMANDS = 500
LEAST_RECALL = 95  # percent; the README names the kinds of damage with less
SAMPLES = (
    ("redis-6.2", "resp"), ("redis-6.2", "rdb"), ("redis-7.0", "rdb"), ("redis-7.0", "resp"), ("redis-8.2", "rdb"),
    ("valkey-9.1", "rdb"), ("valkey-9.1", "resp"),
)  # fmt: skip


@dataclass(frozen=True)
class Family:
    """A kind of damage: how a case is made, and the samples it applies to."""

    make: MakeCase
    layout: str = ""  # single or set; empty for both
    base: str = ""  # rdb, or empty for all
    types: tuple[str, ...] = VALUE_TYPES

    def samples(self) -> list[Sample]:
        return [
            make_sample(line, base, COMMANDS, self.types)
            for line, base in SAMPLES
            if line in servers_by_line()
            and self.base in ("", base)
            and self.layout in ("", "single" if line == "redis-6.2" else "set")
            and (line in _lines_with(self.types))
        ]


def _lines_with(types: tuple[str, ...]) -> tuple[str, ...]:
    newer = {"hashes with field expiry": ("redis-8.2", "valkey-9.1"), "vector sets": ("redis-8.2",)}
    return newer.get(types[0], tuple(line for line, _ in SAMPLES)) if len(types) == 1 else tuple(servers_by_line())


FAMILIES: dict[str, Family] = {
    **{name: Family(make) for name, make in LOG_FAMILIES.items()},
    **{
        name: Family(make, "set" if "file" in name or "#TS" in name else "", "rdb" if "#TS" in name else "")
        for name, make in RESTART_FAMILIES.items()
    },
    **{name: Family(make, "set", "" if name.startswith("incr") else "rdb") for name, make in SET_FAMILIES.items()},
    **{
        name: Family(make, "single" if "among" in name or "before" in name else "", "rdb")
        for name, make in RDB_FAMILIES.items()
    },
    **{f"RDB: bit flipped in {kind}": Family(FLIP_RDB_BIT, "", "rdb", (kind,)) for kind in VALUE_TYPES},
}


@dataclass
class Row:
    """The sums of one kind of damage."""

    name: str
    cases: int = 0
    commands: int = 0
    keys: int = 0
    ours: list[Score] = field(default_factory=list)
    peer: list[Score] = field(default_factory=list)

    def recall(self, scores: list[Score]) -> float:
        """Return the share of intact commands and keys that are kept, of 1."""
        kept = sum(one.commands + one.keys for one in scores)
        return kept / max(self.commands + self.keys, 1)

    def sum_of(self, name: str) -> int:
        return sum(getattr(one, name) for one in self.ours)


@dataclass(frozen=True)
class Measurement:
    """One case: its kind, its number, the intact commands and keys, and the scores of both tools."""

    family: str
    number: int
    commands: int
    keys: int
    ours: Score
    peer: Score
    error: str = ""


def make_numbered_case(family: str, number: int) -> DamagedCase:
    """Return a case of a kind of damage; the same number gives the same damage."""
    samples = FAMILIES[family].samples()
    return FAMILIES[family].make(samples[number % len(samples)], Random(f"{family} {number}"))


def measure(job: tuple[str, int]) -> Measurement:
    case = make_numbered_case(*job)
    salvaged, error = None, ""
    try:
        salvaged = salvage_and_load(case)
    except Exception:
        error = traceback.format_exc()
    ours, peer = score(case, salvaged), score(case, fix_and_load(case))
    return Measurement(*job, len(case.intact), len(case.keys), ours, peer, error)


def measure_families(names: list[str], count: int) -> Iterator[Measurement]:
    """Measure `count` cases of each kind on all processors; kinds that need a server that is not at hand are left out."""
    at_hand = [name for name in names if FAMILIES[name].samples()]  # The samples are made before the processes divide.
    jobs = [(name, number) for name in at_hand for number in range(count)]
    with Pool(os.cpu_count()) as pool:
        yield from pool.imap(measure, jobs, chunksize=2)


def sum_up(found: list[Measurement]) -> list[Row]:
    rows: dict[str, Row] = {}
    for one in found:
        row = rows.setdefault(one.family, Row(one.family))
        row.cases, row.commands, row.keys = row.cases + 1, row.commands + one.commands, row.keys + one.keys
        row.ours.append(one.ours)
        row.peer.append(one.peer)
    return list(rows.values())


def percent(share: float) -> str:
    """Format a share of 1, rounded down so that a loss never reads as 100%."""
    return f"{int(share * 1000) / 10:.1f}%"


def table(rows: list[Row]) -> Iterator[str]:
    """Yield the lines of the README's table."""
    yield (
        "| damage | files | commands and keys left | `redis-check-aof --fix` | `repair --salvage` | invented "
        "| in another database |"
    )
    yield "|---|---|---|---|---|---|---|"
    for row in rows:
        shares = f"{percent(row.recall(row.peer))} | {percent(row.recall(row.ours))}"
        counts = f"{row.sum_of('invented')} | {row.sum_of('other_database')}"
        yield f"| {row.name} | {row.cases} | {row.commands + row.keys:,} | {shares} | {counts} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cases", nargs="?", type=int, default=30)
    parser.add_argument("--kind", default="")
    parser.add_argument("--keep", type=Path, help="with --kind: a folder for the files of these cases")
    words = parser.parse_args()
    found = []
    for one in measure_families([name for name in FAMILIES if words.kind in name], words.cases):
        found.append(one)
        if one.error:
            print(one.family, one.number, one.error, file=sys.stderr)
        lost = one.commands + one.keys - one.ours.commands - one.ours.keys
        if words.kind and (lost or one.ours.invented or one.ours.other_database or one.ours.parts):
            print(replace(one, error=""))
            if words.keep:
                write_files(make_numbered_case(one.family, one.number).files, words.keep / f"{one.family} {one.number}")
    print(*table(sum_up(found)), sep="\n")


if __name__ == "__main__":
    main()
