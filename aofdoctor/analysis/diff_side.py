"""One of two histories that are compared: its units, in columns, as far as they are asked for.

The parts are read in load order as one stream.  A unit is what takes effect at
once: a transaction, or a command outside of one; an RDB and damage are units of
bytes.  Equal digests mean equal effect; annotations and SELECTs are no units.

After damage the database is taken to be the one before it: to compare with a
history that is whole, a guess does better than nothing.
"""

from array import array
from collections.abc import Iterator
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

from aofdoctor.aof.aof import AOF
from aofdoctor.aof.digest_kernel import Digest, common, records
from aofdoctor.aof.limits import FIRST_ID
from aofdoctor.aof.reader import ROOM, read
from aofdoctor.aof.record import Batch, Preamble
from aofdoctor.damage import Damage
from aofdoctor.server.commands import table
from aofdoctor.server.plain import State
from aofdoctor.server.plain_units import EVERYWHERE, Column, Kind, Open
from aofdoctor.server.steps import Steps
from aofdoctor.source import Source, pread
from aofdoctor.span import Span

if TYPE_CHECKING:
    from aofdoctor.server.plain_units import close, run
else:
    try:
        from aofdoctor.server._units import close, run
    except ImportError:
        from aofdoctor.server.plain_units import close, run

# What these do is the same whatever database is selected.
ANYWHERE = frozenset({"flushall", "swapdb", "script", "function", "ping", "config", "acl", "publish"})
DAMAGE_KEPT = 100


class Place(NamedTuple):
    """A record's start, outside of a transaction, and the context there."""

    part: int = 0
    offset: int = 0
    db: int = 0
    time: int = -1
    commands: int = 0
    transactions: int = 0


class Unit(NamedTuple):
    """One unit; `number` is that of its first command, `db` and `time` are those there."""

    digest: int
    part: int
    start: int
    end: int
    db: int
    tx: int
    time: int
    number: int
    commands: int
    kind: int

    @property
    def opaque(self) -> bool:
        """True of bytes that are no commands."""
        return self.kind >= Kind.RDB

    def place(self, transactions: int) -> Place:
        """Where it begins; `transactions` came before it."""
        return Place(self.part, self.start, self.db, self.time, self.number - 1, transactions)


class Run(NamedTuple):
    """Adjacent units of one part, from the first to the last; bytes that no server runs are alone in theirs."""

    first: Unit
    last: Unit
    commands: int

    @property
    def opaque(self) -> bool:
        """True of bytes that are no commands."""
        return self.first.opaque


class Cut:
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


class Rules(NamedTuple):
    """How records are compared; the same for both sides."""

    key: bytes
    exact: bool
    names: bytearray
    act: bytearray

    @classmethod
    def of(cls, key: bytes, exact: bool) -> "Rules":
        """The rules with the acts and the names of the command table."""
        commands = table()
        names, act = bytearray([1]) * commands.size, bytearray(Steps().act)
        for command in commands.commands:
            names[command.id] = 2 if command.container else 1
            act[command.id] |= EVERYWHERE if {command.name, command.container} & ANYWHERE else 0
        act[: FIRST_ID - 1] = bytes(FIRST_ID - 1)
        return cls(key, exact, names, act)


