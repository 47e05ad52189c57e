"""Keep a table of keys with a digest of each value: the pure Python fallback of slots.h, on the same memory layout.

slots.h explains the table.  With the same digests both write the same words.
"""

from array import array
from typing import Any

from aofdoctor.aof.records import RecordBatch
from aofdoctor.diff.hashing.arguments import feed_arguments
from aofdoctor.diff.hashing.digest import Digest
from aofdoctor.diff.key_table.constants import (
    FIRST_SPACE,
    GOLDEN,
    OP_BITS,
    ROW_WORDS,
    SLOT_WORDS,
    WORD_MASK,
    KeyTableField,
    even,
    mix_digest,
)  # fmt: skip
from aofdoctor.diff.key_table.effects import CommandEffect, DigestTag, KeyOp, key_events

_KEY, _CONTENT, _EXPIRE, _POSITION, _SPACE = range(SLOT_WORDS)
_SPACE_OF_DB, _DB_OF_SPACE = 1, 2


class _SlotTable:
    def __init__(self, key: bytes, slots: Any, state: "array[int]", events: Any) -> None:
        self.key, self.state = key, state
        self.slots, self.events = (memoryview(buffer).cast("B").cast("Q") for buffer in (slots, events))

    # -- slots --

    def find_slot(self, name: int, space: int) -> int:
        """Return the index, in the array of the table, of a key's slot, or of the free slot where the key belongs."""
        count = self.state[KeyTableField.SLOTS]
        at = (_hash(name, space) >> 32) * count >> 32
        while (slot_space := self.slots[SLOT_WORDS * at + _SPACE]) and (
            slot_space != space or self.slots[SLOT_WORDS * at + _KEY] != name
        ):
            at = (at + 1) % count
        return SLOT_WORDS * at

    def ensure_slot(self, name: int, space: int) -> int:
        at = self.find_slot(name, space)
        if not self.slots[at + _SPACE]:
            self.write_slot(at, (name, 0, 0, 0, space))
            self.state[KeyTableField.USED] += 1
        return at

    def write_slot(self, at: int, words: tuple[int, ...]) -> None:
        for n, word in enumerate(words):
            self.slots[at + n] = word

    def apply_event(self, event: tuple[int, ...]) -> None:
        name, digest, expire, position, tail = event
        space, op = tail >> OP_BITS, tail & (1 << OP_BITS) - 1
        if (
            op == KeyOp.DELETE
            and not self.state[KeyTableField.KEEP_DELETED]
            and not self.slots[self.find_slot(name, space) + _SPACE]
        ):
            return
        at = self.ensure_slot(name, space)
        content, before = self.slots[at + _CONTENT], self.slots[at + _EXPIRE]
        expire = _new_expiry(op, digest, expire, content, before)
        self.write_slot(at, (name, _new_content(op, digest, content), expire, position, space))

    def put_event(self, name: int, digest: int, expire: int, position: int, space: int, op: int) -> None:
        event = (name, digest, expire, position, space << OP_BITS | op)
        if not self.state[KeyTableField.PENDING_MAX]:
            self.apply_event(event)
            return
        at = SLOT_WORDS * self.state[KeyTableField.PENDING]
        for n, word in enumerate(event):
            self.events[at + n] = word
        self.state[KeyTableField.PENDING] += 1

    def has_room(self, count: int) -> bool:
        state = self.state
        if state[KeyTableField.PENDING_MAX]:
            return (
                state[KeyTableField.PENDING] + count <= state[KeyTableField.PENDING_MAX]
                and state[KeyTableField.USED] + 2 <= state[KeyTableField.USED_MAX]
            )
        return state[KeyTableField.USED] + 2 + count <= state[KeyTableField.USED_MAX]

    # -- databases: each has a number, its space, which entries of the table map to it and back --

    def directory_key(self, tag: int, value: int) -> int:
        return Digest(self.key).add_number(DigestTag.DIRECTORY).add_number(tag).add_number(_signed(value)).value()

    def set_directory(self, tag: int, value: int, target: int) -> None:
        at = self.ensure_slot(self.directory_key(tag, value), tag)
        self.slots[at + _CONTENT], self.slots[at + _POSITION] = target, self.state[KeyTableField.EPOCH]

    def get_directory(self, tag: int, value: int) -> int:
        at = self.find_slot(self.directory_key(tag, value), tag)
        there = self.slots[at + _SPACE] and self.slots[at + _POSITION] == self.state[KeyTableField.EPOCH]
        return self.slots[at + _CONTENT] if there else 0

    def space_of_db(self, db: int) -> int:
        state = self.state
        if state[KeyTableField.LAST_SPACE] and state[KeyTableField.LAST_DB] == db:
            return state[KeyTableField.LAST_SPACE]
        space = self.get_directory(_SPACE_OF_DB, db)
        if not space:
            space = state[KeyTableField.NEXT_SPACE]
            state[KeyTableField.NEXT_SPACE] += 1
            self.set_directory(_SPACE_OF_DB, db, space)
            self.set_directory(_DB_OF_SPACE, space, (db + 1) & WORD_MASK)
        state[KeyTableField.LAST_DB], state[KeyTableField.LAST_SPACE] = db, space
        return space

    def live_database(self, at: int) -> int:
        """Return a true value if the key or entry of a slot still exists: for a key, its database plus one."""
        space, content, position = (self.slots[at + word] for word in (_SPACE, _CONTENT, _POSITION))
        if space < FIRST_SPACE:
            return bool(space and content and position == self.state[KeyTableField.EPOCH])
        return self.get_directory(_DB_OF_SPACE, space) if content or self.state[KeyTableField.KEEP_DELETED] else 0


