"""diff of RDB bases: an RDB is the commands that make its keys, and compares with an AOF that has them."""

import shutil
from pathlib import Path
from random import Random
from typing import Any

import pytest

from aofdoctor.aof.records import encode_command
from aofdoctor.diff import differ as engine
from aofdoctor.diff.differ import CommandDiff
from aofdoctor.diff.edit_script import matching_blocks
from aofdoctor.diff.units import rdb_commands as diff_base
from aofdoctor.diff.units import rdb_units as diff_told
from aofdoctor.diff.units.side import ComparisonRules, Side
from aofdoctor.rdb.encoding.cursor import LARGE_STRING_SIZE
from aofdoctor.rdb.export.commands import value_commands
from aofdoctor.rdb.walk.window import WINDOW_SIZE
from aofdoctor.server.sandbox import Sandbox, ServerBinary
from tests.conftest import FIXTURES, aofdoctor
from tests.support.datasets import aof_server, fill_dataset, rewrite
from tests.support.diffs import DIGEST_KEY, SELECT_3, commands_of, memory_aof, pair, set_commands
from tests.support.rdb_files import collection_key, compress_rdb, make_rdb, module_key, select_db, string_key
from tests.support.rdb_unreleased import template
from tests.support.rdb_value_writer import length, listpack, lzf, lzf_string, string
from tests.support.server_state import state_of
from tests.support.servers import servers_by_line

__all__ = ["pair"]
LINES = ("redis-7.0", "redis-8.2", "valkey-9.1")


def strings(*keys: str) -> list[bytes]:
    return [string_key(key.encode(), b"1") for key in keys]


def summary(*args: Any) -> dict[str, Any]:
    found: dict[str, Any] = aofdoctor("diff", *args, "--json").lines[-1]
    return found


# -- what real servers write --


@pytest.fixture(scope="module", params=LINES)
def bases(request: Any, tmp_path_factory: Any) -> Any:
    """One dataset of a server as an RDB base, as a base of commands, and again after a few writes."""
    line = servers_by_line().get(request.param)
    if line is None:
        pytest.skip(f"{request.param} is not at hand")
    folder = tmp_path_factory.mktemp(request.param)
    with aof_server(line) as server:
        fill_dataset(server)
        for name, preamble in (("rdb", True), ("resp", False)):
            shutil.copy(rewrite(server, preamble)[0], folder / name)
        server.client.pipeline([("SELECT", 3), ("RPUSH", "list", "new"), ("DEL", "set"), ("SET", "s:1", "new")])
        server.client.pipeline([("MULTI",), ("INCR", "number"), ("SELECT", 0), ("SADD", "set", "new"), ("EXEC",)])
        shutil.copy(rewrite(server, True)[0], folder / "later")
    return line, folder


def test_an_rdb_base_equals_the_base_of_commands_of_the_same_dataset(bases: Any) -> None:
    _, folder = bases
    assert (folder / "rdb").read_bytes()[:5] in (b"REDIS", b"VALKE") and (folder / "resp").read_bytes()[:1] == b"*"
    for sides in (("rdb", "resp"), ("resp", "rdb")):
        result = aofdoctor("diff", *(folder / name for name in sides))
        assert result.out.startswith("no difference: 6"), result.out[-2000:]
        assert result.status == 0
        assert "their bytes differ from" in result.out
    assert aofdoctor("diff", folder / "rdb", folder / "resp", "--key", "zset").status == 0


def test_what_was_written_between_two_bases_is_found_and_nothing_else(bases: Any) -> None:
    _, folder = bases
    written = {("list", 3), ("set", 3), ("s:1", 3), ("number", 3), ("set", 0)}
    for other in ("rdb", "resp"):
        lines = aofdoctor("diff", folder / other, folder / "later", "--json").lines
        touched = {(line["keys"][0], line["db"]) for line in lines if line["type"] == "only"}
        assert touched == written, other


def loaded(binary: ServerBinary, base: bytes, tail: bytes = b"") -> Any:
    """The state after a server has loaded a base, with commands after it."""
    rdb_base = not base.startswith(b"*")
    name = f"appendonly.aof.1.base.{'rdb' if rdb_base else 'aof'}"

    def prepare(folder: Path) -> None:
        target = folder / "appendonlydir"
        target.mkdir()
        (target / name).write_bytes(base)
        (target / "appendonly.aof.1.incr.aof").write_bytes(tail)
        lines = f"file {name} seq 1 type b\nfile appendonly.aof.1.incr.aof seq 1 type i\n"
        (target / "appendonly.aof.manifest").write_text(lines)

    with Sandbox(binary, ["--appendonly", "yes"], prepare, hide=(), timeout=60) as server:
        return state_of(server)


