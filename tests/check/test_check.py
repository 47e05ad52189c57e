"""check: its facts, findings, verdicts and exit status, on AOFs that real servers wrote."""

import hashlib
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from aofdoctor.check.examine import examine
from aofdoctor.cli.options import open_path
from aofdoctor.resp import encode_command
from aofdoctor.server.sandbox import Sandbox, ServerBinary
from aofdoctor.server.versions import VERSIONS
from tests.conftest import STORIES, aofdoctor, read_story

Story = Callable[[str], Path]
SET = encode_command([b"SET", b"a", b"1"])


def single(tmp_path: Path, data: bytes, name: str = "appendonly.aof") -> Path:
    path = tmp_path / name
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("name", STORIES)
def test_a_wiped_history_is_sound_and_its_flush_is_a_danger(name: str, story: Story) -> None:
    result = aofdoctor("check", story(name), "--json")
    part, start, end = read_story(name)["flush"]
    flush = [f for f in result.json["findings"] if f["code"] == "flush"]
    assert result.status == 0 and result.json["sound"] is True
    assert [(f["severity"], f["part"], f["start"], f["end"]) for f in flush] == [("danger", part, start, end)]
    assert "3 commands follow it" in flush[0]["message"]  # The commands are SET, SELECT and SET.
    assert result.json["first_aid"] == result.json["servers"] == []  # No server uses the files.


def test_the_contract_of_check_json(story: Story) -> None:
    report = aofdoctor("check", story("wiped-redis-7.0"), "--json").json
    assert {"path", "layout", "sound", "parts", "verdicts", "findings"} <= report.keys()
    base, incr = report["parts"]
    assert {"name", "type", "exists", "size", "commands", "annotations", "preamble", "first_time", "last_time",
            "ok_up_to", "damage"} <= base.keys()  # fmt: skip
    counted = {name: base["preamble"].pop(name) for name in ("dbs", "types", "functions", "loads", "counted_at")}
    assert counted["dbs"] == {"0": {"keys": 21, "expires": 0, "past": 0}} and counted["functions"] == 0
    assert sum(counted["types"].values()) == 21 and "redis-7.0" in counted["loads"]
    assert base["preamble"] == {
        "magic": "REDIS0010",
        "start": 0,
        "end": base["size"],
        "keys": 21,
        "checksum": "ok",
        "complete": True,
    }
    assert (incr["type"], incr["preamble"], incr["ok_up_to"]) == ("incr", None, incr["size"])
    assert incr["first_time"] is not None and incr["annotations"] == 1
    assert [(v["server"], v["load_truncated"], v["outcome"]) for v in report["verdicts"]] == [
        (server, truncated, "loads") for server in ("redis-7.0", "redis-8.10", "valkey-9.1") for truncated in (True, False)
    ]  # fmt: skip
    assert {"code", "severity", "part", "start", "end", "message", "hint", "commands"} <= report["findings"][0].keys()


def test_first_aid_follows_the_facts_where_it_is_asked_for(story: Story) -> None:
    out = aofdoctor("check", story("wiped-valkey-9.1"), "--first-aid").out
    words = ["emptied every database", "First aid", "rewrites", "saves", "REPLICAOF", "Sentinels", "option appendonly",
             "SHUTDOWN NOSAVE", "Copy the whole", "Next"]  # fmt: skip
    places = [out.index(word) for word in words]
    assert places == sorted(places)


def test_without_a_flush_other_evidence_is_reported(tmp_path: Path) -> None:
    path = single(tmp_path, SET)
    (tmp_path / "dump.rdb").write_bytes(b"REDIS0010")
    (tmp_path / "temp-rewriteaof-bg-7.aof").write_bytes(SET)
    findings = {f["code"]: f for f in aofdoctor("check", path, "--json").json["findings"]}
    assert "dump.rdb" in findings["no-flush"]["detail"] and "temp-rewriteaof-bg-7.aof" in findings["no-flush"]["detail"]
    assert "First aid" not in aofdoctor("check", path).out


