"""Compare the RDB walk with redis-check-rdb and cat, and print ratios.

    python -m tests.bench.rdb [MILLIONS_OF_SMALL_KEYS] [FOLDER]

A server on PATH writes the files: small strings; hashes, lists and sorted sets
with many members; strings of 10 KB. Each round runs every command once with a
warm page cache. The output is the median of CPU and wall seconds, and the
largest resident set.
"""

import statistics
import sys
import tempfile
from pathlib import Path

from aofdoctor.server.sandbox import Sandbox, ServerBinary, find_servers
from tests.bench.peers import cpu_seconds, peak_mib

ROUNDS = 5
WALK = "import sys; from aofdoctor.rdb.preamble import walk_rdb; from aofdoctor.source import FileSource; r = walk_rdb(FileSource(sys.argv[1])); print(r.key_count, r.checksum)"
START = "import sys; from aofdoctor.rdb.preamble import walk_rdb"


def dataset_commands(millions: float) -> dict[str, list[tuple[str | int, ...]]]:
    """Return the commands that fill a server, by file name."""
    n = int(millions * 1e6)
    collections = f"""
        for i = 1, {n // 100} do
            local flat, scored = {{}}, {{}}
            for j = 1, 100 do
                flat[2 * j - 1], flat[2 * j] = 'field:' .. j, 'value ' .. i .. ':' .. j .. string.rep('x', 60)
                scored[2 * j - 1], scored[2 * j] = j * i / 7, 'member:' .. j
            end
            redis.call('HSET', 'hash:' .. i, unpack(flat))
            redis.call('RPUSH', 'list:' .. i, unpack(flat))
            redis.call('ZADD', 'zset:' .. i, unpack(scored))
        end"""
    return {
        "small": [("DEBUG", "POPULATE", n)],
        "collections": [("CONFIG", "SET", "zset-max-listpack-entries", 10), ("EVAL", collections, 0)],
        "large": [("CONFIG", "SET", "rdbcompression", "no"), ("DEBUG", "POPULATE", n // 50, "big", 10000)],
    }


def make(binary: ServerBinary, commands: list[tuple[str | int, ...]], path: Path) -> None:
    with Sandbox(binary, ["--enable-debug-command", "yes"], hide=()) as server:
        for command in commands:
            server.call(*command)
        server.call("SAVE")
        (server.folder / "dump.rdb").rename(path)


def measure(path: Path) -> None:
    walk = [sys.executable, "-c", WALK, str(path)]
    todo = {"cat": ["cat", str(path)], "redis-check-rdb": ["redis-check-rdb", str(path)], "walk": walk,
            "(start)": [sys.executable, "-c", START]}  # fmt: skip
    runs: dict[str, list[tuple[float, float]]] = {name: [] for name in todo}
    for _ in range(ROUNDS):
        for name, command in todo.items():
            runs[name].append(cpu_seconds(command))
    cpu = {name: statistics.median(c for c, _ in times) for name, times in runs.items()}
    wall = {name: statistics.median(w for _, w in times) for name, times in runs.items()}
    print(f"{path.name}: {path.stat().st_size / 1e9:.2f} GB, medians of {ROUNDS} rounds")
    for name in todo:
        print(f"  {name:<16}{cpu[name]:7.2f} s CPU {wall[name]:7.2f} s")
    own = cpu["walk"] - cpu["(start)"]
    print(
        f"  {cpu['redis-check-rdb'] / cpu['walk']:.1f} times as fast as redis-check-rdb (CPU; {cpu['redis-check-rdb'] / own:.1f} without the interpreter's start)"
    )
    print(
        f"  {cpu['walk'] / cpu['cat']:.1f} times the CPU of cat; peak {peak_mib(walk):.0f} MiB, of which {peak_mib(todo['(start)']):.0f} to start"
    )


def main() -> None:
    millions = float(sys.argv[1]) if len(sys.argv) > 1 else 5.0
    binary = next(found for found in find_servers() if Path(found.path).name == "redis-server")
    with tempfile.TemporaryDirectory(dir=sys.argv[2] if len(sys.argv) > 2 else None) as folder:
        for name, asked in dataset_commands(millions).items():
            path = Path(folder) / f"{name}.rdb"
            make(binary, asked, path)
            measure(path)
            path.unlink()


if __name__ == "__main__":
    main()