class Side:
    """A history up to `end` (part, offset), or all of it; units are read when asked for, and dropped when done with."""

    def __init__(self, aof: AOF, rules: Rules, end: tuple[int, int] | None = None) -> None:
        self.aof, self.rules, self.end = aof, rules, end
        parts = aof.parts if end is None else aof.parts[: end[0] + 1]
        self.sources: list[Source | None] = [
            Cut(part.source, end[1] if end and index == end[0] else None) if part.source else None
            for index, part in enumerate(parts)
        ]
        self.columns = [array("q") for _ in Column]
        self.dropped = self.transactions = self.damaged = 0
        self._first = 0  # what stands before it in the columns is dropped
        self.damage: dict[tuple[int, int], Damage] = {}
        self._steps = Steps(columns=True)
        self._digests = array("Q", bytes(8 * ROOM))
        self._out = [array("q", bytes(8 * (ROOM + 1))) for _ in Column]
        self.seek(Place())

    def seek(self, place: Place) -> None:
        """Go on reading at a place; what was read is dropped."""
        self._open = array("q", bytes(8 * len(Open)))
        self._open[Open.SEEN], self._open[Open.EXACT] = place.commands, self.rules.exact
        self.transactions = self._steps.state[State.TRANSACTIONS] = place.transactions
        self._first = 0
        for column in self.columns:
            del column[:]
        self.ended = False
        self._walk = self._read(place)

    def again(self, place: Place) -> "Side":
        """The same history, read by somebody else from a place."""
        other = Side(self.aof, self.rules, self.end)
        other.seek(place)
        return other

    @property
    def count(self) -> int:
        """How many units are read and not dropped."""
        return len(self.columns[0]) - self._first

    @property
    def commands(self) -> int:
        """How many commands were read, from the first on."""
        return self._open[Open.SEEN]

    def fill(self, count: int) -> None:
        """Read until there are so many units, or all there are."""
        if self.count < count and not self.ended:
            for column in self.columns:
                del column[: self._first]
            self._first = 0
        while self.count < count and not self.ended:
            self.ended = next(self._walk, True)

    def drop(self, count: int) -> None:
        """Let go of the first units."""
        if count:
            self.transactions = max(self.transactions, max(self.column(Column.TX, count)))
            self.dropped += count
            self._first += count

    def column(self, which: Column, count: int) -> "array[int]":
        """What the first units have in one column."""
        return self.columns[which][self._first : self._first + count]

    def alike(self, other: "Side") -> int:
        """How many of the first units are equal on both sides."""
        one, two = self.columns[Column.DIGEST], other.columns[Column.DIGEST]
        return common(one, 8 * self._first, two, 8 * other._first, 8 * min(self.count, other.count)) // 8

    def unit(self, i: int) -> Unit:
        """A unit, counted from the first that is not dropped."""
        i += self._first
        return Unit(*[column[i] for column in self.columns])

    def runs(self, start: int, end: int) -> Iterator[Run]:
        """The units start to end, in as few runs as can be."""
        begin, stop = self._first + start, self._first + end
        parts, kinds = self.columns[Column.PART][begin:stop], self.columns[Column.KIND][begin:stop]
        if not parts:
            return
        edges = [0, len(parts)]
        if parts[0] != parts[-1] or max(kinds) >= Kind.UNFINISHED:
            alone = [kind >= Kind.UNFINISHED for kind in kinds]
            edges[1:1] = [i for i in range(1, len(parts)) if parts[i] != parts[i - 1] or alone[i] or alone[i - 1]]
        for one, two in pairwise(edges):
            commands = sum(self.columns[Column.COMMANDS][begin + one : begin + two])
            yield Run(self.unit(start + one), self.unit(start + two - 1), commands)

    def head(self) -> Place:
        """The place of the first unit."""
        return self.unit(0).place(self.transactions)

    def damage_met(self, part: int, damage: Damage) -> None:
        """Remember damage; the first of much."""
        known = (part, damage.span.start)
        if known not in self.damage:
            self.damaged += 1
            if len(self.damage) < DAMAGE_KEPT:
                self.damage[known] = damage

    # -- reading --

    def _read(self, place: Place) -> Iterator[bool]:
        steps = self._steps
        for index in range(place.part, len(self.sources)):
            source, start = self.sources[index], place.offset if index == place.part else 0
            steps.begin()
            self._open[Open.PART] = index
            if start:
                steps.state[State.DB], steps.state[State.TIME] = place.db, place.time
            for tile in read(source, table().words, start) if source else ():
                if isinstance(tile, Batch):
                    self._batch(tile)
                else:
                    assert source is not None
                    self._bytes(index, source, tile)
                yield False
            self._close()

    def _batch(self, batch: Batch) -> None:
        steps, rules = self._steps, self.rules
        steps.run(batch)
        if batch.far:
            self._digests[0] = far_digest(rules, batch)
        else:
            records(rules.key, batch, rules.names, rules.exact, self._digests)
        self._put(
            run(rules.key, self._open, batch, self._digests, steps.db, steps.tx, steps.time, rules.act, self._out)
        )

    def _bytes(self, index: int, source: Source, tile: Preamble | Damage) -> None:
        self._close()
        state = self._steps.state
        kind = Kind.RDB if isinstance(tile, Preamble) else Kind.DAMAGE
        if isinstance(tile, Damage):
            self.damage_met(index, tile)
            state[State.TX] = 0
        digest = Digest(self.rules.key).number(-kind)
        for piece in pieces(source, tile.span):
            digest.piece(piece)
        row = (
            _signed(digest.value()),
            index,
            *tile.span,
            state[State.DB],
            0,
            state[State.TIME],
            self.commands + 1,
            0,
            kind,
        )
        for column, value in zip(self.columns, row, strict=True):
            column.append(value)

    def _close(self) -> None:
        self._put(close(self.rules.key, self._open, False, self._out))

    def _put(self, count: int) -> None:
        for column, new in zip(self.columns, self._out, strict=True):
            column += new[:count]


def pieces(source: Source, span: Span, size: int = 1 << 20) -> Iterator[bytes]:
    """The bytes of a span, some at a time."""
    for at in range(span.start, span.end, size):
        yield pread(source, min(size, span.end - at), at)


def far_digest(rules: Rules, batch: Batch) -> int:
    """The digest of a far record, as the kernel has it of a near one."""
    digest, number = Digest(rules.key), batch.ids[0]
    if batch.argc[0] == 0:
        return 0
    if rules.exact:
        span = batch.record(0)
        digest.number(span.size)
        for piece in pieces(batch.source, span):
            digest.piece(piece)
        return digest.value()
    for n, arg in enumerate(batch.args(0)):
        lower = n < (rules.names[number] if number < len(rules.names) else 1)
        digest.number(len(arg) if isinstance(arg, bytes) else arg.size)
        for piece in (arg,) if isinstance(arg, bytes) else arg.pieces():
            digest.piece(piece, lower)
    return digest.value()


def _signed(value: int) -> int:
    return value - (1 << 64) if value >= 1 << 63 else value
