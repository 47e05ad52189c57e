"""What the records of a history do to its keys, into the table of a census.

The common commands, which have their key first, are the kernel's.  The others
are here: those that name several keys, that exchange or flush databases, and
records that are larger than a window, whose arguments come one by one.  What a
command leaves of a key depends on what made the keys that it reads; a key that
is only read is not written.
"""

import functools
import re
from array import array
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from struct import pack
from typing import NamedTuple

from aofdoctor.aof.constants import ANNOTATION
from aofdoctor.aof.records import Arg, RecordBatch
from aofdoctor.diff.key_table._pyslots import mixed
from aofdoctor.diff.key_table.effects import (
    CommandEffect,
    DigestTag,
    Event,
    KeyOp,
    command_digest,
    key_events,
    name_digest,
    value_digest,
)
from aofdoctor.diff.key_table.table import KeyTable, pack_position
from aofdoctor.log.selection import Selection
from aofdoctor.server.command_table import Command, key_uses, table

_ARGS_HELD = 1 << 16  # of a far record of several keys, so many arguments are looked through
_HEAD = 64
_FLOAT = re.compile(rb"[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?|[-+]?inf(inity)?", re.IGNORECASE).fullmatch

_FIRST = {
    "set": CommandEffect.SET, "setnx": CommandEffect.SET_NEW, "mset": CommandEffect.SETS, "del": CommandEffect.DELETE, "unlink": CommandEffect.DELETE,
    "getdel": CommandEffect.DELETE, "rpush": CommandEffect.APPEND, "sadd": CommandEffect.UNITE, "hset": CommandEffect.FIELDS, "hmset": CommandEffect.FIELDS,
    "pexpireat": CommandEffect.EXPIRE_MS, "expireat": CommandEffect.EXPIRE_S, "persist": CommandEffect.PERSIST,
}  # fmt: skip
_SEVERAL = frozenset({CommandEffect.SETS, CommandEffect.DELETE})


class Write(NamedTuple):
    """A record; `base`: it is of a base that a server wrote as commands."""

    part: int
    batch: RecordBatch
    i: int
    db: int
    base: bool

    @property
    def argc(self) -> int:
        """How many arguments it has."""
        return self.batch.argc[self.i]

    @property
    def position(self) -> int:
        """Where it stands."""
        return pack_position(self.part, self.batch.record_span(self.i).start)

    def args(self) -> Iterator[Arg]:
        """Its arguments, as they come by."""
        return self.batch.args(self.i)

    def words(self, start: int, stop: int | None = None) -> list[bytes]:
        """Some of its first arguments, of a large one the first bytes."""
        return [arg if isinstance(arg, bytes) else arg.head(_HEAD) for arg in islice(self.args(), start, stop)]


class KeyWrites:
    """Records, a batch at a time, into a table."""

    def __init__(self, to: KeyTable, selection: Selection) -> None:
        self.table, self.key, self.selection = to, to.key, selection
        self.some = bool(selection.keys) and not selection.invert  # of a command with several keys, only some are meant
        self._does = [_does_table(self.some, base) for base in (False, True)]

    def batch(self, part: int, batch: RecordBatch, dbs: "array[int]", wanted: bytearray | None, base: bool) -> None:
        """The records of a batch, those that are wanted."""
        does, at = self._does[base], 0
        if batch.oversized:
            if wanted is None or wanted[0]:
                self._one(Write(part, batch, 0, dbs[0], base), does)
            return
        while (at := self.table.run(batch, dbs, part, wanted, at, does, base)) < batch.count:
            self._one(Write(part, batch, at, dbs[at], base), does)
            at += 1

    def _one(self, write: Write, does: bytearray) -> None:
        number = write.batch.ids[write.i]
        what, known = does[number if number < len(does) else 0], table().get(number)
        if what == CommandEffect.NOTHING:
            return
        if what == CommandEffect.OTHER and known is not None:
            what = _FIRST.get(known.name, CommandEffect.OTHER)
        if what != CommandEffect.OTHER and write.argc > 1:
            self._events(write, key_events(self.key, what, write.args, write.argc, write.base))
        else:
            others = _OF_BASE if write.base else _OTHERS
            other = others.get(known.name, _joins) if known else _unknown
            if write.argc > 1 or other in _ALONE:
                other(self, write)

    def _events(self, write: Write, events: Iterable[Event]) -> None:
        meant, position, put = self._meant(write), write.position, self.table.put
        for name, digest, expire, op in events:
            if meant is None or name in meant:
                put(name, digest, expire, position, write.db, op)

    def _meant(self, write: Write) -> set[int] | None:
        """The digests of a command's names that are selected; None for all."""
        if not self.some:
            return None
        return {name_digest(self.key, arg) for arg in write.args() if self._is_meant(arg)}

    def _is_meant(self, name: Arg) -> bool:
        data = name if isinstance(name, bytes) else name.head(1 << 16)
        return any(pattern.match(data) for pattern in self.selection.keys)

    # -- what the commands below do --

    def uses(self, write: Write) -> list[tuple[int, str, int]]:
        """(place, access, digest) of each key that a command names."""
        words = write.words(0, _ARGS_HELD)
        known = table().get(write.batch.ids[write.i])
        uses = dict(key_uses(known, words)) if known else {}
        args = enumerate(islice(write.args(), len(words)))
        return [(at, uses[at], name_digest(self.key, arg)) for at, arg in args if at in uses]

    def made(self, write: Write, name: int) -> int:
        """What made a key; of one that is not known, its name."""
        return self.table.get(name, write.db)[0] or name

    def put(self, write: Write, at: int, name: int, digest: int, expire: int, op: int, db: int | None = None) -> None:
        """An event of the key that is argument `at`, if it is selected."""
        if not self.some or self._is_meant(next(islice(write.args(), at, None))):
            self.table.put(name, digest, expire, write.position, write.db if db is None else db, op)

    def digest(self, write: Write, places: Iterable[int]) -> int:
        """The digest of a command without its keys."""
        known = table().get(write.batch.ids[write.i])
        return command_digest(self.key, write.args(), places, 2 if known and known.container else 1)


