"""convert with keys that occur more than once: refused, or one value is kept, never a merge of several."""

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from aofdoctor.rdb.duplicate_keys import find_duplicate_keys
from aofdoctor.rdb.preamble import walk_rdb
from aofdoctor.source import BytesSource, FileSource
from tests.conftest import aofdoctor
from tests.support.conversions import convert, key_counts
from tests.support.rdb_files import collection_key, make_rdb, module_key, select_db, string_key

LIST = 1
TWICE = make_rdb(
    string_key(b"a", b"1"), collection_key(b"l", b"x", b"y", b"z", kind=LIST), string_key(b"b", b"2"),
    collection_key(b"l", b"p", b"q", kind=LIST), select_db(3), string_key(b"l", b"another database"), magic=b"REDIS0009",
)  # fmt: skip


def test_a_key_twice_is_refused_and_named(tmp_path: Path) -> None:
    (tmp_path / "a.rdb").write_bytes(TWICE)
    for words in (["--base", "resp"], ["--base", "rdb", "--rdb-version", 9], ["--shift-ttl", "1h"]):
        result = aofdoctor("convert", tmp_path / "a.rdb", *words, "-o", tmp_path / "out")
        assert result.status == 3 and "more than once (l)" in result.err and not (tmp_path / "out").exists()


def test_one_value_is_kept_and_the_others_are_listed(tmp_path: Path) -> None:
    (tmp_path / "a.rdb").write_bytes(TWICE)
    for which, elements in (("first", [b"x", b"y", b"z"]), ("last", [b"p", b"q"])):
        for words, name in ((["resp"], "out.aof"), (["rdb", "--rdb-version", "9"], "out.rdb")):
            out = tmp_path / f"{which}-{name}"
            report = convert(tmp_path / "a.rdb", "--base", *words, "--duplicates", which, "-o", out)
            assert [(entry["db"], entry["key"], len(entry["dropped"])) for entry in report["duplicates"]] == [
                (0, "l", 1)
            ]
            counts, found = key_counts(out, ask=lambda server: server.call("LRANGE", "l", "0", "-1"))
            assert counts == {0: 3, 3: 1} and found == elements


@given(st.lists(st.tuples(st.integers(0, 2), st.sampled_from([b"a", b"bb", b"17", b"x" * 70, b"-5"])), max_size=12))
def test_exactly_the_repeated_names_of_a_database_are_found(keys: list[tuple[int, bytes]]) -> None:
    data = make_rdb(*(select_db(db) + string_key(name, b"v") for db, name in keys))
    found = {(key.db, key.name): len(key.occurrences) for key in find_duplicate_keys(BytesSource(data), len(keys))}
    assert found == {key: keys.count(key) for key in keys if keys.count(key) > 1}


def test_many_keys_without_a_duplicate(tmp_path: Path) -> None:
    data = make_rdb(*(string_key(b"key:%d" % i, b"v") for i in range(20_000)), string_key(b"key:777", b"w"))
    assert [key.name for key in find_duplicate_keys(BytesSource(data), None)] == [b"key:777"]
    assert [key.name for key in find_duplicate_keys(BytesSource(data), 1)] == [b"key:777"]


def test_modules_are_refused_left_out_or_kept(tmp_path: Path) -> None:
    (tmp_path / "a.rdb").write_bytes(make_rdb(string_key(b"a", b"1"), module_key(b"m", b"v"), magic=b"REDIS0009"))
    words = "convert", tmp_path / "a.rdb", "--base", "rdb", "--rdb-version", 9
    refused = aofdoctor(*words, "-o", tmp_path / "no.rdb")
    assert refused.status == 3 and "unknown-t" in refused.err
    convert(*words[1:], "--lossy", "-o", tmp_path / "out.rdb")
    assert key_counts(tmp_path / "out.rdb") == {0: 1}
    convert(*words[1:], "--keep-modules", "-o", tmp_path / "kept.rdb")
    assert walk_rdb(FileSource(tmp_path / "kept.rdb")).key_count == 2


def test_a_form_that_is_there_already_is_no_error(tmp_path: Path) -> None:
    commands = b"*3\r\n$3\r\nSET\r\n$1\r\na\r\n$1\r\n1\r\n"
    (tmp_path / "a.aof").write_bytes(commands)
    for number, words in enumerate(
        (["--base", "resp"], ["--layout", "single"], ["--base", "resp", "--layout", "single"])
    ):
        convert(tmp_path / "a.aof", *words, "-o", tmp_path / f"{number}.aof")
        assert (tmp_path / f"{number}.aof").read_bytes() == commands
    convert(tmp_path / "a.aof", "--layout", "multi-part", "-o", tmp_path / "set")
    convert(tmp_path / "set", "--layout", "multi-part", "-o", tmp_path / "again")
    assert sorted(path.name for path in (tmp_path / "again").iterdir()) == sorted(
        path.name for path in (tmp_path / "set").iterdir()
    )


def test_member_expiries_of_keydb_are_listed(tmp_path: Path) -> None:
    def aux(name: bytes, value: bytes) -> bytes:
        return b"\xfa" + bytes([len(name)]) + name + bytes([len(value)]) + value

    data = make_rdb(
        aux(b"mvcc-tstamp", b"17"), collection_key(b"s", b"a", b"b"), aux(b"keydb-subexpire-key", b"a"),
        aux(b"keydb-subexpire-when", b"1999999999999"), aux(b"mvcc-tstamp", b"18"), string_key(b"k", b"v"),
        magic=b"REDIS0009",
    )  # fmt: skip
    (tmp_path / "a.rdb").write_bytes(data)
    assert aofdoctor("check", tmp_path / "a.rdb").status == 0
    for words, out in ((["resp"], "out.aof"), (["rdb", "--rdb-version", "9"], "out.rdb")):
        report = convert(tmp_path / "a.rdb", "--base", *words, "-o", tmp_path / out)
        assert any("member a of key s, db 0" in note for note in report["notes"])
        assert key_counts(tmp_path / out) == {0: 2}
    assert b"mvcc" not in (tmp_path / "out.rdb").read_bytes()
