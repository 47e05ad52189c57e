"""A census of keys in slots, in plain Python: the twin of census.h, on the same bytes.

Of the same digests it makes the same words.
"""

from array import array
from enum import IntEnum
from typing import Any

from aofdoctor.aof.records import RecordBatch
from aofdoctor.diff.hashing.digest import Digest
from aofdoctor.diff.key_table.effects import CommandEffect, DigestTag, KeyOp, key_events, words

_WORD = (1 << 64) - 1
_GOLDEN = 0x9E3779B97F4A7C15
SLOT_WORDS, ROW_WORDS = 5, 6
_KEY, _MADE, _EXPIRE, _POSITION, _SPACE = range(SLOT_WORDS)
_SPACE_OF_DB, _DB_OF_SPACE, FIRST_SPACE = 1, 2, 3


class State(IntEnum):
    """The fields of a table's state, as in census.h."""

    SLOTS = 0
    USED = 1  # slots that are not free
    LIMIT = 2  # so many may be used
    EPOCH = 3  # flushes of everything
    NEXT = 4  # the space that the next database gets
    DB = 5  # the database whose space was last asked for, and its space or 0
    SPACE = 6
    PENDING = 7  # events that are noted
    ROOM = 8  # so many can be; 0: they are applied at once
    KEEPS = 9  # 1 if a deleted key is a key


def mixed(digest: int, made: int) -> int:
    """What a write makes of what was there; never 0."""
    return ((made * _GOLDEN + digest) & _WORD) ^ (made >> 29) or 1


class _Census:
    def __init__(self, key: bytes, slots: Any, state: "array[int]", events: Any) -> None:
        self.key, self.state = key, state
        self.slots, self.events = (memoryview(buffer).cast("B").cast("Q") for buffer in (slots, events))

    # -- slots --

    def find(self, name: int, space: int) -> int:
        """The place of a slot's first word, or of the free one where it would go."""
        count = self.state[State.SLOTS]
        at = (_hash(name, space) >> 32) * count >> 32
        while (is_in := self.slots[SLOT_WORDS * at + _SPACE]) and (
            is_in != space or self.slots[SLOT_WORDS * at + _KEY] != name
        ):
            at = (at + 1) % count
        return SLOT_WORDS * at

    def made(self, name: int, space: int) -> int:
        at = self.find(name, space)
        if not self.slots[at + _SPACE]:
            self.slot(at, (name, 0, 0, 0, space))
            self.state[State.USED] += 1
        return at

    def slot(self, at: int, words: tuple[int, ...]) -> None:
        for n, word in enumerate(words):
            self.slots[at + n] = word

    def apply(self, event: tuple[int, ...]) -> None:
        name, digest, expire, place, tail = event
        space, op, digest = tail >> 3, tail & 7, digest or 1
        if op == KeyOp.DELETE and not self.state[State.KEEPS] and not self.slots[self.find(name, space) + _SPACE]:
            return
        at = self.made(name, space)
        made, before = self.slots[at + _MADE], self.slots[at + _EXPIRE]
        if op not in (KeyOp.DELETE, KeyOp.SET) and not (op == KeyOp.EXPIRE and made):
            expire = before
        self.slot(at, (name, _new_content(op, digest, made), expire, place, space))

    def put(self, name: int, digest: int, expire: int, place: int, space: int, op: int) -> None:
        event = (name, digest, expire, place, space << 3 | op)
        if not self.state[State.ROOM]:
            self.apply(event)
            return
        at = SLOT_WORDS * self.state[State.PENDING]
        for n, word in enumerate(event):
            self.events[at + n] = word
        self.state[State.PENDING] += 1

    def fits(self, count: int) -> bool:
        state = self.state
        if state[State.ROOM]:
            return state[State.PENDING] + count <= state[State.ROOM] and state[State.USED] + 2 <= state[State.LIMIT]
        return state[State.USED] + 2 + count <= state[State.LIMIT]

    # -- databases --

    def number(self, tag: int, value: int) -> int:
        return Digest(self.key).number(DigestTag.DIRECTORY).number(tag).number(_signed(value)).value()

    def entry(self, tag: int, value: int, says: int) -> None:
        at = self.made(self.number(tag, value), tag)
        self.slots[at + _MADE], self.slots[at + _POSITION] = says, self.state[State.EPOCH]

    def says(self, tag: int, value: int) -> int:
        at = self.find(self.number(tag, value), tag)
        there = self.slots[at + _SPACE] and self.slots[at + _POSITION] == self.state[State.EPOCH]
        return self.slots[at + _MADE] if there else 0

    def space(self, db: int) -> int:
        state = self.state
        if state[State.SPACE] and state[State.DB] == db:
            return state[State.SPACE]
        space = self.says(_SPACE_OF_DB, db)
        if not space:
            space = state[State.NEXT]
            state[State.NEXT] += 1
            self.entry(_SPACE_OF_DB, db, space)
            self.entry(_DB_OF_SPACE, space, (db + 1) & _WORD)
        state[State.DB], state[State.SPACE] = db, space
        return space

    def lives(self, at: int) -> int:
        """True of a slot whose key or entry is still there: the database plus one, or 1."""
        space, made, place = (self.slots[at + word] for word in (_SPACE, _MADE, _POSITION))
        if space < FIRST_SPACE:
            return bool(space and made and place == self.state[State.EPOCH])
        return self.says(_DB_OF_SPACE, space) if made or self.state[State.KEEPS] else 0