def _new_expiry(op: int, digest: int, given: int, content: int, before: int) -> int:
    """Return a key's expiry after an event; what happened to it is mixed in if it is not certain."""
    if op in (KeyOp.DELETE, KeyOp.SET):
        return given
    if op == KeyOp.EXPIRE and content:
        return mix_digest(mix_digest(content, 1), given) if given and content & 1 else given
    if op == KeyOp.SET_KEEP_EXPIRY and before and content & 1:
        return mix_digest(mix_digest(content, 2), before)
    if op == KeyOp.ANY or (op == KeyOp.REMOVE and before):
        return mix_digest(mix_digest(digest, content), before)
    return before


def _new_content(op: int, digest: int, content: int) -> int:
    """Return the digest of a key's value after an event: 0 if it does not exist, odd if its existence is uncertain."""
    if op == KeyOp.DELETE:
        return 0
    if op == KeyOp.EXPIRE and content:
        return content
    if op in (KeyOp.SET, KeyOp.SET_KEEP_EXPIRY) or (op == KeyOp.SET_IF_ABSENT and not content):
        return even(digest)
    if op == KeyOp.SUM:
        return even((content & ~1) + even(digest) & WORD_MASK)
    if op == KeyOp.UPDATE:
        return mix_digest(digest, content) | (content & 1 if content else 1)
    return mix_digest(digest, content) | (op in (KeyOp.EXPIRE, KeyOp.REMOVE, KeyOp.ANY))


def _hash(name: int, space: int) -> int:
    return name ^ (space * GOLDEN & WORD_MASK)


def _signed(value: int) -> int:
    return value - (1 << 64) if value >= 1 << 63 else value


# -- records --