def _joins(writes: KeyWrites, write: Write) -> None:
    """Changes the keys that it writes by what is in those that it reads."""
    uses = writes.uses(write)
    digest = writes.digest(write, [at for at, _, _ in uses])
    if len(uses) == 1:
        writes.put(write, uses[0][0], uses[0][2], digest, 0, KeyOp.SET if uses[0][1] == "OW" else KeyOp.MIX)
        return
    for _, access, name in uses:
        if access != "OW":
            digest = mixed(digest, writes.made(write, name))
    for at, access, name in uses:
        if access != "RO":
            writes.put(write, at, name, mixed(at, digest), 0, KeyOp.SET if access == "OW" else KeyOp.VALUE)


def _unknown(writes: KeyWrites, write: Write) -> None:
    """Changes its first argument; any other may be a key that it reads, and is told as what it is as well."""
    digest = writes.digest(write, [1])
    for arg in islice(write.args(), 1, _ARGS_HELD):
        digest = mixed(digest, writes.made(write, name_digest(writes.key, arg)))
    name = next(islice(write.args(), 1, None))
    writes.put(write, 1, name_digest(writes.key, name), mixed(1, digest), 0, KeyOp.VALUE)


def _renames(writes: KeyWrites, write: Write) -> None:
    for (_, _, old), (at, _, new) in _pair(writes, write):
        made, expire = writes.table.get(old, write.db)
        writes.put(write, 1, old, 0, 0, KeyOp.DELETE)
        writes.put(write, at, new, made or mixed(old, 0), expire, KeyOp.SET)


def _pair(writes: KeyWrites, write: Write) -> Iterator[tuple[tuple[int, str, int], tuple[int, str, int]]]:
    uses = writes.uses(write)
    if len(uses) == 2 and uses[0][2] != uses[1][2]:
        yield uses[0], uses[1]


def _copies(writes: KeyWrites, write: Write) -> None:
    options = [word.lower() for word in write.words(3, 8)]
    target = _number(options[at + 1 : at + 2]) if (at := _index(options, b"db")) is not None else write.db
    uses = writes.uses(write)
    if len(uses) == 2 and target is not None:
        made, expire = writes.table.get(uses[0][2], write.db)
        writes.put(write, 2, uses[1][2], made or mixed(uses[0][2], 0), expire, KeyOp.SET, target)


def _index(words: list[bytes], word: bytes) -> int | None:
    return words.index(word) if word in words else None


def _moves(writes: KeyWrites, write: Write) -> None:
    name, target = name_digest(writes.key, next(islice(write.args(), 1, None))), _number(write.words(2, 3))
    made, expire = writes.table.get(name, write.db)
    writes.put(write, 1, name, 0, 0, KeyOp.DELETE)
    if target is not None:
        writes.put(write, 1, name, made or mixed(name, 0), expire, KeyOp.SET, target)


def _flushes(writes: KeyWrites, write: Write) -> None:
    writes.table.flush(write.db)


def _flushes_all(writes: KeyWrites, write: Write) -> None:
    writes.table.flush_all()


def _swaps(writes: KeyWrites, write: Write) -> None:
    one, two = (_number([word]) for word in (*write.words(1, 3), b"", b"")[:2])
    if one is not None and two is not None and one != two:
        writes.table.swap_databases(one, two)


