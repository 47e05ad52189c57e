"""convert: what is written loads to the same state as what it was made of, by a real server's digest, or says what not."""

import hashlib
import json
import random
import shutil
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from aofdoctor.aof.record import encode
from aofdoctor.rdb import other
from aofdoctor.rdb.crc64 import crc64
from aofdoctor.rdb.keys import Items
from aofdoctor.rdb.losses import Tally
from aofdoctor.rdb.other import Aim, rewritten
from aofdoctor.rdb.preamble import walk
from aofdoctor.server.lines import LINES
from aofdoctor.source import BytesSource, FileSource
from tests import rdbwriter as w
from tests.conftest import FIXTURES, STORIES, aofdoctor
from tests.converted import convert, reading, state
from tests.rdbexotic import EXOTIC, closed
from tests.rdbmade import VALUES, made
from tests.rdbwriter import length, string
from tests.servers import by_line
from tests.test_rdb_values import FILES, loading, only_known

Story = Callable[[str], Path]
named = pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
stories = pytest.mark.parametrize("name", STORIES)


def rdb(magic: bytes, body: bytes) -> bytes:
    data = magic + body + b"\xff"
    return data + crc64(data).to_bytes(8, "little")


def known(told: Any) -> Any:
    """A state without what a server only guesses of streams of before 7.0."""
    keys = told[1]
    only_known([key for key in keys if key["type"] == "stream"])
    return keys, told[2]


def same(path: Path, expected: Any, got: Any) -> bool:
    """True if two states are one; of a stream of before 7.0 as far as anybody knows."""
    if path.stem.startswith("stream-"):
        return bool(known(expected) == known(got))
    return bool(expected == got)


# -- RDB to commands --


@named
def test_commands_load_as_the_rdb_does(path: Path, tmp_path: Path) -> None:
    for line in loading(path.read_bytes()):
        told = convert(path, "--base", "resp", "--for", line, "-o", tmp_path / f"{line}.aof")
        assert told["inexpressible"] == []
        assert sum(key["count"] for key in told["converted"]["keys"]) == walk(FileSource(path)).keys
        binary = by_line()[line]
        assert same(path, state(binary, path), state(binary, tmp_path / f"{line}.aof")), line


@stories
@pytest.mark.parametrize("words", [["--base", "resp"], ["--layout"], ["--layout", "--base", "resp"]], ids=" ".join)
def test_a_story_in_another_shape_loads_to_the_same(name: str, words: list[str], story: Story, tmp_path: Path) -> None:
    source = story(name)
    assert (
        aofdoctor("strip", source, "--last", "--in-place", "--yes").status == 0
    )  # so that there is a state to compare
    place = source / "appendonlydir" if (source / "appendonlydir").exists() else source / "appendonly.aof"
    words = [*words]
    if "--layout" in words:
        words.insert(words.index("--layout") + 1, "single" if place.is_dir() else "multi-part")
    if "--base" in words and not any(has_rdb(file) for file in files(place)):
        assert aofdoctor("convert", source, *words).status == 3
        return
    convert(source, *words, "-o", tmp_path / "out")
    done = 0
    for line, binary in by_line().items():
        parted = [place, tmp_path / "out"]
        if not all(loads(line, one) for one in parted):
            continue
        expected, got = (state(binary, one) for one in parted)
        assert got == expected and len(got[1]) > 5, line
        done += 1
    assert done or "redis-6.2" in name


def files(place: Path) -> list[Path]:
    return [place] if place.is_file() else sorted(place.iterdir())


def has_rdb(path: Path) -> bool:
    return path.read_bytes()[:5] in (b"REDIS", b"VALKE")


def loads(line: str, place: Path) -> bool:
    result = aofdoctor("check", place, "--server", line, "--json").json
    return ("loads", line, True) in {(v["outcome"], v["server"], v["load_truncated"]) for v in result["verdicts"]}


