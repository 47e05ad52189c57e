"""Every RDB of the corpus: our commands make the state that loading it makes, by a real server's digest."""

from pathlib import Path

import pytest

from aofdoctor.errors import SandboxError
from aofdoctor.rdb.encoding.cursor import Cursor
from aofdoctor.rdb.preamble import is_rdb, walk_rdb
from aofdoctor.rdb.values.decoders import SortedSetMember, elements, type_name
from aofdoctor.source import BytesSource, FileSource, pread
from tests.rdb.test_values import loading, only_known, without
from tests.support.corpus import ROOT
from tests.support.key_descriptions import dataset_digest, describe_by_server, library_codes
from tests.support.key_places import Key, iter_keys
from tests.support.rdb_loading import digest_server, export_commands, feed_commands
from tests.support.servers import servers_by_line

pytestmark = pytest.mark.skipif(ROOT is None, reason="AOFDOCTOR_CORPUS names no corpus")
SMALL = 400_000  # larger ones hold hundreds of thousands of strings: the same thing again


def rdbs() -> dict[bytes, Path]:
    """The RDBs of the corpus that are not damaged, one of each content: bases, dumps, and what stands before an AOF."""
    assert ROOT is not None
    paths = [*ROOT.rglob("*.base.rdb"), *ROOT.rglob("rdb-assets/**/*.rdb"), *ROOT.rglob("appendonly.aof")]
    found = {}
    for path in paths:
        source = FileSource(path)
        if "damage" in str(path) or not is_rdb(source):
            continue
        rdb = walk_rdb(source)
        if rdb.complete and rdb.end < SMALL:
            found[pread(source, rdb.end, 0)] = path
    return found


def test_every_rdb_of_other_projects_is_read_to_its_end() -> None:
    assert ROOT is not None
    walked = {path.name: walk_rdb(FileSource(path)) for path in (ROOT / "rdb-assets").rglob("*.rdb")}
    assert len(walked) > 90 and all(rdb.complete for rdb in walked.values())
    # An opcode of Redis Enterprise alone, whose byte is a letter: its end is found by the checksum, and it is named.
    unread = {name: rdb.note for name, rdb in walked.items() if rdb.key_count is None}
    assert list(unread) == ["redis_ent_opcode_ram_lru.rdb"] and "type 107" in unread["redis_ent_opcode_ram_lru.rdb"]


def negative_zero(data: bytes) -> bool:
    """True if a score is -0: a digest tells it from 0, and ZADD does not make it since 7.0."""
    source = BytesSource(data)
    cursor = Cursor(source)
    scored = [key.value for key in iter_keys(source) if isinstance(key, Key) and type_name(key.value) == "zset"]
    parts = [part for value in scored for part in elements(cursor, value)]
    return any(isinstance(part, SortedSetMember) and repr(part.score) == "-0.0" for part in parts)


def describe_values(running: object) -> list[object]:
    keys = describe_by_server(running, digests=False)  # type: ignore[arg-type]
    only_known([key for key in keys if key["type"] == "stream"])
    return list(without(keys, *([] if running.binary.version >= (7, 0, 0) else ["expire_ms"])))  # type: ignore[attr-defined]


@pytest.mark.parametrize("line", sorted(servers_by_line()))
def test_commands_make_what_loading_makes(line: str) -> None:
    binary, compared, unsaid = servers_by_line()[line], 0, []
    with digest_server(binary) as fed:
        for data, path in rdbs().items():
            if line not in loading(data):
                continue
            try:
                with digest_server(binary, data) as loaded:
                    expected = (describe_values(loaded), library_codes(loaded), dataset_digest(loaded))
            except SandboxError:
                continue  # it has a module's values, or is broken in a way of its own
            commands, lost, broken = export_commands(data, line)
            unsaid += [(path, lost, broken)] if lost or broken else []
            fed.client.pipeline([("FLUSHALL",)] + ([("FUNCTION", "FLUSH")] if binary.version >= (7, 0, 0) else []))
            feed_commands(fed, commands)
            got = (describe_values(fed), library_codes(fed), dataset_digest(fed))
            same = 2 if negative_zero(data) else 3
            assert got[:same] == expected[:same], path
            compared += 1
    print(line, compared)
    assert compared > 10
    assert unsaid == []
