"""Load an RDB, and the commands that we export from it, into real servers."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from aofdoctor.errors import SandboxError
from aofdoctor.rdb.encoding.cursor import CorruptValue, Cursor, LargeString
from aofdoctor.rdb.export.command_args import Unsupported
from aofdoctor.rdb.export.commands import function_load_command, select_command, value_commands
from aofdoctor.server.sandbox import Sandbox, ServerBinary
from aofdoctor.server.versions import VERSIONS
from aofdoctor.source import BytesSource
from tests.support.rdb_files import Function, iter_keys
from tests.support.servers import servers_by_line

ExportResult = tuple[list[list[bytes]], list[Unsupported], list[CorruptValue]]


def export_commands(data: bytes, line: str) -> ExportResult:
    """Return (the commands for a release line, the unsupported values, the corrupt values)."""
    source = BytesSource(data)
    cursor, target, db = Cursor(source), VERSIONS[line].capabilities, 0
    items: list[list[bytes | LargeString] | Unsupported | CorruptValue] = []
    for key in iter_keys(source):
        if isinstance(key, Function):
            cursor.seek(key.offset)
            items.append(function_load_command(cursor.string(), target))
            continue
        if key.db != db:
            items.append(select_command(db := key.db))
        items += value_commands(cursor, key.value, key.name, key.expire_ms, target)
    exported = [
        [word.read() if isinstance(word, LargeString) else word for word in item]
        for item in items
        if isinstance(item, list)
    ]
    return (
        exported,
        [item for item in items if isinstance(item, Unsupported)],
        [item for item in items if isinstance(item, CorruptValue)],
    )


@contextmanager
def digest_server(binary: ServerBinary, rdb: bytes | None = None, options: Sequence[str] = ()) -> Iterator[Sandbox]:
    """Run an empty server, or one with an RDB, that accepts DEBUG DIGEST."""

    def prepare(folder: Path) -> None:
        if rdb is not None:
            (folder / "dump.rdb").write_bytes(rdb)

    debug = ["--enable-debug-command", "yes"] if binary.version >= (7, 0, 0) else []
    with Sandbox(binary, [*debug, *options], prepare, hide=(), timeout=60) as running:
        yield running


def load_dump(binary: ServerBinary, rdb: bytes) -> dict[str, int] | None:
    """Return the keys by database (db0 ...) of a server that loads an RDB as its dump; None if it refuses to start."""

    def prepare(folder: Path) -> None:
        (folder / "dump.rdb").write_bytes(rdb)

    try:
        with Sandbox(binary, ["--appendonly", "no"], prepare, hide=()) as running:
            rows = running.info("keyspace").items()
            return {db: int(row.split(",")[0].split("=")[1]) for db, row in rows}
    except SandboxError:
        return None


def feed_commands(running: Sandbox, commands: Sequence[Sequence[bytes]]) -> None:
    """Execute commands, starting in database 0; an error reply raises."""
    running.call("SELECT", 0)
    for start in range(0, len(commands), 1000):
        running.client.pipeline(commands[start : start + 1000])
    running.call("SELECT", 0)


def lines_that_load_rdb(data: bytes) -> list[str]:
    """Return the installed release lines that load this RDB, by its magic."""
    dialect = "valkey" if data.startswith(b"VALKEY") else "redis"
    version = int(data[5:9] if dialect == "redis" else data[6:9])
    return [line for line in servers_by_line() if VERSIONS[line].newest_rdb(dialect) >= version]