def _number(argument: list[bytes]) -> int | None:
    return int(argument[0]) if argument and argument[0].isdigit() and len(argument[0]) < 10 else None


def _sets_later(writes: KeyWrites, write: Write) -> None:
    """SETEX and PSETEX: a value and an expiry that counts from when it was written."""
    name, later, value = islice(write.args(), 1, 4) if write.argc == 4 else (b"", b"", b"")
    if write.argc == 4:
        expire = value_digest(writes.key, DigestTag.RELATIVE, *write.words(0, 1), later)
        writes.put(
            write,
            1,
            name_digest(writes.key, name),
            value_digest(writes.key, DigestTag.STRING, value),
            expire,
            KeyOp.SET,
        )


def _sets_and_tells(writes: KeyWrites, write: Write) -> None:
    """GETSET."""
    for name, value in zip(islice(write.args(), 1, 2), islice(write.args(), 2, 3), strict=False):
        writes.put(
            write, 1, name_digest(writes.key, name), value_digest(writes.key, DigestTag.STRING, value), 0, KeyOp.SET
        )


_Other = Callable[[KeyWrites, Write], None]
_OTHERS: dict[str, _Other] = {
    "rename": _renames, "renamenx": _renames, "copy": _copies, "move": _moves, "flushdb": _flushes,
    "flushall": _flushes_all, "swapdb": _swaps, "setex": _sets_later, "psetex": _sets_later, "getset": _sets_and_tells,
}  # fmt: skip
_ALONE = (_flushes, _flushes_all)  # need no argument


# -- a base as commands: each element stands once, so their order does not matter --


def _scores(writes: KeyWrites, write: Write) -> None:
    """ZADD."""
    rest = islice(write.args(), 1, None)
    name = name_digest(writes.key, next(rest))
    for score, member in zip(rest, rest, strict=False):
        data = score if isinstance(score, bytes) else b""
        double = pack("<d", float(data) + 0.0) if _FLOAT(data) else data
        writes.put(write, 1, name, value_digest(writes.key, DigestTag.ZSET, double, member), 0, KeyOp.SUM)


def _field_times(writes: KeyWrites, write: Write) -> None:
    """HPEXPIREAT key time FIELDS count field ..."""
    rest = islice(write.args(), 1, None)
    name, time = name_digest(writes.key, next(rest)), _time(next(rest, b""))
    for field in islice(rest, 2, None):
        writes.put(write, 1, name, value_digest(writes.key, DigestTag.FIELD_EXPIRY, time, field), 0, KeyOp.SUM)


def _timed_fields(writes: KeyWrites, write: Write) -> None:
    """HSETEX key [PXAT time] FIELDS count field value ..."""
    rest = islice(write.args(), 1, None)
    name, time = name_digest(writes.key, next(rest)), b""
    for word in rest:
        if isinstance(word, bytes) and word.lower() == b"pxat":
            time = _time(next(rest, b""))
        elif isinstance(word, bytes) and word.lower() == b"fields":
            break
    for field, value in zip(islice(rest, 1, None), rest, strict=False):
        writes.put(write, 1, name, value_digest(writes.key, DigestTag.HASH, field, value), 0, KeyOp.SUM)
        if time:
            writes.put(write, 1, name, value_digest(writes.key, DigestTag.FIELD_EXPIRY, time, field), 0, KeyOp.SUM)


def _time(word: Arg) -> bytes:
    """A time in milliseconds, as a digest takes it."""
    return pack("<q", int(word)) if isinstance(word, bytes) and word.isdigit() and len(word) < 19 else b"?"


_OF_BASE: dict[str, _Other] = _OTHERS | {"zadd": _scores, "hpexpireat": _field_times, "hsetex": _timed_fields}


@functools.cache
def _does_table(some: bool, base: bool) -> bytearray:
    """What commands do, by id; `some`: of a command of several keys only some are meant."""
    does = bytearray([CommandEffect.OTHER]) * table().size
    does[ANNOTATION] = CommandEffect.NOTHING
    for known in table().commands:
        does[known.id] = _does(known, base)
        if some and does[known.id] in _SEVERAL:
            does[known.id] = CommandEffect.OTHER
    return does


def _does(known: Command, base: bool) -> CommandEffect:
    if known.name in _FIRST:
        return _FIRST[known.name]
    if known.name in (_OF_BASE if base else _OTHERS):
        return CommandEffect.OTHER
    if not known.keys or not known.effects & {"write", "script"}:
        return CommandEffect.NOTHING
    return (
        CommandEffect.MIX
        if [spec[:2] for spec in known.keys] == [(1, 0)] and known.name != "sort"
        else CommandEffect.OTHER
    )
