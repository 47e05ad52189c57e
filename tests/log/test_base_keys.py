"""The keys of a base in log, show, slice and repair --salvage."""

import io
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from aofdoctor.aof.reader import read_tiles
from aofdoctor.aof.records import Preamble, encode_command
from aofdoctor.cli.console import bytes_to_json
from aofdoctor.cli.options import open_path
from aofdoctor.cli.views import base_keys as base_keys_view
from aofdoctor.cli.views.record_lines import LineWriter
from aofdoctor.damage import Damage
from aofdoctor.log.base_keys import BaseKey, base_keys, base_keys_backwards
from aofdoctor.log.selection import Selection, build_selection
from aofdoctor.rdb.items import ItemReader, KeyItem
from aofdoctor.rdb.preamble import walk_rdb
from aofdoctor.rdb.recovery.bloom_filter import BloomFilter
from aofdoctor.server.command_table import command_table
from aofdoctor.source import BytesSource, FileSource
from tests.conftest import FIXTURES, aofdoctor
from tests.support import rdb_value_writer as w
from tests.support.base_keys import (
    MANY,
    SELECT_0,
    SELECT_3,
    TAIL,
    WHOLE,
    damage,
    key,
    loaded_names,
    names,
    rdb,
    salvaged,
)
from tests.support.hostile_bytes import mutations
from tests.support.rdb_generated import random_rdb
from tests.support.rdb_unreleased import UNRELEASED, with_checksum

EVERYTHING = Selection()
Lines = tuple[bytes, bytes]  # for people, and as JSON
Story = Callable[[str], Path]
KEYS_RDB = sorted((FIXTURES / "rdb").glob("keys-*.rdb"))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    place = tmp_path / "appendonly.aof"
    place.write_bytes(WHOLE + TAIL)
    return place


# -- log --


def test_log_base_shows_the_keys_before_the_commands(path: Path) -> None:
    lines = aofdoctor("log", path, "--base", "--json").lines
    assert [line["cmd"] for line in lines] == ["(base)"] * 60 + ["SELECT", "SET", "DEL"]
    assert [(line["db"], line["keys"][0].encode()) for line in lines[:60]] == names(WHOLE)
    first = lines[0]
    assert (first["part"], first["n"], first["tx"]) == ("appendonly.aof", None, None)
    assert (first["time"], first["time_kind"], first["type"], first["args"]) == (
        1700000000,
        "rdb-ctime",
        "string",
        ["value 0"],
    )
    assert (WHOLE + TAIL)[first["offset"] :][: first["size"]] == MANY[0]


BASE_SELECTIONS: list[tuple[list[str], int]] = [
    (["--key", "user:1*"], 11), (["--db", "3"], 20), (["--cmd", "set"], 0), (["--grep", "value 3[0-9]"], 10), (["--min-size", "18"], 30),
    (["--since", "1700000001"], 0), (["--until", "1700000000"], 60), (["--key", "third:*", "--invert"], 40), (["--to", "0"], 0),
    (["--from", "#1"], 0), (["--to", "#1"], 60),
]  # fmt: skip


@pytest.mark.parametrize(
    ("words", "count"), BASE_SELECTIONS, ids=lambda value: " ".join(value) if isinstance(value, list) else ""
)
def test_a_selection_means_base_keys_too(words: list[str], count: int, path: Path) -> None:
    path.write_bytes(WHOLE + b"#TS:1700000100\r\n" + TAIL)
    lines = aofdoctor("log", path, "--base", "--json", *words).lines
    assert sum(line["cmd"] == "(base)" for line in lines) == count


def test_keys_of_a_base_have_a_time_where_nothing_else_has(path: Path) -> None:
    assert len(aofdoctor("log", path, "--base", "--since", "1700000000", "--json").lines) == 60
    assert aofdoctor("log", path, "--base", "--since", "1700000001", "--json").lines == []
    assert aofdoctor("log", path, "--since", "1700000000").status == 2


