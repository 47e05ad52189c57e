"""Let a server write an AOF: random commands in several runs, rewrites and restarts, with random configuration."""

import functools
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random

from aofdoctor.resp import encode_command
from aofdoctor.server.resp_client import ReplyError, RespClient, RespReply
from aofdoctor.server.sandbox import Sandbox, ServerBinary
from tests.workloads.command_maker import CommandMaker, Words
from tests.workloads.records import parse_records

SHORTEST_WAIT = 0.03  # Every short expiry of CommandMaker is over after these seconds.


@dataclass(frozen=True)
class FileNames:
    """How a server names its AOF: appendfilename, and appenddirname where it has one."""

    file: str = "appendonly.aof"
    folder: str = ""

    def options(self) -> list[str]:
        return ["--appendfilename", self.file, *(["--appenddirname", self.folder] if self.folder else [])]


class LenientClient(RespClient):
    """A client that returns error replies instead of raising them, also inside the reply of EXEC."""

    def _reply(self) -> RespReply:
        try:
            return super()._reply()
        except ReplyError as error:
            return str(error).encode()


@functools.cache
def command_names(binary: ServerBinary) -> frozenset[str]:
    """Return the commands of a server in lower case."""
    with Sandbox(binary, hide=()) as server:
        reply = server.call("COMMAND")
    assert isinstance(reply, list)
    return frozenset(entry[0].decode().lower() for entry in reply)  # type: ignore[index,union-attr]


@dataclass(frozen=True)
class Workload:
    """A written AOF: its file or directory, how the server names it, and whether keys have expired in it."""

    path: Path
    names: FileNames
    has_expired_keys: bool


def write_workload(binary: ServerBinary, chance: Random, target: Path) -> Workload:
    """Write a random AOF below `target`."""
    is_set = binary.version >= (7, 0, 0)
    names = FileNames("appendonly.aof", "appendonlydir" if is_set else "")
    if chance.random() < 0.3:
        names = FileNames(chance.choice(("data.aof", "my log.aof")), "logs" if is_set else "")
    options = [
        "--appendonly", "yes", "--hz", "500", *names.options(),
        "--aof-use-rdb-preamble", chance.choice(("yes", "yes", "no")),
        *(["--aof-timestamp-enabled", chance.choice(("yes", "no"))] if is_set else []),
    ]  # fmt: skip
    maker = CommandMaker(chance, command_names(binary))
    path = target / (names.folder or names.file)
    for _ in range(chance.choice((1, 1, 2, 3))):
        with _server_on(binary, options, path) as server:
            _run(server, chance, maker, is_set)
            path = _keep(server, path)
    if is_set and chance.random() < 0.5:
        _replace_timestamps(path, chance)
    time.sleep(SHORTEST_WAIT)
    return Workload(path, names, maker.has_short_expiries)


@contextmanager
def _server_on(binary: ServerBinary, options: list[str], path: Path) -> Iterator[Sandbox]:
    def prepare(folder: Path) -> None:
        if path.exists():
            (shutil.copytree if path.is_dir() else shutil.copy)(path, folder / path.name)

    with Sandbox(binary, options, prepare, hide=()) as server:
        yield server


def _run(server: Sandbox, chance: Random, maker: CommandMaker, is_set: bool) -> None:
    client = LenientClient(server.folder / "s")
    has_rewrite, is_slow = chance.random() < 0.6, is_set and chance.random() < 0.15
    for part in range(chance.randint(1, 3)):
        if part and has_rewrite and not is_slow:
            client.call("BGREWRITEAOF")
            _wait_for_rewrite(client)
        if part and is_slow:  # The log ends while this rewrite is running.
            client.call("CONFIG", "SET", "rdb-key-save-delay", 200_000)
            client.call("BGREWRITEAOF")
        for _ in range(chance.randint(3, 60)):
            _send(client, maker.block())
    client.close()


def _send(client: LenientClient, commands: list[Words]) -> None:
    client.pipeline(commands)


def _wait_for_rewrite(client: LenientClient) -> None:
    while True:
        info = client.call("INFO", "persistence")
        assert isinstance(info, bytes)
        if b"aof_rewrite_in_progress:0" in info and b"aof_rewrite_scheduled:0" in info:
            return
        time.sleep(0.002)


def _keep(server: Sandbox, path: Path) -> Path:
    """Copy the AOF of a running server to `path`, in place of the one of the last run."""
    if path.is_dir():
        shutil.rmtree(path)
    source = server.folder / path.name
    if source.is_dir():
        shutil.copytree(source, path, ignore=shutil.ignore_patterns("temp-*"))
    else:
        shutil.copy(source, path)
    return path


def _replace_timestamps(folder: Path, chance: Random) -> None:
    """Replace the #TS annotations of a set by later ones between random records."""
    now = int(time.time()) + 100
    for part in sorted(folder.glob("*.aof"), key=lambda p: (int(p.name.split(".")[-3]), ".incr." in p.name)):
        out = bytearray()
        for record in parse_records(part.read_bytes(), 0):
            if record.is_annotation:
                continue
            if chance.random() < 0.1:
                now += chance.randint(1, 300)
                out += b"#TS:%d\r\n" % now
            out += record.raw
        part.write_bytes(out)


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """A temporary folder, on a file system in memory where there is one."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(prefix="workload-", dir=memory if memory.is_dir() else None) as folder:
        yield Path(folder)


def flat_command(db: int, words: list[bytes]) -> bytes:
    """Encode a command with the SELECT of its database before it."""
    return encode_command([b"SELECT", b"%d" % db]) + encode_command(words)