def apply_batch(
    key: bytes, slots: Any, state: "array[int]", events: Any, batch: RecordBatch, db: "array[int]", base_position: int,
    selected: bytes | bytearray | None, start: int, effects: bytes | bytearray, base: bool,
) -> int:  # fmt: skip
    """Apply the records of a batch from index `start` on; return the index of the first one that was not applied.

    That is a record that does not fit into the table, or with the effect OTHER.  `effects` is indexed by command id.
    `selected` has a byte for each record, or is None to apply all.  `base_position` is the packed position of offset 0
    of the batch.  `base` is set for the commands of a base, in which each element occurs once.
    """
    slot_table = _SlotTable(key, slots, state, events)
    for i in range(start, batch.count):
        effect = effects[batch.ids[i] if batch.ids[i] < len(effects) else 0]
        if (
            effect == CommandEffect.NONE
            or (batch.argc[i] < 2 and effect < CommandEffect.OTHER)
            or (selected is not None and not selected[i])
        ):
            continue
        if effect >= CommandEffect.OTHER or not slot_table.has_room(batch.argc[i]):
            return i
        space, at = slot_table.space_of_db(db[i] & WORD_MASK), base_position + batch.edges[i]
        argv = batch.argv(i)
        for name, digest, expire, op in key_events(key, effect, argv.__iter__, len(argv), base):
            slot_table.put_event(name, digest, expire, at, space, op)
    return batch.count


# -- one key, one database --


def has_room(key: bytes, slots: Any, state: "array[int]", events: Any, count: int) -> bool:
    """Whether the key table has room for `count` more changes of keys (events)."""
    return _SlotTable(key, slots, state, events).has_room(count)


def put_event(
    key: bytes, slots: Any, state: "array[int]", events: Any, name: int, digest: int, expire: int, position: int,
    db: int, op: int,
) -> bool:  # fmt: skip
    """Add one change of a key (an event) to the key table; return False if the table has no room."""
    slot_table = _SlotTable(key, slots, state, events)
    if is_placed := slot_table.has_room(1):
        slot_table.put_event(name, digest, expire, position, slot_table.space_of_db(db), op)
    return is_placed


def get_key(key: bytes, slots: Any, state: "array[int]", events: Any, name: int, db: int) -> tuple[int, int]:
    """Return (the digest of a key's content, its expiry), or zeros if it does not exist.  No event may be pending."""
    slot_table = _SlotTable(key, slots, state, events)
    at = slot_table.find_slot(name, slot_table.space_of_db(db))
    return (
        (slot_table.slots[at + _CONTENT], slot_table.slots[at + _EXPIRE]) if slot_table.slots[at + _SPACE] else (0, 0)
    )


def flush_database(key: bytes, slots: Any, state: "array[int]", events: Any, db: int) -> None:
    """Remove all keys of a database from the key table, as FLUSHDB does; needs two free slots."""
    slot_table = _SlotTable(key, slots, state, events)
    space = slot_table.space_of_db(db)
    slot_table.set_directory(_SPACE_OF_DB, db, 0)
    slot_table.set_directory(_DB_OF_SPACE, space, 0)
    state[KeyTableField.LAST_SPACE] = 0


def swap_databases(key: bytes, slots: Any, state: "array[int]", events: Any, one: int, two: int) -> None:
    """Exchange two databases of the key table, as SWAPDB does; needs four free slots."""
    slot_table = _SlotTable(key, slots, state, events)
    a, b = slot_table.space_of_db(one), slot_table.space_of_db(two)
    for db, space in ((one, b), (two, a)):
        slot_table.set_directory(_SPACE_OF_DB, db, space)
        slot_table.set_directory(_DB_OF_SPACE, space, db + 1)
    state[KeyTableField.LAST_SPACE] = 0


# -- in the order of the table --


def order_pending(events: Any, state: "array[int]", starts: "array[int]", indexes: "array[int]") -> None:
    """Sort the queued changes of keys: fill `indexes` with their indexes in the order of their slots in the table.

    `starts` is working memory of the compiled form, for a counting sort.
    """
    pending = memoryview(events).cast("B").cast("Q")

    def position(i: int) -> int:
        return _hash(pending[SLOT_WORDS * i + _KEY], pending[SLOT_WORDS * i + _SPACE] >> OP_BITS) >> 48

    count = state[KeyTableField.PENDING]
    indexes[:count] = array("I", sorted(range(count), key=position))