def _new_content(op: int, digest: int, made: int) -> int:
    if op == KeyOp.DELETE:
        return 0
    if op == KeyOp.EXPIRE and made:
        return made
    if op in (KeyOp.SET, KeyOp.VALUE) or (op == KeyOp.FIRST and not made):
        return digest
    return (made + digest) & _WORD or 1 if op == KeyOp.SUM else mixed(digest, made)


def _hash(name: int, space: int) -> int:
    return name ^ (space * _GOLDEN & _WORD)


def _signed(value: int) -> int:
    return value - (1 << 64) if value >= 1 << 63 else value


# -- records --


def run(
    key: bytes, slots: Any, state: "array[int]", events: Any, batch: RecordBatch, db: "array[int]", place: int,
    wanted: bytes | bytearray | None, start: int, does: bytes | bytearray, base: bool,
) -> int:  # fmt: skip
    """The first record from `start` that is not done: it does not fit, or does what is not known here.

    `place` is that of the batch's base.
    """
    slot_table = _Census(key, slots, state, events)
    for i in range(start, batch.count):
        what = does[batch.ids[i] if batch.ids[i] < len(does) else 0]
        if (
            what == CommandEffect.NOTHING
            or (batch.argc[i] < 2 and what < CommandEffect.OTHER)
            or (wanted is not None and not wanted[i])
        ):
            continue
        if what >= CommandEffect.OTHER or not slot_table.fits(batch.argc[i]):
            return i
        space, at = slot_table.space(db[i] & _WORD), place + batch.edges[i]
        argv = batch.argv(i)
        for name, digest, expire, op in key_events(key, what, argv.__iter__, len(argv), base):
            slot_table.put(name, digest, expire, at, space, op)
    return batch.count


# -- one key, one database --


def fits(key: bytes, slots: Any, state: "array[int]", events: Any, count: int) -> bool:
    """True if `count` more events fit."""
    return _Census(key, slots, state, events).fits(count)


def put(
    key: bytes, slots: Any, state: "array[int]", events: Any, name: int, digest: int, expire: int, place: int,
    db: int, op: int,
) -> bool:  # fmt: skip
    """One event of a key; False if it does not fit."""
    slot_table = _Census(key, slots, state, events)
    if fits := slot_table.fits(1):
        slot_table.put(name, digest, expire, place, slot_table.space(db), op)
    return fits


def get(key: bytes, slots: Any, state: "array[int]", events: Any, name: int, db: int) -> tuple[int, int]:
    """(what made a key, when it expires); zeros if it is not there.  No event may be pending."""
    slot_table = _Census(key, slots, state, events)
    at = slot_table.find(name, slot_table.space(db))
    return (slot_table.slots[at + _MADE], slot_table.slots[at + _EXPIRE]) if slot_table.slots[at + _SPACE] else (0, 0)


def flush(key: bytes, slots: Any, state: "array[int]", events: Any, db: int) -> None:
    """Take all keys of a database away; two must fit."""
    slot_table = _Census(key, slots, state, events)
    space = slot_table.space(db)
    slot_table.entry(_SPACE_OF_DB, db, 0)
    slot_table.entry(_DB_OF_SPACE, space, 0)
    state[State.SPACE] = 0


