"""RDB values: the decoded values equal those that the server reported, and the exported commands rebuild them."""

import json
from pathlib import Path
from typing import Any

import rdb

from aofdoctor.rdb.encoding.cursor import Cursor
from aofdoctor.server.versions import VERSIONS
from aofdoctor.source import BytesSource
from tests.support.key_descriptions import (
    Described,
    dataset_digest,
    describe_by_decoder,
    describe_by_server,
    drop_guessed_stream_fields,
    library_codes,
    score_text,
    to_text,
    without_fields,
)
from tests.support.rdb_files import RDB_FIXTURES, Function, Key, each_rdb_fixture, iter_keys
from tests.support.rdb_loading import digest_server, export_commands, feed_commands, lines_that_load_rdb
from tests.support.servers import servers_by_line


def read_description(path: Path) -> Any:
    return json.loads(path.with_suffix(".json").read_text())


def decode_keys(data: bytes) -> list[Described]:
    source = BytesSource(data)
    cursor = Cursor(source)
    read = [describe_by_decoder(cursor, key) for key in iter_keys(source) if isinstance(key, Key)]
    return sorted(read, key=lambda key: (key["db"], key["key"]))


@each_rdb_fixture
def test_values_are_read_as_their_server_reports_them(path: Path) -> None:
    expected = without_fields(read_description(path)["keys"], "encoding", "digest")
    got = decode_keys(path.read_bytes())
    for key in expected + got:
        if key["type"] == "stream" and path.stem.startswith("stream-"):
            key["value"].update(max_deleted=None, added=None)
    assert got == expected


@each_rdb_fixture
def test_functions_are_read(path: Path) -> None:
    source = BytesSource(path.read_bytes())
    cursor, read = Cursor(source), []
    for key in iter_keys(source):
        if isinstance(key, Function):
            cursor.seek(key.offset)
            read.append(to_text(cursor.string()))
    assert read == read_description(path)["functions"]


def test_the_fixtures_hold_every_type_that_servers_at_hand_write() -> None:
    kinds = {
        (key.value.dialect, key.value.type)
        for path in RDB_FIXTURES
        for key in iter_keys(BytesSource(path.read_bytes()))
        if isinstance(key, Key)
    }
    assert {kind for _, kind in kinds} == {0, 2, 4, 5, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 24, 25}
    assert ("valkey", 22) in kinds


@each_rdb_fixture
def test_rdb_py_reads_the_same_values(path: Path) -> None:
    if path.stem.endswith("valkey80"):
        return  # rdb-py reads only Redis's dialect.
    theirs: list[Any] = []
    db = 0
    items: Any = rdb.RdbDecoder(str(path))
    for item in items:
        db = item["db"] if item["type"] == "select_db" else db
        if item["type"] in _THEIRS:
            kind, value = _THEIRS[item["type"]](item)
            theirs.append(
                {"db": db, "key": to_text(item["key"]), "type": kind, "expire_ms": item["expiry"], "value": value}
            )
    ours = [key for key in decode_keys(path.read_bytes()) if key["type"] != "stream"]
    for key in ours:
        if key["type"] == "hash":
            key["value"] = [[name, value] for name, value, _ in key["value"]]
    assert ours == sorted(theirs, key=lambda key: (key["db"], key["key"]))


_THEIRS: dict[str, Any] = {
    "string": lambda item: ("string", to_text(item["value"])),
    "list": lambda item: ("list", list(map(to_text, item["values"]))),
    "set": lambda item: ("set", sorted(map(to_text, item["members"]))),
    "sorted_set": lambda item: ("zset", sorted([to_text(m), score_text(s)] for s, m in item["values"])),
    "hash": lambda item: ("hash", sorted([to_text(f), to_text(v)] for f, v in item["values"].items())),
}


@each_rdb_fixture
def test_exported_commands_give_the_state_of_loading_the_rdb(path: Path) -> None:
    data = path.read_bytes()
    lines = lines_that_load_rdb(data)
    assert lines
    for line in lines:
        commands, lost, broken = export_commands(data, line)
        assert (lost, broken) == ([], [])
        with digest_server(servers_by_line()[line], data) as loaded, digest_server(servers_by_line()[line]) as fed:
            feed_commands(fed, commands)
            expected, got = describe_by_server(loaded), describe_by_server(fed)
            if path.stem.startswith("stream-"):
                drop_guessed_stream_fields(expected)
                drop_guessed_stream_fields(got)
            assert without_fields(got, "encoding") == without_fields(expected, "encoding")
            assert dataset_digest(fed) == dataset_digest(loaded)
            assert library_codes(fed) == library_codes(loaded)


@each_rdb_fixture
def test_commands_for_any_version_give_the_values_that_it_supports(path: Path) -> None:
    data = path.read_bytes()
    for line, binary in servers_by_line().items():
        commands, lost, broken = export_commands(data, line)
        assert broken == []
        with digest_server(binary) as fed:
            feed_commands(fed, commands)
            got, expected = (
                describe_by_server(fed, digests=False),
                without_fields(read_description(path)["keys"], "encoding", "digest"),
            )
        for key in expected:
            if key["type"] == "hash" and not VERSIONS[line].capabilities.has_field_expiry:
                key["value"] = [[name, value, None] for name, value, _ in key["value"]]
        if path.stem.startswith("stream"):
            plain = not VERSIONS[line].capabilities.has_stream_counters or path.stem.startswith("stream-")
            for key in got + expected:
                drop_guessed_stream_fields([key])
                key["value"].update({"added": None} if plain else {})
        assert got == expected, line
        assert {item.description for item in lost} == expected_losses(path, line)


def expected_losses(path: Path, line: str) -> set[str]:
    target, losses = VERSIONS[line].capabilities, set()
    if path.stem.startswith("function-") and not target.has_functions:
        losses.add("a library of functions")
    if (
        any(time for key in read_description(path)["keys"] if key["type"] == "hash" for _, _, time in key["value"])
        and not target.has_field_expiry
    ):
        losses.add("when fields of a hash expire")
    streams = [key["value"] for key in read_description(path)["keys"] if key["type"] == "stream"]
    if not target.has_stream_counters and any(has_explicit_counters(value) for value in streams):
        losses.add("how many entries a stream had, and which went last")
    return losses


def has_explicit_counters(value: Described) -> bool:
    """Whether a stream has counters that its entries do not imply."""
    return value["added"] is not None and (value["added"] != len(value["entries"]) or value["max_deleted"] != "0-0")