def apply_pending(
    key: bytes, slots: Any, state: "array[int]", events: Any, indexes: "array[int]", start: int, stop: int
) -> int:
    """Apply the queued changes of keys indexes[start:stop], while slots are free; return where it stopped."""
    slot_table = _SlotTable(key, slots, state, events)
    for at in range(start, stop):
        if state[KeyTableField.USED] >= state[KeyTableField.USED_MAX]:
            return at
        first = SLOT_WORDS * indexes[at]
        slot_table.apply_event(tuple(slot_table.events[first : first + SLOT_WORDS]))
    return stop


def copy_live_slots(
    key: bytes, slots: Any, state: "array[int]", events: Any, start: int, stop: int, into: Any,
    into_state: "array[int] | None",
) -> int:  # fmt: skip
    """Count the slots start to stop - 1 that still exist, and copy them to the table `into` unless it is None."""
    slot_table = _SlotTable(key, slots, state, events)
    target_table = None if into is None or into_state is None else _SlotTable(key, into, into_state, events)
    live = 0
    for at in range(SLOT_WORDS * start, SLOT_WORDS * stop, SLOT_WORDS):
        if not slot_table.live_database(at):
            continue
        live += 1
        if target_table is not None:
            words = tuple(slot_table.slots[at : at + SLOT_WORDS])
            target_table.write_slot(target_table.ensure_slot(words[_KEY], words[_SPACE]), words)
    return live


def compare(
    key: bytes, one: Any, one_state: "array[int]", two: Any, two_state: "array[int]", start: int, stop: int,
    only_missing: bool, rows: "array[int]", equal_count: "array[int]",
) -> tuple[int, int]:  # fmt: skip
    """Compare the slots start to stop - 1 of table `one` with table `two`; return (the number of rows, where to go on).

    Each difference is a row of ROW_WORDS words in `rows`: sides (1: in one, 3: in both), database, key, position in
    one, position in two, deleted (1: in one, 2: in two).  With `only_missing` only keys that `two` lacks get a row.
    Equal keys are counted in equal_count[0].
    """
    a, b = _SlotTable(key, one, one_state, rows), _SlotTable(key, two, two_state, rows)
    count, at = 0, start
    while at < stop and ROW_WORDS * count < len(rows):
        row = _compare_slot(a, b, SLOT_WORDS * at, only_missing)
        at += 1
        if row is _EQUAL_ROW:
            equal_count[0] += 1
        elif row:
            rows[ROW_WORDS * count : ROW_WORDS * (count + 1)] = array("Q", row)
            count += 1
    return count, at


_EQUAL_ROW: tuple[int, ...] = (0,)


def _compare_slot(a: _SlotTable, b: _SlotTable, at: int, only_missing: bool) -> tuple[int, ...] | None:
    db = a.live_database(at) - 1
    if a.slots[at + _SPACE] < FIRST_SPACE or db < 0:
        return None
    name, content, expire, position, _ = a.slots[at : at + SLOT_WORDS]
    space = b.get_directory(_SPACE_OF_DB, db)
    slot_in_b = b.find_slot(name, space) if space else -1
    if (
        slot_in_b < 0
        or not b.slots[slot_in_b + _SPACE]
        or not (b.slots[slot_in_b + _CONTENT] or b.state[KeyTableField.KEEP_DELETED])
    ):
        return 1, db, name, position, 0, not content
    if only_missing:
        return None
    if (b.slots[slot_in_b + _CONTENT], b.slots[slot_in_b + _EXPIRE]) == (content, expire):
        return _EQUAL_ROW
    return (
        3,
        db,
        name,
        position,
        b.slots[slot_in_b + _POSITION],
        (not content) | (not b.slots[slot_in_b + _CONTENT]) << 1,
    )


def fold_elements(key: bytes, tag: int, items: list[bytes], width: int, content: int, ordered: bool) -> int:
    """Add elements of `width` strings each to the digest `content`: in sequence if `ordered`, else in any order."""
    for at in range(0, len(items), width):
        digest = feed_arguments(Digest(key).add_number(tag), *items[at : at + width]).value()
        content = mix_digest(digest, content) if ordered else even(content + even(digest) & WORD_MASK)
    return content or 2
