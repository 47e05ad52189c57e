"""check: commands that fail or crash at replay, databases, cluster mode; and what real servers do with each."""

import hashlib
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aofdoctor.check.vector_adds import find_cas, find_element
from aofdoctor.resp import encode_command
from aofdoctor.server.sandbox import Sandbox
from tests.conftest import aofdoctor
from tests.support.servers import servers_by_line, start_server

SET = encode_command([b"SET", b"a", b"1"])
SCRIPT = b"return redis.call('incr', KEYS[1])"
SHA = hashlib.sha1(SCRIPT).hexdigest().encode()
EVAL = encode_command([b"EVAL", SCRIPT, b"1", b"n"])
EVALSHA = encode_command([b"EVALSHA", SHA.upper(), b"1", b"n"])
TILE = encode_command([b"SET", b"fleet", b"truck", b"POINT", b"33.0", b"-112.2"])


def select(db: int) -> bytes:
    return encode_command([b"SELECT", b"%d" % db])


def check_json(tmp_path: Path, data: bytes, *options: str) -> dict[str, Any]:
    path = tmp_path / "appendonly.aof"
    path.write_bytes(data)
    report: dict[str, Any] = aofdoctor("check", path, "--json", "--server", "redis-7.0", *options).json
    return report


def errors(report: dict[str, Any]) -> dict[str, int]:
    return {error["code"]: error["count"] for error in report["replay_errors"]}


def outcomes(report: dict[str, Any]) -> set[str]:
    return {verdict["outcome"] for verdict in report["verdicts"]}


