"""log and show: select and print the history from either end, in every format, with every byte escaped."""

import base64
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from aofdoctor.aof.reader import read_tiles
from aofdoctor.aof.records import RecordBatch
from aofdoctor.log.glob import glob_to_regex
from aofdoctor.resp import encode_command
from aofdoctor.server.command_table import command_table, key_indexes
from aofdoctor.server.sandbox import Sandbox, ServerBinary
from aofdoctor.source import BytesSource
from tests.conftest import aofdoctor
from tests.support.hostile_bytes import COMMAND_IDS
from tests.support.samples import HISTORY

Story = Callable[[str], Path]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    place = tmp_path / "appendonly.aof"
    place.write_bytes(HISTORY)
    return place


def commands(*args: object) -> list[str]:
    return [line["cmd"] for line in aofdoctor("log", *args, "--json").lines]  # type: ignore[arg-type]


def test_the_contract_of_log_json(path: Path) -> None:
    line = aofdoctor("log", path, "--cmd", "del", "--json").lines[0]
    assert line == {
        "part": "appendonly.aof", "offset": HISTORY.index(b"*3\r\n$3\r\nDEL"), "size": 37, "n": 5, "db": 3,
        "time": 1700000060, "time_kind": "annotation", "tx": 1, "cmd": "DEL", "args": ["user:1", "user:2"],
        "keys": ["user:1", "user:2"],
    }  # fmt: skip


def test_bytes_that_are_not_utf8_are_base64(path: Path) -> None:
    line = aofdoctor("log", path, "--db", "3", "--cmd", "set", "--json").lines[0]
    assert base64.b64decode(line["keys"][0]["base64"]) == b"\x1b]0;gone\x07\xff"
    assert line["args"][1] == "\x00 x"


SELECTIONS = [
    (["--cmd", "set"], ["SET", "SET"]),
    (["--cmd", "set", "--cmd", "nosuch"], ["SET", "SET", "NOSUCH"]),
    (["--key", "user:*"], ["SET", "DEL"]),
    (["--key", "user:2"], ["DEL"]),
    (["--key", "k"], ["NOSUCH"]),
    (["--db", "0"], ["SELECT", "SET", "MULTI"]),
    (["--db", "0", "--cmd", "set"], ["SET"]),
    (["--effect", "flush"], ["FLUSHDB"]),
    (["--effect", "delete"], ["DEL", "FLUSHDB"]),
    (["--effect", "delete", "--effect", "tx"], ["MULTI", "DEL", "EXEC", "FLUSHDB"]),
    (["--grep", "^a.n$"], ["SET"]),
    (["--min-size", "37"], ["DEL", "SET"]),
    (["--since", "1700000120"], ["FLUSHDB", "SET", "NOSUCH"]),
    (["--since", "-1m"], ["MULTI", "SELECT", "DEL", "EXEC", "FLUSHDB", "SET", "NOSUCH"]),
    (["--until", "2023-11-14T22:13:20+00:00"], ["SELECT", "SET"]),
    (["--from", "#6"], ["EXEC", "FLUSHDB", "SET", "NOSUCH"]),
    (["--to", "#2"], ["SELECT", "SET"]),
    (["--from", str(HISTORY.index(b"FLUSHDB")), "--to", "0x" + format(HISTORY.index(b"FLUSHDB"), "x")], ["FLUSHDB"]),
    (["--effect", "write", "--invert"], ["SELECT", "MULTI", "SELECT", "EXEC", "NOSUCH"]),
    (["-n", "2"], ["SET", "NOSUCH"]),
    (["-n", "1", "--cmd", "set"], ["SET"]),
    (["-n", "0"], []),
    (["--reverse", "--effect", "write"], ["SET", "FLUSHDB", "DEL", "SET"]),
    (["--tail", "-n", "2"], ["SET", "NOSUCH"]),
    (["--tail", "--reverse", "-n", "2"], ["NOSUCH", "SET"]),
    (["--tail", "-n", "1", "--effect", "flush"], ["FLUSHDB"]),
]


