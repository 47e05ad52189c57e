"""The names of keys, read from where they were last written.

Places come in order, so that what is near is read in one piece; a record may
have many keys, which are sought in one reading of it.
"""

from bisect import bisect_left
from itertools import chain, islice

from aofdoctor.aof.reader import read_batches
from aofdoctor.aof.records import Arg, RecordBatch
from aofdoctor.diff.key_table.effects import name_digest
from aofdoctor.diff.keys.rdb_values import string_at
from aofdoctor.diff.units.side import Side
from aofdoctor.rdb.compressed.source import decompressed
from aofdoctor.rdb.encoding.cursor import Cursor, DecodeError
from aofdoctor.rdb.encoding.short_strings import to_name
from aofdoctor.rdb.header import SIZE as MAGIC_SIZE
from aofdoctor.rdb.walk.layouts import layout_of
from aofdoctor.rdb.walk.window import WalkWindow
from aofdoctor.server.command_table import table
from aofdoctor.source import pread

_LEAST, _MOST = 1 << 13, 1 << 18
_SHOWN = 1 << 16  # so much of a name at most


class Names:
    """The names of keys of one side."""

    def __init__(self, side: Side) -> None:
        self._side, self._key = side, side.rules.key
        self._part, self._window = -1, _LEAST
        self._batch: RecordBatch | None = None
        self._cursor: Cursor | None = None

    def at(self, part: int, start: int, is_record: bool, wanted: set[int]) -> dict[int, bytes]:
        """The names of the keys of the record or the key of an RDB that begins at a place, by digest."""
        if part != self._part:
            self._part, self._batch, self._cursor = part, None, None
        return self._of_record(start, wanted) if is_record else self._of_key(start, wanted)

    def _of_record(self, start: int, wanted: set[int]) -> dict[int, bytes]:
        batch = self._reach(start)
        i = bisect_left(batch.edges, start - batch.base, 0, batch.count)
        found: dict[int, bytes] = {}
        # Most have their key first, and need not be looked through.
        for arg in chain(_first(batch, i), islice(batch.args(i), 2, None)):
            if (digest := name_digest(self._key, arg)) in wanted:
                found[digest] = _shown(arg)
                if len(found) == len(wanted):
                    break
        return found

    def _reach(self, start: int) -> RecordBatch:
        """The batch in which a record begins."""
        batch = self._batch
        if batch is None or not batch.span.start <= start < batch.span.end:
            near = batch is not None and 0 <= start - batch.span.end < self._window
            self._window = min(_MOST, 2 * self._window) if near else _LEAST
            source = self._side.sources[self._part]
            assert source is not None
            batch = self._batch = next(read_batches(source, table().names, start, self._window))
        return batch

    def _of_key(self, start: int, wanted: set[int]) -> dict[int, bytes]:
        cursor = self._cursor
        if cursor is None:
            source = self._side.sources[self._part]
            assert source is not None
            cursor = self._cursor = Cursor(decompressed(source))
        try:
            to_name(cursor, start)
        except DecodeError:  # metadata stands before it, over which only a walk steps
            source = cursor.source
            window = WalkWindow(source, layout_of(pread(source, MAGIC_SIZE, 0)), start, room=2, verify=False)
            window.run()
            cursor.seek(max(start, window.columns.name[0]))
        name = string_at(cursor, cursor.offset)
        return dict.fromkeys(wanted, name if isinstance(name, bytes) else name.read(_SHOWN))


def _first(batch: RecordBatch, i: int) -> list[Arg]:
    return list(islice(batch.args(i), 1, 2)) if batch.oversized else list(batch.argv(i, 2)[1:])


def _shown(arg: Arg) -> bytes:
    return arg if isinstance(arg, bytes) else arg.head(_SHOWN)