def test_a_patch_of_an_rdb_makes_its_dataset(bases: Any, tmp_path: Path) -> None:
    line, folder = bases
    empty, patch = tmp_path / "empty.aof", tmp_path / "patch"
    empty.write_bytes(encode_command([b"PING"]))
    assert aofdoctor("diff", empty, folder / "rdb", "--patch", patch).status == 1
    assert loaded(line, patch.read_bytes()) == loaded(line, (folder / "rdb").read_bytes())


def test_a_patch_brings_an_rdb_base_to_what_commands_have_become(bases: Any, tmp_path: Path) -> None:
    line, folder = bases
    tail = (
        SELECT_3
        + encode_command([b"RPUSH", b"list", b"new"])
        + encode_command([b"DEL", b"set"])
        + set_commands("x", "y")
    )
    tail += (
        encode_command([b"MULTI"])
        + encode_command([b"SELECT", b"0"])
        + encode_command([b"INCR", b"number"])
        + encode_command([b"EXEC"])
    )
    ours, theirs, patch = folder / "rdb", tmp_path / "theirs.aof", tmp_path / "patch"
    theirs.write_bytes((folder / "resp").read_bytes() + tail)
    assert aofdoctor("diff", ours, theirs, "--patch", patch).status == 1
    assert [argv[0] for argv in commands_of(patch)] == [
        b"SELECT", b"RPUSH", b"DEL", b"SET", b"SET", b"MULTI", b"SELECT", b"INCR", b"EXEC",
    ]  # fmt: skip
    assert loaded(line, ours.read_bytes(), patch.read_bytes()) == loaded(line, theirs.read_bytes())


def test_bases_of_two_processes_are_the_same_in_another_order(tmp_path: Path) -> None:
    """Each process has its own order of keys and of the elements of a set, a sorted set and a hash."""
    paths = []
    for line in ("redis-7.0", "valkey-9.1"):
        with aof_server(servers_by_line()[line]) as server:
            fill_dataset(server)
            server.client.pipeline([("DEL", "stream"), ("SELECT", 3), ("DEL", "stream", "timed"), ("SELECT", 0)])
            server.call("DEL", "timed")
            paths.append(tmp_path / line)
            shutil.copy(rewrite(server, line == "redis-7.0")[0], paths[-1])
    for a, b in (paths, paths[::-1]):
        found = summary(a, b)
        assert (found["only_a"], found["only_b"]) == (0, 0)
        assert found["moved"] > 20 and not found["unlike"]


# -- what is said of a key --


def test_a_key_is_shown_as_the_history_with_its_base_shows_it(pair: Any) -> None:
    a, b = pair(
        make_rdb(*strings("same", "user:1")),
        make_rdb(*strings("same"), collection_key(b"user:2", b"x", b"y"), aux=[(b"ctime", b"1700000000")]),
    )
    shown = aofdoctor("diff", a, b).out.splitlines()
    log_a, log_b = (aofdoctor("log", path, "--base").out.splitlines() for path in (a, b))
    assert [line for line in shown if line[:2] in ("- ", "+ ")] == ["- " + log_a[1], "+ " + log_b[1]]
    assert "  " + log_a[0] in shown
    lines = [line for line in aofdoctor("diff", a, b, "--json").lines if line["type"] == "only"]
    for line, path in zip(lines, (a, b), strict=True):
        expected = aofdoctor("log", path, "--base", "--json").lines[1]
        assert line == expected | {"type": "only", "side": path.name[0], "key_type": expected["type"]}
    fork = summary(a, b)["fork"]
    assert (fork["a"]["offset"], fork["b"]["offset"]) == (lines[0]["offset"], lines[1]["offset"])


def test_a_library_of_functions_is_shown_and_equals_the_command_that_loads_it(pair: Any, tmp_path: Path) -> None:
    library, patch = FIXTURES / "rdb" / "function-v10.rdb", tmp_path / "patch"
    a, _ = pair(set_commands("a"), b"")
    result = aofdoctor("diff", a, library, "--patch", patch)
    load = next(argv for argv in commands_of(patch) if argv[0] == b"FUNCTION")
    assert load[1] == b"LOAD"
    shown = [line for line in result.out.splitlines() if "(base) function" in line]
    assert len(shown) == 1 and load[2].partition(b"\n")[0].decode() in shown[0]
    lines = [line for line in aofdoctor("diff", a, library, "--json").lines if line.get("key_type") == "function"]
    assert [line["args"][0][:20] for line in lines] == [load[2][:20].decode()]
    loading = tmp_path / "loading.aof"
    loading.write_bytes(patch.read_bytes() + set_commands("a"))
    assert aofdoctor("diff", library, loading, "--cmd", "function").status == 0


