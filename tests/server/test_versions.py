"""The table of server versions agrees with commands.json, and names what each version writes and reads."""

import pytest

from aofdoctor.rdb.capabilities import ALL_CAPABILITIES, Capabilities
from aofdoctor.server.command_table import command_table
from aofdoctor.server.versions import (
    DEFAULT_VERSIONS,
    RDB_VERSIONS_WRITTEN,
    VERSIONS,
    command_sets,
    is_newer_than_table,
    nearest_version,
    newest_version,
    rdb_writer,
    table_column,
    versions_reading_rdb,
    writer_magic,
)


def test_the_columns_of_commands_json_are_those_of_the_table() -> None:
    assert command_table().versions == command_sets()
    assert {table_column(version) for version in VERSIONS.values()} == set(range(len(command_sets())))
    assert set(DEFAULT_VERSIONS) <= set(VERSIONS)


@pytest.mark.parametrize("name", VERSIONS)
def test_a_version_reads_the_rdb_that_it_writes(name: str) -> None:
    version = VERSIONS[name]
    if version.rdb_versions:
        assert version.rdb_written == version.rdb_versions[-1]
        assert version in versions_reading_rdb(*version.rdb_written)
    assert (version.rdb_written[1] in RDB_VERSIONS_WRITTEN) != version.is_announced


@pytest.mark.parametrize("name", VERSIONS)
def test_newer_versions_lose_no_capability(name: str) -> None:
    version = VERSIONS[name]
    older = [other for other in VERSIONS.values() if other.rdb_written < version.rdb_written]
    assert all(has <= had for other in older for has, had in zip(other.capabilities, version.capabilities, strict=True))
    has_streams = version.newest_rdb_type >= 15
    assert version.capabilities.has_streams == has_streams


def test_the_newest_versions_have_every_capability() -> None:
    assert VERSIONS[newest_version("redis")].capabilities == ALL_CAPABILITIES
    assert VERSIONS[newest_version("valkey")].capabilities == ALL_CAPABILITIES
    assert VERSIONS["redis-2.6"].capabilities == Capabilities()


def test_the_writer_of_an_rdb_is_known_from_its_aux_fields() -> None:
    assert rdb_writer({b"redis-ver": b"7.2.4"}) == ("Redis 7.2.4", "redis-7.2")
    assert rdb_writer({b"redis-ver": b"255.255.255"}) == rdb_writer({}) == ("", "")
    assert writer_magic({b"valkey-ver": b"9.1.0"}) == b"VALKEY080"
    assert writer_magic({b"redis-ver": b"6.2.7"}) == b"REDIS0009"
    assert writer_magic({b"redis-ver": b"3.2.1"}) == writer_magic({b"redis-ver": b"6.9.1"}) == b""


def test_a_release_without_a_row_is_represented_by_the_next_newer_one() -> None:
    assert nearest_version("redis", 3, 0) == "redis-3.2"
    assert nearest_version("redis", 99, 0) == newest_version("redis")


def test_announced_versions_represent_no_release() -> None:
    assert [name for name, version in VERSIONS.items() if version.is_announced] == ["redis-8.12", "valkey-9.2"]
    assert nearest_version("redis", 8, 12) == newest_version("redis") == "redis-8.10"
    assert is_newer_than_table("Redis 8.12.0") and is_newer_than_table("Valkey 9.2.0")
    assert not is_newer_than_table("Redis 8.10.9") and not is_newer_than_table("")
