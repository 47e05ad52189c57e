"""diff of RDB bases that real servers wrote, and the patches between them."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from aofdoctor.resp import encode_command
from aofdoctor.server.sandbox import Sandbox, ServerBinary
from tests.conftest import aofdoctor
from tests.support.datasets import aof_server, fill_dataset, rewrite
from tests.support.diffs import SELECT_3, commands_of, diff_summary, set_commands
from tests.support.server_state import state_of
from tests.support.servers import servers_by_line

VERSIONS = ("redis-7.0", "redis-8.2", "valkey-9.1")


@pytest.fixture(scope="module", params=VERSIONS)
def bases(request: Any, tmp_path_factory: Any) -> Any:
    """One dataset of a server as an RDB base, as a base of commands, and as an RDB base after a few more writes."""
    line = servers_by_line().get(request.param)
    if line is None:
        pytest.skip(f"{request.param} is not installed")
    folder = tmp_path_factory.mktemp(request.param)
    with aof_server(line) as server:
        fill_dataset(server)
        for name, preamble in (("rdb", True), ("resp", False)):
            shutil.copy(rewrite(server, preamble)[0], folder / name)
        server.client.pipeline([("SELECT", 3), ("RPUSH", "list", "new"), ("DEL", "set"), ("SET", "s:1", "new")])
        server.client.pipeline([("MULTI",), ("INCR", "number"), ("SELECT", 0), ("SADD", "set", "new"), ("EXEC",)])
        shutil.copy(rewrite(server, True)[0], folder / "later")
    return line, folder


def test_an_rdb_base_equals_the_base_of_commands_of_the_same_dataset(bases: Any) -> None:
    _, folder = bases
    assert (folder / "rdb").read_bytes()[:5] in (b"REDIS", b"VALKE") and (folder / "resp").read_bytes()[:1] == b"*"
    for sides in (("rdb", "resp"), ("resp", "rdb")):
        result = aofdoctor("diff", *(folder / name for name in sides))
        assert result.out.startswith("no difference: 6"), result.out[-2000:]
        assert result.status == 0
        assert "their bytes differ from" in result.out
    assert aofdoctor("diff", folder / "rdb", folder / "resp", "--key", "zset").status == 0


def test_exactly_the_writes_between_two_bases_are_found(bases: Any) -> None:
    _, folder = bases
    written = {("list", 3), ("set", 3), ("s:1", 3), ("number", 3), ("set", 0)}
    for other in ("rdb", "resp"):
        lines = aofdoctor("diff", folder / other, folder / "later", "--json").lines
        touched = {(line["keys"][0], line["db"]) for line in lines if line["type"] == "only"}
        assert touched == written, other


def load_state(binary: ServerBinary, base: bytes, tail: bytes = b"") -> Any:
    """Return the state of a server that has loaded a base with commands after it."""
    rdb_base = not base.startswith(b"*")
    name = f"appendonly.aof.1.base.{'rdb' if rdb_base else 'aof'}"

    def prepare(folder: Path) -> None:
        target = folder / "appendonlydir"
        target.mkdir()
        (target / name).write_bytes(base)
        (target / "appendonly.aof.1.incr.aof").write_bytes(tail)
        lines = f"file {name} seq 1 type b\nfile appendonly.aof.1.incr.aof seq 1 type i\n"
        (target / "appendonly.aof.manifest").write_text(lines)

    with Sandbox(binary, ["--appendonly", "yes"], prepare, hide=(), timeout=60) as server:
        return state_of(server)


def test_a_patch_of_an_rdb_gives_its_dataset(bases: Any, tmp_path: Path) -> None:
    line, folder = bases
    empty, patch = tmp_path / "empty.aof", tmp_path / "patch"
    empty.write_bytes(encode_command([b"PING"]))
    assert aofdoctor("diff", empty, folder / "rdb", "--patch", patch).status == 1
    assert load_state(line, patch.read_bytes()) == load_state(line, (folder / "rdb").read_bytes())


def test_a_patch_from_commands_applies_to_the_rdb_base(bases: Any, tmp_path: Path) -> None:
    line, folder = bases
    tail = (
        SELECT_3
        + encode_command([b"RPUSH", b"list", b"new"])
        + encode_command([b"DEL", b"set"])
        + set_commands("x", "y")
    )
    tail += (
        encode_command([b"MULTI"])
        + encode_command([b"SELECT", b"0"])
        + encode_command([b"INCR", b"number"])
        + encode_command([b"EXEC"])
    )
    ours, theirs, patch = folder / "rdb", tmp_path / "theirs.aof", tmp_path / "patch"
    theirs.write_bytes((folder / "resp").read_bytes() + tail)
    assert aofdoctor("diff", ours, theirs, "--patch", patch).status == 1
    assert [argv[0] for argv in commands_of(patch)] == [
        b"SELECT", b"RPUSH", b"DEL", b"SET", b"SET", b"MULTI", b"SELECT", b"INCR", b"EXEC",
    ]  # fmt: skip
    assert load_state(line, ours.read_bytes(), patch.read_bytes()) == load_state(line, theirs.read_bytes())


def test_bases_of_two_processes_are_the_same_in_another_order(tmp_path: Path) -> None:
    """Each process has its own order of keys and of the elements of sets, sorted sets and hashes."""
    paths = []
    for line in ("redis-7.0", "valkey-9.1"):
        with aof_server(servers_by_line()[line]) as server:
            fill_dataset(server)
            server.client.pipeline([("DEL", "stream"), ("SELECT", 3), ("DEL", "stream", "timed"), ("SELECT", 0)])
            server.call("DEL", "timed")
            paths.append(tmp_path / line)
            shutil.copy(rewrite(server, line == "redis-7.0")[0], paths[-1])
    for a, b in (paths, paths[::-1]):
        found = diff_summary(a, b)
        assert (found["only_a"], found["only_b"]) == (0, 0)
        assert found["moved"] > 20 and not found["unlike"]