CASES = {
    "options of another program": (12 * TILE, {"options-unknown": 12}),
    "options of another program after valid ones": (SET + TILE + SET, {"options-unknown": 1}),
    "an EXPIRE of another program": (
        SET + encode_command([b"EXPIRE", b"a", b"b", b"10"]), {"options-unknown": 1}
    ),
    "a script of nowhere": (SET + 2 * EVALSHA, {"script-undefined": 2}),
    "a script that EVAL defines": (EVAL + EVALSHA, {}),
    "a script that is loaded": (encode_command([b"SCRIPT", b"LOAD", SCRIPT]) + EVALSHA, {}),
    "a script that is defined too late": (EVALSHA + EVAL, {"script-undefined": 1}),
    "scripts flushed": (EVAL + encode_command([b"SCRIPT", b"FLUSH"]) + EVALSHA, {"script-undefined": 1}),
    "a script defined in a transaction": (
        encode_command([b"MULTI"]) + EVAL + encode_command([b"EXEC"]) + EVALSHA, {}
    ),
    "a payload of garbage": (encode_command([b"RESTORE", b"k", b"0", b"garbage of some bytes"]), {"restore-unreadable": 1}),
    "a database too high": (select(20) + SET + select(0), {"database-out-of-range": 1}),
    "the highest database": (select(15) + SET, {}),
    "sound": (SET + encode_command([b"SET", b"k", b"v", b"PXAT", b"4102444800000"]), {}),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_commands_that_fail_are_those_that_fail_in_a_real_server(name: str, tmp_path: Path) -> None:
    data, expected = CASES[name]
    report = check_json(tmp_path, data)
    found = errors(report)
    assert {code: found[code] for code in expected} == expected and set(found) == set(expected)
    judged = next(v["outcome"] for v in report["verdicts"] if v["server"] == "redis-7.0")
    assert judged == ("replay-errors" if expected else "loads")
    binary = servers_by_line().get("redis-7.0")
    if binary is None:
        pytest.skip("no Redis 7.0 on PATH")

    def prepare(folder: Path) -> None:
        (folder / "appendonly.aof").write_bytes(data)

    with Sandbox(binary, ["--appendonly", "yes"], prepare, hide=()) as server:
        stats = server.info("errorstats")
        failed = sum(int(v.split("=")[1]) for k, v in stats.items() if k != "errorstat_LOADING")
        assert failed == sum(expected.values())


@pytest.mark.parametrize("count", [999, 1000, 1001])
def test_options_after_a_sample_of_valid_ones_are_still_judged_if_they_are_unusual(count: int, tmp_path: Path) -> None:
    valid = encode_command([b"SET", b"k", b"v", b"PXAT", b"4102444800000"])
    assert errors(check_json(tmp_path, valid * count + TILE)) == {"options-unknown": 1}


def test_no_server_loads_the_log_of_another_program(tmp_path: Path) -> None:
    report = check_json(tmp_path, 3 * TILE, "--server", "all")
    released = [v for v in report["verdicts"] if v["server"] not in ("redis-8.12", "valkey-9.2")]
    assert "loads" not in {v["outcome"] for v in released}
    assert "no judged server knows" in next(
        f["message"] for f in check_json(tmp_path, 3 * TILE)["findings"] if f["code"] == "options-unknown"
    )


@given(dbs=st.lists(st.integers(0, 40), max_size=8), limit=st.integers(1, 45))
def test_the_highest_database_is_that_of_the_whole_log(
    dbs: list[int], limit: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    data = b"".join(select(db) + SET for db in dbs) + select(0)
    report = check_json(tmp_path_factory.mktemp("log"), data, "--databases", str(limit))
    too_high = [db for db in dbs if db >= limit]
    assert errors(report).get("database-out-of-range", 0) == len(too_high)
    assert ("databases" in {f["code"] for f in report["findings"]}) == bool(too_high)
    assert not too_high or report["highest_database"] == max(dbs)
    assert ("loads" in outcomes(report)) != bool(too_high)


def test_the_finding_about_databases_names_the_setting_and_a_command_that_runs(tmp_path: Path) -> None:
    report = check_json(tmp_path, select(5) + SET + select(999) + SET + select(0) + SET)
    finding = next(f for f in report["findings"] if f["code"] == "databases")
    assert finding["severity"] == "danger" and "needs databases 1000" in finding["message"]
    command = re.search(r"aofdoctor (check \S+ --databases \d+)", finding["detail"])
    assert command and aofdoctor(*command[1].split()).status == 0


def test_an_rdb_with_a_database_too_high_is_refused(tmp_path: Path) -> None:
    binary = servers_by_line()["valkey-9.1"]
    with Sandbox(binary, ["--databases", "30"], hide=()) as server:
        server.call("SELECT", 20)
        server.call("SET", "k", "v")
        server.call("SAVE")
        data = (server.folder / "dump.rdb").read_bytes()
    path = tmp_path / "appendonly.aof"
    path.write_bytes(data)
    report = aofdoctor("check", path, "--server", "valkey-9.1", "--json").json
    assert {v["outcome"] for v in report["verdicts"] if v["server"] == "valkey-9.1"} == {"refuses"}
    assert "databases" in {f["code"] for f in report["findings"]}
    report = aofdoctor("check", path, "--server", "valkey-9.1", "--databases", "21", "--json").json
    assert {v["outcome"] for v in report["verdicts"] if v["server"] == "valkey-9.1"} == {"loads"}
    assert aofdoctor("verify", path, "--json").json["keys"] == {"20": 1}


def test_a_cluster_refuses_select_and_commands_across_slots(tmp_path: Path) -> None:
    mset = encode_command([b"MSET", b"a", b"1", b"b", b"2"])
    same_slot = encode_command([b"MSET", b"{t}a", b"1", b"{t}b", b"2"])
    data = select(0) + mset + same_slot + select(1) + SET
    assert errors(check_json(tmp_path, data)) == {}
    report = check_json(tmp_path, data, "--cluster")
    assert errors(report) == {"cross-slot": 1, "database-out-of-range": 1}
    assert {"databases", "cross-slot"} <= {f["code"] for f in report["findings"]}
    assert errors(check_json(tmp_path, mset, "--cluster")) == {"cross-slot": 1}
    assert outcomes(check_json(tmp_path, mset, "--cluster")) == {"loads"}


def vadd(element: bytes, *options: bytes) -> bytes:
    return encode_command([b"VADD", b"k", b"VALUES", b"2", b"1", b"2", element, *options])


MULTI, EXEC = encode_command([b"MULTI"]), encode_command([b"EXEC"])
VECTORS = {
    "a new key": (vadd(b"e0", b"CAS"), False),
    "a new element": (vadd(b"e0") + vadd(b"e1", b"cas"), True),
    "a new element and options": (vadd(b"e0") + vadd(b"e1", b"EF", b"10", b"SETATTR", b"CAS", b"CAS"), True),
    "an attribute that reads CAS": (vadd(b"e0") + vadd(b"e1", b"SETATTR", b"CAS"), False),
    "an element that reads CAS": (vadd(b"e0") + vadd(b"CAS"), False),
    "a known element": (vadd(b"e0") + vadd(b"e0", b"CAS"), False),
    "a removed element": (
        vadd(b"e0") + vadd(b"e1") + encode_command([b"VREM", b"k", b"e1"]) + vadd(b"e1", b"CAS"), True
    ),
    "in a transaction": (vadd(b"e0") + MULTI + vadd(b"e1", b"CAS") + EXEC, False),
    "in another database": (vadd(b"e0") + select(1) + vadd(b"e1", b"CAS"), False),
}  # fmt: skip


@pytest.mark.parametrize("name", VECTORS)
def test_a_vadd_with_cas_crashes_redis_exactly_as_predicted(name: str, tmp_path: Path) -> None:
    data, crashes = VECTORS[name]
    path = tmp_path / "appendonly.aof"
    path.write_bytes(data)
    report = aofdoctor("check", path, "--server", "redis-8.2", "--json").json
    verdict = next(v for v in report["verdicts"] if v["server"] == "redis-8.2")
    assert verdict["outcome"] == ("undefined" if crashes else "loads")
    assert ("crashes-at-load" in {f["code"] for f in report["findings"]}) == crashes
    binary = servers_by_line().get("redis-8.2")
    if binary is None:
        pytest.skip("no Redis 8.2")
    assert start_server(binary, {"appendonly.aof": data}).started is not crashes


@given(st.lists(st.sampled_from([b"CAS", b"VALUES", b"FP32", b"REDUCE", b"2", b"-1", b"9999999999", b"e", b"EF"])))
def test_any_arguments_of_vadd_are_read(words: list[bytes]) -> None:
    argv = [b"VADD", b"k", *words]
    element = find_element(argv)
    assert element is None or (2 < element < len(argv) and (find_cas(argv, element) or element) < len(argv))


def test_verify_fails_on_errors_and_configures_the_databases(tmp_path: Path) -> None:
    path = tmp_path / "appendonly.aof"
    path.write_bytes(SET + 2 * EVALSHA)
    result = aofdoctor("verify", path, "--json")
    assert (result.status, result.json["failed_commands"], result.json["total"]) == (1, 2, 1)
    assert "2 commands failed at replay" in aofdoctor("verify", path).out
    path.write_bytes(select(20) + SET + select(0))
    result = aofdoctor("verify", path, "--json")
    assert (result.status, result.json["keys"]) == (0, {"20": 1})
    path.write_bytes(select(1 << 40) + SET + select(0))
    assert aofdoctor("verify", path).status == 3
