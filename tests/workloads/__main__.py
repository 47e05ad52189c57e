"""Run random workloads on every server at hand: python -m tests.workloads COUNT [--seed SEED] [--server VERSION].

Prints each result that is wrong with its steps, its seed and its files, and one line for each server; the exit status is
1 if any was wrong.  out1 is the result of the first step and the input of the second.  A server draws random members and
takes the time, so a seed gives a similar workload and not the same bytes.
AOFDOCTOR_SERVERS lists more server binaries than those that are installed, separated by colons.
"""

import argparse
import sys
import time
from collections import Counter
from itertools import cycle, islice
from pathlib import Path

from tests.support.servers import all_servers
from tests.workloads.runner import run_workload

_PROGRESS_STEP = 100


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.workloads")
    parser.add_argument("count", type=int, help="workloads in all, spread over the servers")
    parser.add_argument(
        "--seed", type=int, default=1, help="seed of the first workload; the next have the next numbers"
    )
    parser.add_argument("--server", help="use this version only, for example redis-7.0")
    parser.add_argument(
        "--keep", type=Path, help="leave the files of wrong workloads in this folder (default: in /tmp)"
    )
    options = parser.parse_args()
    binaries = [b for b in all_servers() if options.server in (None, b.version_name)]
    started, done, wrong, steps = time.monotonic(), Counter[str](), Counter[str](), Counter[str]()
    for number, binary in enumerate(islice(cycle(binaries), options.count)):
        seed = options.seed + number
        outcome = run_workload(binary, seed, options.keep)
        done[outcome.server] += 1
        steps.update(_kind(step) for step in outcome.steps)
        if outcome.wrong:
            wrong[outcome.server] += 1
            print(outcome)
            print(f"    its files: {outcome.kept}")
            print(f"    a similar one: python -m tests.workloads 1 --server {outcome.server} --seed {seed}", flush=True)
        if (number + 1) % _PROGRESS_STEP == 0:
            print(f"{number + 1} done, {wrong.total()} wrong, {time.monotonic() - started:.0f} s", flush=True)
    for name, count in sorted(done.items()):
        print(f"{name:12} {count:5} workloads, {wrong[name]} wrong")
    print(", ".join(f"{kind} {count}" for kind, count in sorted(steps.items())))
    print(f"{done.total()} workloads, {wrong.total()} wrong, {(time.monotonic() - started) / 60:.1f} minutes")
    return int(wrong.total() > 0)


def _kind(step: str) -> str:
    """Return the verb of a step, with the options that change its meaning, or the kind of damage."""
    words = step.split(" ")
    if words[0] == "damage:":
        return step.partition(" in ")[0]
    options = [word for word in words if word in ("--salvage", "--base", "--layout", "--shift-ttl", "--all", "--last")]
    return " ".join([words[0], *options, *(["refused"] if step.endswith("(refused)") else [])])


if __name__ == "__main__":
    sys.exit(main())