@pytest.mark.parametrize(("options", "expected"), SELECTIONS, ids=[" ".join(o) for o, _ in SELECTIONS])
def test_selections(options: list[str], expected: list[str], path: Path) -> None:
    assert commands(path, *options) == expected


def test_a_pipe_reads_as_the_file_does(path: Path) -> None:
    command = [sys.executable, "-m", "aofdoctor", "log", "-", "--json"]
    piped = subprocess.run(command, input=HISTORY, capture_output=True, check=True).stdout.replace(
        b'"-"', b'"appendonly.aof"'
    )
    assert piped == aofdoctor("log", path, "--json").stdout
    assert aofdoctor("check", path, "--json").json["parts"][0]["commands"] == 9
    checked = subprocess.run([*command[:3], "check", "-", "--json"], input=HISTORY, capture_output=True, check=False)
    assert json.loads(checked.stdout)["parts"][0]["commands"] == 9


def test_reverse_is_the_same_history_backwards(tmp_path: Path) -> None:
    path = tmp_path / "long.aof"
    path.write_bytes(b"".join(encode_command([b"SET", b"k%d" % n, b"v" * (n % 50)]) for n in range(40_000)))
    forwards = aofdoctor("log", path, "--json").stdout.splitlines()
    assert aofdoctor("log", path, "--json", "--reverse").stdout.splitlines() == forwards[::-1]
    assert aofdoctor("log", path, "--json", "-n", "7").stdout.splitlines() == forwards[-7:]


def test_the_tail_is_found_without_reading_the_rest_and_unknowns_are_null(tmp_path: Path) -> None:
    path = tmp_path / "long.aof"
    path.write_bytes(
        b"".join(encode_command([b"SET", b"k%d" % n, b"v" * 100]) for n in range(40_000))
        + encode_command([b"SELECT", b"2"])
        + encode_command([b"SET", b"z", b"1"])
    )
    result = aofdoctor("log", path, "--json", "--tail", "-n", "3")
    assert [(line["n"], line["tx"], line["db"], line["keys"]) for line in result.lines] == [
        (None, None, None, ["k39999"]), (None, None, 2, []), (None, None, 2, ["z"]),
    ]  # fmt: skip
    assert "guess" in result.err


def test_resp_and_cli_formats_can_be_replayed(path: Path, embedded: ServerBinary) -> None:
    resp = aofdoctor("log", path, "--cmd", "set", "--format", "resp").stdout
    assert resp == encode_command([b"SET", b"user:1", b"ann"]) + encode_command(
        [b"SET", b"\x1b]0;gone\x07\xff", b"\x00 x"]
    )
    lines = aofdoctor("log", path, "--cmd", "set", "--format", "cli").stdout.splitlines()
    assert lines == [b"SET user:1 ann", b'SET "\\x1b]0;gone\\a\\xff" "\\x00 x"']


def test_no_byte_of_a_file_reaches_the_terminal_unescaped(path: Path) -> None:
    verbs: list[list[str | Path]] = [["log", path], ["check", path], ["show", path, "#8"], ["stats", path]]
    for verb in verbs:
        out = aofdoctor(*verb)
        assert all(byte == 10 or 32 <= byte < 127 for byte in out.stdout), verb
        assert "\x1b" not in out.err


def test_damage_is_reported_and_makes_the_status_1(tmp_path: Path) -> None:
    path = tmp_path / "a.aof"
    path.write_bytes(HISTORY + b"junk" + HISTORY)
    result = aofdoctor("log", path)
    assert result.status == 1 and f"damage at a.aof@{len(HISTORY)}" in result.err
    lines = aofdoctor("log", path, "--json").lines
    assert (
        len(lines) == 18 and lines[9]["db"] == 0 and aofdoctor("log", path, "--json", "--reverse").lines == lines[::-1]
    )


def test_after_damage_the_database_is_unknown_until_a_select(tmp_path: Path) -> None:
    path = tmp_path / "a.aof"
    one = encode_command([b"SET", b"a", b"1"])
    path.write_bytes(one + b"junk" + one + encode_command([b"SELECT", b"4"]) + one)
    assert [line["db"] for line in aofdoctor("log", path, "--json").lines] == [0, None, 4, 4]