@pytest.mark.parametrize("where", ["data", "directory", "manifest"])
def test_a_set_is_found_from_the_manifest_its_directory_and_the_data_directory(where: str, story: Story) -> None:
    data = story("wiped-valkey-9.1")
    path = {
        "data": data,
        "directory": data / "appendonlydir",
        "manifest": data / "appendonlydir" / "appendonly.aof.manifest",
    }
    report = aofdoctor("check", path[where], "--json").json
    assert report["layout"] == "multi-part"
    assert [part["name"] for part in report["parts"]] == ["appendonly.aof.2.base.rdb", "appendonly.aof.2.incr.aof"]


def test_a_single_part_and_a_renamed_file_are_recognised_by_content(story: Story) -> None:
    folder = story("wiped-valkey-9.1") / "appendonlydir"
    base = aofdoctor("check", folder / "appendonly.aof.2.base.rdb", "--json").json
    assert base["parts"][0]["type"] == "base" and base["parts"][0]["preamble"]["magic"] == "VALKEY080"
    os.rename(folder / "appendonly.aof.2.incr.aof", folder / "evidence.bin")
    assert aofdoctor("check", folder / "evidence.bin", "--json").json["parts"][0]["commands"] > 0


def test_a_torn_tail_is_damage_and_servers_would_cut_it(tmp_path: Path) -> None:
    path = single(tmp_path, SET + SET[:-3])
    result = aofdoctor("check", path, "--json")
    assert result.status == 1 and result.json["sound"] is False
    assert result.json["parts"][0]["ok_up_to"] == len(SET)
    assert [d["kind"] for d in result.json["parts"][0]["damage"]] == ["torn"]
    assert [(v["server"], v["outcome"], v["offset"]) for v in result.json["verdicts"]] == [
        ("redis-8.10", "truncates", 27), ("redis-8.10", "refuses", 27),
        ("valkey-9.1", "truncates", 27), ("valkey-9.1", "refuses", 27),
    ]  # fmt: skip


def test_a_lf_only_header_is_damage_that_a_server_loads(tmp_path: Path) -> None:
    result = aofdoctor("check", single(tmp_path, SET + SET.replace(b"*3\r\n", b"*3\n", 1) + SET), "--json")
    assert result.status == 1 and result.json["parts"][0]["damage"][0]["kind"] == "line-ends"
    assert {v["outcome"] for v in result.json["verdicts"]} == {"loads"}


def test_the_version_of_for_decides_the_status(tmp_path: Path) -> None:
    path = single(tmp_path, SET + encode_command([b"HSETEX", b"h", b"FIELDS", b"1", b"f", b"v"]))
    assert aofdoctor("check", path).status == 0  # Valkey 9.1 loads this file.
    assert aofdoctor("check", path, "--server", "redis-7.0").status == 1
    assert aofdoctor("check", path, "--server", "valkey-9.1").status == 0
    servers = {v["server"] for v in aofdoctor("check", path, "--server", "all", "--json").json["verdicts"]}
    assert servers == set(VERSIONS)
    assert aofdoctor("check", path, "--server", "redis-9.9").status == 2


def test_an_annotation_keeps_a_server_before_7_from_loading(tmp_path: Path) -> None:
    path = single(tmp_path, SET + b"#TS:1700000000\r\n" + SET)
    verdicts = aofdoctor("check", path, "--server", "redis-6.2", "--json").json["verdicts"]
    assert [(v["outcome"], v["offset"]) for v in verdicts if v["server"] == "redis-6.2"] == [("refuses", 27)] * 2


def test_a_multi_part_set_does_not_apply_to_a_server_before_7(story: Story) -> None:
    report = aofdoctor("check", story("wiped-redis-7.0"), "--server", "redis-6.2", "--json")
    assert report.status == 1
    assert {v["outcome"] for v in report.json["verdicts"] if v["server"] == "redis-6.2"} == {"not-applicable"}