def test_the_order_is_that_of_time_either_way(path: Path) -> None:
    forwards = aofdoctor("log", path, "--base", "--json").lines
    assert aofdoctor("log", path, "--base", "--json", "--reverse").lines == forwards[::-1]
    assert aofdoctor("log", path, "--base", "--json", "-n", "5").lines == forwards[-5:]
    assert aofdoctor("log", path, "--base", "--json", "-n", "5", "--reverse").lines == forwards[:-6:-1]
    assert len(aofdoctor("log", path, "--base").out.splitlines()) == len(forwards)
    assert [line["cmd"] for line in aofdoctor("log", path, "--json").lines] == ["SELECT", "SET", "DEL"]


def test_base_works_only_with_text_and_json(path: Path) -> None:
    for words in (["--tail"], ["--format", "resp"], ["--format", "cli"]):
        assert aofdoctor("log", path, "--base", *words).status == 2


def test_a_damaged_base_is_logged_with_its_damage(path: Path) -> None:
    data = bytearray(WHOLE + TAIL)
    at = data.index(MANY[20])
    data[at : at + 8] = b"\xf0" * 8
    path.write_bytes(data)
    result = aofdoctor("log", path, "--base", "--json")
    assert result.status == 1
    seen = [line["keys"][0] for line in result.lines if line["cmd"] == "(base)"]
    assert [f"user:{number}" for number in range(20)] == seen[:20] and "user:39" in seen and "user:20" not in seen
    assert [line["guess"] for line in result.lines if line["cmd"] == "(base)"] == [False] * 20 + [True] * (
        len(seen) - 20
    )
    shown = aofdoctor("log", path, "--base").out.splitlines()
    assert sum("a guess" in line for line in shown) == len(seen) - 20
    last = next(line["offset"] for line in result.lines if line["keys"] == ["user:39"])
    assert "a guess" in aofdoctor("show", path, last).out and aofdoctor("show", path, last, "--json").json["guess"]


def lines_of(data: bytes, path: Path) -> list[tuple[Lines, Lines, bytes]]:
    """Each key's line and JSON, with what was seen in a window and without."""
    source = BytesSource(data)
    rdb = next(tile for tile in read_tiles(source, command_table().names) if isinstance(tile, Preamble))
    path.write_bytes(data)
    out: list[tuple[Lines, Lines, bytes]] = []
    with open_path(str(path)) as aof:
        line = LineWriter(aof, lambda words, style: words, None, has_times=True)
        for item in base_keys(EVERYTHING, 0, aof.parts[0].name, 0, source, rdb):
            if isinstance(item, BaseKey):
                out += [
                    (shown(item, line), shown(item._replace(preview=None), line), expected(item._replace(preview=None)))
                ]
    return out


def shown(item: BaseKey, line: LineWriter) -> Lines:
    text, machine = io.BytesIO(), io.BytesIO()
    line.write_key(item, text)
    base_keys_view.write_key_json(item, machine)
    return text.getvalue(), machine.getvalue()


def expected(item: BaseKey) -> bytes:
    args = [bytes_to_json(word) for word in base_keys_view.preview_words(item)]
    return json.dumps(base_keys_view.key_fields(item) | {"args": args}).encode() + b"\n"


def test_a_line_is_the_same_however_the_value_was_read(tmp_path: Path) -> None:
    files = [path.read_bytes() for path in [*(FIXTURES / "rdb").glob("*.rdb"), *(FIXTURES / "aof").rglob("*.base.rdb")]]
    files += [with_checksum(one) for one in UNRELEASED.values()] + [random_rdb(seed, 150) for seed in range(4)]
    files += [data for seed in range(3) for data in mutations(random_rdb(seed, 12), 60, seed)]
    seen = 0
    for data in files:
        if data[:5] not in (b"REDIS", b"VALKE"):
            continue
        for windowed, alone, by_json in lines_of(data, tmp_path / "one.rdb"):
            assert windowed == alone and alone[1] == by_json
            seen += 1
    assert seen > 2000


def both_ways(data: bytes, where: Selection = EVERYTHING) -> tuple[list[Any], list[Any]]:
    """The keys of a base as they come, and backwards."""
    source = BytesSource(data)
    rdb = next(tile for tile in read_tiles(source, command_table().names) if isinstance(tile, Preamble))
    given = base_keys(where, 0, "part", 0, source, rdb), base_keys_backwards(where, 0, "part", 0, source, rdb)
    return [*map(plain, given[0])], [*map(plain, given[1])]