def test_a_key_of_many_commands_is_shown_once_and_counted_by_command(pair: Any) -> None:
    many = [b"%d" % n for n in range(200)]
    a, b = pair(
        make_rdb(collection_key(b"u:1", *many)),
        make_rdb(collection_key(b"u:1", *many[1:]), select_db(3), *strings("v:1")),
    )
    lines = aofdoctor("diff", a, b, "--json").lines
    assert [line["keys"] for line in lines if line["type"] == "only"] == [["u:1"], ["u:1"], ["v:1"]]
    found = aofdoctor("diff", a, b, "--stat", "--json").json
    chunks = -(-200 // 64), -(-199 // 64)
    assert found["by_command"] == [
        {"command": "sadd", "only_a": chunks[0], "only_b": chunks[1], "moved": 0},
        {"command": "set", "only_a": 0, "only_b": 1, "moved": 0},
    ]
    assert {row["db"]: row["only_b"] for row in found["by_db"]} == {0: chunks[1], 3: 1}
    assert {row["prefix"] for row in found["by_prefix"]} == {"u:", "v:"}
    assert (found["a"]["commands"], found["b"]["commands"]) == (0, 0)


def test_numbers_count_the_commands_of_the_aof_alone(pair: Any) -> None:
    a, b = pair(make_rdb(*strings("a", "b")) + set_commands("c", "x"), set_commands("a", "b", "c", "y"))
    lines = aofdoctor("diff", a, b, "--json").lines
    assert [(line["keys"], line["n"]) for line in lines if line["type"] == "only"] == [(["x"], 2), (["y"], 4)]
    assert (lines[0]["a"]["n"], lines[0]["b"]["n"], lines[-1]["same"]) == (2, 4, 3)


def test_selections_mean_keys_of_a_base_as_in_the_history(pair: Any) -> None:
    a, b = pair(make_rdb(*strings("user:1", "x:1")), make_rdb(select_db(3), *strings("user:2", "y:1")))
    for options in (
        ["--key", "user:*"],
        ["--db", "3"],
        ["--db", "0", "--key", "x:*"],
        ["--min-size", "10"],
        ["--cmd", "set"],
    ):
        lines = aofdoctor("diff", a, b, *options, "--json").lines
        got = [(line["side"], line["keys"]) for line in lines if line["type"] == "only"]
        expected = [
            (path.name[0], line["keys"])
            for path in (a, b)
            for line in aofdoctor("log", path, "--base", "--json", *options).lines
        ]
        assert got == expected, options
        assert aofdoctor("diff", a, b, *options).status == bool(expected)


def test_a_patch_has_the_selected_keys(pair: Any, tmp_path: Path) -> None:
    a, b = pair(
        set_commands("a"),
        make_rdb(
            *strings("a", "user:1"), select_db(3), string_key(b"user:2", b"v", 4102444800000), module_key(b"m", b"x")
        ),
    )
    patch = tmp_path / "patch"
    assert aofdoctor("diff", a, b, "--patch", patch, "--key", "user:*").status == 1
    assert commands_of(patch) == [
        [b"SELECT", b"0"], [b"SET", b"user:1", b"1"],
        [b"SELECT", b"3"], [b"SET", b"user:2", b"v"], [b"PEXPIREAT", b"user:2", b"4102444800000"],
    ]  # fmt: skip


# -- what counts as the same --


def test_other_bytes_of_the_same_keys_are_no_difference(pair: Any) -> None:
    packed = b"\x00" + string(b"k") + lzf_string(lzf(b"y" * 100), 100)
    a, b = pair(
        make_rdb(packed, *strings("n"), aux=[(b"ctime", b"1700000000")]),
        make_rdb(string_key(b"k", b"y" * 100), b"\xf9\x07" + string_key(b"n", b"1"), magic=b"REDIS0009"),
    )
    result = aofdoctor("diff", a, b)
    assert (result.status, result.out.splitlines()[0]) == (0, "no difference: 2 commands on both sides")
    assert "their bytes differ" in result.out
    same = aofdoctor("diff", a, a)
    assert same.out == "no difference: 0 commands, 2 keys of an RDB byte for byte on both sides\n"


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("exact", [False, True])
def test_a_value_too_large_to_hold_is_compared(pair: Any, packed: bool, exact: bool) -> None:
    value = b"y" * (3 * LARGE_STRING_SIZE + 5)
    stored = b"\x00" + string(b"k") + (lzf_string(lzf(value), len(value)) if packed else string(value))
    options = ["--exact"] if exact else []
    assert aofdoctor("diff", *pair(make_rdb(stored), encode_command([b"SET", b"k", value])), *options).status == 0
    assert (
        aofdoctor("diff", *pair(make_rdb(stored), encode_command([b"SET", b"k", value[:-1] + b"z"])), *options).status
        == 1
    )


@pytest.mark.parametrize("packed", [False, True])
def test_a_value_too_large_to_hold_is_counted_shown_and_patched(pair: Any, tmp_path: Path, packed: bool) -> None:
    value = Random(1).randbytes(WINDOW_SIZE) + b"y" * (5 * WINDOW_SIZE)
    stored = b"\x00" + string(b"k") + (lzf_string(lzf(value), len(value)) if packed else string(value))
    a, b = pair(set_commands("a"), make_rdb(stored, *strings("l")))
    patch = tmp_path / "patch"
    lines = aofdoctor("diff", a, b, "--patch", patch, "--json").lines
    assert [line["keys"] for line in lines if line["type"] == "only"] == [["a"], ["k"], ["l"]]
    assert lines[-1]["only_b"] == 2
    assert patch.read_bytes() == encode_command([b"SELECT", b"0"]) + encode_command(
        [b"SET", b"k", value]
    ) + set_commands("l")


def test_the_database_and_the_expiry_count(pair: Any) -> None:
    key = strings("k")
    assert aofdoctor("diff", *pair(make_rdb(*key), make_rdb(select_db(3), *key))).status == 1
    assert aofdoctor("diff", *pair(make_rdb(select_db(3), *key), SELECT_3 + set_commands("k"))).status == 0
    assert aofdoctor("diff", *pair(make_rdb(string_key(b"k", b"1", 5)), make_rdb(*key))).status == 1
    expires = encode_command([b"PEXPIREAT", b"k", b"5"])
    assert aofdoctor("diff", *pair(make_rdb(string_key(b"k", b"1", 5)), set_commands("k") + expires)).status == 0


# -- what no command says, and damage --


def test_values_without_commands_are_compared_as_bytes_and_named(pair: Any, tmp_path: Path) -> None:
    a, b = pair(
        make_rdb(*strings("s"), module_key(b"m", b"one")),
        make_rdb(*strings("s"), module_key(b"m", b"two"), *strings("t")),
    )
    result = aofdoctor("diff", a, b)
    assert result.status == 1 and result.out.count("key m: a value of the module type unknown-t") == 2
    opaque = [line for line in aofdoctor("diff", a, b, "--json").lines if line["type"] == "opaque"]
    assert {line["side"]: line["size"] for line in opaque} == dict.fromkeys("ab", len(module_key(b"m", b"one")))
    assert all(line["kind"] == "rdb" and line["what"].startswith("key m: ") for line in opaque)
    patch = tmp_path / "patch"
    refused = aofdoctor("diff", a, b, "--patch", patch)
    assert refused.status == 3 and "key m" in refused.err and not patch.exists()
    assert aofdoctor("diff", a, b, "--key", "s").status == 0


def test_template_hashes_are_exported_from_any_key_on(pair: Any, tmp_path: Path) -> None:
    """Redis 8.10: their field names stand before the keys."""
    body = template(70, b"name", b"mail")
    keys = [b"\x20" + string(b"h%d" % n) + length(70) + string(b"Ann") + string(b"mail %d" % n) for n in range(50)]
    other = [*keys[:20], b"\x20" + string(b"h20") + length(70) + string(b"Bob") + string(b"b@c"), *keys[21:]]
    a, b = pair(make_rdb(body, *keys, magic=b"REDIS0015"), make_rdb(body, *other, magic=b"REDIS0015"))
    lines = [line for line in aofdoctor("diff", a, b, "--json").lines if line["type"] == "only"]
    assert [(line["side"], line["keys"]) for line in lines] == [("a", ["h20"]), ("b", ["h20"])]
    commands = b"".join(
        encode_command([b"HMSET", b"h%d" % n, b"name", b"Ann", b"mail", b"mail %d" % n]) for n in range(50)
    )
    path, patch = tmp_path / "commands.aof", tmp_path / "patch"
    path.write_bytes(commands)
    assert aofdoctor("diff", a, path).out.startswith("no difference: 50 commands")
    assert aofdoctor("diff", path, b, "--patch", patch).status == 1
    assert commands_of(patch)[1:] == [[b"HMSET", b"h20", b"name", b"Bob", b"mail", b"b@c"]]


def test_a_compressed_rdb_is_compared_as_it_is(pair: Any, tmp_path: Path) -> None:
    whole = make_rdb(*strings("a", "b"), magic=b"VALKEY080")
    a, b = pair(compress_rdb(whole, "LZ4") + set_commands("c"), whole + set_commands("c"))
    assert aofdoctor("diff", a, a).status == 0
    for one, two in ((a, b), (b, a)):
        lines = aofdoctor("diff", one, two, "--json").lines
        assert [line["what"] for line in lines if line["type"] == "opaque"] == ["an RDB compressed by LZ4"]
        assert lines[-1]["same"] == 1
    patch = tmp_path / "patch"
    refused = aofdoctor("diff", b, a, "--patch", patch)
    assert refused.status == 3 and "compressed by LZ4" in refused.err and not patch.exists()


def test_a_truncated_rdb_is_exported_up_to_its_end(pair: Any) -> None:
    whole = make_rdb(*strings("a", "b", "c"))
    torn = whole[: whole.index(b"\x01c") + 3]
    lines = aofdoctor("diff", *pair(torn, whole), "--json").lines
    opaque = [(line["side"], line["offset"], line["size"]) for line in lines if line["type"] == "opaque"]
    start = whole.index(b"\x00\x01c")
    assert opaque == [("a", start, len(torn) - start)]
    assert [line["keys"] for line in lines if line["type"] == "only"] == [["c"]]
    assert lines[-1]["same"] == 2


def test_a_wrong_checksum_is_a_difference_of_its_own(pair: Any) -> None:
    whole = make_rdb(*strings("a", "b"))
    wrong = whole[:-1] + bytes([whole[-1] ^ 1])
    lines = aofdoctor("diff", *pair(whole, wrong), "--json").lines
    assert [(line["type"], line.get("side")) for line in lines[1:-1]] == [("opaque", "b")]
    assert "checksum" in lines[1]["what"]
    assert lines[-1]["same"] == 2


# -- another order --


def test_keys_in_another_order_have_moved(pair: Any) -> None:
    names = [f"k{n}" for n in range(50)]
    other = Random(5).sample(names, len(names))
    found = summary(*pair(make_rdb(*strings(*names)), make_rdb(*strings(*other))))
    assert (found["only_a"], found["only_b"], found["same"] + found["moved"], found["unlike"]) == (0, 0, 50, False)


def test_an_element_that_is_written_again_is_compared_in_its_order(pair: Any) -> None:
    base = make_rdb(b"\x10" + string(b"h") + string(listpack([b"f", b"1", b"g", b"1"])))
    again, other = encode_command([b"HSET", b"h", b"f", b"5"]), encode_command([b"HMSET", b"h", b"g", b"1", b"f", b"1"])
    for a, b in (pair(base + again, other + again), pair(other + again, base + again)):
        assert aofdoctor("diff", a, b).out.startswith("no difference: 2 commands on both sides")
    for tail in (again, b""):
        found = summary(*pair(base + again, again + other + tail))
        assert not found["equal"] and found["only_a"] + found["only_b"] > 0


def test_a_flush_after_one_of_two_bases_is_all_that_differs(pair: Any) -> None:
    values = [b"%d" % n for n in range(150)]
    other = make_rdb(collection_key(b"s", *Random(5).sample(values, len(values))))
    found = summary(*pair(make_rdb(collection_key(b"s", *values)), other + encode_command([b"FLUSHALL"])))
    assert (found["only_a"], found["only_b"], found["same"]) == (0, 1, 3)


def test_values_without_commands_move_with_their_key(pair: Any) -> None:
    keys = [module_key(b"m", b"x"), *strings("a", "b", "c")]
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
        make_rdb(*strings("a"), collection_key(b"s", *values), *strings("z")),
        make_rdb(*strings("a"), collection_key(b"s", *other), *strings("z")),
    )
    assert aofdoctor("diff", a, b).out.startswith("no difference: 5 commands on both sides")
    one, two = pair(make_rdb(collection_key(b"l", *values, kind=1)), make_rdb(collection_key(b"l", *other, kind=1)))
    assert aofdoctor("diff", one, two).status == 1
    less, _ = pair(make_rdb(*strings("a"), collection_key(b"s", *other[1:], b"x"), *strings("z")), b"")
    assert aofdoctor("diff", less, b).status == 1


