"""Values of the newest layouts, which no installed server writes; the test data follows the published formats."""

import json
from pathlib import Path
from random import Random

import pytest

from aofdoctor.rdb.encoding.cursor import CorruptValue, Cursor
from aofdoctor.rdb.items import ItemReader, KeyItem
from aofdoctor.rdb.recovery.salvage import salvage_items
from aofdoctor.rdb.values.decoders import ArrayElement, Element, HashField, ValueRef, elements
from aofdoctor.rdb.walk import _pywalker as walk
from aofdoctor.rdb.walk import walker as kernel
from aofdoctor.rdb.walk.constants import SLACK, TEMPLATE_SLOTS, StopReason
from aofdoctor.rdb.walk.layouts import LAYOUTS
from aofdoctor.source import BytesSource
from tests.conftest import aofdoctor
from tests.support.conversions import convert, loaded_state
from tests.support.rdb_unreleased import (
    ARRAY,
    TEMPLATE_HASHES,
    UNRELEASED,
    UnreleasedRdb,
    length,
    string,
    template,
    with_checksum,
)
from tests.support.rdb_value_writer import listpack
from tests.support.servers import servers_by_line


def values(data: bytes) -> dict[bytes, list[Element | CorruptValue]]:
    """Return the elements of every key, by name."""
    source = BytesSource(data)
    cursor = Cursor(source)
    keys = [item for batch in ItemReader(source) for item in list(batch) if isinstance(item, KeyItem)]
    return {key.name(source): list(elements(cursor, ValueRef(key.value_offset, key.type))) for key in keys}


def template_rdb(*body: bytes) -> bytes:
    return with_checksum(UnreleasedRdb(b"REDIS0015", b"".join(body), []))


# -- arrays --


def test_the_elements_of_an_array_have_their_indexes_and_numbers() -> None:
    assert values(with_checksum(UNRELEASED["array"]))[b"array"] == [ArrayElement(*slot) for slot in ARRAY]
    assert values(with_checksum(UNRELEASED["array-empty"]))[b"array"] == []


def test_an_array_is_counted_and_shown_but_has_no_command(tmp_path: Path) -> None:
    path = tmp_path / "a.rdb"
    path.write_bytes(with_checksum(UNRELEASED["array"]))
    assert aofdoctor("check", path, "--json").json["parts"][0]["preamble"]["types"] == {"array": 1, "string": 1}
    [line, _] = [json.loads(line) for line in aofdoctor("log", path, "--base", "--json").stdout.splitlines()]
    words = [
        word for at, value in ARRAY for word in (str(at), value.decode() if isinstance(value, bytes) else str(value))
    ]
    assert (line["type"], line["args"][:8]) == ("array", words[:8])
    refused = aofdoctor("convert", path, "--base", "resp", "-o", tmp_path / "no")
    assert refused.status == 3
    report = convert(path, "--base", "resp", "--lossy", "-o", tmp_path / "out.aof")
    assert [lost["why"] for lost in report["inexpressible"]] == ["an array, which came with Redis 8.8"]
    report = convert(path, "--base", "rdb", "--rdb-version", "11", "--lossy", "-o", tmp_path / "out.rdb")
    assert [lost["key"] for lost in report["inexpressible"]] == ["array"]


@pytest.mark.parametrize("body", [
    length(1) + length(2), length(1) + length(0) + length(5) + length(4) + string(b"x"),
])  # fmt: skip
def test_an_array_with_wrong_counts_is_corrupt(body: bytes) -> None:
    source = BytesSource(body + bytes(8))
    assert isinstance(list(elements(Cursor(source), ValueRef(0, 28)))[-1], CorruptValue)


# -- hash templates --


def test_hashes_of_a_template_are_read_with_the_names_of_its_fields() -> None:
    found = values(with_checksum(UNRELEASED["templates"]))
    assert {name: [tuple(field)[:2] for field in found[name]] for name in TEMPLATE_HASHES} == TEMPLATE_HASHES  # type: ignore[arg-type]


