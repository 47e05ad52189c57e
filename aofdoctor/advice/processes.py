"""Find the server processes of this host that use an AOF, and how to reach and to stop them.

A server is found by an open file of the AOF, or by its name and its working directory: Redis and Valkey change into
their `dir`, and keep no file open while they save only RDBs.  Processes of other users or containers are found only if
/proc may be read for them (as root).
"""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from aofdoctor import text
from aofdoctor.advice.supervisors import Supervisor, supervisor_of
from aofdoctor.aof.model import AOF

_PROC = Path("/proc")
_SERVER_NAME = re.compile(r"(redis|valkey|keydb|dragonfly)")
_LISTEN = "0A"
_ANY_OR_LOOPBACK = ("00000000", "0100007F")  # 0.0.0.0 and 127.0.0.1 in the byte order of /proc/net/tcp on x86 and ARM


@dataclass(frozen=True, slots=True)
class ServerProcess:
    """A process that uses the files of an AOF; `port` is None if it listens on none or that is not visible."""

    pid: int
    name: str
    port: int | None
    host: str
    supervisor: Supervisor | None

    @property
    def title(self) -> str:
        """The process in words, for the inside of a sentence."""
        port = f" on port {self.port}" if self.port else ""
        return f"{self.name} (pid {self.pid}{port})"

    def cli(self, command: str) -> str:
        """Return a shell command that sends one command to this server."""
        program = "valkey-cli" if self.name.startswith("valkey") else "redis-cli"
        inside = self.supervisor.run_inside if self.supervisor else ""
        host = ["-h", self.host] if self.host and not inside else []
        port = ["-p", str(self.port)] if self.port else []
        return " ".join([f"{inside}{program}", *host, *port, command])


def servers_using(aof: AOF) -> list[ServerProcess]:
    """Return the processes that use an AOF, in the order of their pids; empty for a pipe, or where /proc is missing."""
    files = [Path(part.path) for part in aof.existing_parts if part.path]
    if not files:
        return []
    place = Path(os.path.realpath(aof.directory if aof.layout == "multi-part" and aof.directory else files[0]))
    folders = _identities([place, place.parent])
    file_identities = _identities(files)
    return [
        _describe(process)
        for process in sorted(_PROC.glob("[0-9]*"), key=lambda entry: int(entry.name))
        if process.name != str(os.getpid()) and _uses(process, folders, file_identities)
    ]


def _identities(paths: list[Path]) -> frozenset[tuple[int, int]]:
    """The (device, inode) of each path that exists."""
    return frozenset(identity for path in paths if (identity := _identity(path)))


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _uses(process: Path, folders: frozenset[tuple[int, int]], files: frozenset[tuple[int, int]]) -> bool:
    if _SERVER_NAME.search(_name(process)) and _identity(process / "cwd") in folders:
        return True
    return any(_identity(descriptor) in files for descriptor in _descriptors(process))


def _descriptors(process: Path) -> Iterator[Path]:
    try:
        yield from (process / "fd").iterdir()
    except OSError:
        return


def _describe(process: Path) -> ServerProcess:
    host, port = _listening_address(process)
    try:
        cgroup = (process / "cgroup").read_text("utf-8", "surrogateescape")
    except OSError:
        cgroup = ""
    return ServerProcess(int(process.name), _name(process) or "a process", port, host, supervisor_of(cgroup))


def _name(process: Path) -> str:
    try:
        return text.escape((process / "comm").read_bytes().strip())
    except OSError:
        return ""


def _listening_address(process: Path) -> tuple[str, int | None]:
    """The (host, port) that a process listens on; the host is empty if 127.0.0.1 reaches it.

    The lowest port is taken: the bus of a cluster node listens on a higher one.
    """
    sockets = {link for descriptor in _descriptors(process) if (link := _link(descriptor)).startswith("socket:[")}
    found = [
        (int(port, 16), address)
        for address, port, inode in _listening_sockets(process)
        if f"socket:[{inode}]" in sockets
    ]
    if not found:
        return "", None
    lowest = min(port for port, _ in found)
    addresses = [address for port, address in found if port == lowest]
    if any(address in _ANY_OR_LOOPBACK or len(address) > 8 for address in addresses):
        return "", lowest
    return ".".join(str(byte) for byte in reversed(bytes.fromhex(addresses[0]))), lowest


def _listening_sockets(process: Path) -> Iterator[tuple[str, str, str]]:
    """The (address, port, inode) of the listening TCP sockets in the network of a process; numbers in hexadecimal."""
    for table in ("tcp", "tcp6"):
        try:
            lines = (process / "net" / table).read_text("ascii", "replace").splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            words = line.split()
            if len(words) > 9 and words[3] == _LISTEN:
                address, _, port = words[1].partition(":")
                yield address, port, words[9]


def _link(descriptor: Path) -> str:
    try:
        return os.readlink(descriptor)
    except OSError:
        return ""
