"""How diff shows, counts and selects the keys of an RDB base."""

from pathlib import Path
from typing import Any

from tests.conftest import FIXTURES, aofdoctor
from tests.support.diffs import commands_of, diff_summary, set_commands, string_keys
from tests.support.rdb_files import collection_key, make_rdb, module_key, select_db, string_key


def test_a_key_is_shown_as_the_history_with_its_base_shows_it(pair: Any) -> None:
    a, b = pair(
        make_rdb(*string_keys("same", "user:1")),
        make_rdb(*string_keys("same"), collection_key(b"user:2", b"x", b"y"), aux=[(b"ctime", b"1700000000")]),
    )
    shown = aofdoctor("diff", a, b).out.splitlines()
    log_a, log_b = (aofdoctor("log", path, "--base").out.splitlines() for path in (a, b))
    assert [line for line in shown if line[:2] in ("- ", "+ ")] == ["- " + log_a[1], "+ " + log_b[1]]
    assert "  " + log_a[0] in shown
    lines = [line for line in aofdoctor("diff", a, b, "--json").lines if line["type"] == "only"]
    for line, path in zip(lines, (a, b), strict=True):
        expected = aofdoctor("log", path, "--base", "--json").lines[1]
        assert line == expected | {"type": "only", "side": path.name[0], "key_type": expected["type"]}
    fork = diff_summary(a, b)["fork"]
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
        make_rdb(collection_key(b"u:1", *many[1:]), select_db(3), *string_keys("v:1")),
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
    a, b = pair(make_rdb(*string_keys("a", "b")) + set_commands("c", "x"), set_commands("a", "b", "c", "y"))
    lines = aofdoctor("diff", a, b, "--json").lines
    assert [(line["keys"], line["n"]) for line in lines if line["type"] == "only"] == [(["x"], 2), (["y"], 4)]
    assert (lines[0]["a"]["n"], lines[0]["b"]["n"], lines[-1]["same"]) == (2, 4, 3)


def test_selections_mean_keys_of_a_base_as_in_the_history(pair: Any) -> None:
    a, b = pair(make_rdb(*string_keys("user:1", "x:1")), make_rdb(select_db(3), *string_keys("user:2", "y:1")))
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
            *string_keys("a", "user:1"),
            select_db(3),
            string_key(b"user:2", b"v", 4102444800000),
            module_key(b"m", b"x"),
        ),
    )
    patch = tmp_path / "patch"
    assert aofdoctor("diff", a, b, "--patch", patch, "--key", "user:*").status == 1
    assert commands_of(patch) == [
        [b"SELECT", b"0"], [b"SET", b"user:1", b"1"],
        [b"SELECT", b"3"], [b"SET", b"user:2", b"v"], [b"PEXPIREAT", b"user:2", b"4102444800000"],
    ]  # fmt: skip