def test_damage_in_a_set(story: Story) -> None:
    folder = story("wiped-redis-7.0-resp") / "appendonlydir"
    incr = folder / "appendonly.aof.1.incr.aof"
    manifest = folder / "appendonly.aof.manifest"
    (folder / "appendonly.aof.2.incr.aof").write_bytes(SET)
    codes = {f["code"] for f in aofdoctor("check", folder, "--json").json["findings"]}
    assert "part-unlisted" in codes
    manifest.write_bytes(manifest.read_bytes() + b"file appendonly.aof.2.incr.aof seq 2 type i\n")
    incr.write_bytes(incr.read_bytes()[:-4])
    report = aofdoctor("check", folder, "--json").json
    codes = {f["code"] for f in report["findings"]}
    assert {"rewrite-unfinished", "cut-not-last", "torn"} <= codes
    assert report["verdicts"][0]["outcome"] == "refuses" and report["verdicts"][0]["part"] == incr.name
    incr.unlink()
    report = aofdoctor("check", folder, "--json").json
    assert "part-missing" in {f["code"] for f in report["findings"]}
    assert [part["exists"] for part in report["parts"]] == [True, False, True]
    manifest.unlink()
    report = aofdoctor("check", folder, "--json")
    assert report.status == 1 and {v["outcome"] for v in report.json["verdicts"]} == {"starts-empty"}
    assert "manifest-missing" in {f["code"] for f in report.json["findings"]}


def test_files_that_were_swapped_or_listed_twice_are_findings(story: Story) -> None:
    folder = story("wiped-valkey-9.1") / "appendonlydir"
    base, incr = folder / "appendonly.aof.2.base.rdb", folder / "appendonly.aof.2.incr.aof"
    one, other = base.read_bytes(), incr.read_bytes()
    base.write_bytes(other)
    incr.write_bytes(one)
    codes = [f["code"] for f in aofdoctor("check", folder, "--json").json["findings"]]
    assert codes.count("part-swapped") == 2
    manifest = folder / "appendonly.aof.manifest"
    manifest.write_bytes(manifest.read_bytes() + b"file appendonly.aof.2.incr.aof seq 3 type i\n")
    assert "part-twice" in [f["code"] for f in aofdoctor("check", folder, "--json").json["findings"]]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_file_that_the_directorys_owner_cannot_open_is_a_finding(story: Story) -> None:
    folder = story("wiped-valkey-9.1") / "appendonlydir"
    os.chown(folder, 4242, 4242)
    for path in folder.iterdir():
        os.chmod(path, 0o600)
    findings = [f for f in aofdoctor("check", folder, "--json").json["findings"] if f["code"] == "owner"]
    assert len(findings) == 2 and "chown 4242:4242" in findings[0]["commands"][0]


def test_a_flipped_byte_in_the_base_is_a_corrupt_preamble(story: Story) -> None:
    base = story("wiped-valkey-9.1") / "appendonlydir" / "appendonly.aof.2.base.rdb"
    data = bytearray(base.read_bytes())
    data[data.index(b"name 7") + 5] ^= 1
    base.write_bytes(data)
    report = aofdoctor("check", base.parent, "--json").json
    assert report["parts"][0]["preamble"]["checksum"] == "bad"
    assert [d["kind"] for d in report["parts"][0]["damage"]] == ["corrupt-preamble"]
    assert {v["outcome"] for v in report["verdicts"]} == {"refuses"}


def test_an_unclosed_multi_is_damage_from_its_multi_on(tmp_path: Path) -> None:
    path = single(tmp_path, SET + encode_command([b"MULTI"]) + SET)
    part = aofdoctor("check", path, "--json").json["parts"][0]
    assert (part["ok_up_to"], part["damage"][0]["kind"], part["damage"][0]["start"]) == (27, "unclosed-multi", 27)


def test_oddities_are_reported(tmp_path: Path) -> None:
    data = (encode_command([b"EXEC"]) + encode_command([b"MULTI"]) + encode_command([b"MULTI"]) + encode_command([b"EXEC"]) + encode_command([b"SELECT", b"x"])
            + b"#" + b"y" * 2000 + b"\n" + encode_command([b"JSON.SET", b"a"]))  # fmt: skip
    codes = {f["code"] for f in aofdoctor("check", single(tmp_path, data), "--json").json["findings"]}
    assert {"exec-alone", "multi-nested", "select-invalid", "annotation-long", "unknown-command"} <= codes


