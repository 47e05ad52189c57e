"""The host of a journey: a real server with its data directory, what supervises it, clients that go on writing."""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from aofdoctor.errors import SandboxError
from aofdoctor.server.resp_client import RespClient
from aofdoctor.server.sandbox import ServerBinary
from tests.journeys.state import Keys, read_keys

_START_SECONDS = 30.0
_STEP_SECONDS = 0.02


class World:
    """A folder with a data directory, and a server on a port of its own.

    `data` is the data directory, `root` the working directory of the person.  A supervised server is started again
    when it ends, until `is_supervisor_stopped`.
    """

    def __init__(self, binary: ServerBinary, name: str = "data", options: Sequence[str] = ()) -> None:
        self.binary, self.options = binary, list(options)
        self.root = Path(tempfile.mkdtemp(prefix="journey-"))
        self.data = self.root / name
        self.data.mkdir()
        self.port = _free_port()
        self.password = ""
        self.is_supervised = self.is_supervisor_stopped = False
        self.writer: Writer | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._client: RespClient | None = None
        self.appendonly = "yes"
        self.environment = self._make_environment()

    # -- the server --

    def start(self, appendonly: str = "yes") -> None:
        """Start the server on the data directory; raise AssertionError with its log if it does not load it."""
        assert self._process is None, "the server runs already"
        self.appendonly = appendonly
        self._log_path.write_bytes(b"")
        self._process = self._spawn()
        end = time.monotonic() + _START_SECONDS
        while time.monotonic() < end and self._process.poll() is None:
            with suppress(SandboxError, OSError):
                if self.call("PING") == b"PONG":
                    break
            time.sleep(_STEP_SECONDS)
        else:
            self._process.kill()
            self._process = None
            raise AssertionError(f"the server does not start:\n{self.log()[-3000:]}")
        if self.is_supervised:
            threading.Thread(target=self._supervise, daemon=True).start()

    def _spawn(self) -> subprocess.Popen[bytes]:
        options = ["--bind", "127.0.0.1", "--port", str(self.port), "--dir", str(self.data), "--unixsocket",
                   str(self._socket_path), "--appendonly", self.appendonly, "--save", "", *self.options]  # fmt: skip
        with self._log_path.open("ab") as log:
            return subprocess.Popen(
                [self.binary.path, *options], stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.root
            )

    def _supervise(self) -> None:
        """Start the server again whenever it ends, as systemd does with Restart=always."""
        while not self.is_supervisor_stopped:
            if self._process is not None and self._process.poll() is not None:
                self._process = self._spawn()
            time.sleep(_STEP_SECONDS)

    @property
    def is_running(self) -> bool:
        """Whether the process of the server exists."""
        return self._process is not None and self._process.poll() is None

    def wait_until_ended(self) -> None:
        """Wait for the end of a server that was stopped by a printed command."""
        assert self._process is not None
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(10)
        self._forget()

    def shut_down(self) -> None:
        """Stop the server without a save."""
        with suppress(SandboxError, OSError):
            self.call("SHUTDOWN", "NOSAVE")
        self.wait_until_ended()

    def kill(self) -> None:
        """Kill the server, as the kernel does when memory runs out."""
        assert self._process is not None
        self._process.kill()
        self.wait_until_ended()

    def _forget(self) -> None:
        if self._client:
            self._client.close()
        self._process = self._client = None

    def call(self, *words: str | bytes | int) -> Any:
        """Send one command; an error reply raises."""
        if self._client is None:
            self._client = RespClient(self._socket_path, 20)
            if self.password:
                self._client.call("AUTH", self.password)
        try:
            return self._client.call(*words)
        except (SandboxError, OSError):
            if self._client:
                self._client.close()
            self._client = None
            raise

    def keys(self) -> Keys:
        """Return what the server holds."""
        return read_keys(self.call)

    def rewrite(self) -> None:
        """Rewrite the AOF, and wait for the end."""
        self.call("BGREWRITEAOF")
        self.wait_for("aof_rewrite_in_progress:0", "aof_rewrite_scheduled:0")

    def wait_for(self, *facts: str) -> None:
        """Wait until INFO persistence has each of some lines."""
        end = time.monotonic() + _START_SECONDS
        while time.monotonic() < end:
            lines = self.call("INFO", "persistence").decode().split()
            if all(fact in lines for fact in facts):
                return
            time.sleep(_STEP_SECONDS)
        raise AssertionError(f"INFO persistence never had {facts}")

    def wait_for_cluster(self) -> None:
        """Wait until a cluster node serves its slots."""
        end = time.monotonic() + _START_SECONDS
        while b"cluster_state:ok" not in self.call("CLUSTER", "INFO"):
            assert time.monotonic() < end, "the cluster does not become ok"
            time.sleep(_STEP_SECONDS)

    def log(self) -> str:
        """Return the log of the server."""
        return self._log_path.read_text(errors="replace")

    # -- its files --

    @property
    def is_multi_part(self) -> bool:
        """Whether the server writes a directory of files."""
        return self.binary.version >= (7, 0, 0)

    @property
    def log_directory(self) -> Path:
        """The directory of the AOF."""
        return self.data / "appendonlydir" if self.is_multi_part else self.data

    @property
    def last_file(self) -> Path:
        """The file that the server appends to."""
        if not self.is_multi_part:
            return self.data / "appendonly.aof"
        return max(self.log_directory.glob("*.incr.aof"), key=lambda path: int(path.name.split(".")[-3]))

    @property
    def base_file(self) -> Path:
        """The base of a set."""
        return next(self.log_directory.glob("*.base.*"))

    @property
    def manifest(self) -> Path:
        """The manifest of a set."""
        return next(self.log_directory.glob("*.manifest"))

    # -- the shell --

    def _make_environment(self) -> dict[str, str]:
        """The environment of the person: aofdoctor, redis-cli and this server's program on PATH."""
        programs = self.root / "bin"
        programs.mkdir()
        (programs / "aofdoctor").symlink_to(Path(sys.executable).parent / "aofdoctor")
        (programs / f"{self.binary.product}-server").symlink_to(self.binary.path)
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(("REDIS", "AOFDOCTOR"))}
        return inherited | {"PATH": f"{programs}:/usr/local/bin:/usr/bin:/bin"}

    @property
    def _socket_path(self) -> Path:
        return self.root / "s"

    @property
    def _log_path(self) -> Path:
        return self.root / "server.log"

    def close(self) -> None:
        """Stop what runs, and remove the folder."""
        self.is_supervisor_stopped = True
        if self.writer:
            self.writer.stop()
        if self.is_running:
            self.kill()
        shutil.rmtree(self.root, ignore_errors=True)


class Writer:
    """A client that goes on writing until its server ends; `acknowledged` are the keys that the server has taken."""

    def __init__(self, world: World) -> None:
        self.acknowledged: dict[bytes, bytes] = {}
        self._world, self._is_stopped = world, False
        self._thread = threading.Thread(target=self._write, daemon=True)
        self._thread.start()

    def _write(self) -> None:
        try:
            client = RespClient(self._world._socket_path, 20)
            number = 0
            while not self._is_stopped:
                key, value = b"live:%d" % number, b"written %d" % number
                client.call("SET", key, value)
                self.acknowledged[key] = value
                number += 1
                time.sleep(0.005)
        except (SandboxError, OSError):
            return

    def stop(self) -> None:
        """End the writing."""
        self._is_stopped = True
        self._thread.join(30)

    def keys(self) -> Keys:
        """Return what it has written, in the form of `read_keys`."""
        self.stop()
        return {(0, key): (b"string", value, -1) for key, value in self.acknowledged.items()}


def _free_port() -> int:
    """Return a port that nothing listens on, low enough that the bus of a cluster node (10,000 higher) fits."""
    for _ in range(100):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
        low = 10_000 + port % 30_000
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", low))
            return low
    raise AssertionError("no free port")
