"""log --base and show: the keys of an RDB base in order, backwards, selected and around damage."""

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from aofdoctor.aof.reader import read_tiles
from aofdoctor.aof.records import Preamble
from aofdoctor.cli.console import bytes_to_json
from aofdoctor.cli.options import open_path
from aofdoctor.cli.views import base_keys as base_keys_view
from aofdoctor.cli.views.record_lines import LineWriter
from aofdoctor.damage import Damage
from aofdoctor.log.base_keys import BaseKey, base_keys, base_keys_backwards
from aofdoctor.log.selection import Selection, build_selection
from aofdoctor.rdb.items import ItemReader, KeyItem
from aofdoctor.rdb.preamble import walk_rdb
from aofdoctor.server.command_table import command_table
from aofdoctor.source import BytesSource, FileSource
from tests.conftest import FIXTURES, aofdoctor
from tests.support.base_keys import (
    BASE,
    SELECT_0,
    SELECT_3,
    TAIL,
    USER_KEYS,
    key_names,
    make_base,
    text_key,
)
from tests.support.hostile_bytes import mutate
from tests.support.rdb_generated import random_rdb
from tests.support.rdb_unreleased import UNRELEASED, with_checksum

EVERYTHING = Selection()
Lines = tuple[bytes, bytes]  # The text line, and the JSON line.
Story = Callable[[str], Path]
KEYS_RDB = sorted((FIXTURES / "rdb").glob("keys-*.rdb"))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    place = tmp_path / "appendonly.aof"
    place.write_bytes(BASE + TAIL)
    return place


# -- log --


def test_log_base_shows_the_keys_before_the_commands(path: Path) -> None:
    lines = aofdoctor("log", path, "--base", "--json").lines
    assert [line["cmd"] for line in lines] == ["(base)"] * 60 + ["SELECT", "SET", "DEL"]
    assert [(line["db"], line["keys"][0].encode()) for line in lines[:60]] == key_names(BASE)
    first = lines[0]
    assert (first["part"], first["n"], first["tx"]) == ("appendonly.aof", None, None)
    assert (first["time"], first["time_kind"], first["type"], first["args"]) == (
        1700000000,
        "rdb-ctime",
        "string",
        ["value 0"],
    )
    assert (BASE + TAIL)[first["offset"] :][: first["size"]] == USER_KEYS[0]


BASE_SELECTIONS: list[tuple[list[str], int]] = [
    (["--key", "user:1*"], 11), (["--db", "3"], 20), (["--cmd", "set"], 0), (["--grep", "value 3[0-9]"], 10), (["--min-size", "18"], 30),
    (["--since", "1700000001"], 0), (["--until", "1700000000"], 60), (["--key", "third:*", "--invert"], 40), (["--to", "0"], 0),
    (["--from", "#1"], 0), (["--to", "#1"], 60),
]  # fmt: skip


@pytest.mark.parametrize(
    ("words", "count"), BASE_SELECTIONS, ids=lambda value: " ".join(value) if isinstance(value, list) else ""
)
def test_a_selection_applies_to_base_keys(words: list[str], count: int, path: Path) -> None:
    path.write_bytes(BASE + b"#TS:1700000100\r\n" + TAIL)
    lines = aofdoctor("log", path, "--base", "--json", *words).lines
    assert sum(line["cmd"] == "(base)" for line in lines) == count


def test_keys_of_a_base_have_a_time_without_annotations(path: Path) -> None:
    assert len(aofdoctor("log", path, "--base", "--since", "1700000000", "--json").lines) == 60
    assert aofdoctor("log", path, "--base", "--since", "1700000001", "--json").lines == []
    assert aofdoctor("log", path, "--since", "1700000000").status == 2


def test_the_order_is_by_time_in_both_directions(path: Path) -> None:
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
    data = bytearray(BASE + TAIL)
    at = data.index(USER_KEYS[20])
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
    """Return each key's text and JSON lines, with a preview from the read window and without one."""
    source = BytesSource(data)
    rdb = next(tile for tile in read_tiles(source, command_table().names) if isinstance(tile, Preamble))
    path.write_bytes(data)
    out: list[tuple[Lines, Lines, bytes]] = []
    with open_path(str(path)) as aof:
        line = LineWriter(aof, lambda words, style: words, None, has_times=True)
        for item in base_keys(EVERYTHING, 0, aof.parts[0].name, 0, source, rdb):
            if isinstance(item, BaseKey):
                out += [
                    (
                        printed_lines(item, line),
                        printed_lines(item._replace(preview=None), line),
                        expected_json(item._replace(preview=None)),
                    )
                ]
    return out