def test_a_growing_file_is_read_to_its_size_at_open(tmp_path: Path) -> None:
    path = single(tmp_path, SET + SET[:9])
    with open_path(str(path)) as aof:
        with open(path, "ab") as file:
            file.write(SET[9:] + SET)
        part = examine(aof).parts[0]
    assert (part.size, part.commands, [d.kind for d in part.damage]) == (len(SET) + 9, 1, ["in-flight"])


def test_memory_stays_small_for_any_declared_length(tmp_path: Path) -> None:
    path = tmp_path / "big.aof"
    with open(path, "wb") as file:
        file.write(SET + b"*3\r\n$3\r\nSET\r\n$1\r\nb\r\n$536870912\r\n")
        file.seek(536870912, 1)
        file.write(b"\r\n" + SET)
    # getrusage is not used, because its peak includes that of the process which forked this one.
    code = "import re, sys; from aofdoctor.cli.app import run; s = run(sys.argv[1:]); " \
           "print(s, re.search(r'VmHWM:\\s+(\\d+)', open('/proc/self/status').read())[1], file=sys.stderr)"  # fmt: skip
    done = subprocess.run([sys.executable, "-c", code, "check", path], capture_output=True, text=True, check=True)
    status, peak_kib = map(int, done.stderr.split()[-2:])
    assert status == 0 and "3 commands" in done.stdout
    assert peak_kib < 64 << 10


@pytest.mark.parametrize("record", [b"*1\r\n$8\r\nFLUSHALLxx", b"*1\n$8\nFLUSHALL\r\n", b"*+1\r\n$8\r\nFLUSHALL\r\n"])
def test_a_flush_in_a_damaged_record_that_servers_execute_is_a_danger(
    record: bytes, tmp_path: Path, embedded: ServerBinary
) -> None:
    path = tmp_path / "a.aof"
    path.write_bytes(SET + record + encode_command([b"SET", b"b", b"1"]))
    codes = {f["code"]: f for f in aofdoctor("check", path, "--json").json["findings"]}
    assert codes["flush-in-damage"]["severity"] == "danger" and "no-flush" not in codes

    def lay_out(folder: Path) -> None:
        (folder / "appendonly.aof").write_bytes(path.read_bytes())

    with Sandbox(embedded, ["--appendonly", "yes"], lay_out) as server:
        assert server.call("DBSIZE") == 1  # These commands follow the flush.


def test_all_versions_are_judged_and_those_of_for_decide(story: Story) -> None:
    folder = story("wiped-valkey-9.1")
    assert aofdoctor("check", folder, "--server", "all").status == 0  # The writer decides.
    assert aofdoctor("check", folder, "--server", "valkey-9.1", "--server", "redis-6.2").status == 1
    assert aofdoctor("check", folder, "--server", "valkey-9.1").status == 0


def test_the_manifest_of_another_name_still_lists_its_files(story: Story) -> None:
    folder = story("wiped-valkey-9.1") / "appendonlydir"
    (folder / "appendonly.aof.manifest").rename(folder / "other.aof.manifest")
    assert aofdoctor("check", folder.parent).status == 0


def test_a_flush_in_a_script_is_found(tmp_path: Path) -> None:
    script = b"return redis.call('FlushAll')"
    sha = hashlib.sha1(script).hexdigest().encode()
    data = [encode_command([b"EVAL", b"return 1", b"0"]), encode_command([b"EVAL", script, b"0"]), encode_command([b"EVALSHA", sha, b"0"]),
            encode_command([b"EVALSHA", b"0" * 40, b"0"]), encode_command([b"SET", b"flushall", b"1"])]  # fmt: skip
    findings = aofdoctor("check", single(tmp_path, b"".join(data)), "--json").json["findings"]
    assert [f["start"] for f in findings if f["code"] == "flush-in-script"] == [len(data[0]), len(data[0] + data[1])]
    assert "no-flush" not in [f["code"] for f in findings]
