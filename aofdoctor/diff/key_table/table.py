"""The table of a census: in memory while it is small, in a file that nobody sees once it is not.

A table of a file is not written to here and there: what happens to its keys is
noted, and applied in the order of the table when there is much of it.  So it
serves, at the speed of a disk, where there is less memory than table; how much
of it the process holds is bounded too.
"""

import mmap
import os
import tempfile
from array import array
from typing import Any

from aofdoctor import text
from aofdoctor.aof.records import RecordBatch
from aofdoctor.diff.key_table import slots as kernel
from aofdoctor.diff.key_table._pyslots import FIRST_SPACE, SLOT_WORDS, State
from aofdoctor.errors import RefusedEdit

MEMORY = 20 << 20  # bytes of a table in memory
EVENTS = 1 << 19  # events that are noted, of a table in a file
_SLOT = 8 * SLOT_WORDS
_PIECE = 1 << 23  # bytes of a table in a file that are held at once
_FEW = 256  # so many events are applied as they came
_LEAST = 256
_OFFSET = 47  # bits of a place
PARTS_MAX = 1 << (63 - _OFFSET)
_DONT_NEED = getattr(mmap, "MADV_DONTNEED", None)


class KeyTable:
    """Keys by digest and database: what made each, when it expires, where it was last written."""

    def __init__(self, key: bytes, keeps_deleted: bool, memory: int = MEMORY, events: int = EVENTS) -> None:
        self.key, self.memory, self.room = key, memory, events
        self.state = array("Q", bytes(8 * len(State)))
        self.state[State.NEXT], self.state[State.KEEPS] = FIRST_SPACE, keeps_deleted
        self.events: Any = bytearray()
        self.in_file = False
        self.slots: Any = self._slots(_LEAST)
        self._sized(self.state, _LEAST)
        self._note()

    def copy(self) -> "KeyTable":
        """The same keys in a table of its own."""
        self._apply_pending()
        other = KeyTable(self.key, bool(self.state[State.KEEPS]), self.memory, self.room)
        other.slots, other.in_file = self._slots(self.state[State.SLOTS]), self.in_file
        other.state = self.state[:]
        other.events = bytearray(len(self.events))
        for at in range(0, len(self.slots), _PIECE):
            other.slots[at : at + _PIECE] = self.slots[at : at + _PIECE]
            self.let_go()
            other.let_go()
        return other

    def finish(self) -> None:
        """Apply what is noted; nothing more will come."""
        self._apply_pending()
        self.state[State.ROOM] = 0
        self.events = bytearray()

    # -- keys --

    def run(self, batch: RecordBatch, db: "array[int]", part: int, wanted: bytearray | None, start: int, does: bytearray,
            base: bool) -> int:  # fmt: skip
        """The first record of a batch, from `start` on, that does what the kernel does not know."""
        while True:
            start = kernel.run(*self._table, batch, db, pack_position(part, batch.base), wanted, start, does, base)
            if start == batch.count or not self._is_full(batch.argc[start]):
                return start
            self._make_room(batch.argc[start])

    def put(self, name: int, digest: int, expire: int, position: int, db: int, op: int) -> None:
        """An event of a key: `op` is an Op, `place` as `placed` gives it."""
        while not kernel.put(self.key, self.slots, self.state, self.events, name, digest, expire, position, db, op):
            self._make_room(1)

    def get(self, name: int, db: int) -> tuple[int, int]:
        """(what made a key, when it expires); zeros if it is not there."""
        self._apply_pending()
        self._make_room(0)
        return kernel.get(*self._table, name, db)

    def flush(self, db: int) -> None:
        """All keys of a database are gone."""
        self._make_room(2)
        kernel.flush(*self._table, db)

    def flush_all(self) -> None:
        """All keys are gone."""
        self.state[State.EPOCH] += 1
        self.state[State.SPACE] = 0

    def swap_databases(self, one: int, two: int) -> None:
        """Two databases are exchanged."""
        self._make_room(4)
        kernel.swap_databases(*self._table, one, two)

    @property
    def _table(self) -> tuple[bytes, Any, "array[int]", Any]:
        return self.key, self.slots, self.state, self.events

    # -- room --

    def _is_full(self, argc: int) -> bool:
        """True if a record was not done because it does not fit; one that can never fit was not for another reason."""
        least = self.state[State.ROOM] or argc
        return argc <= least and not kernel.fits(*self._table, argc)

    def _make_room(self, count: int) -> None:
        if self.state[State.ROOM]:
            if self.state[State.PENDING] + count > self.state[State.ROOM]:
                self._apply_pending()
            count = 0
        while self.state[State.USED] + 4 + count > self.state[State.LIMIT]:
            self._grow(4 + count)

    def _apply_pending(self) -> None:
        """Apply what is noted."""
        count, at = self.state[State.PENDING], 0
        if not count:
            return
        # They come in the order of the table: without room for all of them its front would be full before its end.
        if self.state[State.USED] + count > self.state[State.LIMIT]:
            self._grow(count)
        indexes = array("I", range(count))
        if count > _FEW:
            kernel.order(self.events, self.state, array("I", bytes(4 * ((1 << 16) + 1))), indexes)
        pieces = 1 + len(self.slots) // _PIECE if count > _FEW else 1
        for piece in range(pieces):
            stop = count * (piece + 1) // pieces
            while (at := kernel.apply_pending(*self._table, indexes, at, stop)) < stop:
                self._grow(2)
            self.let_go()
        self.state[State.PENDING] = 0

    def _grow(self, more: int) -> None:
        """Drop what is gone; a larger table where that does not give room enough."""
        live = self._copied(None, None)
        size = max(self.state[State.SLOTS], 2 * (live + more))
        state = self.state[:]
        slots = self._slots(size)
        self._sized(state, size)
        self._copied(slots, state)
        self.slots, self.state = slots, state
        self._note()

    def _note(self) -> None:
        """Events of a table in a file are noted from here on."""
        if self.in_file and not self.state[State.ROOM]:
            self.state[State.ROOM] = self.room
            self.events = bytearray(_SLOT * self.room)

    def _copied(self, into: Any, state: "array[int] | None") -> int:
        """Go over the table: how many slots are alive."""
        live = 0
        for at in range(0, self.state[State.SLOTS], self.step):
            end = min(at + self.step, self.state[State.SLOTS])
            live += kernel.copy(*self._table, at, end, into, state)
            self.let_go()
            _let_go(into)
        return live

    def _sized(self, state: "array[int]", size: int) -> None:
        state[State.SLOTS], state[State.LIMIT] = size, size * 3 // 4
        state[State.USED] = state[State.SPACE] = 0

    def _slots(self, size: int) -> mmap.mmap:
        if size >= 1 << 32:
            raise RefusedEdit("it has more keys than a census can hold", "select some with --key or --db")
        if size * _SLOT <= self.memory:
            return mmap.mmap(-1, size * _SLOT)
        self.in_file = True
        with tempfile.TemporaryFile(prefix="aofdoctor-") as file:
            _reserve(file.fileno(), size * _SLOT)
            return mmap.mmap(file.fileno(), size * _SLOT)

    @property
    def step(self) -> int:
        """So many slots are gone over before the process lets go of them."""
        return _PIECE // _SLOT

    def let_go(self) -> None:
        """The process need not hold the pages of a file."""
        if self.in_file:
            _let_go(self.slots)


def _let_go(table: Any) -> None:
    if table is not None and _DONT_NEED is not None:
        table.madvise(_DONT_NEED)


def _reserve(fd: int, size: int) -> None:
    """Room for all of a file, so that writing to its pages cannot fail."""
    try:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(fd, 0, size)
        else:
            for at in range(0, size, _PIECE):
                os.pwrite(fd, bytes(min(_PIECE, size - at)), at)
    except OSError as problem:
        raise RefusedEdit(
            f"the keys do not fit into {text.display_path(tempfile.gettempdir())}: {text.format_size(size)} are needed there "
            f"({problem.strerror})",
            "name a directory with more room in TMPDIR, or select keys with --key or --db",
        ) from None


def pack_position(part: int, offset: int, is_record: bool = True) -> int:
    """A place in one word, which grows as places do; what is no record is a key of an RDB, which stands before them."""
    return ((2 * part + is_record) << _OFFSET) + offset


def unpack_position(word: int) -> tuple[int, int, bool]:
    """(part, offset, whether it is a record) of a place."""
    return word >> (_OFFSET + 1), word & ((1 << _OFFSET) - 1), bool(word >> _OFFSET & 1)