def test_commands_and_an_older_rdb_store_them_as_ordinary_hashes(tmp_path: Path) -> None:
    path = tmp_path / "a.rdb"
    path.write_bytes(with_checksum(UNRELEASED["templates"]))
    report = convert(path, "--base", "resp", "--for", "redis-7.0", "-o", tmp_path / "out.aof")
    assert report["inexpressible"] == []
    report = convert(path, "--base", "rdb", "--rdb-version", "10", "-o", tmp_path / "out.rdb")
    assert report["inexpressible"] == []
    expected, got = (loaded_state(servers_by_line()["redis-7.0"], tmp_path / name) for name in ("out.aof", "out.rdb"))
    assert expected == got
    by_name = {key["key"].encode(): key["value"] for key in got[1]}
    for name, fields in TEMPLATE_HASHES.items():
        assert [tuple(word.encode() for word in field[:2]) for field in by_name[name]] == sorted(fields)


def test_a_slice_and_a_salvage_keep_the_templates_in_use(tmp_path: Path) -> None:
    path, whole = tmp_path / "a.rdb", with_checksum(UNRELEASED["templates"])
    path.write_bytes(whole)
    assert aofdoctor("slice", path, "--key", "arr", "-o", tmp_path / "slice.rdb").status == 0
    expected = values(whole)
    assert values((tmp_path / "slice.rdb").read_bytes()) == {b"arr": expected[b"arr"]}
    path.write_bytes(whole[:-4])
    assert aofdoctor("repair", path, "--salvage", "-o", tmp_path / "salvage.rdb").status == 0
    assert values((tmp_path / "salvage.rdb").read_bytes()) == expected


def test_a_template_of_many_fields_is_skipped() -> None:
    names = [b"field:%d" % i for i in range(5000)]
    data = template_rdb(
        template(3, *names), template(4, b"x" * 100), b"\x20" + string(b"k") + length(3) + b"".join(map(string, names)),
        b"\x1e" + string(b"lp") + string(listpack([b"3", *names])), b"\x20" + string(b"wide") + length(4) + string(b"v"),
    )  # fmt: skip
    expected = [HashField(name, name, None) for name in names]
    assert values(data) == {b"k": expected, b"lp": expected, b"wide": [HashField(b"x" * 100, b"v", None)]}


@pytest.mark.parametrize(
    "items", [[b"9", b"a"], [b"3"], [b"3", b"a", b"b"], [b"x", b"a"], [b"-3", b"a"], [b"9" * 30, b"a"]]
)
def test_a_hash_that_does_not_fit_its_template_is_corrupt(items: list[bytes]) -> None:
    found = values(template_rdb(template(3, b"field"), b"\x1e" + string(b"k") + string(listpack(items))))
    assert isinstance(found[b"k"][-1], CorruptValue)


def test_thousands_of_templates_are_remembered() -> None:
    count = 12_000
    data = template_rdb(
        *(template(number, b"f%d" % number) for number in range(count)),
        *(b"\x20" + string(b"k%d" % number) + length(number) + string(b"v") for number in range(0, count, 100)),
    )
    found = values(data)
    assert found == {b"k%d" % n: [HashField(b"f%d" % n, b"v", None)] for n in range(0, count, 100)}


def test_compiled_and_fallback_remember_the_same_templates() -> None:
    """Both implementations stop at the same template when there are too many."""
    numbers = Random(4)
    step = TEMPLATE_SLOTS
    ids = [
        [step * i for i in range(100)],
        list(range(step + 10)),
        [numbers.randrange(1 << 40) for _ in range(3 * step)],
    ]
    for some in ids:
        data = b"".join(template(number, b"f") for number in some)
        stops = []
        for module in (kernel, walk):
            machine, columns = module.Walker(LAYOUTS["redis"], 0), module.ItemColumns(len(some) + 1)
            stops.append(machine.run(bytearray(data + bytes(SLACK)), 0, len(data), 0, columns)[:2])
        assert stops[0] == stops[1] and stops[0][0] == StopReason.UNKNOWN_TEMPLATE


def test_templates_are_known_after_damage_too() -> None:
    keys = [b"\x20" + string(b"key:%d" % i) + length(3) + string(b"value %d" % i) for i in range(30)]
    texts = [b"\0" + string(b"text:%d" % i) + string(b"value") for i in range(30)]
    data = template_rdb(template(3, b"field"), *texts[:10], b"\x1d" * 40, *texts[10:], *keys)
    source = BytesSource(data)
    found = [
        item.name(source) for batch in salvage_items(source) for item in getattr(batch, "__iter__", lambda: iter(()))()
        if isinstance(item, KeyItem)
    ]  # fmt: skip
    assert found[-30:] == [b"key:%d" % i for i in range(30)]