def swap_databases(key: bytes, slots: Any, state: "array[int]", events: Any, one: int, two: int) -> None:
    """Exchange two databases; four must fit."""
    slot_table = _Census(key, slots, state, events)
    a, b = slot_table.space(one), slot_table.space(two)
    for db, space in ((one, b), (two, a)):
        slot_table.entry(_SPACE_OF_DB, db, space)
        slot_table.entry(_DB_OF_SPACE, space, db + 1)
    state[State.SPACE] = 0


# -- from front to back --


def order(events: Any, state: "array[int]", starts: "array[int]", indexes: "array[int]") -> None:
    """Fill `indexes` with those of the pending events in the order of the table."""
    pending = memoryview(events).cast("B").cast("Q")

    def place(i: int) -> int:
        return _hash(pending[SLOT_WORDS * i + _KEY], pending[SLOT_WORDS * i + _SPACE] >> 3) >> 48

    count = state[State.PENDING]
    indexes[:count] = array("I", sorted(range(count), key=place))


def apply_pending(
    key: bytes, slots: Any, state: "array[int]", events: Any, indexes: "array[int]", start: int, stop: int
) -> int:
    """Apply the events indexes[start:stop], or as many as there are slots for; where it stopped."""
    slot_table = _Census(key, slots, state, events)
    for at in range(start, stop):
        if state[State.USED] >= state[State.LIMIT]:
            return at
        first = SLOT_WORDS * indexes[at]
        slot_table.apply(tuple(slot_table.events[first : first + SLOT_WORDS]))
    return stop


def copy(
    key: bytes, slots: Any, state: "array[int]", events: Any, start: int, stop: int, into: Any,
    into_state: "array[int] | None",
) -> int:  # fmt: skip
    """How many of the slots start to stop - 1 live; copied to the table `into` unless that is None."""
    slot_table = _Census(key, slots, state, events)
    other = None if into is None or into_state is None else _Census(key, into, into_state, events)
    live = 0
    for at in range(SLOT_WORDS * start, SLOT_WORDS * stop, SLOT_WORDS):
        if not slot_table.lives(at):
            continue
        live += 1
        if other is not None:
            words = tuple(slot_table.slots[at : at + SLOT_WORDS])
            other.slot(other.made(words[_KEY], words[_SPACE]), words)
    return live


def compare(
    key: bytes, one: Any, one_state: "array[int]", two: Any, two_state: "array[int]", start: int, stop: int,
    only: bool, rows: "array[int]", same: "array[int]",
) -> tuple[int, int]:  # fmt: skip
    """(how many rows of what is other, where to go on); what is equal is counted in same[0]."""
    a, b = _Census(key, one, one_state, rows), _Census(key, two, two_state, rows)
    count, at = 0, start
    while at < stop and ROW_WORDS * count < len(rows):
        row = _row(a, b, SLOT_WORDS * at, only)
        at += 1
        if row is _SAME:
            same[0] += 1
        elif row:
            rows[ROW_WORDS * count : ROW_WORDS * (count + 1)] = array("Q", row)
            count += 1
    return count, at


_SAME: tuple[int, ...] = (0,)


def _row(a: _Census, b: _Census, at: int, only: bool) -> tuple[int, ...] | None:
    db = a.lives(at) - 1
    if a.slots[at + _SPACE] < FIRST_SPACE or db < 0:
        return None
    name, made, expire, place, _ = a.slots[at : at + SLOT_WORDS]
    space = b.says(_SPACE_OF_DB, db)
    there = b.find(name, space) if space else -1
    if there < 0 or not b.slots[there + _SPACE] or not (b.slots[there + _MADE] or b.state[State.KEEPS]):
        return 1, db, name, place, 0, not made
    if only:
        return None
    if (b.slots[there + _MADE], b.slots[there + _EXPIRE]) == (made, expire):
        return _SAME
    return 3, db, name, place, b.slots[there + _POSITION], (not made) | (not b.slots[there + _MADE]) << 1


def fold_elements(key: bytes, tag: int, items: list[bytes], width: int, made: int, ordered: bool) -> int:
    """What elements of `width` strings make of what was there, one after the other, or in any order."""
    for at in range(0, len(items), width):
        digest = words(Digest(key).number(tag), *items[at : at + width]).value()
        made = mixed(digest, made) if ordered else made + digest & _WORD
    return made or 1
