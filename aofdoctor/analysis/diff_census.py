"""A census of the keys of a history: by digest, what was written to each.

Of each key a digest is kept of what made it: of its writes since one replaced
it whole (SET, DEL, a flush), in their order; a write that names several keys
takes in what made each of them.  Equal digests mean equal values; other digests
mean other writes, and most likely, but not surely, other values.

Every key is held, in some 170 bytes, KEYS_MAX at most.  The keys of an RDB are
not read.
"""

import functools
from array import array
from bisect import bisect_left
from collections.abc import Callable
from copy import deepcopy
from typing import NamedTuple

from aofdoctor.analysis.diff_entries import heads
from aofdoctor.analysis.diff_side import Place, Side, far_digest
from aofdoctor.analysis.where import Where
from aofdoctor.aof.digest_kernel import Digest, records, second
from aofdoctor.aof.limits import ANNOTATION, FIRST_ID
from aofdoctor.aof.reader import ROOM, read
from aofdoctor.aof.record import Batch
from aofdoctor.damage import Damage
from aofdoctor.errors import Refused
from aofdoctor.server.commands import key_places, table
from aofdoctor.server.plain import State
from aofdoctor.server.steps import Steps

KEYS_MAX = 2_000_000
_GONE = 0  # what made a key that was deleted
_TIMED = frozenset({b"ex", b"px", b"exat", b"pxat"})
_WHOLE = frozenset({"setex", "psetex", "getset"})  # beside SET: whatever was there, it is no more


class Written(NamedTuple):
    """A key of one side: a digest of what made it (0: deleted), and where its last write stands."""

    made: int
    part: int
    start: int


class Census:
    """The keys of a history by database and digest."""

    def __init__(self, where: Where, keeps_deleted: bool) -> None:
        self.dbs: dict[int, dict[int, int]] = {}
        self.rdb = 0
        self.flushes = 0
        self._made, self._part, self._start = array("Q"), array("H"), array("q")
        self._where, self._keeps_deleted = where, keeps_deleted

    def copy(self, where: Where) -> "Census":
        """The same keys so far; what is selected from here on is `where`."""
        other = deepcopy(self)
        other._where = where
        return other

    def written(self, db: int, key: int) -> Written | None:
        """What is known of a key."""
        slot = self.dbs.get(db, {}).get(key)
        return None if slot is None else Written(self._made[slot], self._part[slot], self._start[slot])

    def made(self, db: int, key: int) -> int:
        """What made a key; 0 if it is not there."""
        slot = self.dbs.get(db, {}).get(key)
        return _GONE if slot is None else self._made[slot]

    def put(self, db: int, key: int, made: int, part: int, start: int) -> None:
        """A key was written."""
        keys = self.dbs.get(db)
        if keys is None:
            keys = self.dbs[db] = {}
        slot = keys.get(key)
        if made == _GONE and not self._keeps_deleted:
            if slot is not None:
                del keys[key]
        elif slot is not None:
            self._made[slot], self._part[slot], self._start[slot] = made, part, start
        else:
            self._new(keys, key, made, part, start)

    def _new(self, keys: dict[int, int], key: int, made: int, part: int, start: int) -> None:
        keys[key] = len(self._made)
        self._made.append(made)
        self._part.append(part)
        self._start.append(start)
        if len(self._made) > 2 * KEYS_MAX:
            self._close_up()

    def _close_up(self) -> None:
        """Give the slots of deleted keys back; more keys than may be held are refused."""
        if sum(map(len, self.dbs.values())) > KEYS_MAX:
            raise Refused(
                f"it has more than {KEYS_MAX:,} keys, more than a census may hold",
                "select some with --key or --db, and compare in several runs",
            )
        order: list[int] = []
        for keys in self.dbs.values():
            for key, slot in keys.items():
                keys[key] = len(order)
                order.append(slot)
        self._made = array("Q", [self._made[slot] for slot in order])
        self._part = array("H", [self._part[slot] for slot in order])
        self._start = array("q", [self._start[slot] for slot in order])

    # -- reading --

    def feed(self, side: Side, begin: Place, end: Place | None = None) -> None:
        """Go over a side from one place to another."""
        steps, before = Steps(columns=True), begin.commands
        walk = _Walk(self, side, self._where)
        for index in range(begin.part, len(side.sources)):
            source, start = side.sources[index], begin.offset if index == begin.part else 0
            stop = end.offset if end and index == end.part else None
            if source is None or (end and index > end.part) or start == stop:
                continue
            steps.begin()
            if start:
                steps.state[State.DB], steps.state[State.TIME] = begin.db, begin.time
            for tile in read(source, table().words, start):
                if isinstance(tile, Batch):
                    batch = tile if stop is None else _up_to(tile, stop)
                    commands = before + steps.state[State.COMMANDS]
                    steps.run(batch)
                    walk.batch(index, batch, steps, commands)
                elif isinstance(tile, Damage):
                    side.damage_met(index, tile)
                else:
                    self.rdb += tile.span.size
                if stop is not None and tile.span.end >= stop:
                    break
            before += steps.state[State.COMMANDS]


def _up_to(batch: Batch, end: int) -> Batch:
    count = bisect_left(batch.edges, end - batch.base, 0, batch.count)
    return Batch(
        batch.source, batch.base, count, batch.buffer, batch.origin, batch.edges, batch.argc, batch.ids, batch.far
    )


class _Write(NamedTuple):
    """A command; `key` is the digest of its first argument."""

    part: int
    batch: Batch
    i: int
    db: int
    digest: int
    key: int

    @property
    def argc(self) -> int:
        return self.batch.argc[self.i]

    @property
    def argv(self) -> list[bytes]:
        return heads(self.batch, self.i)


