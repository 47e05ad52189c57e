"""A selection by keys names each command that uses both selected and other keys."""

from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from aofdoctor.resp import encode_command
from tests.conftest import aofdoctor
from tests.support.base_keys import BASE

KEYS = st.sampled_from([b"in:1", b"in:2", b"out:1", b"out:2"])
COMMANDS = st.one_of(
    st.tuples(st.just(b"SET"), KEYS, st.just(b"v")),
    st.tuples(st.sampled_from([b"DEL", b"RENAME", b"COPY", b"SUNIONSTORE", b"RPOPLPUSH", b"PFMERGE"]), KEYS, KEYS),
    st.tuples(st.just(b"MSET"), KEYS, st.just(b"in:v"), KEYS, st.just(b"out:v")),
    st.tuples(st.just(b"ZUNIONSTORE"), KEYS, st.just(b"1"), KEYS),
    st.tuples(st.just(b"EVAL"), st.just(b"return 1"), st.just(b"2"), KEYS, KEYS),
)
VALUES = (b"v", b"in:v", b"out:v", b"1", b"2", b"return 1")


def is_mixed(command: tuple[bytes, ...]) -> bool:
    keys = [arg for arg in command[1:] if arg not in VALUES]
    return 0 < sum(key.startswith(b"in:") for key in keys) < len(keys)


@settings(max_examples=60)
@given(st.lists(COMMANDS, min_size=1, max_size=12))
def test_all_mixed_commands_are_named(tmp_path_factory: object, commands: list[tuple[bytes, ...]]) -> None:
    path = Path(tmp_path_factory.mktemp("a"), "a.aof")  # type: ignore[attr-defined]
    select = encode_command([b"SET", b"in:1", b"v"])
    path.write_bytes(select + b"".join(encode_command(list(command)) for command in commands))
    expected = sum(map(is_mixed, commands))
    for verb in ("slice", "strip"):
        for invert in ([], ["--invert"]):
            result = aofdoctor(verb, path, "--key", "in:*", *invert, "--json")
            if result.status == 0:
                assert result.json.get("mixed_commands", {"count": 0})["count"] == expected


def test_a_kept_command_that_reads_other_keys_is_marked(tmp_path: Path) -> None:
    path = tmp_path / "a.aof"
    path.write_bytes(
        encode_command([b"SET", b"tmp", b"v"]) + encode_command([b"RENAME", b"tmp", b"in:1"])
        + encode_command([b"MSET", b"in:2", b"1", b"out", b"2"])
    )  # fmt: skip
    result = aofdoctor("slice", path, "--key", "in:*", "--json")
    assert [c["reads_other_keys"] for c in result.json["mixed_commands"]["commands"]] == [True, False]
    assert "1 of them reads keys that the result may lack" in aofdoctor("slice", path, "--key", "in:*").out


def test_a_selection_without_keys_has_no_mixed_commands(tmp_path: Path) -> None:
    path = tmp_path / "a.aof"
    path.write_bytes(encode_command([b"RENAME", b"a", b"b"]))
    assert "mixed_commands" not in aofdoctor("strip", path, "--cmd", "rename", "--json").json


def test_commands_between_a_selected_database_and_another_are_named(tmp_path: Path) -> None:
    path = tmp_path / "a.aof"
    commands = [
        [b"SET", b"k", b"v"], [b"MOVE", b"k", b"3"], [b"SET", b"k", b"v"], [b"COPY", b"k", b"c", b"DB", b"3"],
        [b"COPY", b"k", b"c", b"DB", b"2"], [b"SWAPDB", b"0", b"3"], [b"SELECT", b"3"], [b"SET", b"z", b"1"],
    ]  # fmt: skip
    path.write_bytes(b"".join(map(encode_command, commands)))
    for verb in ("slice", "strip"):
        found = aofdoctor(verb, path, "--db", "3", "--json").json["cross_database_commands"]
        assert [(c["cmd"], c["from_db"], c["to_db"]) for c in found["commands"]] == [
            ("MOVE", 0, 3), ("COPY", 0, 3), ("SWAPDB", 0, 3),
        ]  # fmt: skip
        assert "3 commands use a selected database and another one" in aofdoctor(verb, path, "--db", "3").out


def test_positions_are_those_of_the_file_after_an_rdb(tmp_path: Path) -> None:
    path = tmp_path / "a.aof"
    path.write_bytes(BASE + encode_command([b"SET", b"in:1", b"v"]) + encode_command([b"RENAME", b"x", b"in:2"]))
    for verb in ("slice", "strip"):
        (found,) = aofdoctor(verb, path, "--key", "in:*", "--json").json["mixed_commands"]["commands"]
        assert path.read_bytes()[found["start"] : found["end"]] == encode_command([b"RENAME", b"x", b"in:2"])
