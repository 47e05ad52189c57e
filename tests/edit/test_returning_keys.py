"""strip names the keys that come back: the same keys that a real server has with the edit, and not without it."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aofdoctor.cli.options import open_path
from aofdoctor.edit.edit import no_progress
from aofdoctor.edit.planners.returning_keys import find_returning_keys
from aofdoctor.edit.planners.strip import plan_from_recipe, survey_flushes
from aofdoctor.resp import encode_command
from aofdoctor.server.resp_client import ReplyError
from aofdoctor.server.sandbox import Sandbox, ServerBinary
from tests.conftest import aofdoctor
from tests.support.base_keys import BASE
from tests.support.samples import FLUSH, SET, make_small_set

NAMES = st.sampled_from([b"a", b"b", b"c", b"d"])
COMMANDS = st.one_of(
    st.tuples(st.sampled_from([b"SET", b"APPEND", b"SETNX", b"GETSET"]), NAMES, st.just(b"1")),
    st.tuples(st.sampled_from([b"DEL", b"UNLINK", b"GETDEL", b"PERSIST"]), NAMES),
    st.tuples(st.sampled_from([b"RENAME", b"RENAMENX", b"COPY"]), NAMES, NAMES),
    st.tuples(st.just(b"MSET"), NAMES, st.just(b"1"), NAMES, st.just(b"2")),
    st.tuples(st.just(b"MOVE"), NAMES, st.sampled_from([b"1", b"0"])),
    st.tuples(st.just(b"SELECT"), st.sampled_from([b"0", b"1"])),
    st.sampled_from([(b"FLUSHDB",), (b"FLUSHALL",), (b"SWAPDB", b"0", b"1")]),
)
Keys = set[tuple[int, bytes]]


@pytest.fixture(scope="module")
def shared_server(embedded: ServerBinary) -> Iterator[Sandbox]:
    """A real server for all examples."""
    with Sandbox(embedded, hide=()) as server:
        yield server


def keys_after(server: Sandbox, commands: Sequence[Sequence[bytes]]) -> Keys:
    """Return (database, name) of every key that a server has after some commands."""
    server.call("FLUSHALL")
    server.call("SELECT", "0")
    for command in commands:
        with suppress(ReplyError):  # An error at replay does not stop a load.
            server.call(*command)
    keys: Keys = set()
    for db in (0, 1):
        server.call("SELECT", db)
        names = server.call("KEYS", "*")
        assert isinstance(names, list)
        keys |= {(db, bytes(name)) for name in names}  # type: ignore[arg-type]
    return keys


@settings(max_examples=150, suppress_health_check=list(HealthCheck))
@given(st.lists(COMMANDS, min_size=1, max_size=25))
def test_the_keys_that_come_back_are_those_of_a_real_server(
    tmp_path_factory: object, shared_server: Sandbox, commands: list[tuple[bytes, ...]]
) -> None:
    path = Path(tmp_path_factory.mktemp("a"), "a.aof")  # type: ignore[attr-defined]
    path.write_bytes(encode_command([b"SELECT", b"0"]) + b"".join(encode_command(list(c)) for c in commands))
    flush_names = (b"FLUSHDB", b"FLUSHALL")
    if not any(command[0] in flush_names for command in commands):
        return
    returning = aofdoctor("strip", path, "--all", "--json").json["returning_keys"]
    kept = [command for command in commands if command[0] not in flush_names]
    expected = keys_after(shared_server, kept) - keys_after(shared_server, commands)
    assert {(entry["db"], entry["key"].encode()) for entry in returning["names"]} == expected
    assert returning["count"] == len(expected) and returning["exact"]


def test_keys_of_a_base_come_back(tmp_path: Path) -> None:
    path = tmp_path / "a.aof"
    path.write_bytes(BASE + SET + FLUSH)
    plan = aofdoctor("strip", path, "--json").json
    assert plan["returning_keys"]["count"] == plan["keys"]["before"] + 1


def test_a_key_that_may_be_empty_makes_the_number_an_upper_bound(tmp_path: Path) -> None:
    path = tmp_path / "a.aof"
    push, pop = encode_command([b"RPUSH", b"q", b"1"]), encode_command([b"LPOP", b"q"])
    path.write_bytes(push + pop + FLUSH)
    result = aofdoctor("strip", path)
    assert "at most 1 key comes back (db0 1): q; 1 of them may be empty or expired" in result.out


def test_a_long_log_gives_an_upper_bound_or_none(tmp_path: Path) -> None:
    for data, bound in ((SET * 3 + FLUSH, 3), (SET + encode_command([b"MSET", b"a", b"1"]) + FLUSH, None)):
        path = tmp_path / f"{bound}.aof"
        path.write_bytes(data)
        with open_path(str(path)) as aof:
            recipe = {"position": None, "last": False, "all": True, "and_after": False, "selection": NO_SELECTION}
            plan = plan_from_recipe(aof, recipe, no_progress)
            found = find_returning_keys(aof, plan.drops, survey_flushes(aof).counts, 0, commands_max=2)
            assert found.count == bound and not found.is_exact


NO_SELECTION = {
    "cmd": None, "key": None, "db": None, "effect": None, "grep": None, "min_size": 0, "from_": None, "to": None,
    "since": None, "until": None, "invert": False,
}  # fmt: skip


def test_the_flushes_that_remain_are_named(tmp_path: Path) -> None:
    path = tmp_path / "a.aof"
    path.write_bytes(SET + FLUSH + SET + FLUSH + SET)
    out = aofdoctor("strip", path, "--last").out
    assert f"1 flush remains: FLUSHALL at a.aof@{len(SET)} (every database); aofdoctor strip {path} --all" in out
    assert "flushes remain" not in aofdoctor("strip", path, "--all").out
    assert "2 flushes remain" in aofdoctor("strip", path, "--cmd", "set").out


def test_a_flush_in_the_base_of_a_set_counts(tmp_path: Path) -> None:
    folder = make_small_set(tmp_path, {"base": SET + FLUSH, "incr": encode_command([b"SET", b"z", b"1"])})
    assert aofdoctor("strip", folder, "--json").json["returning_keys"]["names"] == [{"db": 0, "key": "a"}]
