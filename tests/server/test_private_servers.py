"""A private server keeps its limits, says why it failed, and leaves nothing behind, whatever the files hold."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from aofdoctor.resp import encode_command
from aofdoctor.server.sandbox import ServerBinary
from aofdoctor.server.sandboxing.load_log import failure_reason, rdb_loads
from aofdoctor.server.sandboxing.scratch_folders import remove_abandoned, scratch_folder
from tests.conftest import aofdoctor
from tests.support.rdb_files import make_rdb, select_db
from tests.support.samples import SET

MAGIC = b"REDIS0009"
HOSTILE_SCRIPTS = {
    "a loop": b"while true do end",
    "a loop that catches errors": b"while true do pcall(function() while true do end end) end",
    "a pattern": b"return string.find(string.rep('a',100000), string.rep('a?',100000)..string.rep('a',100000))",
    "memory": b"local t = {} while true do t[#t+1] = string.rep('x', 1e6) .. #t end",
    "log": b"while true do redis.log(redis.LOG_WARNING, string.rep('x',1000)) end",
}


def key(name: bytes, value: bytes = b"1", kind: int = 0) -> bytes:
    return bytes((kind, len(name))) + name + bytes((len(value),)) + value


@pytest.mark.parametrize("name", HOSTILE_SCRIPTS)
def test_a_hostile_script_ends_at_a_limit(name: str, tmp_path: Path, embedded: ServerBinary) -> None:
    path = tmp_path / "a.aof"
    path.write_bytes(encode_command([b"EVAL", HOSTILE_SCRIPTS[name], b"0"]))
    started = time.monotonic()
    result = aofdoctor("verify", path, "--with", embedded.path, "--timeout", "1.5")
    assert result.status == 1 and time.monotonic() - started < 15
    assert "1.5 s" in result.err or "more than" in result.err or "emory" in result.err or "replay" in result.out


@pytest.mark.parametrize("seconds", ["0", "-1", "nan", "inf", "1e99", "x"])
def test_a_time_limit_is_a_positive_number(seconds: str, tmp_path: Path) -> None:
    path = tmp_path / "a.aof"
    path.write_bytes(SET)
    assert aofdoctor("verify", path, f"--timeout={seconds}").status == 2


@pytest.mark.parametrize("commands", [["CONFIG", "SET", "dir", "/"], ["MODULE", "LOAD", "/x.so"], ["SHUTDOWN"],
                                      ["REPLICAOF", "a", "1"], ["DEBUG", "SEGFAULT"], ["MIGRATE", "a", "1"],
                                      ["ACL", "SAVE"], ["SAVE"], ["CLUSTER", "MEET", "a", "1"]])  # fmt: skip
def test_a_command_that_reaches_outside_is_not_replayed(commands: list[str], tmp_path: Path) -> None:
    path = tmp_path / "a.aof"
    path.write_bytes(encode_command([word.encode() for word in commands]))
    result = aofdoctor("verify", path)
    assert result.status in (1, 3) and "loaded by" not in result.out
    script = f"return redis.call({','.join(repr(word) for word in commands)})".encode()
    path.write_bytes(encode_command([b"EVAL", script, b"0"]))
    result = aofdoctor("verify", path)
    assert result.status == 1 and "1 command failed at replay" in result.out


def test_a_function_library_of_an_rdb_runs_under_the_same_limits(tmp_path: Path, embedded: ServerBinary) -> None:
    code = b"#!lua name=l\nlocal t = {} while true do t[#t+1] = string.rep('x', 1e6) .. #t end"
    path = tmp_path / "dump.rdb"
    path.write_bytes(make_rdb(b"\xf5\x40" + bytes((len(code),)) + code, select_db(0), key(b"a"), magic=b"REDIS0010"))
    started = time.monotonic()
    result = aofdoctor("verify", path, "--with", embedded.path, "--timeout", "3")
    assert result.status == 1 and time.monotonic() - started < 20


def test_a_named_server_is_started_whatever_its_version(tmp_path: Path, embedded: ServerBinary) -> None:
    script, path = tmp_path / "redis-server", tmp_path / "a.aof"
    path.write_bytes(SET)
    script.write_text(
        f'#!/bin/sh\n[ "$1" = --version ] && echo "Redis server v=99.9.1 sha=0" && exit\nexec {embedded.path} "$@"\n'
    )
    script.chmod(0o755)
    result = aofdoctor("verify", path, "--with", script, "--json")
    assert result.status == 0 and result.json["server"] == "Redis 99.9.1" and result.json["total"] == 1


def test_the_reason_is_the_one_that_the_server_gives(tmp_path: Path, embedded: ServerBinary) -> None:
    path = tmp_path / "dump.rdb"
    path.write_bytes(make_rdb(select_db(0), key(b"a"), key(b"a"), magic=MAGIC))
    result = aofdoctor("verify", path, "--with", embedded.path)
    assert result.status == 1 and "uplicated key" in result.err


def test_keys_that_expired_are_counted_apart(tmp_path: Path, embedded: ServerBinary) -> None:
    path = tmp_path / "dump.rdb"
    past = b"\xfc" + int(1e12).to_bytes(8, "little")
    path.write_bytes(make_rdb(select_db(0), key(b"a"), past + key(b"b"), select_db(3), key(b"c"), magic=MAGIC))
    result = aofdoctor("verify", path, "--with", embedded.path, "--json")
    assert result.status == 0
    assert (result.json["keys"], result.json["difference"]) == ({"0": 1, "3": 1}, None)


def test_the_folder_of_a_killed_process_is_removed_by_the_next_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    program = (
        "import os, signal, tempfile\nfrom aofdoctor.server.sandboxing.scratch_folders import scratch_folder\n"
        f"tempfile.tempdir = {str(tmp_path)!r}\nwith scratch_folder():\n    os.kill(os.getpid(), signal.SIGKILL)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == -signal.SIGKILL
    (tmp_path / "aofdoctor-other").mkdir(mode=0o700)  # Without a lock it is not known to be ours.
    assert len(list(tmp_path.iterdir())) == 2
    with scratch_folder() as live:
        assert remove_abandoned() == 0 and live.is_dir()
        assert sorted(tmp_path.iterdir()) == sorted([live, tmp_path / "aofdoctor-other"])
    assert list(tmp_path.iterdir()) == [tmp_path / "aofdoctor-other"]


def test_the_server_dies_with_this_process(tmp_path: Path, embedded: ServerBinary) -> None:
    path = tmp_path / "a.aof"
    path.write_bytes(encode_command([b"EVAL", b"while true do end", b"0"]))
    command = [sys.executable, "-m", "aofdoctor", "verify", str(path), "--with", str(embedded.path)]
    running = subprocess.Popen(command, env=os.environ | {"TMPDIR": str(tmp_path)}, stdout=subprocess.DEVNULL)
    children: list[str] = []
    while not children:
        time.sleep(0.05)
        children = [
            entry.name
            for entry in Path("/proc").glob("[0-9]*")
            if _is_server_in(entry, tmp_path) and (entry / "stat").read_text().split()[3] == str(running.pid)
        ]
    running.kill()
    running.wait()
    deadline = time.monotonic() + 5
    while _is_server_in(Path("/proc") / children[0], tmp_path) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not _is_server_in(Path("/proc") / children[0], tmp_path)


def _is_server_in(process: Path, folder: Path) -> bool:
    try:
        return b"server" in (process / "comm").read_bytes() and os.readlink(process / "cwd").startswith(str(folder))
    except OSError:
        return False


def test_the_cause_stands_before_the_crash_report() -> None:
    log = """\
12:M 28 Nov 2026 07:00:00.000 # Server initialized
12:M 28 Nov 2026 07:00:00.001 * Loading RDB produced by version 7.0.15
12:M 28 Nov 2026 07:00:00.002 # Internal error in RDB reading offset 45, function at rdb.c:3080 -> Bad length
12:M 28 Nov 2026 07:00:00.003 # === REDIS BUG REPORT START: Cut & paste starting from here ===
12:M 28 Nov 2026 07:00:00.004 # crashed by signal: 6
"""
    assert failure_reason(log) == "Bad length"
    assert failure_reason("") == "it left no word in its log"
    assert rdb_loads(log) is None
    done = "Done loading RDB, keys loaded: 2, keys expired: 3, empty keys skipped: 1.\n"
    assert rdb_loads(done * 2) == (4, 6, 2)