def plain(item: BaseKey | Damage) -> Any:
    return item if isinstance(item, Damage) else (item.part, item.key, item.dialect, item.time, item.name)


def many(number: int) -> bytes:
    return b"".join((SELECT_3 if n % 3000 == 2999 else b"") + key(f"{n}", "x") for n in range(number))


@pytest.mark.parametrize("count", [0, 1, 4094, 4095, 4096, 20_000])
@pytest.mark.parametrize(
    "where", [EVERYTHING, build_selection(key=["*7"]), build_selection(db=[3]), build_selection(cmd=["set"])]
)
def test_the_keys_come_backwards_as_they_do_forwards(count: int, where: Selection) -> None:
    forwards, backwards = both_ways(rdb(SELECT_0, many(count)), where)
    assert forwards == backwards[::-1]
    assert len(forwards) == count or where != EVERYTHING


def test_the_keys_of_every_file_come_backwards() -> None:
    for path in [*(FIXTURES / "rdb").glob("*.rdb"), *(FIXTURES / "aof").rglob("*.base.rdb")]:
        forwards, backwards = both_ways(path.read_bytes())
        assert forwards == backwards[::-1] and len(forwards) == walk_rdb(FileSource(path)).key_count
    for one in UNRELEASED.values():
        forwards, backwards = both_ways(with_checksum(one))
        assert forwards == backwards[::-1]
        assert not one.names or any(isinstance(item, tuple) for item in forwards)


def test_the_keys_around_damage_come_backwards() -> None:
    whole = bytearray(rdb(SELECT_0, many(10_000)))
    for at in (9, 100, 20_000, 49_000, len(whole) - 20):
        data = bytes(whole[:at]) + b"\xf0" * 8 + bytes(whole[at + 8 :])
        forwards, backwards = both_ways(data)
        assert forwards == backwards[::-1]
        assert any(isinstance(item, Damage) for item in forwards) and len(forwards) > 5000


# -- show --


@pytest.mark.parametrize("source", KEYS_RDB, ids=lambda source: source.stem)
def test_every_byte_of_an_rdb_is_owned(source: Path, tmp_path: Path) -> None:
    data = source.read_bytes()
    for batch in ItemReader(BytesSource(data)):
        for item in batch:
            shown = aofdoctor("show", source, str(item.span.end - 1), "--json")
            assert shown.status == 0
            if item.span.start:
                assert (shown.json["offset"], shown.json["size"]) == (item.span.start, item.span.size)
            assert aofdoctor("show", source, str(item.span.start)).status == 0
            if isinstance(item, KeyItem):
                assert shown.json["keys"] == [item.name(BytesSource(data)).decode()]


def test_a_slice_keeps_the_selected_keys_of_a_base(path: Path, tmp_path: Path) -> None:
    result = aofdoctor("slice", path, "--key", "user:1*", "-o", tmp_path / "out", "--json")
    data = (tmp_path / "out").read_bytes()
    whole = walk_rdb(BytesSource(data))
    expected = [(db, name) for db, name in names(WHOLE) if name.startswith(b"user:1")]
    assert whole.complete and whole.checksum == "ok" and names(data[: whole.end]) == expected
    assert data[whole.end :] == encode_command([b"SELECT", b"0"]) + encode_command([b"SET", b"user:1", b"later"])
    assert result.json["bytes"]["after"] == len(data) and result.json["commands"]["after"] == 2
    assert loaded_names(data[: whole.end], "valkey-9.1") == set(expected)


