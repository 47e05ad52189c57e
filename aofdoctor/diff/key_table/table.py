"""The key table: a hash table of key digests with open addressing, in memory or in an unnamed temporary file.

A table that outgrows its memory limit moves to a file.  Such a table is not
updated at random offsets: its events are queued, and many are applied at once in
the order of the slots.  This works at the speed of sequential disk access even
if the table is larger than memory.  Pages of the file are released after use,
which bounds the memory of the process.
"""

import mmap
import os
import tempfile
from array import array
from typing import Any

from aofdoctor import text
from aofdoctor.aof.records import RecordBatch
from aofdoctor.diff.key_table import slots as kernel
from aofdoctor.diff.key_table.constants import FIRST_SPACE, SLOT_WORDS, KeyTableField
from aofdoctor.errors import RefusedEdit

MEMORY_MAX = 20 << 20  # bytes of a table in memory
EVENTS_MAX = 1 << 19  # queued events of a table in a file
_SLOT_BYTES = 8 * SLOT_WORDS
_STEP_BYTES = 1 << 23  # bytes of a table in a file that are in memory at once
_UNSORTED_MAX = 256  # queued events up to which sorting does not pay
_SLOTS_MIN = 256
_OFFSET_BITS = 47  # bits of the offset in a packed position
PARTS_MAX = 1 << (63 - _OFFSET_BITS)
_DONT_NEED = getattr(mmap, "MADV_DONTNEED", None)


class KeyTable:
    """For each key, by digest and database: the digest of its value, its expiry and the position of its last write.

    `memory` is the size in bytes up to which the table stays in memory, `events` the length of the queue of a table
    in a file.  With `keep_deleted` a deleted key remains in the table.
    """

    def __init__(self, key: bytes, keep_deleted: bool, memory: int = MEMORY_MAX, events: int = EVENTS_MAX) -> None:
        self.key, self.memory, self.pending_max = key, memory, events
        self.state = array("Q", bytes(8 * len(KeyTableField)))
        self.state[KeyTableField.NEXT_SPACE], self.state[KeyTableField.KEEP_DELETED] = FIRST_SPACE, keep_deleted
        self.events: Any = bytearray()
        self.in_file = False
        self.slots: Any = self._allocate_slots(_SLOTS_MIN)
        self._set_size(self.state, _SLOTS_MIN)
        self._start_queueing()

    def copy(self) -> "KeyTable":
        """Return a copy of the table, with the same keys, digests and expiries, that can change independently."""
        self._apply_pending()
        table_copy = KeyTable(self.key, bool(self.state[KeyTableField.KEEP_DELETED]), self.memory, self.pending_max)
        table_copy.slots, table_copy.in_file = self._allocate_slots(self.state[KeyTableField.SLOTS]), self.in_file
        table_copy.state = self.state[:]
        table_copy.events = bytearray(len(self.events))
        for at in range(0, len(self.slots), _STEP_BYTES):
            table_copy.slots[at : at + _STEP_BYTES] = self.slots[at : at + _STEP_BYTES]
            self.release_pages()
            table_copy.release_pages()
        return table_copy

    def finish(self) -> None:
        """Apply the queued events and free the queue; no further events may follow."""
        self._apply_pending()
        self.state[KeyTableField.PENDING_MAX] = 0
        self.events = bytearray()

    # -- keys --

    def apply_batch(
        self,
        batch: RecordBatch,
        db: "array[int]",
        part: int,
        selected: bytearray | None,
        start: int,
        effects: bytearray,
        base: bool,
    ) -> int:
        """Apply the records of a batch from `start` on; return the index of the first one that is left to Python.

        It is the number of records if none is left.
        """
        while True:
            start = kernel.apply_batch(
                *self._kernel_args, batch, db, pack_position(part, batch.base), selected, start, effects, base
            )
            if start == batch.count or not self._is_full(batch.argc[start]):
                return start
            self._make_room(batch.argc[start])

    def put(self, name: int, digest: int, expire: int, position: int, db: int, op: int) -> None:
        """Record one change of a key: `op` is a KeyOp, `position` (of the command) comes from pack_position."""
        while not kernel.put_event(
            self.key, self.slots, self.state, self.events, name, digest, expire, position, db, op
        ):
            self._make_room(1)

    def get_key(self, name: int, db: int) -> tuple[int, int]:
        """Return the digest of a key's value and its expiry; zeros if the key does not exist."""
        self._apply_pending()
        self._make_room(0)
        return kernel.get_key(*self._kernel_args, name, db)

    def flush_database(self, db: int) -> None:
        """Remove all keys of a database, as FLUSHDB does."""
        self._make_room(2)
        kernel.flush_database(*self._kernel_args, db)

    def flush_all(self) -> None:
        """Remove all keys of all databases, as FLUSHALL does."""
        self.state[KeyTableField.EPOCH] += 1
        self.state[KeyTableField.LAST_SPACE] = 0

    def swap_databases(self, one: int, two: int) -> None:
        """Exchange the keys of two databases, as SWAPDB does."""
        self._make_room(4)
        kernel.swap_databases(*self._kernel_args, one, two)

    @property
    def _kernel_args(self) -> tuple[bytes, Any, "array[int]", Any]:
        return self.key, self.slots, self.state, self.events

    # -- room --

    def _is_full(self, argc: int) -> bool:
        """Whether a record was not applied for lack of room.

        A record with more arguments than could ever fit was not applied for another reason.
        """
        least = self.state[KeyTableField.PENDING_MAX] or argc
        return argc <= least and not kernel.has_room(*self._kernel_args, argc)

    def _make_room(self, count: int) -> None:
        if self.state[KeyTableField.PENDING_MAX]:
            if self.state[KeyTableField.PENDING] + count > self.state[KeyTableField.PENDING_MAX]:
                self._apply_pending()
            count = 0
        while self.state[KeyTableField.USED] + 4 + count > self.state[KeyTableField.USED_MAX]:
            self._grow(4 + count)

    def _apply_pending(self) -> None:
        """Apply the queued changes of keys to a table that is in a file."""
        count, at = self.state[KeyTableField.PENDING], 0
        if not count:
            return
        # Events are applied in slot order, so a table without room for all of them would fill up at its front first.
        if self.state[KeyTableField.USED] + count > self.state[KeyTableField.USED_MAX]:
            self._grow(count)
        indexes = array("I", range(count))
        if count > _UNSORTED_MAX:
            kernel.order_pending(self.events, self.state, array("I", bytes(4 * ((1 << 16) + 1))), indexes)
        pieces = 1 + len(self.slots) // _STEP_BYTES if count > _UNSORTED_MAX else 1
        for piece in range(pieces):
            stop = count * (piece + 1) // pieces
            while (at := kernel.apply_pending(*self._kernel_args, indexes, at, stop)) < stop:
                self._grow(2)
            self.release_pages()
        self.state[KeyTableField.PENDING] = 0

    def _grow(self, more: int) -> None:
        """Rebuild the table without removed keys, larger if that does not make room for `more` keys."""
        live = self._copy_live(None, None)
        size = max(self.state[KeyTableField.SLOTS], 2 * (live + more))
        state = self.state[:]
        slots = self._allocate_slots(size)
        self._set_size(state, size)
        self._copy_live(slots, state)
        self.slots, self.state = slots, state
        self._start_queueing()

    def _start_queueing(self) -> None:
        """Start to queue changes of keys if the table is in a file, where each random access is slow."""
        if self.in_file and not self.state[KeyTableField.PENDING_MAX]:
            self.state[KeyTableField.PENDING_MAX] = self.pending_max
            self.events = bytearray(_SLOT_BYTES * self.pending_max)

    def _copy_live(self, into: Any, state: "array[int] | None") -> int:
        """Count the keys that still exist, and copy them to the table `into` unless that is None."""
        live = 0
        for at in range(0, self.state[KeyTableField.SLOTS], self.slots_per_step):
            end = min(at + self.slots_per_step, self.state[KeyTableField.SLOTS])
            live += kernel.copy_live_slots(*self._kernel_args, at, end, into, state)
            self.release_pages()
            _release_pages(into)
        return live

    def _set_size(self, state: "array[int]", size: int) -> None:
        state[KeyTableField.SLOTS], state[KeyTableField.USED_MAX] = size, size * 3 // 4
        state[KeyTableField.USED] = state[KeyTableField.LAST_SPACE] = 0

    def _allocate_slots(self, size: int) -> mmap.mmap:
        if size >= 1 << 32:
            raise RefusedEdit("it has more keys than a census can hold", "select some with --key or --db")
        if size * _SLOT_BYTES <= self.memory:
            return mmap.mmap(-1, size * _SLOT_BYTES)
        self.in_file = True
        with tempfile.TemporaryFile(prefix="aofdoctor-") as file:
            _reserve(file.fileno(), size * _SLOT_BYTES)
            return mmap.mmap(file.fileno(), size * _SLOT_BYTES)

    @property
    def slots_per_step(self) -> int:
        """The number of table slots to process before their pages in the file mapping are released."""
        return _STEP_BYTES // _SLOT_BYTES

    def release_pages(self) -> None:
        """Release the pages of a table in a file from the memory of the process."""
        if self.in_file:
            _release_pages(self.slots)


