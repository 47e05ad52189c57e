"""Load a converted file and its source into real servers, and compare the states."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from aofdoctor.rdb.encoding.crc64 import crc64
from aofdoctor.server.sandbox import Sandbox, ServerBinary
from aofdoctor.server.versions import VERSIONS
from tests.conftest import aofdoctor
from tests.support.key_descriptions import dataset_digest, describe_by_server, drop_guessed_stream_fields, library_codes
from tests.support.rdb_loading import digest_server
from tests.support.servers import servers_by_line


def convert(*args: str | Path | int) -> Any:
    """Run convert --json, which must succeed, and return its report."""
    result = aofdoctor("convert", *args, "--json")
    assert result.status == 0, result.err
    return result.json


@contextmanager
def load_output(binary: ServerBinary, path: Path) -> Iterator[Sandbox]:
    """Run a server on a dump (.rdb), a single AOF, or the directory of a multi-part AOF."""
    if path.is_file() and path.name.endswith(".rdb"):
        with digest_server(binary, path.read_bytes()) as running:
            yield running
        return

    def prepare(folder: Path) -> None:
        if path.is_dir():
            shutil.copytree(path, folder / "appendonlydir")
        else:
            shutil.copyfile(path, folder / "appendonly.aof")

    name = next(path.glob("*.manifest")).name.removesuffix(".manifest") if path.is_dir() else "appendonly.aof"
    debug = ["--enable-debug-command", "yes"] if binary.version >= (7, 0, 0) else []
    options = [*debug, "--appendonly", "yes", "--appendfilename", name]
    with Sandbox(binary, options, prepare, hide=(), timeout=60) as running:
        yield running


def loaded_state(binary: ServerBinary, path: Path) -> tuple[str, list[Any], list[str]]:
    """Return (digest of the dataset, description of every key, libraries of functions) after loading."""
    with load_output(binary, path) as running:
        return dataset_digest(running), describe_by_server(running, digests=False), library_codes(running)


def lines_that_load(version: int) -> list[str]:
    """Return the installed release lines that load an RDB version; versions from 80 on are Valkey's."""
    dialect = "valkey" if version >= 80 else "redis"
    return [line for line in servers_by_line() if VERSIONS[line].newest_rdb(dialect) >= version]


def sealed_rdb(magic: bytes, body: bytes) -> bytes:
    data = magic + body + b"\xff"
    return data + crc64(data).to_bytes(8, "little")


def comparable_state(state: Any) -> Any:
    """Return a state without the stream fields that a server guesses for files from before 7.0."""
    keys = state[1]
    drop_guessed_stream_fields([key for key in keys if key["type"] == "stream"])
    return keys, state[2]


def states_match(path: Path, expected: Any, actual: Any) -> bool:
    """Whether two states are equal; for a stream from before 7.0, except for the guessed fields."""
    if path.stem.startswith("stream-"):
        return bool(comparable_state(expected) == comparable_state(actual))
    return bool(expected == actual)


def key_counts(path: Path, line: str = "redis-7.0", ask: Callable[[Sandbox], Any] | None = None) -> Any:
    """The number of keys by database after a load; with `ask`, the pair of that and its answer."""
    if line not in servers_by_line():
        pytest.skip(f"no {line} here")
    with load_output(servers_by_line()[line], path) as running:
        reply = running.call("INFO", "keyspace")
        text = reply.decode() if isinstance(reply, bytes) else str(reply)
        counts = {
            int(row[2:].split(":")[0]): int(row.split("keys=")[1].split(",")[0])
            for row in text.splitlines()
            if row.startswith("db")
        }
        return (counts, ask(running)) if ask else counts