def printed_lines(item: BaseKey, line: LineWriter) -> Lines:
    text, machine = io.BytesIO(), io.BytesIO()
    line.write_key(item, text)
    base_keys_view.write_key_json(item, machine)
    return text.getvalue(), machine.getvalue()


def expected_json(item: BaseKey) -> bytes:
    args = [bytes_to_json(word) for word in base_keys_view.preview_words(item)]
    return json.dumps(base_keys_view.key_fields(item) | {"args": args}).encode() + b"\n"


def test_a_line_does_not_depend_on_how_the_value_was_read(tmp_path: Path) -> None:
    files = [path.read_bytes() for path in [*(FIXTURES / "rdb").glob("*.rdb"), *(FIXTURES / "aof").rglob("*.base.rdb")]]
    files += [with_checksum(one) for one in UNRELEASED.values()] + [random_rdb(seed, 150) for seed in range(4)]
    files += [data for seed in range(3) for data in mutate(random_rdb(seed, 12), 60, seed)]
    seen = 0
    for data in files:
        if data[:5] not in (b"REDIS", b"VALKE"):
            continue
        for windowed, alone, by_json in lines_of(data, tmp_path / "one.rdb"):
            assert windowed == alone and alone[1] == by_json
            seen += 1
    assert seen > 2000


def keys_in_both_orders(data: bytes, where: Selection = EVERYTHING) -> tuple[list[Any], list[Any]]:
    """Return the keys of a base in file order and in reverse order."""
    source = BytesSource(data)
    rdb = next(tile for tile in read_tiles(source, command_table().names) if isinstance(tile, Preamble))
    given = base_keys(where, 0, "part", 0, source, rdb), base_keys_backwards(where, 0, "part", 0, source, rdb)
    return [*map(comparable_item, given[0])], [*map(comparable_item, given[1])]


def comparable_item(item: BaseKey | Damage) -> Any:
    return item if isinstance(item, Damage) else (item.part, item.key, item.dialect, item.time, item.name)


def many_keys(number: int) -> bytes:
    return b"".join((SELECT_3 if n % 3000 == 2999 else b"") + text_key(f"{n}", "x") for n in range(number))


@pytest.mark.parametrize("count", [0, 1, 4094, 4095, 4096, 20_000])
@pytest.mark.parametrize(
    "where", [EVERYTHING, build_selection(key=["*7"]), build_selection(db=[3]), build_selection(cmd=["set"])]
)
def test_the_keys_in_reverse_order_are_the_same(count: int, where: Selection) -> None:
    forwards, backwards = keys_in_both_orders(make_base(SELECT_0, many_keys(count)), where)
    assert forwards == backwards[::-1]
    assert len(forwards) == count or where != EVERYTHING


def test_the_keys_of_every_file_can_be_reversed() -> None:
    for path in [*(FIXTURES / "rdb").glob("*.rdb"), *(FIXTURES / "aof").rglob("*.base.rdb")]:
        forwards, backwards = keys_in_both_orders(path.read_bytes())
        assert forwards == backwards[::-1] and len(forwards) == walk_rdb(FileSource(path)).key_count
    for one in UNRELEASED.values():
        forwards, backwards = keys_in_both_orders(with_checksum(one))
        assert forwards == backwards[::-1]
        assert not one.names or any(isinstance(item, tuple) for item in forwards)


def test_the_keys_around_damage_can_be_reversed() -> None:
    whole = bytearray(make_base(SELECT_0, many_keys(10_000)))
    for at in (9, 100, 20_000, 49_000, len(whole) - 20):
        data = bytes(whole[:at]) + b"\xf0" * 8 + bytes(whole[at + 8 :])
        forwards, backwards = keys_in_both_orders(data)
        assert forwards == backwards[::-1]
        assert any(isinstance(item, Damage) for item in forwards) and len(forwards) > 5000


# -- show --


@pytest.mark.parametrize("source", KEYS_RDB, ids=lambda source: source.stem)
def test_every_byte_of_an_rdb_belongs_to_an_item(source: Path, tmp_path: Path) -> None:
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