def test_a_record_larger_than_the_window_is_written_whole(tmp_path: Path) -> None:
    path = tmp_path / "big.aof"
    value = bytes(range(256)) * 8192
    path.write_bytes(
        encode_command([b"SET", b"big", value]) + encode_command([b"RPUSH", b"l", *[b"%d" % n for n in range(200_000)]])
    )
    first, second = aofdoctor("log", path, "--json").lines
    assert base64.b64decode(first["args"][1]["base64"]) == value and first["keys"] == ["big"]
    assert second["args"][1:] == [str(n) for n in range(200_000)]
    assert aofdoctor("log", path, "--format", "resp").stdout == path.read_bytes()
    assert aofdoctor("log", path, "--format", "cli").out.splitlines()[1].startswith("RPUSH l 0 1 2 ")
    assert commands(path, "--key", "big") == ["SET"] and commands(path, "--grep", "^199999$") == ["RPUSH"]


def test_invalid_positions_are_usage_errors(path: Path) -> None:
    for args in (["--from", "nowhere"], ["--from", "99999999"], ["--from", "other@0"], ["--grep", "("], ["--effect", "odd"],
                 ["--since", "yesterday-ish"]):  # fmt: skip
        result = aofdoctor("log", path, *args)
        assert (result.status, result.stdout) == (2, b""), args


def test_times_are_refused_without_annotations(tmp_path: Path) -> None:
    path = tmp_path / "a.aof"
    path.write_bytes(encode_command([b"SET", b"a", b"1"]))
    result = aofdoctor("log", path, "--since", "-10m")
    assert result.status == 2 and "no #TS annotations" in result.err


def test_show_gives_one_record_in_full(path: Path) -> None:
    at = HISTORY.index(b"*3\r\n$3\r\nDEL")
    out = aofdoctor("show", path, at + 5).out
    for words in (f"{at} (0x{at:x})  37 bytes", "#5, database 3, in transaction 1 (MULTI at 89)", "key  1", "user:1",
                  "|*3..$3..DEL..$6.|", "before", "SELECT 3", "after", "EXEC"):  # fmt: skip
        assert words in out, words
    assert aofdoctor("show", path, "#5").out == out
    assert aofdoctor("show", path, "#5", "--json").json["cmd"] == "DEL"


def test_show_on_an_annotation_damage_and_a_preamble(tmp_path: Path, path: Path, story: Story) -> None:
    assert "#TS:1700000000" in aofdoctor("show", path, 3).out
    torn = tmp_path / "torn.aof"
    torn.write_bytes(HISTORY + b"*3\r\n$")
    result = aofdoctor("show", torn, len(HISTORY) + 1)
    assert result.status == 1 and "the file ends inside a record" in result.out
    base = story("wiped-valkey-9.1")
    assert "valkey-ver  9.1.2" in aofdoctor("show", base, "base@3").out
    assert aofdoctor("show", path, "#999").status == 2 and aofdoctor("show", path, "x").status == 2


def test_globs_match_as_a_real_server_matches_them(embedded: ServerBinary) -> None:
    keys = [
        b"",
        b"a",
        b"ab",
        b"abc",
        b"a*c",
        b"a]c",
        b"a-c",
        b"[",
        b"\\",
        b"h\xffllo",
        b"hello",
        b"hallo",
        b"^",
        b"a\nb",
    ]
    patterns = [b"*", b"?", b"a*", b"*c", b"a?c", b"[ab]", b"a[]]c", b"a[^b]c", b"a[b-]c", b"a\\*c", b"h[ae]llo", b"h[^e]llo",
                b"[", b"[a", b"\\", b"\\\\", b"[^", b"a[c-a]c", b"*b*", b"**", b"[]", b"a[b", b"^", b"a?b", b"[\\]]", b"h*l*o"]  # fmt: skip
    with Sandbox(embedded) as server:
        for key in keys:
            server.call("SET", key, "1")
        for pattern in patterns:
            found = server.call("KEYS", pattern)
            assert isinstance(found, list)
            assert {key for key in keys if glob_to_regex(pattern).match(key)} == set(found), pattern


