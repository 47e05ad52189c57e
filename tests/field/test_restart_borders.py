"""Field cases of restart borders: a record split over two files, and a MULTI left open at a restart.

Runs only where the shared cases are: AOFDOCTOR_SHARED names their folder, or ../shared exists.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from aofdoctor.server.sandbox import Sandbox, ServerBinary
from tests.conftest import aofdoctor

SHARED = Path(os.environ.get("AOFDOCTOR_SHARED") or Path(__file__).parents[2].parent / "shared")
SPLIT, ORPHAN = SHARED / "field" / "15-split-record", SHARED / "field" / "30-orphan-multi"

pytestmark = pytest.mark.skipif(
    not ORPHAN.is_dir(), reason="the field cases are neither in AOFDOCTOR_SHARED nor in ../shared"
)


def case(source: Path, tmp_path: Path) -> Path:
    """A copy of an input, which tests may not change."""
    path = tmp_path / source.name
    if source.is_dir():
        shutil.copytree(source, path, copy_function=shutil.copyfile)
    else:
        shutil.copyfile(source, path)
    return path


@contextmanager
def salvaged(source: Path, tmp_path: Path, binary: ServerBinary) -> Iterator[Sandbox]:
    """A server that has loaded what salvage makes of a case."""
    out = tmp_path / "salvaged"
    assert aofdoctor("repair", "--salvage", case(source, tmp_path), "-o", out).status == 0
    assert aofdoctor("check", out).status == 0

    def prepare(folder: Path) -> None:
        if out.is_dir():
            shutil.copytree(out, folder / "appendonlydir")
        else:
            shutil.copyfile(out, folder / "appendonly.aof")

    with Sandbox(binary, ("--appendonly", "yes"), prepare, hide=()) as server:
        yield server


def findings(path: Path) -> tuple[int, dict[str, str]]:
    result = aofdoctor("check", path, "--json")
    return result.status, {f["code"]: f["message"] for f in result.json["findings"]}


def test_a_record_split_inside_its_value_is_joined(tmp_path: Path, embedded: ServerBinary) -> None:
    with salvaged(SPLIT / "value", tmp_path, embedded) as server:
        value = server.call("GET", "split")
        assert (server.call("DBSIZE"), value) == (202, b"x" * 60 + b"END")


def test_a_split_transaction_is_joined(tmp_path: Path, embedded: ServerBinary) -> None:
    with salvaged(SPLIT / "tx", tmp_path, embedded) as server:
        assert (server.call("DBSIZE"), server.call("GET", "n"), server.call("LLEN", "l")) == (203, b"1", 1)


def test_check_says_that_the_pieces_fit(tmp_path: Path) -> None:
    status, found = findings(case(SPLIT / "value", tmp_path))
    assert status == 1
    assert "40 bytes" in found["split-record"] and "54 bytes" in found["split-record"]
    assert "fit together" in found["split-record"]


@pytest.mark.parametrize("name", ["data", "then-transactions.aof"])
def test_only_the_torn_transaction_goes(name: str, tmp_path: Path, embedded: ServerBinary) -> None:
    with salvaged(ORPHAN / name, tmp_path, embedded) as server:
        assert server.call("DBSIZE") == 1001
        assert server.call("EXISTS", "bar", "orders") == 0
    if name == "then-transactions.aof":
        assert (tmp_path / "salvaged").read_bytes().count(b"*1\r\n$5\r\nMULTI\r\n") == 500
        assert (tmp_path / "salvaged").read_bytes().count(b"*1\r\n$4\r\nEXEC\r\n") == 500


@pytest.mark.parametrize("name", ["data", "then-transactions.aof"])
def test_check_names_the_border_as_a_restart(name: str, tmp_path: Path) -> None:
    path = case(ORPHAN / name, tmp_path)
    status, found = findings(path)
    assert status == 1 and not aofdoctor("check", path, "--json").json["sound"]
    assert "restart" in found["torn-transaction"] and "SELECT" in found["torn-transaction"]