def test_a_base_in_several_databases_leaves_the_tail_in_the_first(tmp_path: Path) -> None:
    base = rdb(
        b"REDIS0009",
        b"\xfe\x03\x00" + string(b"three") + string(b"x") + b"\xfe\x05\x00" + string(b"five") + string(b"x"),
    )
    (tmp_path / "a.aof").write_bytes(base + encode([b"SET", b"tail", b"x"]))
    convert(tmp_path / "a.aof", "--base", "resp", "-o", tmp_path / "out.aof")
    _, keys, _ = state(by_line()["redis-6.2"], tmp_path / "out.aof")
    assert [(key["db"], key["key"]) for key in keys] == [(0, "tail"), (3, "three"), (5, "five")]


def test_an_empty_base_becomes_an_empty_file_that_loads(story: Story, tmp_path: Path) -> None:
    source = story("wiped-valkey-9.1")
    base = next(source.rglob("*.base.rdb"))
    base.write_bytes(rdb(b"REDIS0011", b""))
    convert(source, "--base", "resp", "-o", tmp_path / "out")
    assert next((tmp_path / "out").glob("*.base.aof")).read_bytes() == b""
    binary = by_line()["valkey-9.1"]
    assert state(binary, tmp_path / "out") == state(binary, source / "appendonlydir")


def test_a_set_for_an_older_line_loses_its_annotations_and_says_so(story: Story, tmp_path: Path) -> None:
    told = convert(
        story("wiped-valkey-9.1"),
        "--base",
        "resp",
        "--layout",
        "single",
        "--for",
        "redis-6.2",
        "-o",
        tmp_path / "out.aof",
    )
    assert b"#TS" not in (tmp_path / "out.aof").read_bytes()
    assert any("annotations" in note for note in told["notes"])
    assert loads("redis-6.2", tmp_path / "out.aof")
    assert state(by_line()["redis-6.2"], tmp_path / "out.aof")[1]


def test_a_set_with_its_base_as_an_older_rdb_loads_in_a_server_of_before_sets(story: Story, tmp_path: Path) -> None:
    source = story("wiped-redis-7.0")
    assert aofdoctor("strip", source, "--last", "--in-place", "--yes").status == 0
    convert(source, "--base", "rdb", "--rdb-version", 9, "--layout", "single", "-o", tmp_path / "out.aof")
    got, expected = (
        state(by_line()["redis-6.2"], tmp_path / "out.aof"),
        state(by_line()["redis-7.0"], source / "appendonlydir"),
    )
    assert got[1] == expected[1] and len(got[1]) > 5


def test_the_manifest_carries_unknown_pairs_and_only_the_base_line_changes(story: Story, tmp_path: Path) -> None:
    source = story("wiped-valkey-9.1")
    manifest = next(source.rglob("*.manifest"))
    lines = manifest.read_bytes().splitlines()
    lines = [lines[0] + b" colour blue", lines[1] + b" startoffset 7"]
    manifest.write_bytes(b"\n".join(lines) + b"\n")
    convert(source, "--base", "resp", "-o", tmp_path / "out")
    got = (tmp_path / "out" / manifest.name).read_bytes().splitlines()
    assert got == [lines[0].replace(b".base.rdb", b".base.aof"), lines[1]]
    incr = next(source.rglob("*.incr.aof"))
    assert (tmp_path / "out" / incr.name).read_bytes() == incr.read_bytes()


def test_a_consumer_that_a_line_cannot_be_told_of_is_named(tmp_path: Path) -> None:
    group = length(1) + string(b"g") + length(5) + length(1) + length(0) + length(2)
    consumers = b"".join(string(name) + bytes(8) + length(0) for name in (b"one", b"two"))
    (tmp_path / "a.rdb").write_bytes(rdb(b"REDIS0009", b"\x0f" + string(b"x") + w.stream(1, group + consumers)))
    lost = {
        line: len(convert(tmp_path / "a.rdb", "--base", "resp", "--for", line)["inexpressible"])
        for line in ("redis-5.0", "redis-6.2")
    }
    assert lost == {"redis-5.0": 2, "redis-6.2": 0}


def test_more_databases_than_a_server_has_are_said(tmp_path: Path) -> None:
    (tmp_path / "a.rdb").write_bytes(rdb(b"REDIS0009", b"\xfe\x14\x00" + string(b"k") + string(b"v")))
    assert any("databases 21" in note for note in convert(tmp_path / "a.rdb", "--base", "resp")["notes"])


