"""Compare the CPU time and memory of aofdoctor with other tools on this machine, and print ratios.

    python -m tests.bench.peers FILE [FILE ...]      large AOFs: compare ratios, not seconds

Each round runs every command once with a warm page cache. The output is the
median of the CPU seconds, the largest resident set, and the ratios that the
project has targets for.
"""

import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

ROUNDS = 5


def cpu_seconds(command: list[str]) -> tuple[float, float]:
    """Return (user and system seconds, wall seconds) of one run; its output is discarded."""
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), os.times().elapsed
    subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
    return cpu, os.times().elapsed - started


def peak_mib(command: list[str]) -> float:
    """Return the largest resident set of one run, in MiB."""
    code = (
        "import resource, subprocess, sys; subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL); "
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
    )
    done = subprocess.run([sys.executable, "-c", code, *command], capture_output=True, text=True, check=True)
    return int(done.stdout) / 1024


def commands(path: str, folder: str) -> dict[str, list[str]]:
    doctor = [sys.executable, "-m", "aofdoctor"]
    out = f"{folder}/out"
    clean = f"rm -rf {out} {out}.receipt.json"
    found = {
        "cat": ["cat", path],
        "cp": ["sh", "-c", f"{clean}; cp {path} {out}"],
        "check": [*doctor, "check", path],
        "stats --no-keys": [*doctor, "stats", path, "--no-keys"],
        "stats": [*doctor, "stats", path],
        "stats --exact": [*doctor, "stats", path, "--exact"],
        "log -n 1000 --tail": [*doctor, "log", path, "--tail", "-n", "1000"],
        "strip -o": ["sh", "-c", f"{clean}; {' '.join(doctor)} strip {path} --last -o {out}"],
    }
    if peer := shutil.which("redis-check-aof"):
        found["redis-check-aof"] = [peer, path]
    return found


def measure(path: str) -> None:
    with tempfile.TemporaryDirectory(dir=Path(path).parent) as folder:
        todo = commands(path, folder)
        seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in todo}
        for _ in range(ROUNDS):
            for name, command in todo.items():
                seconds[name].append(cpu_seconds(command))
        cpu = {name: statistics.median(c for c, _ in runs) for name, runs in seconds.items()}
        wall = {name: statistics.median(w for _, w in runs) for name, runs in seconds.items()}
        print(f"{path}  {os.path.getsize(path) / 1e9:.2f} GB, medians of {ROUNDS} rounds")
        for name in todo:
            print(f"  {name:<20}{cpu[name]:7.2f} s CPU {wall[name]:7.2f} s")
        if "redis-check-aof" in cpu:
            print(f"  check is {cpu['redis-check-aof'] / cpu['check']:.1f} times as fast as redis-check-aof (CPU)")
        for name in ("stats --no-keys", "stats"):
            print(
                f"  {name} / cat {cpu[name] / max(cpu['cat'], 0.01):.1f}, / check {cpu[name] / cpu['check']:.2f}",
                end="",
            )
            print(f", peaks at {peak_mib(todo[name]):.0f} MiB")
        print(
            f"  check / cat {cpu['check'] / max(cpu['cat'], 0.01):.1f}   strip -o / cp {cpu['strip -o'] / max(cpu['cp'], 0.01):.1f}"
        )
        print(f"  check peaks at {peak_mib(todo['check']):.0f} MiB")


if __name__ == "__main__":
    for argument in sys.argv[1:]:
        measure(argument)
