"""The server versions that can be judged or converted for: one row each, with everything that differs between them.

To add a version, add a row to VERSIONS and a column to commands.json (tests/tools/make_commands.py).  Sources: aof.c
(loadAppendOnlyFile, loadSingleAppendOnlyFile), rdb.c and rdb.h of the versions named, and the behaviour of real servers
(tests/corpus compares).
"""

import re
from dataclasses import dataclass, replace

from aofdoctor.rdb.capabilities import Capabilities
from aofdoctor.rdb.header import newest_type
from aofdoctor.server.command_table import command_table


@dataclass(frozen=True, slots=True)
class ServerVersion:
    """The properties of one release line, such as Redis 7.0: what its servers can load and write.

    `rdb_written` is the (dialect, version) of the RDBs that the servers save; the dialect is redis or valkey.
    `rdb_versions` holds, by dialect, the newest RDB version that they read as a base file or preamble; it is empty
    before 4.0.  `capabilities` are the commands that an RDB exported for them can use.  `command_set` names the column
    in commands.json.  `reads_manifest`: they load multi-part AOFs.  `skips_annotations`: they skip lines that begin
    with #. `header_max` is the size of their line buffer in bytes, with the final NUL. `has_load_truncated`: they have
    the option aof-load-truncated.  `reverts_multi` says when they truncate an AOF before an open MULTI: "never", at an
    "eof" between records, or "always".  `keeps_preamble`: a truncation right after the RDB keeps the RDB.
    `checks_arity`: a wrong number of arguments is an error, not a crash.  `is_announced`: there is no release yet, and
    the row holds what the developers have announced; it is judged only on request.
    """

    name: str
    rdb_written: tuple[str, int]
    rdb_versions: tuple[tuple[str, int], ...]
    capabilities: Capabilities
    command_set: str = ""
    reads_manifest: bool = True
    skips_annotations: bool = True
    header_max: int = 1024
    has_load_truncated: bool = True
    reverts_multi: str = "eof"
    keeps_preamble: bool = False
    checks_arity: bool = False
    is_announced: bool = False

    @property
    def title(self) -> str:
        """The name of the version for people: Redis 7.0."""
        product, _, version = self.name.partition("-")
        return f"{product.capitalize()} {version}"

    @property
    def newest_rdb_type(self) -> int:
        """The highest value type number in the RDBs that this version saves."""
        return newest_type(*self.rdb_written)

    def has_command(self, name: str) -> bool:
        """Whether this version has a command, by its lower-case name."""
        command = command_table().find_by_name(name)
        return command is not None and command.arity[table_column(self)] != 0

    @property
    def has_corrupt_tail_option(self) -> bool:
        """Whether this version has the option aof-load-corrupt-tail-max-size: Redis 8.4 and later."""
        return self.name.startswith("redis") and version_number(self.name) >= (8, 4)

    def newest_rdb(self, dialect: str) -> int:
        """Return the newest RDB version of a dialect (redis or valkey) that this server version reads; 0 if none."""
        return dict(self.rdb_versions).get(dialect, 0)


def _without_preamble(name: str, rdb: int, has_load_truncated: bool = True, command_set: str = "") -> ServerVersion:
    """Build the row of a Redis version before 4.0, to which an RDB at the start of an AOF is a format error."""
    return ServerVersion(
        name, ("redis", rdb), (), Capabilities(), command_set, reads_manifest=False, skips_annotations=False,
        header_max=128, has_load_truncated=has_load_truncated, reverts_multi="never",
    )  # fmt: skip


def _single_file(name: str, rdb: int, capabilities: Capabilities) -> ServerVersion:
    """Build the row of a Redis version from 4.0 to 6.2, with an AOF of one file that may begin with an RDB."""
    return ServerVersion(
        name, ("redis", rdb), (("redis", rdb),), capabilities,
        reads_manifest=False, skips_annotations=False, header_max=128,
    )  # fmt: skip


def _multi_part(name: str, rdb: int, capabilities: Capabilities) -> ServerVersion:
    """Build the row of a version since Redis 7.0: multi-part AOFs, annotations, a larger line buffer."""
    return ServerVersion(name, ("redis", rdb), (("redis", rdb),), capabilities)


def _valkey_9(name: str, rdb: int) -> ServerVersion:
    """Build the row of a version since Valkey 9.0, which writes RDBs of its own and reads those of Redis 7.2."""
    return ServerVersion(name, ("valkey", rdb), (("redis", 11), ("valkey", rdb)), _7_4)


_4_0 = Capabilities()
_5_0 = Capabilities(has_streams=True)
_6_2 = _5_0._replace(has_createconsumer=True)
_7_0 = _6_2._replace(has_stream_counters=True, has_functions=True)
_7_4 = _7_0._replace(has_field_expiry=True)