@named
def test_flipped_bytes_under_a_right_checksum_end_in_a_file_that_walks_or_a_refusal(path: Path, tmp_path: Path) -> None:
    data, chance = path.read_bytes()[:-8], random.Random(path.stem)
    for _ in range(6):
        at = chance.randrange(9, len(data))
        bad = data[:at] + bytes((data[at] ^ 1 << chance.randrange(8),)) + data[at + 1 :]
        (tmp_path / "a.rdb").write_bytes(bad + crc64(bad).to_bytes(8, "little"))
        for words in (["--base", "resp"], ["--base", "rdb", "--rdb-version", "9"], ["--shift-ttl", "1h"]):
            lossy = ["--lossy"] if "--shift-ttl" not in words else []
            result = aofdoctor("convert", tmp_path / "a.rdb", *words, *lossy, "-o", tmp_path / "out.aof")
            assert result.status in (0, 3), (at, bad[at])
            if result.status == 0:
                assert aofdoctor("check", tmp_path / "out.aof", "--json").json["parts"][0]["damage"] == []
                (tmp_path / "out.aof").unlink()
                (tmp_path / "out.aof.receipt.json").unlink()


# -- RDB to RDB --


@named
@pytest.mark.parametrize("version", [8, 9, 10, 11, 12, 80])
def test_another_version_loads_to_the_same_but_for_what_is_named(path: Path, version: int, tmp_path: Path) -> None:
    out = tmp_path / "out.rdb"
    told = convert(path, "--base", "rdb", "--rdb-version", version, "--lossy", "-o", out)
    walked = walk(FileSource(out))
    assert (walked.version, walked.complete, walked.checksum) == (version, True, "ok")
    for line in reading(version):
        got = state(by_line()[line], out)  # it loads
        if line in loading(path.read_bytes()) and not told["inexpressible"]:
            assert same(path, state(by_line()[line], path), got), line
        elif not told["inexpressible"]:
            assert plain(got[1]) == plain(json.loads(path.with_suffix(".json").read_text())["keys"]), line


def plain(keys: list[Any]) -> list[Any]:
    """Keys as every line tells them alike."""
    only_known([key for key in keys if key["type"] == "stream"])
    for key in keys:
        key.pop("encoding", None)
        key.pop("digest", None)
        if key["type"] == "stream":
            key["value"]["added"] = None
        if key["type"] == "hash":
            key["value"] = [[*field, None][:3] for field in key["value"]]
    return keys


@named
def test_the_same_version_again_is_the_same_bytes(path: Path, tmp_path: Path) -> None:
    version = walk(FileSource(path)).version
    convert(path, "--base", "rdb", "--rdb-version", version, "-o", tmp_path / "out.rdb")
    assert (tmp_path / "out.rdb").read_bytes() == path.read_bytes()


def test_what_cannot_be_said_is_refused_named_and_with_lossy_left_out(tmp_path: Path) -> None:
    path = FIXTURES / "rdb" / "hash-metadata-v12.rdb"
    words: list[str | Path] = [path, "--base", "rdb", "--rdb-version", "11"]
    result = aofdoctor("convert", *words, "-o", tmp_path / "out.rdb")
    assert result.status == 3 and "expire" in result.err and not list(tmp_path.iterdir())
    planned = convert(*words)
    assert planned["inexpressible"] and planned["output"] is None
    done = convert(*words, "--lossy", "-o", tmp_path / "out.rdb")
    assert done["inexpressible"] == planned["inexpressible"]
    receipt = json.loads(Path(done["receipt"]).read_text())
    assert receipt["inexpressible"] == done["inexpressible"] and receipt["kind"] == "copy"
    fields = [key["value"] for key in state(by_line()["valkey-9.1"], tmp_path / "out.rdb")[1]]
    assert fields and all(time is None for value in fields for _, _, time in value)


def test_field_expiries_go_from_redis_to_valkey_and_back(tmp_path: Path) -> None:
    for name in ("hash-metadata-v12", "hash-listpack-ex-v12"):
        path = FIXTURES / "rdb" / f"{name}.rdb"
        there, back = tmp_path / f"{name}.there.rdb", tmp_path / f"{name}.back.rdb"
        assert convert(path, "--base", "rdb", "--rdb-version", 80, "-o", there)["inexpressible"] == []
        assert convert(there, "--base", "rdb", "--rdb-version", 12, "-o", back)["inexpressible"] == []
        expected = state(by_line()["redis-8.2"], path)
        assert state(by_line()["valkey-9.1"], there)[1] == expected[1]
        assert state(by_line()["redis-8.2"], back) == expected


