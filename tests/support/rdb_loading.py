"""Real servers on an RDB, and on the commands that we make of one."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from aofdoctor.rdb.encoding.cursor import CorruptValue, Cursor, LargeString
from aofdoctor.rdb.export.capabilities import CAPABILITIES, Unsupported
from aofdoctor.rdb.export.commands import function_load_command, select_command, value_commands
from aofdoctor.server.sandbox import Sandbox, ServerBinary
from aofdoctor.server.versions import VERSIONS
from aofdoctor.source import BytesSource
from tests.support.rdb_files import Function, iter_keys
from tests.support.servers import servers_by_line

ExportResult = tuple[list[list[bytes]], list[Unsupported], list[CorruptValue]]


def export_commands(data: bytes, line: str) -> ExportResult:
    """(the commands for a server line, what they do not say, what is broken)."""
    source = BytesSource(data)
    cursor, target, db = Cursor(source), CAPABILITIES[line], 0
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
    """A server with nothing in it, or with an RDB; one that may be asked for digests."""

    def prepare(folder: Path) -> None:
        if rdb is not None:
            (folder / "dump.rdb").write_bytes(rdb)

    debug = ["--enable-debug-command", "yes"] if binary.version >= (7, 0, 0) else []
    with Sandbox(binary, [*debug, *options], prepare, hide=(), timeout=60) as running:
        yield running


def feed_commands(running: Sandbox, commands: Sequence[Sequence[bytes]]) -> None:
    """Give it commands, from database 0 on; an error raises."""
    running.call("SELECT", 0)
    for start in range(0, len(commands), 1000):
        running.client.pipeline(commands[start : start + 1000])
    running.call("SELECT", 0)


def loading(data: bytes) -> list[str]:
    """The lines at hand that load an RDB, by its magic."""
    dialect = "valkey" if data.startswith(b"VALKEY") else "redis"
    version = int(data[5:9] if dialect == "redis" else data[6:9])
    return [line for line in servers_by_line() if VERSIONS[line].newest_rdb(dialect) >= version]