class _Walk:
    """Records to what they do to keys."""

    def __init__(self, census: Census, side: Side, where: Where) -> None:
        self.census, self.side, self.where = census, side, where
        self.key = side.rules.key
        self._digests, self._keys = array("Q", bytes(8 * ROOM)), array("Q", bytes(8 * ROOM))

    def batch(self, part: int, batch: Batch, steps: Steps, before: int) -> None:
        digests, keys = self._digests, self._keys
        if batch.far:
            digests[0] = far_digest(self.side.rules, batch)
            keys[0] = self.hashed(head[1]) if len(head := heads(batch, 0)) > 1 else 0
        else:
            records(self.key, batch, self.side.rules.names, self.side.rules.exact, digests)
            second(self.key, batch, keys)
        base, edges = batch.base, batch.edges
        ids, dbs, put, made = batch.ids, steps.db, self.census.put, self.census.made
        chosen = range(batch.count) if self.where.everything else self.where.matches(part, batch, steps, before)
        for i in chosen:
            does = _does(ids[i])
            if does is _adds:  # most commands: done here, without a call
                key, db = keys[i], dbs[i]
                put(db, key, mixed(digests[i], made(db, key)), part, base + edges[i])
            elif does is not None:
                does(self, _Write(part, batch, i, dbs[i], digests[i], keys[i]))

    def put(self, write: _Write, key: int, made: int) -> None:
        """A command makes a key what it is."""
        self.census.put(write.db, key, made, write.part, write.batch.record(write.i).start)

    def hashed(self, key: bytes) -> int:
        return hashed(self.key, key)

    def keys_of(self, write: _Write) -> list[int]:
        """The digests of a command's keys, those that are selected."""
        named = names_of(write.batch, write.i)
        if self.where.keys and not self.where.invert:
            named = [key for key in named if any(pattern.match(key) for pattern in self.where.keys)]
        return [self.hashed(key) for key in named]


def names_of(batch: Batch, i: int) -> list[bytes]:
    """A command's keys; of one that no server knows, its first argument."""
    command, argv = table().get(batch.ids[i]), heads(batch, i)
    return [argv[at] for at in key_places(command, argv)] if command else argv[1:2]


def hashed(key: bytes, name: bytes) -> int:
    """The digest of a key's name, as the kernel has it."""
    return Digest(key).number(len(name)).piece(name).value()


def mixed(digest: int, made: int) -> int:
    """What a write makes of what was there; never 0."""
    return ((made * 0x9E3779B97F4A7C15 + digest) ^ (made >> 29)) & 0xFFFFFFFFFFFFFFFF or 1


_Does = Callable[[_Walk, _Write], None]


def _adds(walk: _Walk, write: _Write) -> None:
    """Changes the key that is its first argument."""
    walk.put(write, write.key, mixed(write.digest, walk.census.made(write.db, write.key)))


def _sets(walk: _Walk, write: _Write) -> None:
    """Replaces its key, unless an option makes that depend on what was there."""
    whole = write.argc == 3
    if not whole:
        argv = write.argv
        whole = argv[0].lower() != b"set" or (write.argc == 5 and argv[3].lower() in _TIMED)
    if whole:
        walk.put(write, write.key, mixed(write.digest, _GONE))
    else:
        _adds(walk, write)


def _deletes(walk: _Walk, write: _Write) -> None:
    for key in (write.key,) if write.argc == 2 else walk.keys_of(write):
        walk.put(write, key, _GONE)


def _joins(walk: _Walk, write: _Write) -> None:
    """Changes any of its keys by what is in any of them."""
    keys, made = walk.keys_of(write), write.digest
    for key in keys:
        made = mixed(made, walk.census.made(write.db, key))
    for key in keys:
        walk.put(write, key, made)


def _renames(walk: _Walk, write: _Write) -> None:
    _joins(walk, write)
    for key in walk.keys_of(write)[:1]:
        walk.put(write, key, _GONE)


def _moves(walk: _Walk, write: _Write) -> None:
    made, target = mixed(write.digest, walk.census.made(write.db, write.key)), _number(write.argv[2:3])
    walk.put(write, write.key, _GONE)
    if target is not None:
        walk.put(write._replace(db=target), write.key, made)


def _flushes(walk: _Walk, write: _Write) -> None:
    walk.census.dbs.pop(write.db, None)
    walk.census.flushes += 1


def _flushes_all(walk: _Walk, write: _Write) -> None:
    walk.census.dbs.clear()
    walk.census.flushes += 1


def _swaps(walk: _Walk, write: _Write) -> None:
    one, two = _number(write.argv[1:2]), _number(write.argv[2:3])
    if one is not None and two is not None and one != two:
        dbs = walk.census.dbs
        dbs[one], dbs[two] = dbs.pop(two, {}), dbs.pop(one, {})


def _number(argument: list[bytes]) -> int | None:
    return int(argument[0]) if argument and argument[0].isdigit() and len(argument[0]) < 10 else None


_DOES: dict[str, _Does] = {
    "set": _sets, "del": _deletes, "unlink": _deletes, "rename": _renames, "move": _moves,
    "flushdb": _flushes, "flushall": _flushes_all, "swapdb": _swaps, **dict.fromkeys(_WHOLE, _sets),
}  # fmt: skip


@functools.cache
def _does(number: int) -> _Does | None:
    """What a command does to keys, by its id; None if it does nothing to any."""
    if number == ANNOTATION:
        return None
    command = table().get(number)
    if command is None:
        return _joins if number < FIRST_ID else None
    if command.name in _DOES:
        return _DOES[command.name]
    if not command.keys or not command.effects & {"write", "script"}:
        return None
    if command.name == "sort":  # its STORE is in no key specification
        return _joins
    return _adds if [spec[:2] for spec in command.keys] == [(1, 0)] else _joins