@pytest.mark.parametrize("name", EXOTIC)
def test_what_no_server_at_hand_writes_is_named_or_said(name: str, tmp_path: Path) -> None:
    """Each ends as a file that walks, or in a refusal; no key goes without a word."""
    one = EXOTIC[name]
    (tmp_path / "a.rdb").write_bytes(closed(one))
    result = aofdoctor(
        "convert",
        tmp_path / "a.rdb",
        "--base",
        "rdb",
        "--rdb-version",
        11,
        "--lossy",
        "-o",
        tmp_path / "out.rdb",
        "--json",
    )
    if result.status == 3:
        assert "cannot be read" in result.err  # the writer's values of these are no listpacks
        return
    kept = {key.name(BytesSource((tmp_path / "out.rdb").read_bytes())) for key in keys_of(tmp_path / "out.rdb")}
    lost = {entry["key"].encode() for entry in result.json["inexpressible"]}
    assert set(one.names) <= kept | lost
    assert walk(FileSource(tmp_path / "out.rdb")).checksum == "ok"


def keys_of(path: Path) -> list[Any]:
    return [item for batch in Items(FileSource(path)) for item in list(batch) if hasattr(item, "expire_ms")]


# -- expiries --

HOURS = 2 * 3_600_000


@named
@pytest.mark.parametrize("base", [[], ["--base", "resp"]], ids=["as it is", "commands"])
def test_every_expiry_of_a_base_moves_and_nothing_else(path: Path, base: list[str], tmp_path: Path) -> None:
    out = tmp_path / ("out.aof" if base else "out.rdb")
    convert(path, *base, "--shift-ttl", "2h", "-o", out)
    line = loading(path.read_bytes())[-1]
    binary = by_line()[line]
    got, expected = state(binary, out)[1], state(binary, path)[1]
    for key in expected:
        key["expire_ms"] = key["expire_ms"] and key["expire_ms"] + HOURS
        if key["type"] == "hash":
            key["value"] = [[name, value, expire and expire + HOURS] for name, value, expire in key["value"]]
    for key in got + expected:  # of a stream of before 7.0 servers only guess these
        if key["type"] == "stream" and path.stem.startswith("stream-"):
            key["value"].update(max_deleted=None, added=None)
    assert known((0, got, [])) == known((0, expected, []))


MOVED: list[tuple[list[bytes], list[bytes]]] = [
    ([b"SET", b"PXAT", b"PXAT", b"pxat", b"1000"], [b"SET", b"PXAT", b"PXAT", b"pxat", b"7201000"]),
    ([b"SET", b"k", b"v", b"EXAT", b"1000", b"NX"], [b"SET", b"k", b"v", b"EXAT", b"8200", b"NX"]),
    ([b"set", b"k", b"v", b"KEEPTTL"], [b"set", b"k", b"v", b"KEEPTTL"]),
    ([b"SETEX", b"k", b"10", b"v"], [b"SETEX", b"k", b"10", b"v"]),
    ([b"PEXPIREAT", b"k", b"5"], [b"PEXPIREAT", b"k", b"7200005"]),
    ([b"expireat", b"k", b"5", b"GT"], [b"expireat", b"k", b"7205", b"GT"]),
    ([b"GETEX", b"k", b"PXAT", b"5"], [b"GETEX", b"k", b"PXAT", b"7200005"]),
    ([b"HPEXPIREAT", b"h", b"5", b"FIELDS", b"1", b"PXAT"], [b"HPEXPIREAT", b"h", b"7200005", b"FIELDS", b"1", b"PXAT"]),
    ([b"HSETEX", b"h", b"FXX", b"EXAT", b"5", b"FIELDS", b"1", b"f", b"v"], [b"HSETEX", b"h", b"FXX", b"EXAT", b"7205", b"FIELDS", b"1", b"f", b"v"]),
    ([b"HSETEX", b"h", b"FIELDS", b"1", b"EXAT", b"5"], [b"HSETEX", b"h", b"FIELDS", b"1", b"EXAT", b"5"]),
    ([b"RESTORE", b"k", b"5", b"x", b"REPLACE", b"ABSTTL"], [b"RESTORE", b"k", b"7200005", b"x", b"REPLACE", b"ABSTTL"]),
    ([b"RESTORE", b"k", b"5", b"x"], [b"RESTORE", b"k", b"5", b"x"]),
    ([b"MSETEX", b"1", b"PXAT", b"5", b"PXAT", b"6"], [b"MSETEX", b"1", b"PXAT", b"5", b"PXAT", b"7200006"]),
    ([b"PEXPIREAT", b"k", b"9223372036854775807"], [b"PEXPIREAT", b"k", b"9223372036854775807"]),
]  # fmt: skip