def _release_pages(table: Any) -> None:
    if table is not None and _DONT_NEED is not None:
        table.madvise(_DONT_NEED)


def _reserve(fd: int, size: int) -> None:
    """Allocate disk space for the whole file, so that writing to a mapped page cannot fail later."""
    try:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(fd, 0, size)
        else:
            for at in range(0, size, _STEP_BYTES):
                os.pwrite(fd, bytes(min(_STEP_BYTES, size - at)), at)
    except OSError as problem:
        needed = f": {text.format_size(size)} are needed there"
        raise no_temporary_space("the keys do not fit", problem, needed) from None


def no_temporary_space(complaint: str, problem: OSError, needed: str = "") -> RefusedEdit:
    """The error for a temporary directory that is too small."""
    return RefusedEdit(
        f"{complaint} into {text.display_path(tempfile.gettempdir())}{needed} ({problem.strerror})",
        "name a directory with more room in TMPDIR, or select keys with --key or --db",
    )


def pack_position(part: int, offset: int, is_record: bool = True) -> int:
    """Pack a place in an AOF, a file's index and an offset, into one integer that sorts in load order.

    Keys of a part's RDB (`is_record` is False) sort before its records.
    """
    return ((2 * part + is_record) << _OFFSET_BITS) + offset


def unpack_position(word: int) -> tuple[int, int, bool]:
    """Return (index of the file, offset in it, whether it is a record and not an RDB key) of a packed position."""
    return word >> (_OFFSET_BITS + 1), word & ((1 << _OFFSET_BITS) - 1), bool(word >> _OFFSET_BITS & 1)
