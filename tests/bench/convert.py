"""Compare the CPU time of converting an RDB to commands with the time a server needs for the same, and print ratios.

    python -m tests.bench.convert [SCALE] [FOLDER]

A server on PATH writes one RDB for each kind of value (see values.py). The
server converts an RDB to commands by loading it and rewriting its AOF without
an RDB preamble. Both times are CPU seconds from INFO; the rewrite is the time
of the child process. rdb-py only reads the values and writes nothing. Process
start-up is not counted. The results are medians over the rounds.
"""

import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from shutil import copyfile

from aofdoctor.rdb.conversion import ConversionReport
from aofdoctor.rdb.export.resp_exporter import RespExporter
from aofdoctor.rdb.preamble import walk_rdb
from aofdoctor.server.sandbox import Sandbox, ServerBinary
from aofdoctor.server.versions import VERSIONS
from aofdoctor.source import FileSource
from tests.bench.values import dataset_commands, make
from tests.support.servers import servers_by_line

ROUNDS = 3
_CHILD = ("used_cpu_sys_children", "used_cpu_user_children")


def time_own_export(path: Path) -> float:
    """Return the CPU seconds for exporting all commands and discarding them."""
    source, began = FileSource(path), time.process_time()
    for _ in RespExporter(source, VERSIONS["redis-7.0"].capabilities, ConversionReport(), 0, lambda command: command):
        pass
    return time.process_time() - began


def time_rdb_py(path: Path) -> float:
    """Return the CPU seconds that rdb-py needs to read all values."""
    import rdb

    began = time.process_time()
    for _ in rdb.RdbDecoder(str(path)):
        pass
    return time.process_time() - began


def time_server(binary: ServerBinary, path: Path) -> tuple[float, float]:
    """Return the CPU seconds of a server for its load and for its rewrite."""
    options = ["--dbfilename", "dump.rdb", "--aof-use-rdb-preamble", "no"]

    def prepare(folder: Path) -> None:
        copyfile(path, folder / "dump.rdb")

    with Sandbox(binary, options, prepare, hide=()) as server:
        used = server.info("cpu")
        server.call("BGREWRITEAOF")
        while server.info("persistence")["aof_rewrite_in_progress"] != "0" or not sum_seconds(
            server.info("cpu"), _CHILD
        ):
            time.sleep(0.02)
        return sum_seconds(used, ("used_cpu_sys", "used_cpu_user")), sum_seconds(server.info("cpu"), _CHILD)


def sum_seconds(info: dict[str, str], names: tuple[str, ...]) -> float:
    return sum(float(info[name]) for name in names)


def measure(name: str, path: Path) -> None:
    lines = {line: binary for line, binary in servers_by_line().items() if line in ("redis-7.0", "redis-8.2")}
    todo: dict[str, Callable[[], tuple[float, ...]]] = {
        "own": lambda: (time_own_export(path),),
        "rdb-py": lambda: (time_rdb_py(path),),
        **{line: lambda binary=binary: time_server(binary, path) for line, binary in lines.items()},  # type: ignore[misc]
    }
    runs: dict[str, list[tuple[float, ...]]] = {what: [] for what in todo}
    for _ in range(ROUNDS):
        for what, run in todo.items():
            runs[what].append(run())
    medians = {what: [statistics.median(column) for column in zip(*times, strict=True)] for what, times in runs.items()}
    found = walk_rdb(FileSource(path))
    spent, mega = medians["own"][0], path.stat().st_size / 1e6
    print(
        f"{name}: {mega:.0f} MB, {found.key_count:,} keys: {(found.key_count or 0) / spent / 1e6:.2f} M keys/s, {mega / spent:.0f} MB/s"
    )
    for what, times in medians.items():
        if what != "own":
            print(
                f"  {what:<10} {' + '.join(f'{one:.2f} s' for one in times)}: ratio {' + '.join(f'{one / spent:.1f}' for one in times)}",
                flush=True,
            )


def main() -> None:
    scale = float(sys.argv[1]) if len(sys.argv) > 1 else 1.0
    with tempfile.TemporaryDirectory(dir=sys.argv[2] if len(sys.argv) > 2 else None) as folder:
        for name, asked in dataset_commands(scale).items():
            path = Path(folder) / "one.rdb"
            make(asked, path)
            measure(name, path)
            path.unlink()


if __name__ == "__main__":
    main()
