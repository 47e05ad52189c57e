"""diff of RDB bases with the same keys or elements in another order, and the work that this costs."""

from random import Random
from typing import Any

import pytest

from aofdoctor.diff import differ
from aofdoctor.diff.differ import CommandDiff
from aofdoctor.diff.edit_script import matching_blocks
from aofdoctor.diff.units import rdb_commands, rdb_units
from aofdoctor.diff.units.comparison_rules import ComparisonRules
from aofdoctor.diff.units.side import Side
from aofdoctor.rdb.export.commands import value_commands
from aofdoctor.resp import encode_command
from tests.conftest import aofdoctor
from tests.support.diffs import DIGEST_KEY, commands_of, diff_summary, memory_aof, string_keys
from tests.support.rdb_files import collection_key, make_rdb, module_key, string_key
from tests.support.rdb_value_writer import listpack, string


def test_keys_in_another_order_have_moved(pair: Any) -> None:
    names = [f"k{n}" for n in range(50)]
    other = Random(5).sample(names, len(names))
    found = diff_summary(*pair(make_rdb(*string_keys(*names)), make_rdb(*string_keys(*other))))
    assert (found["only_a"], found["only_b"], found["same"] + found["moved"], found["unlike"]) == (0, 0, 50, False)


def test_an_element_that_is_written_again_is_compared_in_its_order(pair: Any) -> None:
    base = make_rdb(b"\x10" + string(b"h") + string(listpack([b"f", b"1", b"g", b"1"])))
    again, other = encode_command([b"HSET", b"h", b"f", b"5"]), encode_command([b"HMSET", b"h", b"g", b"1", b"f", b"1"])
    for a, b in (pair(base + again, other + again), pair(other + again, base + again)):
        assert aofdoctor("diff", a, b).out.startswith("no difference: 2 commands on both sides")
    for tail in (again, b""):
        found = diff_summary(*pair(base + again, again + other + tail))
        assert not found["equal"] and found["only_a"] + found["only_b"] > 0


def test_a_flush_after_one_of_two_bases_is_all_that_differs(pair: Any) -> None:
    values = [b"%d" % n for n in range(150)]
    other = make_rdb(collection_key(b"s", *Random(5).sample(values, len(values))))
    found = diff_summary(*pair(make_rdb(collection_key(b"s", *values)), other + encode_command([b"FLUSHALL"])))
    assert (found["only_a"], found["only_b"], found["same"]) == (0, 1, 3)


def test_values_without_commands_move_with_their_key(pair: Any) -> None:
    keys = [module_key(b"m", b"x"), *string_keys("a", "b", "c")]
    a, b = pair(make_rdb(*keys), make_rdb(*keys[1:], keys[0]))
    found = aofdoctor("diff", a, b, "--json").lines
    assert (found[-1]["only_a"], found[-1]["only_b"]) == (0, 0)
    assert [line["moved"] for line in found if line["type"] == "opaque"] == [True]
    assert [line[0] for line in aofdoctor("diff", a, b).out.splitlines() if "key m" in line] == ["~"]
    assert aofdoctor("diff", a, b, "--stat", "--json").json["opaque_bytes"] == [0, 0]


def test_elements_in_another_order_are_the_same(pair: Any) -> None:
    values = [b"%d" % n for n in range(150)]
    other = Random(5).sample(values, len(values))
    a, b = pair(
        make_rdb(*string_keys("a"), collection_key(b"s", *values), *string_keys("z")),
        make_rdb(*string_keys("a"), collection_key(b"s", *other), *string_keys("z")),
    )
    assert aofdoctor("diff", a, b).out.startswith("no difference: 5 commands on both sides")
    one, two = pair(make_rdb(collection_key(b"l", *values, kind=1)), make_rdb(collection_key(b"l", *other, kind=1)))
    assert aofdoctor("diff", one, two).status == 1
    less, _ = pair(make_rdb(*string_keys("a"), collection_key(b"s", *other[1:], b"x"), *string_keys("z")), b"")
    assert aofdoctor("diff", less, b).status == 1