VERSIONS: dict[str, ServerVersion] = {
    version.name: version
    for version in (
        _without_preamble("redis-2.6", 6, has_load_truncated=False, command_set="redis-2.8"),
        _without_preamble("redis-2.8", 6),
        _without_preamble("redis-3.2", 7),
        _single_file("redis-4.0", 8, _4_0),
        _single_file("redis-5.0", 9, _5_0),
        _single_file("redis-6.0", 9, _5_0),
        _single_file("redis-6.2", 9, _6_2),
        _multi_part("redis-7.0", 10, _7_0),
        _multi_part("redis-7.2", 11, _7_0),
        _multi_part("redis-7.4", 12, _7_4),
        _multi_part("redis-8.0", 12, _7_4),
        _multi_part("redis-8.2", 12, _7_4),
        _multi_part("redis-8.4", 12, _7_4),
        _multi_part("redis-8.6", 13, _7_4),
        _multi_part("redis-8.8", 14, _7_4),
        _multi_part("redis-8.10", 15, _7_4),
        replace(_multi_part("redis-8.12", 16, _7_4), is_announced=True),
        _multi_part("valkey-7.2", 11, _7_0),
        _multi_part("valkey-8.0", 11, _7_0),
        _multi_part("valkey-8.1", 11, _7_0),
        _valkey_9("valkey-9.0", 80),
        replace(_valkey_9("valkey-9.1", 80), reverts_multi="always", keeps_preamble=True, checks_arity=True),
        replace(
            _valkey_9("valkey-9.2", 81), reverts_multi="always", keeps_preamble=True, checks_arity=True,
            is_announced=True,
        ),
    )
}  # fmt: skip

RDB_VERSIONS_WRITTEN = tuple(sorted({v.rdb_written[1] for v in VERSIONS.values() if not v.is_announced}))
# Judged unless the user names others, besides the writer's version and the server on PATH: the newest releases.
DEFAULT_VERSIONS = ("redis-8.10", "valkey-9.1")


def command_sets() -> tuple[str, ...]:
    """Return the names of the columns of commands.json in order: the versions with a command table of their own."""
    return tuple(dict.fromkeys(version.command_set or version.name for version in VERSIONS.values()))


def table_column(version: ServerVersion) -> int:
    """Return the index of a server version in the per-version lists of commands.json."""
    return command_table().versions.index(version.command_set or version.name)


def versions_reading_rdb(dialect: str, rdb_version: int) -> list[ServerVersion]:
    """Return the released server versions that read an RDB of this version as a base file or preamble.

    `dialect` is redis or valkey.  If no released version reads it, the announced ones that do are returned.
    """
    reading = [version for version in VERSIONS.values() if 0 < rdb_version <= version.newest_rdb(dialect)]
    return [version for version in reading if not version.is_announced] or reading


def rdb_writer(aux: dict[bytes, bytes]) -> tuple[str, str]:
    """Return (title, name in VERSIONS) of the server that wrote an RDB, from its AUX fields; empty if unknown."""
    product = "valkey" if b"valkey-ver" in aux else "redis"
    number = aux.get(f"{product}-ver".encode(), b"").decode("ascii", "replace")
    match = re.match(r"(\d{1,4})\.(\d{1,4})", number)
    if not match or match[1] == "255":
        return "", ""
    return f"{product.capitalize()} {number}", nearest_version(product, int(match[1]), int(match[2]))


def writer_magic(aux: dict[bytes, bytes]) -> bytes:
    """Return the RDB magic (REDIS0011, VALKEY080) that the server named in an RDB's AUX fields writes.

    It is empty if that server is not a version of VERSIONS.
    """
    title, _ = rdb_writer(aux)
    for version in VERSIONS.values():
        if version.rdb_versions and re.match(rf"{re.escape(version.title)}(\.|\Z)", title):
            dialect, number = version.rdb_written
            return b"VALKEY%03d" % number if dialect == "valkey" else b"REDIS%04d" % number
    return b""


def nearest_version(product: str, major: int, minor: int) -> str:
    """Return the name in VERSIONS that stands for a release: the same, the next newer, or the newest."""
    numbers = _releases_by_number(product)
    newer = [number for number in sorted(numbers) if number >= (major, minor)]
    return numbers[newer[0]] if newer else newest_version(product)


def newest_version(product: str) -> str:
    """Return the name in VERSIONS of the newest released version of a product, redis or valkey."""
    numbers = _releases_by_number(product)
    return numbers[max(numbers)]


def is_newer_than_table(title: str) -> bool:
    """Whether a server, such as "Redis 8.12.0", is newer than every released version of its product in VERSIONS."""
    match = re.match(r"(Redis|Valkey) (\d+)\.(\d+)", title)
    return match is not None and (int(match[2]), int(match[3])) > max(_releases_by_number(match[1].lower()))


def _releases_by_number(product: str) -> dict[tuple[int, int], str]:
    return {
        version_number(name): name
        for name, version in VERSIONS.items()
        if name.startswith(product) and not version.is_announced
    }


def version_number(name: str) -> tuple[int, int]:
    """Return (major, minor) of a name in VERSIONS such as redis-7.2."""
    major, _, minor = name.partition("-")[2].partition(".")
    return int(major), int(minor)
