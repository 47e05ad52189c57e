"""Let a server write an AOF: random commands in several runs, rewrites and restarts, with random configuration."""

import functools
import os
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from random import Random

from aofdoctor.resp import encode_command
from aofdoctor.server.resp_client import ReplyError, RespClient, RespReply
from aofdoctor.server.sandbox import Sandbox, ServerBinary
from tests.workloads.command_maker import CommandMaker
from tests.workloads.records import parse_records

_MANY_BLOCKS = 1500
SHORTEST_WAIT = 0.03  # Every short expiry of CommandMaker is over after these seconds.


# Limits by which small values have the encodings of large ones.
_SMALL_NODES = [
    "--hash-max-ziplist-entries", "3", "--zset-max-ziplist-entries", "3", "--list-max-ziplist-size", "2",
    "--set-max-intset-entries", "4", "--stream-node-max-entries", "3", "--rdbcompression", "no",
]  # fmt: skip


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
        *(chance.choice(([], _SMALL_NODES))),
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
    has_rewrite, is_slow = chance.random() < 0.75, is_set and chance.random() < 0.15
    for part in range(chance.randint(1, 3)):
        if part and has_rewrite and not is_slow:
            client.call("BGREWRITEAOF")
            _wait_for_rewrite(client)
        if part == 1 and is_slow:  # The log ends while this rewrite is running.
            client.call("CONFIG", "SET", "rdb-key-save-delay", 200_000)
            client.call("BGREWRITEAOF")
        for _ in range(chance.randint(3, 60) if chance.random() < 0.97 else _MANY_BLOCKS):
            client.pipeline(maker.block())
            if chance.random() < 0.03:
                _restore_copy(client, chance, maker)
    if has_rewrite and not is_slow and chance.random() < 0.3:
        client.call("BGREWRITEAOF")
        _wait_for_rewrite(client)
    client.close()
    if is_slow:
        _end_children(server)


def _restore_copy(client: LenientClient, chance: Random, maker: CommandMaker) -> None:
    """Copy a random key by DUMP and RESTORE, which is logged with its payload."""
    source = client.call("RANDOMKEY")
    payload = client.call("DUMP", source) if isinstance(source, bytes) else None
    if isinstance(source, bytes) and isinstance(payload, bytes):
        kind = source.split(b":")[0].decode("latin-1")
        # Redis 6.2 logs a relative time as it comes, so that the expiry depends on the time of the load.
        expiry = chance.choice((0, maker.far_time_ms()))
        client.call("RESTORE", maker.key(kind), expiry, payload, "REPLACE", "ABSTTL")


def _end_children(server: Sandbox) -> None:
    """End the rewrite of a server, which would go on to write into its folder."""
    pid = server.info("server")["process_id"]
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        with suppress(ProcessLookupError):
            os.kill(int(child), signal.SIGKILL)


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
    """Replace the #TS annotations of a set by later ones, at the begin of each part and between random records.

    None is put into a transaction: a server has one time for all of its commands, and a jump there means a restart.
    """
    now = int(time.time()) + 100
    for part in sorted(folder.glob("*.aof"), key=lambda p: (int(p.name.split(".")[-3]), ".incr." in p.name)):
        out = bytearray(b"#TS:%d\r\n" % now)
        is_open = False
        for record in parse_records(part.read_bytes(), 0):
            if record.is_annotation:
                continue
            if not is_open and chance.random() < 0.1:
                now += chance.randint(1, 300)
                out += b"#TS:%d\r\n" % now
            out += record.raw
            is_open = record.name == b"MULTI" or (is_open and record.name != b"EXEC")
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