def test_expiries_of_commands_move_and_every_other_byte_stays(tmp_path: Path) -> None:
    between = [b"#TS:1700000000\r\n", b"*3\r\n$0003\r\nset\r\n$1\r\nk\r\n$1\r\nv\r\n"]
    before = b"".join(encode(argv) + between[i % 2] for i, (argv, _) in enumerate(MOVED))
    after = b"".join(encode(argv) + between[i % 2] for i, (_, argv) in enumerate(MOVED))
    (tmp_path / "a.aof").write_bytes(before)
    told = convert(tmp_path / "a.aof", "--shift-ttl", "2h", "-o", tmp_path / "out.aof")
    assert (tmp_path / "out.aof").read_bytes() == after
    assert told["converted"]["moved_commands"] == sum(old != new for old, new in MOVED)


def test_a_value_larger_than_any_window_keeps_its_bytes_and_gets_its_expiry(tmp_path: Path) -> None:
    value = hashlib.sha256(b"x").digest() * (3 << 15)
    (tmp_path / "a.aof").write_bytes(
        encode([b"SET", b"big", value, b"PXAT", b"1000"]) + encode([b"SET", b"far", value])
    )
    convert(tmp_path / "a.aof", "--shift-ttl", "1s", "-o", tmp_path / "out.aof")
    assert (tmp_path / "out.aof").read_bytes() == encode([b"SET", b"big", value, b"PXAT", b"2000"]) + encode(
        [b"SET", b"far", value]
    )


def test_now_moves_by_what_has_passed_since_the_log_ended(tmp_path: Path) -> None:
    (tmp_path / "a.aof").write_bytes(b"#TS:1700000000\r\n" + encode([b"PEXPIREAT", b"k", b"1700000060000"]))
    convert(tmp_path / "a.aof", "--now", "1700003600", "-o", tmp_path / "out.aof")
    assert encode([b"PEXPIREAT", b"k", b"1700003660000"]) in (tmp_path / "out.aof").read_bytes()
    told = convert(tmp_path / "a.aof", "--now", "now")
    assert abs(told["converted"]["shift_ms"] / 1000 - (time.time() - 1700000000)) < 60
    assert convert(FIXTURES / "rdb" / "keys-v12.rdb", "--now", "now")["converted"]["shift_ms"] > 0
    (tmp_path / "b.aof").write_bytes(encode([b"PEXPIREAT", b"k", b"1700000060000"]))
    assert aofdoctor("convert", tmp_path / "b.aof", "--now", "now").status == 3


def test_keys_past_their_expiry_at_restart_live_on(tmp_path: Path) -> None:
    past = int(time.time() * 1000) - 1000
    (tmp_path / "a.aof").write_bytes(
        encode([b"SET", b"k", b"v", b"PXAT", b"%d" % past]) + encode([b"SET", b"other", b"v"])
    )
    convert(tmp_path / "a.aof", "--shift-ttl", "2h", "-o", tmp_path / "out.aof")
    keys = state(by_line()["valkey-9.1"], tmp_path / "out.aof")[1]
    assert {key["key"]: key["expire_ms"] for key in keys} == {"k": past + HOURS, "other": None}


# -- layouts --


