"""Sound AOFs from real servers of which every command and every key of the base is known.

The names of the keys that commands write begin with `log:`, and no name of another key does.  No two commands are
equal, except SELECT, MULTI and EXEC, so that a command of an output has one place in the source.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from random import Random

from aofdoctor.aof.constants import ANNOTATION
from aofdoctor.aof.reader import read_tiles
from aofdoctor.aof.records import RecordBatch
from aofdoctor.damage import Damage
from aofdoctor.resp import encode_command
from aofdoctor.server.command_table import command_table
from aofdoctor.server.sandbox import Sandbox, ServerBinary
from aofdoctor.source import BytesSource, Source
from tests.bench.salvage_values import VALUE_TYPES, Command, write_base
from tests.support.datasets import FAR_FUTURE_MS, rewrite
from tests.support.servers import servers_by_line

SINGLE = "appendonly.aof"
MANIFEST = "appendonly.aof.manifest"
FRAMING = (b"SELECT", b"MULTI", b"EXEC")
Argv = tuple[bytes, ...]


@dataclass(frozen=True)
class Record:
    """A command or annotation of a file.

    `transaction` is the offset of the MULTI of its transaction, or -1; `is_command` is false for annotations and for
    SELECT, MULTI and EXEC.
    """

    start: int
    end: int
    argv: Argv
    db: int
    transaction: int
    is_command: bool


@dataclass
class Sample:
    """A sound AOF: its files by name in load order, the manifest left out, and the previous generation's files.

    `base_keys` are the digests of the keys in the RDB base by database and name, as the server reports them.
    """

    name: str
    binary: ServerBinary
    files: dict[str, bytes]
    previous: dict[str, bytes] = field(default_factory=dict)
    base_keys: dict[tuple[int, bytes], bytes] = field(default_factory=dict)

    @property
    def is_single(self) -> bool:
        return SINGLE in self.files

    def all_files(self) -> dict[str, bytes]:
        """Return the files with their manifest."""
        return self.files if self.is_single else {**self.files, MANIFEST: manifest_of(self.files)}

    def logs(self) -> list[str]:
        """Return the names of the files that hold commands."""
        return [name for name, data in self.files.items() if records_of(data)]


def manifest_of(files: dict[str, bytes]) -> bytes:
    """Return the manifest that lists files in this order."""
    lines = [f"file {name} seq {name.split('.')[2]} type {name.split('.')[3][0]}\n" for name in files]
    return "".join(lines).encode()


@cache
def records_of(data: bytes) -> tuple[Record, ...]:
    """Return the commands and annotations of a file without damage, an RDB at its head left out."""
    found: list[Record] = []
    for record in iter_records(BytesSource(data)):
        assert record is not None
        found.append(record)
    return tuple(found)


def iter_records(source: Source) -> Iterator[Record | None]:
    """Yield the commands and annotations of a file, and None for damage."""
    db, transaction = 0, -1
    for tile in read_tiles(source, command_table().names):
        if isinstance(tile, Damage):
            yield None
        if not isinstance(tile, RecordBatch):
            continue
        for i in range(tile.count):
            span, argv = tile.record_span(i), tuple(tile.argv(i))
            name = argv[0].upper() if tile.ids[i] != ANNOTATION else b""
            db = int(argv[1]) if name == b"SELECT" and argv[1].isdigit() else db
            transaction = span.start if name == b"MULTI" else transaction
            yield Record(span.start, span.end, argv, db, transaction, bool(name) and name not in FRAMING)
            transaction = -1 if name == b"EXEC" else transaction


# -- workloads --


def write_log(server: Sandbox, random: Random, count: int, prefix: str = "log") -> None:
    """Run `count` commands, no two of which are equal, in three databases; a third of them in transactions."""
    n = 0
    while n < count:
        if random.random() < 0.1:
            server.call("SELECT", random.choice((0, 0, 1, 7)))
        size = random.randint(2, 6) if random.random() < 0.08 else 1
        commands = [_one_command(random, prefix, n + i) for i in range(size)]
        border: tuple[list[Command], list[Command]] = ([("MULTI",)], [("EXEC",)]) if size > 1 else ([], [])
        server.client.pipeline([*border[0], *commands, *border[1]])
        n += size


def _one_command(random: Random, prefix: str, n: int) -> Command:
    text, kind = _value(random, n), random.randrange(10)
    if kind < 4:
        return ("SET", f"{prefix}:key:{n}", text)
    commands: tuple[Command, ...] = (
        ("RPUSH", f"{prefix}:list:{n % 7}", f"item {n}", text),
        ("HSET", f"{prefix}:hash:{n % 5}", f"field {n}", text),
        ("SADD", f"{prefix}:set:{n % 3}", f"member {n}"),
        ("ZADD", f"{prefix}:zset", n, f"member {n}"),
        ("INCRBY", f"{prefix}:counter", n + 1),
        ("SET", f"{prefix}:session:{n}", text, "PXAT", FAR_FUTURE_MS + n),
    )
    return commands[kind - 4]


def _value(random: Random, n: int) -> bytes:
    """Return a text, sometimes long, sometimes bytes with line ends."""
    chance = random.random()
    if chance < 0.01:
        return b"%d " % n + random.randbytes(4000)
    if chance < 0.05:
        return b"%d\r\n" % n + random.randbytes(random.randint(0, 60)) + b"\r\n"
    return b"%d " % n + b"lorem ipsum dolor sit amet "[: random.randint(0, 27)] * random.randint(1, 4)


# -- samples --


@cache
def make_sample(line: str, base: str, count: int, types: tuple[str, ...] = VALUE_TYPES) -> Sample:
    """Run a server of a release line and return its files.

    `base` is "rdb" or "resp".  Servers since 7.0 write a set of files; its incremental file is divided where a server
    that restarts could have begun another one.
    """
    binary, random = servers_by_line()[line], Random(f"{line} {base} {count}")
    options = ["--appendonly", "yes"]
    if binary.version >= (7, 0, 0):
        options += ["--enable-debug-command", "yes", "--aof-timestamp-enabled", "yes" if base == "rdb" else "no"]
    previous: dict[str, bytes] = {}
    with Sandbox(binary, options, hide=(), timeout=60) as server:
        write_base(server, types, random)
        if binary.version >= (7, 0, 0):
            names = rewrite_files(server, base)
            write_log(server, random, count // 4, "previous")
            previous = read_files(server, names)
        names = rewrite_files(server, base)
        server.call("SELECT", 0)
        write_log(server, random, count)
        sample = Sample(f"{line} {base}", binary, divide_log(read_files(server, names)), previous)
        if base == "rdb":
            sample.base_keys = {key: digest for key, digest in key_digests(server).items() if not is_log_key(key[1])}
    commands = [record.argv for name in sample.logs() for record in records_of(sample.files[name]) if record.is_command]
    assert len(commands) == len(set(commands)) > count - 10, (len(commands), len(set(commands)))
    return sample


def rewrite_files(server: Sandbox, base: str) -> list[str]:
    """Rewrite the AOF; return the names of its files in load order."""
    paths = rewrite(server, base == "rdb")  # A server deletes the files of the last generation a moment later.
    newest = [max(path.name for path in paths if f".{kind}." in path.name) for kind in ("base", "incr") if paths]
    return newest or [SINGLE]


def read_files(server: Sandbox, names: list[str]) -> dict[str, bytes]:
    folder = server.folder if names == [SINGLE] else server.folder / "appendonlydir"
    return {name: (folder / name).read_bytes() for name in names}


def divide_log(files: dict[str, bytes]) -> dict[str, bytes]:
    """Divide the incremental file of a set into three, each of which begins with SELECT."""
    names = list(files)
    if SINGLE in files:
        return files
    data, stem = files.pop(names[-1]), names[-1].split(".")
    records = records_of(data)
    borders = [record for record in records if record.is_command and record.transaction < 0]
    first, second = borders[len(borders) // 3], borders[2 * len(borders) // 3]
    pieces = [
        data[: first.start],
        encode_command([b"SELECT", b"%d" % first.db]) + data[first.start : second.start],
        encode_command([b"SELECT", b"%d" % second.db]) + data[second.start :],
    ]
    for number, piece in enumerate(pieces, int(stem[2])):
        files[".".join([*stem[:2], str(number), *stem[3:]])] = piece
    return files


def is_log_key(name: bytes) -> bool:
    return name.startswith(b"log:")


def key_digests(server: Sandbox) -> dict[tuple[int, bytes], bytes]:
    """Return the digest of every key by database and name: of its type, value and whether it expires."""
    found: dict[tuple[int, bytes], bytes] = {}
    for name in server.info("keyspace"):
        db = int(name.removeprefix("db"))
        server.call("SELECT", db)
        keys = server.call("KEYS", "*")
        assert isinstance(keys, list)
        names = [bytes(key) for key in keys]  # type: ignore[arg-type]
        digests = server.call("DEBUG", "DIGEST-VALUE", *names)
        assert isinstance(digests, list)
        found |= {(db, key): bytes(digest) for key, digest in zip(names, digests, strict=True)}  # type: ignore[arg-type]
    return found
