"""The server lines that a verdict can be asked for: what differs between them when they load an AOF, as data.

Sources: aof.c (loadAppendOnlyFile, loadSingleAppendOnlyFile) and rdb.c of the
versions named, and what real servers did (tests/test_corpus.py compares).
"""

import re
from dataclasses import dataclass

from aofdoctor.server.command_table import command_table


@dataclass(frozen=True, slots=True)
class ServerVersion:
    """How the servers of one line load.

    `commands`: the line whose command table it has.  `multi_part`: reads a
    manifest.  `annotations`: skips lines that begin with #.  `header_max`: the
    size of the buffer that a header line is read into, its final NUL included.
    `load_truncated`: has that option.  `rdb`: the newest RDB version that it
    reads, by dialect.  `reverts`: when it cuts an open MULTI off as a whole:
    never, where the file ends between records (eof), or always.
    `keeps_preamble`: a cut right after the RDB leaves the RDB.
    `checks_arity`: a wrong number of arguments is an error, not a crash.
    """

    name: str
    command_set: str
    reads_manifest: bool
    skips_annotations: bool
    header_max: int
    has_load_truncated: bool
    rdb_versions: tuple[tuple[str, int], ...]
    reverts_multi: str
    keeps_preamble: bool = False
    checks_arity: bool = False

    @property
    def title(self) -> str:
        """Its name for people: Redis 7.0."""
        product, _, version = self.name.partition("-")
        return f"{product.capitalize()} {version}"

    def newest_rdb(self, dialect: str) -> int:
        """The newest RDB version of a dialect that it reads; 0 if none."""
        return dict(self.rdb_versions).get(dialect, 0)


def _single_file_version(
    name: str, rdb: int, reverts: str, load_truncated: bool = True, commands: str = ""
) -> ServerVersion:
    return ServerVersion(name, commands or name, False, False, 128, load_truncated, (("redis", rdb),), reverts)


def _multi_part_version(name: str, rdb: int) -> ServerVersion:
    return ServerVersion(name, name, True, True, 1024, True, (("redis", rdb),), "eof")


# The preamble came with 4.0: before it, an RDB at the head is a format error.
VERSIONS: dict[str, ServerVersion] = {
    line.name: line
    for line in (
        _single_file_version("redis-2.6", 0, "never", load_truncated=False, commands="redis-2.8"),
        _single_file_version("redis-2.8", 0, "never"),
        _single_file_version("redis-3.2", 0, "never"),
        _single_file_version("redis-4.0", 8, "eof"),
        _single_file_version("redis-5.0", 9, "eof"),
        _single_file_version("redis-6.0", 9, "eof"),
        _single_file_version("redis-6.2", 9, "eof"),
        _multi_part_version("redis-7.0", 10),
        _multi_part_version("redis-7.2", 11),
        _multi_part_version("redis-7.4", 12),
        _multi_part_version("redis-8.0", 12),
        _multi_part_version("redis-8.2", 12),
        _multi_part_version("valkey-7.2", 11),
        _multi_part_version("valkey-8.0", 11),
        ServerVersion(
            "valkey-9.1", "valkey-9.1", True, True, 1024, True, (("redis", 11), ("valkey", 80)), "always",
            keeps_preamble=True, checks_arity=True,
        ),
    )
}  # fmt: skip

# Judged where nobody names another: the first of the multi part servers, and the newest open one.
DEFAULT_VERSIONS = ("redis-7.0", "valkey-9.1")
COMMON_VERSIONS = ("redis-4.0", "redis-6.2", "redis-7.0", "redis-7.2", "redis-7.4", "valkey-8.0", "valkey-9.1")


def table_column(version: ServerVersion) -> int:
    """The place of a line in the lists of commands.json."""
    return command_table().versions.index(version.command_set)


def versions_reading_rdb(dialect: str, version: int) -> list[ServerVersion]:
    """The lines that read an RDB of that version as a base or preamble."""
    return [line for line in VERSIONS.values() if 0 < version <= line.newest_rdb(dialect)]


def rdb_writer(aux: dict[bytes, bytes]) -> tuple[str, str]:
    """(title, line) of the server that wrote an RDB, by its own words; empty where they do not say."""
    product = "valkey" if b"valkey-ver" in aux else "redis"
    version = aux.get(f"{product}-ver".encode(), b"").decode("ascii", "replace")
    match = re.match(r"(\d{1,4})\.(\d{1,4})", version)
    if not match or match[1] == "255":
        return "", ""
    return f"{product.capitalize()} {version}", nearest_version(product, int(match[1]), int(match[2]))


def writer_magic(aux: dict[bytes, bytes]) -> bytes:
    """How an RDB begins that its writer says it wrote; empty where that is of no line that is known here."""
    title, _ = rdb_writer(aux)
    for line in VERSIONS.values():
        if line.rdb_versions[-1][1] and re.match(rf"{re.escape(line.title)}(\.|\Z)", title):
            dialect, version = line.rdb_versions[-1]
            return b"VALKEY%03d" % version if dialect == "valkey" else b"REDIS%04d" % version
    return b""


def nearest_version(product: str, major: int, minor: int) -> str:
    """The line that stands for a version: its own, the next newer one, or the newest."""
    numbers = {_version_number(name): name for name in VERSIONS if name.startswith(product)}
    newer = [number for number in sorted(numbers) if number >= (major, minor)]
    return numbers[newer[0] if newer else max(numbers)]


def _version_number(name: str) -> tuple[int, int]:
    major, _, minor = name.partition("-")[2].partition(".")
    return int(major), int(minor)
