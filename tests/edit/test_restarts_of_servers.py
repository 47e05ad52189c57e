"""Real servers crash inside a transaction, restart and write on: salvage gives back what the second run had."""

import random
import shutil
from pathlib import Path

import pytest

from aofdoctor.resp import encode_command
from aofdoctor.server.sandbox import Sandbox, ServerBinary
from tests.conftest import aofdoctor
from tests.support.server_state import State, state_of
from tests.support.servers import servers_by_line

SERVERS = servers_by_line()
OPTIONS = ("--appendonly", "yes", "--aof-load-truncated", "yes")


def write_commands(server: Sandbox, chance: random.Random, run: str, first_db: int, count: int) -> None:
    """Run single commands and transactions in three databases, the first one in `first_db`."""
    db = first_db
    server.call("SELECT", db)
    is_transaction = run == "two" and chance.random() < 0.5
    for words in [["MULTI"], ["SET", f"{run}:first", "1"], ["INCR", "counter"], ["EXEC"]]:
        if is_transaction or words[0] == "SET":
            server.call(*words)
    for n in range(count):
        if chance.random() < 0.3:
            db = chance.randrange(3)
            server.call("SELECT", db)
        if chance.random() < 0.4:
            server.call("MULTI")
            for i in range(chance.randint(2, 4)):
                server.call("SET", f"{run}:{n}:{i}", "x" * chance.randint(0, 60))
            server.call("INCR", "counter")
            server.call("EXEC")
        else:
            server.call("RPUSH", f"list:{chance.randrange(3)}", f"{run}:{n}")


def crash_in_transaction(binary: ServerBinary, chance: random.Random, folder: Path) -> tuple[Path, int]:
    """Write a log that ends inside a transaction; returns a copy of the data directory and the last database."""
    with Sandbox(binary, OPTIONS, hide=()) as server:
        write_commands(server, chance, "one", 0, 20)
        before = newest_log(server.folder).stat().st_size
        db = chance.randrange(3)
        server.call("SELECT", db)
        server.call("MULTI")
        for i in range(3):
            server.call("SET", f"torn:{i}", "t" * 30)
        server.call("EXEC")
        copy = folder / "crashed"
        copy_data(server.folder, copy)
    log = newest_log(copy)
    data = log.read_bytes()
    first_queued = data.index(encode_command([b"SET", b"torn:0", b"t" * 30]), before)
    cut = chance.randrange(first_queued + 1, len(data))
    log.write_bytes(data[:cut])
    return copy, db


def copy_data(source: Path, target: Path) -> None:
    target.mkdir()
    for path in source.iterdir():
        if path.name == "appendonlydir":
            shutil.copytree(path, target / path.name)
        elif path.name == "appendonly.aof":
            shutil.copy(path, target / path.name)


def newest_log(folder: Path) -> Path:
    return max([*folder.glob("appendonly.aof"), *folder.glob("appendonlydir/*.incr.aof")])


def damage_kinds(path: Path) -> list[str]:
    checked = aofdoctor("check", path, "--json").json
    return [damage["kind"] for part in checked["parts"] for damage in part["damage"]]


def load(binary: ServerBinary, path: Path) -> State:
    """The state of a server that loads an output."""

    def prepare(folder: Path) -> None:
        if path.is_dir():
            shutil.copytree(path, folder / "appendonlydir")
        else:
            shutil.copy(path, folder / "appendonly.aof")

    with Sandbox(binary, ("--appendonly", "yes"), prepare, hide=()) as server:
        return state_of(server)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("line", sorted(SERVERS))
def test_salvage_gives_back_what_the_second_run_had(line: str, seed: int, tmp_path: Path) -> None:
    binary, chance = SERVERS[line], random.Random(seed)
    crashed, db = crash_in_transaction(binary, chance, tmp_path)
    is_cut_in_record = "torn" in damage_kinds(crashed)

    def prepare(folder: Path) -> None:
        shutil.copytree(crashed, folder, dirs_exist_ok=True)

    with Sandbox(binary, OPTIONS, prepare, hide=()) as server:
        write_commands(server, chance, "two", db, chance.choice([0, 10]))
        expected = state_of(server)
        copy_data(server.folder, tmp_path / "after")
    path = next(path for path in (tmp_path / "after").iterdir())
    assert not any(key.startswith(b"torn:") for keys in expected.values() for key in keys)
    if line == "valkey-9.1" or not is_cut_in_record:  # The server has cut before the MULTI.
        assert damage_kinds(path) == []
        assert load(binary, path) == expected
        return
    assert damage_kinds(path) == ["torn-transaction"]
    assert aofdoctor("repair", path, "--salvage", "-o", tmp_path / "out").status == 0
    assert load(binary, tmp_path / "out") == expected
