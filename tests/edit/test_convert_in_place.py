"""Conversions in place and as saved plans: same result as a copy, reversible, and refused if the file kind changes."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from aofdoctor.aof.records import encode_command
from tests.conftest import FIXTURES, aofdoctor
from tests.edit.test_exchange import everything
from tests.support.conversions import convert, loaded_state, sealed_rdb
from tests.support.fault_injection import run_killed_at
from tests.support.rdb_value_writer import string
from tests.support.servers import servers_by_line

Story = Callable[[str], Path]
CONVERSIONS = {
    "commands": ["--base", "resp"],
    "an older RDB": ["--base", "rdb", "--rdb-version", "9"],
    "later expiries": ["--shift-ttl", "2h"],
}
converting = pytest.mark.parametrize("name", CONVERSIONS)


@converting
def test_in_place_is_the_copy_and_undo_brings_all_of_it_back(name: str, story: Story, tmp_path: Path) -> None:
    place = story("wiped-redis-7.0") / "appendonlydir"
    before = everything(place)
    convert(place, *CONVERSIONS[name], "-o", tmp_path / "copy")
    done = convert(place, *CONVERSIONS[name], "--in-place", "-y")
    copied = {path.name: path.read_bytes() for path in (tmp_path / "copy").iterdir()}
    assert {path.name: path.read_bytes() for path in place.iterdir()} == copied
    assert everything(Path(done["kept"])).keys() == {key.replace(str(place), done["kept"]) for key in before}
    assert aofdoctor("undo", done["receipt"]).status == 0
    assert everything(place) == before


def test_a_dump_and_a_file_are_converted_in_place(tmp_path: Path) -> None:
    dump, file = tmp_path / "dump.rdb", tmp_path / "a.aof"
    dump.write_bytes((FIXTURES / "rdb" / "string-v12.rdb").read_bytes())
    file.write_bytes(dump.read_bytes() + encode_command([b"SET", b"tail", b"1"]))
    binary = servers_by_line()["redis-8.2"]
    expected = loaded_state(binary, dump)
    convert(dump, "--base", "rdb", "--rdb-version", 11, "--in-place", "-y")
    assert dump.read_bytes()[:9] == b"REDIS0011" and loaded_state(binary, dump) == expected
    loaded = loaded_state(binary, file)
    convert(file, "--base", "resp", "--in-place", "-y")
    assert file.read_bytes()[:1] == b"*" and loaded_state(binary, file) == loaded


@pytest.mark.parametrize(
    ("words", "why"),
    [(["--layout", "multi-part"], "another layout"), (["--base", "resp"], "the place of a dump")],
)
def test_another_layout_is_not_put_under_the_same_name(words: list[str], why: str, tmp_path: Path) -> None:
    dump = tmp_path / "dump.rdb"
    dump.write_bytes((FIXTURES / "rdb" / "string-v12.rdb").read_bytes())
    before = everything(tmp_path)
    result = aofdoctor("convert", dump, *words, "--in-place", "-y")
    assert result.status == 3 and why in result.err and everything(tmp_path) == before


def test_unsupported_values_are_not_put_in_place(tmp_path: Path) -> None:
    path = tmp_path / "dump.rdb"
    path.write_bytes((FIXTURES / "rdb" / "hash-metadata-v12.rdb").read_bytes())
    before = everything(path)
    words: list[str | Path] = ["convert", path, "--base", "rdb", "--rdb-version", "11", "--in-place", "-y"]
    assert aofdoctor(*words).status == 3 and everything(path) == before
    assert aofdoctor(*words, "--lossy").status == 0 and path.read_bytes()[:9] == b"REDIS0011"


def test_killed_at_any_call_a_conversion_in_place_leaves_the_old_or_the_new(tmp_path: Path) -> None:
    data = sealed_rdb(b"REDIS0010", b"\x00" + string(b"k") + string(b"v")) + encode_command([b"SET", b"tail", b"1"])

    def source(folder: Path) -> Path:
        folder.mkdir()
        (folder / "a.aof").write_bytes(data)
        return folder / "a.aof"

    done = source(tmp_path / "done")
    convert(done, "--base", "resp", "--in-place", "-y")
    number, lived = 0, False
    while not lived:
        number += 1
        path = source(tmp_path / str(number))
        lived = run_killed_at(number, "convert", path, "--base", "resp", "--in-place", "-y")
        assert path.read_bytes() in (data, done.read_bytes())
    assert number > 10


@converting
def test_a_saved_conversion_comes_to_the_same(name: str, story: Story, tmp_path: Path) -> None:
    place, plan, words = story("wiped-redis-7.0") / "appendonlydir", tmp_path / "plan.json", CONVERSIONS[name]
    with open(next(place.glob("*.incr.aof")), "ab") as file:
        file.write(encode_command([b"PEXPIREAT", b"after", b"4102444800000"]))
    saved = convert(place, *words, "--plan", plan)
    assert saved["output"] is None and json.loads(plan.read_text())["converted"] == saved["converted"]
    convert(place, *words, "-o", tmp_path / "one")
    shown = aofdoctor("apply", plan)
    assert shown.status == 0 and "nothing was written" in shown.out
    assert aofdoctor("apply", plan, "-o", tmp_path / "two", "--prove").status == 0
    one, two = ({path.name: path.read_bytes() for path in (tmp_path / name).iterdir()} for name in ("one", "two"))
    assert one == two != {path.name: path.read_bytes() for path in place.iterdir()}
    assert aofdoctor("apply", plan, "--in-place", "-y").status == 0
    assert {path.name: path.read_bytes() for path in place.iterdir()} == one
    assert aofdoctor("apply", plan).status == 3  # The files are no longer those of the plan.


def test_now_is_the_time_of_the_plan(tmp_path: Path) -> None:
    path = tmp_path / "a.aof"
    path.write_bytes(b"#TS:1700000000\r\n" + encode_command([b"PEXPIREAT", b"k", b"1700000060000"]))
    saved = convert(path, "--now", "now", "--plan", tmp_path / "plan")["converted"]["shift_ms"]
    assert aofdoctor("apply", tmp_path / "plan", "-o", tmp_path / "out").status == 0
    assert encode_command([b"PEXPIREAT", b"k", b"%d" % (1700000060000 + saved)]) in (tmp_path / "out").read_bytes()


@pytest.mark.parametrize(
    "other",
    [
        {"base": "json"}, {"base": 1}, {"rdb_version": 13}, {"rdb_version": "x"}, {"layout": []}, {"for": "redis-1"},
        {"shift_ms": "x"}, {"shift_ms": 10**400}, {"shift_ms": None}, {"lossy": None, "base": None},
    ],
)  # fmt: skip
def test_a_plan_that_cannot_be_meant_is_refused(other: dict[str, object], tmp_path: Path) -> None:
    path = tmp_path / "a.aof"
    path.write_bytes(sealed_rdb(b"REDIS0010", b"\x00" + string(b"k") + string(b"v")))
    convert(path, "--base", "resp", "--plan", tmp_path / "plan")
    saved = json.loads((tmp_path / "plan").read_text())
    saved["recipe"] |= other
    (tmp_path / "plan").write_text(json.dumps(saved))
    result = aofdoctor("apply", tmp_path / "plan", "-o", tmp_path / "out")
    assert result.status in (2, 3) and not (tmp_path / "out").exists() and "Traceback" not in result.err


def test_a_part_that_loses_its_annotations_loses_its_endoffset(story: Story, tmp_path: Path) -> None:
    place = story("wiped-redis-7.0") / "appendonlydir"
    manifest = next(place.glob("*.manifest"))
    incr = next(place.glob("*.incr.aof"))
    incr.write_bytes(b"#TS:1700000000\r\n" + incr.read_bytes())
    line = manifest.read_bytes().splitlines()
    manifest.write_bytes(line[0] + b"\n" + line[1] + b" startoffset 7 endoffset 99\n")
    convert(place, "--base", "rdb", "--rdb-version", 9, "-o", tmp_path / "bare")
    convert(place, "--base", "resp", "--for", "redis-7.0", "-o", tmp_path / "timed")
    manifests = {name: (tmp_path / name / manifest.name).read_bytes() for name in ("bare", "timed")}
    assert b"#TS" not in (tmp_path / "bare" / incr.name).read_bytes()
    assert b"startoffset 7" in manifests["bare"] and b"endoffset" not in manifests["bare"]
    assert b"endoffset 99" in manifests["timed"]