def test_a_slice_without_a_key_of_the_base_goes_without_it(path: Path, tmp_path: Path) -> None:
    aofdoctor("slice", path, "--cmd", "del", "-o", tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == encode_command([b"SELECT", b"0"]) + encode_command([b"DEL", b"user:2"])


def test_positions_after_a_base_name_its_commands(path: Path, tmp_path: Path) -> None:
    place = len(WHOLE) + len(encode_command([b"SELECT", b"0"]))
    aofdoctor("slice", path, "--to", str(place), "-o", tmp_path / "out")
    data = (tmp_path / "out").read_bytes()
    assert names(data) == names(WHOLE) and data.endswith(encode_command([b"SET", b"user:1", b"later"]))


@pytest.mark.parametrize("junk", [b"\xf0" * 8, b"\xff"], ids=["a hole", "a byte of a value"])
def test_a_slice_of_a_damaged_base_keeps_the_readable_keys_and_reports_it(
    junk: bytes, path: Path, tmp_path: Path
) -> None:
    damage(path, WHOLE.index(MANY[20]) + (9 if len(junk) == 1 else 0), junk)
    result = aofdoctor("slice", path, "--key", "user:[12]*", "-o", tmp_path / "out", "--json")
    assert result.status == 0, result.err
    data = (tmp_path / "out").read_bytes()
    whole = walk_rdb(BytesSource(data))
    kept, wanted = names(data[: whole.end]), [one for one in names(WHOLE) if re.match(rb"user:[12]", one[1])]
    assert whole.complete and whole.checksum == "ok" and set(kept) <= set(wanted) and len(kept) >= len(wanted) - 1
    assert loaded_names(data[: whole.end], "valkey-9.1") == set(kept)
    assert "it is damaged" in str(result.json["notes"]) and data.endswith(encode_command([b"DEL", b"user:2"]))


def test_a_slice_of_a_dump_is_a_dump(tmp_path: Path) -> None:
    (tmp_path / "dump.rdb").write_bytes(WHOLE)
    aofdoctor("slice", tmp_path / "dump.rdb", "--db", "3", "-o", tmp_path / "out.rdb")
    data = (tmp_path / "out.rdb").read_bytes()
    assert names(data) == [one for one in names(WHOLE) if one[0] == 3]


def test_the_keys_before_and_after_a_damage_stay_and_load(path: Path) -> None:
    damage(path, WHOLE.index(MANY[20]), b"\xf0" * 8)
    data, report = salvaged(path)
    whole = walk_rdb(BytesSource(data))
    kept = names(data[: whole.end])
    assert (
        whole.complete and whole.checksum == "ok" and data.endswith(TAIL[-len(encode_command([b"DEL", b"user:2"])) :])
    )
    assert kept == [one for one in names(WHOLE) if one != (0, b"user:20")]
    assert loaded_names(data[: whole.end], "valkey-9.1") == set(kept)
    assert "59 keys of it can be read" in str(report["notes"]) and "39 of them found after the damage" in str(
        report["notes"]
    )
    lines = [json.loads(line) for line in (path.with_name("out.lost") / "map.jsonl").read_text().splitlines()]
    assert any(line["reason"] == "corrupt-preamble" for line in lines)


def test_a_strict_salvage_keeps_nothing_that_was_found_again(path: Path) -> None:
    damage(path, WHOLE.index(MANY[20]), b"\xf0" * 8)
    data, _ = salvaged(path, "--strict")
    assert names(data[: walk_rdb(BytesSource(data)).end]) == names(WHOLE)[:20]


@pytest.mark.parametrize("cut", [60, 300, len(WHOLE) - 9, len(WHOLE) - 1])
def test_every_key_before_a_cut_stays(cut: int, path: Path) -> None:
    path.write_bytes(WHOLE[:cut])
    data, _ = salvaged(path)
    expected = names(WHOLE)[: sum(WHOLE.index(k) + len(k) <= cut for k in MANY)]
    assert names(data)[: len(expected)] == expected and walk_rdb(BytesSource(data)).checksum == "ok"
    assert set(names(data)) <= set(names(WHOLE))


def test_a_key_that_is_there_already_does_not_come_twice(path: Path) -> None:
    """A server that meets a key twice does not start."""
    data = rdb(SELECT_0, *MANY, b"\xf0" * 8, *MANY[:20])
    path.write_bytes(data[:-8] + b"not this")
    out, _ = salvaged(path)
    kept = names(out)
    assert len(kept) == len(set(kept)) and set(kept) == set(names(rdb(SELECT_0, *MANY)))


@pytest.mark.parametrize("sized", [True, False])
def test_keys_of_a_high_database_after_damage_stay_there_or_are_reported_as_guessed(sized: bool, path: Path) -> None:
    high = [key(f"high:{number}", "x") for number in range(20)]
    room = b"\xfb" + w.length(20) + w.length(0) if sized else b""
    whole = rdb(SELECT_0, *MANY[:20], b"\xf0" * 8, *MANY[20:], b"\xfe" + w.length(20), room, *high)
    path.write_bytes(whole[:-8] + b"not this")
    data, report = salvaged(path)
    expected = 20 if sized else 0
    assert [db for db, name in names(data) if name.startswith(b"high:")] == [expected] * 20
    guessed = re.search(r"(\d+) in a guessed database", str(report["notes"]))
    assert guessed and int(guessed[1]) == (20 if sized else 40)


def test_a_bad_magic_comes_back_by_the_writers_own_words(tmp_path: Path) -> None:
    source = FIXTURES / "rdb" / "keys-v10.rdb"
    data = source.read_bytes()
    (tmp_path / "dump.rdb").write_bytes(b"REDIS0099" + data[9:])
    out, _ = salvaged(tmp_path / "dump.rdb")
    assert out[:9] == b"REDIS0010" and names(out) == names(data)


def test_check_and_repair_name_the_way_out(path: Path) -> None:
    damage(path, WHOLE.index(MANY[20]), b"\xf0" * 8)
    assert "--salvage keeps the keys" in aofdoctor("check", path).out
    refused = aofdoctor("repair", path, "-o", path.with_name("no"))
    assert refused.status == 3 and "--salvage keeps the keys" in refused.err


def test_an_edit_of_a_base_can_be_made_in_place_and_taken_back(path: Path) -> None:
    before = path.read_bytes()
    done = aofdoctor("slice", path, "--key", "user:1*", "--in-place", "-y", "--json")
    assert done.status == 0 and len(path.read_bytes()) < len(before)
    assert aofdoctor("undo", done.json["receipt"]).status == 0
    assert path.read_bytes() == before


def test_names_that_were_seen_are_known() -> None:
    seen = BloomFilter()
    assert [seen.add(0, b"%d" % number) for number in range(1000)] == [False] * 1000
    assert all(seen.probably_contains(0, b"%d" % number) for number in range(1000))
    assert not seen.probably_contains(1, b"1") and not seen.probably_contains(0, b"1000")


# -- strip --


def test_commands_after_a_flush_on_keys_of_the_base_are_counted(path: Path) -> None:
    flush = encode_command([b"SELECT", b"0"]) + encode_command([b"FLUSHALL"])
    later = b"".join(encode_command([b"APPEND", name, b"x"]) for name in (b"user:1", b"user:1", b"user:2", b"new"))
    path.write_bytes(WHOLE + flush + later)
    notes = aofdoctor("strip", path, "--json").json["notes"]
    assert "3 of those on keys that the base holds" in notes
    path.write_bytes(WHOLE + flush + encode_command([b"APPEND", b"new", b"x"]))
    assert not any("base holds" in note for note in aofdoctor("strip", path, "--json").json["notes"])


def test_a_cut_inside_a_list_of_numbers_gives_no_keys_that_nobody_wrote(tmp_path: Path) -> None:
    whole = (FIXTURES / "rdb" / "list-quicklist2-v12.rdb").read_bytes()
    names = {key["key"] for key in json.loads((FIXTURES / "rdb" / "list-quicklist2-v12.json").read_text())["keys"]}
    path = tmp_path / "dump.rdb"
    for cut in range(100, 400, 20):
        path.write_bytes(whole[:-cut])
        out = tmp_path / f"out-{cut}.rdb"
        result = aofdoctor("repair", path, "--salvage", "-o", out, "--json")
        assert result.status == 0, result.err
        with open_path(str(out)) as aof:
            source = aof.parts[0].source
            assert source is not None
            got = {
                item.name(source).decode()
                for batch in ItemReader(source)
                for item in batch
                if isinstance(item, KeyItem)
            }
        assert got <= names, cut