def test_the_work_on_unrelated_orders_is_linear(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each key is exported at most twice for the comparison, and is in at most two windows."""
    monkeypatch.setattr(differ, "WINDOW_UNITS", 64)
    exports, compared = [0], [0]
    add, find = rdb_units._CommandBuffer.add, matching_blocks

    def counted_add(self: Any, rdb_command: Any, command: Any) -> None:
        exports[0] += 1
        add(self, rdb_command, command)

    def counted_find(a: Any, b: Any) -> Any:
        compared[0] += len(a) + len(b)
        return find(a, b)

    monkeypatch.setattr(rdb_units._CommandBuffer, "add", counted_add)
    monkeypatch.setattr(differ, "matching_blocks", counted_find)
    for size in (500, 2000, 8000):
        exports[0] = compared[0] = 0
        names = [f"k{n}" for n in range(size)]
        datas = [make_rdb(*string_keys(*Random(seed).sample(names, size))) for seed in (1, 2)]
        diff = CommandDiff(*(Side(memory_aof(data), ComparisonRules.create(DIGEST_KEY, False)) for data in datas))
        assert list(diff.events()) and diff.totals.mostly_unrelated
        assert diff.totals.common_commands + diff.totals.moved_commands + diff.totals.only_commands[0] == size
        assert 2 * size <= exports[0] <= 4 * size
        assert compared[0] <= 8 * size


def test_a_key_of_many_commands_is_exported_at_most_twice(pair: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    exports = [0]

    def counted(*args: Any) -> Any:
        for command in value_commands(*args):
            exports[0] += 1
            yield command

    monkeypatch.setattr(rdb_commands, "value_commands", counted)
    chunks = 400
    one = [b"%d" % n for n in range(64 * chunks)]
    two = [b"x" if n % 128 == 0 else value for n, value in enumerate(one)]
    a, b = pair(make_rdb(collection_key(b"l", *one, kind=1)), make_rdb(collection_key(b"l", *two, kind=1)))
    for options in ((), ("--json",), ("--stat",), ("--patch", a.with_name("patch"))):
        exports[0] = 0
        assert aofdoctor("diff", a, b, *options).status == 1
        assert 2 * chunks <= exports[0] <= 8 * chunks, options
    assert len(commands_of(a.with_name("patch"))) == 1 + chunks // 2
    other = Random(1).sample(one, len(one))
    names = [f"k{n}" for n in range(100)]
    c, d = pair(
        make_rdb(collection_key(b"s", *one), *string_keys(*names)),
        make_rdb(*string_keys(*names), collection_key(b"s", *other)),
    )
    exports[0] = 0
    found = diff_summary(c, d)
    assert (found["only_a"], found["only_b"], found["moved"]) == (0, 0, chunks)
    assert exports[0] <= 10 * (chunks + 100)


def test_bases_of_unrelated_orders_are_pointed_to_keys(pair: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(differ, "WINDOW_UNITS", 64)
    names = [f"k{n}" for n in range(1000)]
    a, b = pair(*(make_rdb(*string_keys(*Random(seed).sample(names, 1000))) for seed in (1, 2)))
    assert "--by keys" in aofdoctor("diff", a, b).out.splitlines()[2]


def test_equal_bytes_of_bases_are_not_exported(pair: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """One key differs in the middle, and the bytes are equal again after it."""
    monkeypatch.setattr(differ, "WINDOW_UNITS", 64)
    monkeypatch.setattr(differ, "_RECHECK_AFTER", 100)
    monkeypatch.setattr(rdb_units, "_ROOM", 64)
    names = [f"k{n:05}" for n in range(20_000)]
    one, two = string_keys(*names), string_keys(*names)
    two[9000] = string_key(b"k09000", b"2")
    a, b = pair(make_rdb(*one), make_rdb(*two, aux=[(b"ctime", b"1700000000")]))
    found = diff_summary(a, b)
    assert (found["only_a"], found["only_b"]) == (1, 1)
    assert found["same"] < 2000
    assert found["same"] + found["same_keys"] + 1 == 20_000
    shown = [line for line in aofdoctor("diff", a, b).out.splitlines() if "(base)" in line]
    names = [line.partition("string ")[2].split()[0] for line in shown]
    assert names == ["k08997", "k08998", "k08999", "k09000", "k09000"]