def test_work_on_unrelated_orders_grows_as_the_keys_do(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each key is told twice at the most to be compared, and is in two windows at the most."""
    monkeypatch.setattr(engine, "WINDOW_UNITS", 64)
    exports, compared = [0], [0]
    add, find = diff_told._CommandBuffer.add, matching_blocks

    def counted_add(self: Any, rdb_command: Any, command: Any) -> None:
        exports[0] += 1
        add(self, rdb_command, command)

    def counted_find(a: Any, b: Any) -> Any:
        compared[0] += len(a) + len(b)
        return find(a, b)

    monkeypatch.setattr(diff_told._CommandBuffer, "add", counted_add)
    monkeypatch.setattr(engine, "matching_blocks", counted_find)
    for size in (500, 2000, 8000):
        exports[0] = compared[0] = 0
        names = [f"k{n}" for n in range(size)]
        datas = [make_rdb(*strings(*Random(seed).sample(names, size))) for seed in (1, 2)]
        diff = CommandDiff(*(Side(memory_aof(data), ComparisonRules.create(DIGEST_KEY, False)) for data in datas))
        assert list(diff.events()) and diff.totals.mostly_unrelated
        assert diff.totals.common_commands + diff.totals.moved_commands + diff.totals.only_commands[0] == size
        assert 2 * size <= exports[0] <= 4 * size
        assert compared[0] <= 8 * size


def test_a_key_of_many_commands_is_exported_once_more_however_many_spans_differ(
    pair: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    exports = [0]

    def counted(*args: Any) -> Any:
        for command in value_commands(*args):
            exports[0] += 1
            yield command

    monkeypatch.setattr(diff_base, "value_commands", counted)
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
        make_rdb(collection_key(b"s", *one), *strings(*names)), make_rdb(*strings(*names), collection_key(b"s", *other))
    )
    exports[0] = 0
    found = summary(c, d)
    assert (found["only_a"], found["only_b"], found["moved"]) == (0, 0, chunks)
    assert exports[0] <= 10 * (chunks + 100)


def test_bases_of_unrelated_orders_are_pointed_to_keys(pair: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "WINDOW_UNITS", 64)
    names = [f"k{n}" for n in range(1000)]
    a, b = pair(*(make_rdb(*strings(*Random(seed).sample(names, 1000))) for seed in (1, 2)))
    assert "--by keys" in aofdoctor("diff", a, b).out.splitlines()[2]


def test_equal_bytes_of_bases_are_not_exported(pair: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """One key differs far in, and far from it all is the same byte for byte again."""
    monkeypatch.setattr(engine, "WINDOW_UNITS", 64)
    monkeypatch.setattr(engine, "_RECHECK_AFTER", 100)
    monkeypatch.setattr(diff_told, "_ROOM", 64)
    names = [f"k{n:05}" for n in range(20_000)]
    one, two = strings(*names), strings(*names)
    two[9000] = string_key(b"k09000", b"2")
    a, b = pair(make_rdb(*one), make_rdb(*two, aux=[(b"ctime", b"1700000000")]))
    found = summary(a, b)
    assert (found["only_a"], found["only_b"]) == (1, 1)
    assert found["same"] < 2000
    assert found["same"] + found["same_keys"] + 1 == 20_000
    shown = [line for line in aofdoctor("diff", a, b).out.splitlines() if "(base)" in line]
    names = [line.partition("string ")[2].split()[0] for line in shown]
    assert names == ["k08997", "k08998", "k08999", "k09000", "k09000"]


def test_fixtures_equal_themselves_and_their_commands(tmp_path: Path) -> None:
    judged = 0
    for path in sorted((FIXTURES / "rdb").glob("*.rdb")):
        patch, empty = tmp_path / f"{path.stem}.patch", tmp_path / "empty.aof"
        empty.write_bytes(encode_command([b"PING"]))
        assert aofdoctor("diff", path, path).status == 0, path
        result = aofdoctor("diff", empty, path, "--patch", patch)
        if result.status == 1:
            assert aofdoctor("diff", path, patch).status == 0, path
            judged += 1
    assert judged > 50