def test_keys_are_those_that_a_real_server_reports(embedded: ServerBinary) -> None:
    with Sandbox(embedded) as server:
        for argv in ([b"MSET", b"a", b"1", b"b", b"2"], [b"ZUNIONSTORE", b"d", b"2", b"x", b"y", b"WEIGHTS", b"1", b"2"],
                     [b"EVAL", b"return 1", b"2", b"k1", b"k2", b"arg"], [b"BITOP", b"AND", b"d", b"x", b"y"],
                     [b"XREADGROUP", b"GROUP", b"g", b"c", b"STREAMS", b"s", b"t", b">", b">"], [b"LMOVE", b"a", b"b", b"LEFT", b"LEFT"],
                     [b"XGROUP", b"CREATE", b"s", b"g", b"$"], [b"SORT", b"l", b"STORE", b"out"], [b"DEL", b"a", b"b", b"c"],
                     [b"LMPOP", b"2", b"a", b"b", b"LEFT"], [b"FLUSHALL"], [b"GEORADIUS", b"g", b"1", b"1", b"5", b"m", b"STORE", b"o"]):  # fmt: skip
            tile = next(read_tiles(BytesSource(encode_command(argv)), COMMAND_IDS))
            assert isinstance(tile, RecordBatch)
            command = command_table().get(tile.ids[0])
            assert command is not None
            try:
                expected = server.call("COMMAND", "GETKEYS", *argv)
            except Exception as problem:
                assert "no key arguments" in str(problem)
                expected = []
            assert [argv[at] for at in key_indexes(command, argv)] == expected, argv


def test_the_last_commands_are_commands_whatever_is_damaged(tmp_path: Path) -> None:
    path = tmp_path / "a.aof"
    path.write_bytes(encode_command([b"FLUSHALL"]) + b"junk" + encode_command([b"SET", b"a", b"1"]) + b"*3\r\n$3")
    for args in (["-n", "1"], ["--tail", "-n", "1"]):
        assert [e["cmd"] for e in aofdoctor("log", path, "--json", *args).lines] == ["SET"]
        assert [e["cmd"] for e in aofdoctor("log", path, "--json", *args, "--effect", "flush").lines] == ["FLUSHALL"]


def test_from_the_tail_a_database_after_damage_is_unknown(tmp_path: Path) -> None:
    path = tmp_path / "a.aof"
    path.write_bytes(
        encode_command([b"SELECT", b"2"])
        + encode_command([b"SET", b"a", b"1"])
        + bytes(99)
        + encode_command([b"SET", b"b", b"1"]) * 2
    )
    assert [e["db"] for e in aofdoctor("log", path, "--json", "--tail").lines] == [2, 2, None, None]


def test_a_module_workload_is_read_from_its_tail(tmp_path: Path) -> None:
    path = tmp_path / "a.aof"
    path.write_bytes(b"".join(encode_command([b"BF.ADD", b"f", b"%07d" % n]) for n in range(60_000)))
    lines = aofdoctor("log", path, "--json", "--tail", "-n", "3").lines
    assert [line["args"][1] for line in lines] == ["0059997", "0059998", "0059999"]


def test_the_end_of_a_pipe_is_not_known(tmp_path: Path) -> None:
    data = b"#TS:1700000000\r\n" + encode_command([b"SET", b"a", b"1"])
    for since, status in (("2020-01-01", 0), ("-10m", 2)):
        done = subprocess.run([sys.executable, "-m", "aofdoctor", "log", "-", "--since", since, "--json"],
                              input=data, capture_output=True, check=False)  # fmt: skip
        assert done.returncode == status and (b'"SET"' in done.stdout) == (status == 0)


def test_a_position_in_a_file_that_is_not_loaded_selects_nothing(story: Callable[[str], Path]) -> None:
    folder = story("wiped-valkey-9.1") / "appendonlydir"
    (folder / "appendonly.aof.9.incr.aof").write_bytes(encode_command([b"SET", b"a", b"1"]))
    assert aofdoctor("log", folder, "--from", "9.incr@0").status == 2
