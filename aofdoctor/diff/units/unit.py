"""A unit of a history, its place, and how units are compared: the words of diff.

A unit is what takes effect at once: a transaction, or a command outside of one.
Each command that makes a key of an RDB is one too.  Bytes that are no commands
(damage, what no command says of an RDB) are units that are compared as they are.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from aofdoctor.aof.constants import FIRST_ID
from aofdoctor.aof.records import LargeArgument, RecordBatch
from aofdoctor.diff.hashing.digest import Digest
from aofdoctor.diff.units.columns import ANY_DATABASE, UnitKind
from aofdoctor.rdb.encoding.cursor import LargeString
from aofdoctor.rdb.export.capabilities import CommandArgs
from aofdoctor.rdb.export.resp import encode_commands
from aofdoctor.server.command_table import command_table
from aofdoctor.server.context.tracker import ContextTracker
from aofdoctor.source import Source, pread
from aofdoctor.span import Span

# What these do is the same whatever database is selected.
DATABASE_INDEPENDENT = frozenset({"flushall", "swapdb", "script", "function", "ping", "config", "acl", "publish"})


class DiffPosition(NamedTuple):
    """A record's start, outside of a transaction, or a key's in an RDB, `chunk` of whose commands came before."""

    part: int = 0
    offset: int = 0
    db: int = 0
    time: int = -1
    commands: int = 0
    transactions: int = 0
    chunk: int = 0


class Unit(NamedTuple):
    """One unit; `number` is that of its first command, `last` that of its last one, `db` and `time` are those there.

    A unit of a key of an RDB stands where the key does; `chunk` says which of the key's commands it is.
    """

    digest: int
    part: int
    start: int
    end: int
    db: int
    tx: int
    time: int
    first_command: int
    commands: int
    kind: int
    last_command: int
    chunk: int

    @property
    def is_opaque(self) -> bool:
        """True of bytes that are no commands."""
        return UnitKind.RDB <= self.kind < UnitKind.KEY

    def position(self, transactions: int) -> DiffPosition:
        """Where it begins; `transactions` came before it."""
        return DiffPosition(self.part, self.start, self.db, self.time, self.first_command - 1, transactions, self.chunk)

    def end_position(self, transactions: int) -> DiffPosition:
        """The place after it, `transactions` of which came before."""
        return DiffPosition(self.part, self.end, self.db, self.time, self.last_command, transactions)


class UnitRun(NamedTuple):
    """Adjacent units of one part, from the first to the last; bytes that no server runs are alone in theirs."""

    first: Unit
    last: Unit
    commands: int
    units: int = 1

    @property
    def is_opaque(self) -> bool:
        """True of bytes that are no commands."""
        return self.first.is_opaque

    @property
    def is_from_rdb(self) -> bool:
        """True of commands that make keys of an RDB."""
        return self.first.kind == UnitKind.KEY


class TruncatedSource:
    """The first bytes of a source, all of them where `end` is None; nobody forgets what more than one reader reads."""

    def __init__(self, source: Source, end: int | None) -> None:
        self._source, self._end = source, end

    @property
    def size(self) -> int | None:
        size = self._source.size
        return self._end if size is None else min(size, size if self._end is None else self._end)

    def readinto(self, view: memoryview, offset: int) -> int:
        room = len(view) if self._end is None else max(0, self._end - offset)
        return self._source.readinto(view[:room], offset) if room else 0

    def forget(self, offset: int) -> None:
        pass


class ComparisonRules(NamedTuple):
    """How records are compared; the same for both sides."""

    key: bytes
    exact: bool
    name_counts: bytearray
    actions: bytearray

    @classmethod
    def create(cls, key: bytes, exact: bool) -> "ComparisonRules":
        """The rules with the acts and the names of the command table."""
        commands = command_table()
        names, act = bytearray([1]) * commands.size, bytearray(ContextTracker().actions)
        for command in commands.commands:
            names[command.id] = 2 if command.container else 1
            act[command.id] |= ANY_DATABASE if {command.name, command.container} & DATABASE_INDEPENDENT else 0
        act[: FIRST_ID - 1] = bytes(FIRST_ID - 1)
        return cls(key, exact, names, act)

    def name_count(self, number: int) -> int:
        """How many first arguments of a command are names, whose case does not count."""
        return self.name_counts[number] if number < len(self.name_counts) else 1


def read_pieces(source: Source, span: Span, size: int = 1 << 20) -> Iterator[bytes]:
    """The bytes of a span, some at a time."""
    for at in range(span.start, span.end, size):
        yield pread(source, min(size, span.end - at), at)


def large_record_digest(rules: ComparisonRules, batch: RecordBatch) -> int:
    """The digest of a far record, as the kernel has it of a near one."""
    digest, number = Digest(rules.key), batch.ids[0]
    if batch.argc[0] == 0:
        return 0
    if rules.exact:
        span = batch.record_span(0)
        digest.add_number(span.size)
        for piece in read_pieces(batch.source, span):
            digest.add_bytes(piece)
        return digest.value()
    for n, arg in enumerate(batch.args(0)):
        feed_argument(digest, arg, n < rules.name_count(number))
    return digest.value()


def large_command_digest(rules: ComparisonRules, command: CommandArgs, number: int) -> int:
    """The digest of a command that has an argument too large to hold, as the kernel has it of its record."""
    digest = Digest(rules.key)
    if rules.exact:
        digest.add_number(record_size(command))
        encoded = (piece for piece in encode_commands([command]) if isinstance(piece, bytes))
        for piece in _align_pieces(encoded):
            digest.add_bytes(piece)
        return digest.value()
    for n, word in enumerate(command):
        feed_argument(digest, word, n < rules.name_count(number))
    return digest.value()


def record_size(command: CommandArgs) -> int:
    """How many bytes the record of a command has."""
    header_bytes = sum(len(b"$%d\r\n\r\n" % len(word)) for word in command)
    return len(b"*%d\r\n" % len(command)) + header_bytes + sum(map(len, command))


def feed_argument(digest: Digest, word: bytes | LargeArgument | LargeString, lowercase: bool = False) -> None:
    """Take an argument in, with its size, however large it is."""
    digest.add_number(len(word) if isinstance(word, bytes) else word.size)
    for piece in (word,) if isinstance(word, bytes) else _align_pieces(word.pieces()):
        digest.add_bytes(piece, lowercase)


def _align_pieces(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The same bytes, all pieces but the last of a multiple of eight."""
    remainder = b""
    for piece in pieces:
        data = remainder + piece if remainder else piece
        aligned = len(data) - len(data) % 8
        yield data[:aligned]
        remainder = data[aligned:]
    yield remainder


def to_signed(value: int) -> int:
    """A digest as it stands in a column."""
    return value - (1 << 64) if value >= 1 << 63 else value