def test_parts_in_one_file_each_begin_in_the_first_database(tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    parts = {"a.aof.1.base.aof": [[b"SELECT", b"3"], [b"SET", b"base", b"x"]], "a.aof.1.incr.aof": [[b"SET", b"one", b"x"], [b"SELECT", b"2"]],
             "a.aof.2.incr.aof": [[b"SET", b"two", b"x"]]}  # fmt: skip
    for name, commands in parts.items():
        (tmp_path / "set" / name).write_bytes(b"".join(map(encode, commands)))
    lines = [f"file {name} seq {name.split('.')[2]} type {name.split('.')[3][0]}\n" for name in parts]
    (tmp_path / "set" / "a.aof.manifest").write_text("".join(lines))
    convert(tmp_path / "set", "--layout", "single", "-o", tmp_path / "out.aof")
    _, keys, _ = state(by_line()["redis-6.2"], tmp_path / "out.aof")
    assert {(key["db"], key["key"]) for key in keys} == {(3, "base"), (0, "one"), (0, "two")}


@pytest.mark.parametrize("name", ["set-v12", "list-quicklist2-v12"])
def test_a_dump_becomes_a_set_that_loads(name: str, tmp_path: Path) -> None:
    path = FIXTURES / "rdb" / f"{name}.rdb"
    convert(path, "--layout", "multi-part", "-o", tmp_path / "out")
    assert sorted(file.suffix for file in (tmp_path / "out").iterdir()) == [".aof", ".manifest", ".rdb"]
    binary = by_line()["redis-8.2"]
    assert state(binary, tmp_path / "out") == state(binary, path)


def test_there_and_back_is_the_same_bytes(story: Story, tmp_path: Path) -> None:
    path = story("wiped-redis-6.2-preamble") / "appendonly.aof"
    convert(path, "--layout", "multi-part", "-o", tmp_path / "set")
    convert(tmp_path / "set", "--layout", "single", "-o", tmp_path / "back.aof")
    back = (tmp_path / "back.aof").read_bytes()
    assert back == path.read_bytes() + encode([b"SELECT", b"0"])


# -- refusals --

SET = encode([b"SET", b"a", b"1"])


@pytest.mark.parametrize(
    ("words", "status"),
    [
        ([], 2), (["--base", "json"], 2), (["--base", "rdb"], 2), (["--rdb-version", "9"], 2), (["--layout", "both"], 2),
        (["--base", "rdb", "--rdb-version", "13"], 2), (["--for", "redis-6.2"], 2), (["--base", "resp", "--for", "redis-1"], 2),
        (["--shift-ttl", "2"], 2), (["--shift-ttl", "0h"], 2), (["--shift-ttl", "1h", "--now", "now"], 2),
        (["--base", "resp"], 3), (["--layout", "single"], 3),
    ],
)  # fmt: skip
def test_what_says_nothing_or_cannot_be_is_refused(words: list[str], status: int, tmp_path: Path) -> None:
    (tmp_path / "a.aof").write_bytes(SET)
    result = aofdoctor("convert", tmp_path / "a.aof", *words, "-o", tmp_path / "out")
    assert result.status == status and not (tmp_path / "out").exists()


@pytest.mark.parametrize("damage", [b"junk", SET[:9], encode([b"MULTI"]) + SET], ids=["junk", "torn", "open MULTI"])
def test_damage_is_refused_with_the_way_to_repair(damage: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.aof").write_bytes(SET + damage)
    result = aofdoctor("convert", tmp_path / "a.aof", "--layout", "multi-part", "-o", tmp_path / "out")
    assert result.status == 3 and "aofdoctor repair" in result.err and not (tmp_path / "out").exists()


@named
def test_every_truncation_and_flip_of_a_base_is_refused_or_converted_whole(path: Path, tmp_path: Path) -> None:
    data = path.read_bytes()
    step = max(1, len(data) // 4)
    for at in range(9, len(data), step):
        for bad in (data[:at], data[:at] + bytes((data[at] ^ 0x55,)) + data[at + 1 :]):
            (tmp_path / "bad.rdb").write_bytes(bad)
            for words in (["--base", "resp"], ["--base", "rdb", "--rdb-version", "9", "--lossy"]):
                result = aofdoctor("convert", tmp_path / "bad.rdb", *words, "-o", tmp_path / "out")
                assert result.status == 3 and not (tmp_path / "out").exists()


def test_values_that_lie_under_a_right_checksum_are_refused(tmp_path: Path) -> None:
    lying = [b"\x10" + string(b"h") + string(b"no listpack"), b"\x00" + string(b"s") + w.lzf_string(b"\x05abc", 50),
             b"\x15" + string(b"x") + length(1) + string(b"short") + string(b"node") + length(0) * 9]  # fmt: skip
    for body in lying:
        (tmp_path / "a.rdb").write_bytes(rdb(b"REDIS0011", body))
        for words in (["--base", "resp"], ["--base", "rdb", "--rdb-version", "9", "--lossy"]):
            result = aofdoctor("convert", tmp_path / "a.rdb", *words, "-o", tmp_path / "out")
            assert (result.status == 3 and "cannot be read" in result.err) or body[0] == 0, result.err
            shutil.rmtree(tmp_path / "out", ignore_errors=True)
            (tmp_path / "out").unlink(missing_ok=True)
            (tmp_path / "out.receipt.json").unlink(missing_ok=True)


def test_nothing_is_written_over(tmp_path: Path) -> None:
    (tmp_path / "a.aof").write_bytes(SET)
    (tmp_path / "out").write_bytes(b"mine")
    assert aofdoctor("convert", tmp_path / "a.aof", "--layout", "multi-part", "-o", tmp_path / "out").status == 3
    assert (tmp_path / "out").read_bytes() == b"mine"


# -- bounds --


@pytest.mark.parametrize(
    "words",
    [["--base", "resp"], ["--base", "rdb", "--rdb-version", "9"], ["--base", "resp", "--shift-ttl", "1h"]],
    ids=" ".join,
)
def test_memory_does_not_grow_with_a_value(words: list[str], tmp_path: Path) -> None:
    """A hash of 100,000 fields, of a type that is written anew, and a string of 30 MB."""
    nodes = b"".join(
        length(2) + string(w.listpack([b"%d" % i for i in range(n, n + 500)])) for n in range(0, 100_000, 500)
    )
    body = b"\x12" + string(b"list") + length(200) + nodes + b"\x00" + string(b"big") + string(bytes(30 << 20))
    (tmp_path / "a.rdb").write_bytes(rdb(b"REDIS0010", body))
    tracemalloc.start()
    try:
        convert(tmp_path / "a.rdb", *words, "-o", tmp_path / "out.rdb")
        assert tracemalloc.get_traced_memory()[1] < 12 << 20
    finally:
        tracemalloc.stop()


def test_the_help_has_examples_and_every_exit_status() -> None:
    shown = aofdoctor("convert", "--help").out
    assert "Examples:" in shown and "Exit status: 0" in shown and "--lossy" in shown


def test_the_target_is_the_line_that_wrote_it_or_the_oldest_that_reads_it(tmp_path: Path) -> None:
    told = convert(FIXTURES / "rdb" / "string-v12.rdb", "--base", "resp")
    assert told["converted"]["for"] == "redis-8.2"
    (tmp_path / "a.rdb").write_bytes(rdb(b"REDIS0010", b"\x00" + string(b"k") + string(b"v")))
    assert LINES[convert(tmp_path / "a.rdb", "--base", "resp")["converted"]["for"]].newest_rdb("redis") >= 10


@pytest.mark.parametrize("shift_ms", [5000, -(1 << 41), 1 << 62, -(1 << 62)])
def test_expiries_are_moved_in_their_places_as_they_are_key_by_key(
    shift_ms: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    kinds, keys = [*VALUES], b""
    for number in range(3000):
        before = b"\xfc" + ((number % 700) << 34).to_bytes(8, "little") if number % 3 else b""
        keys += before + bytes((kinds[number % len(kinds)],)) + string(b"key:%d" % number)
        keys += VALUES[kinds[number % len(kinds)]](random.Random(number), 1)
    for data in (rdb(b"REDIS0011", keys), rdb(b"REDIS0011", keys[: len(keys) // 2]), made(1, 60)):
        found = []
        for held in (other._HELD, 0):
            monkeypatch.setattr(other, "_HELD", held)
            tally = Tally()
            pieces = [*rewritten(BytesSource(data), Aim.of(11, shift_ms), tally)]
            found.append((b"".join(piece for piece in pieces if isinstance(piece, bytes)), tally))
        assert found[0] == found[1]
        assert found[0][0] != data
