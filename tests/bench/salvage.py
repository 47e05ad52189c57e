"""Count the commands that survive in damaged AOFs after `redis-check-aof --fix` and after `aofdoctor repair --salvage`.

    AOFDOCTOR_CORPUS=DIR python -m tests.bench.salvage [REDIS_CHECK_AOF]

Prints the table of the README: for each family of damage, the number of
commands that the damage left intact, and how many of them each tool keeps.
"""

import re
import shutil
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from tempfile import TemporaryDirectory

from aofdoctor.source import FileSource
from tests.support.corpus import Case, cases
from tests.support.corpus_salvage import AMBIGUOUS, count_in_order, iter_argv, salvage_case, undamaged_file

FAMILIES = {
    "torn at the end": r"trunc-",
    "a byte flipped in a header": r"flip-(argc|len|dollar|star)",
    "a length past the end": r"len-|argc-huge",
    "a byte flipped in a name or line end": r"flip-(command|exec|multi|payload-)",
    "a hole of NUL bytes": r"hole|two-holes",
    "NUL bytes at the end": r"nul-",
    "a block missing, doubled, overwritten or in another's place": r"block-",
    "line ends or Latin-1 changed in text mode": r"crlf-to-lf|lf-to-crlf|latin1",
    "garbage, log lines": r"garbage|log-line|leading",
    "the head missing": r"head-",
}


def family_of(case: Case) -> str:
    return next((name for name, pattern in FAMILIES.items() if re.match(pattern, case.damage)), "")


def count_kept_by_fix(checker: str, case: Case) -> int:
    """Count the commands of the undamaged file that are left after --fix."""
    source = undamaged_file(case)
    assert source is not None
    with TemporaryDirectory() as folder:
        path = Path(folder) / "a.aof"
        shutil.copyfile(case.data / case.truth["damaged_file"], path)
        subprocess.run([checker, "--fix", path], input=b"y\n", capture_output=True, check=False)
        return count_in_order(list(iter_argv(FileSource(source))), list(iter_argv(FileSource(path))))[0]


def percent(part: int, total: int) -> str:
    """Format a percentage, rounded down so that a loss never reads as 100%."""
    return f"{part * 10_000 // total / 100:.2f}%"


def main() -> None:
    checker = sys.argv[1] if len(sys.argv) > 1 else shutil.which("redis-check-aof")
    if not checker:
        sys.exit("no redis-check-aof on PATH: name one")
    rows: dict[str, list[int]] = defaultdict(lambda: [0, 0, 0, 0])
    for case in cases("damage"):
        family = family_of(case)
        ours = salvage_case(case) if family and not AMBIGUOUS.get(case.damage) else None
        if ours is None or ours.untouched:
            continue
        row = rows[family]
        for column, value in enumerate((1, ours.intact, count_kept_by_fix(checker, case), ours.kept)):
            row[column] += value
    print("| damage | files | whole commands | `redis-check-aof --fix` keeps | `repair --salvage` keeps |")
    print("|---|---|---|---|---|")
    for name in FAMILIES:
        count, intact, fix, ours_kept = rows[name]
        if count:
            print(f"| {name} | {count} | {intact:,} | {percent(fix, intact)} | {percent(ours_kept, intact)} |")
    count, intact, fix, ours_kept = (sum(row[i] for row in rows.values()) for i in range(4))
    print(f"| all | {count} | {intact:,} | {percent(fix, intact)} | {percent(ours_kept, intact)} |")


if __name__ == "__main__":
    main()
