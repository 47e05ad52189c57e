"""Read the names of keys at the positions of their last writes.

The key table holds only digests.  Positions are asked for in ascending order, so
that adjacent ones are served from one read.  All wanted keys of a record are
found in one pass over its arguments.
"""

from bisect import bisect_left
from itertools import chain, islice

from aofdoctor.aof.reader import read_batches
from aofdoctor.aof.records import Arg, RecordBatch
from aofdoctor.diff.key_table.effects import name_digest
from aofdoctor.diff.keys.rdb_values import read_name
from aofdoctor.diff.units.side import Side
from aofdoctor.rdb.compressed.source import decompressed
from aofdoctor.rdb.encoding.cursor import Cursor, DecodeError
from aofdoctor.rdb.header import MAGIC_SIZE
from aofdoctor.rdb.key_prefix import seek_name
from aofdoctor.rdb.walk.layouts import layout_of
from aofdoctor.rdb.walk.window import WalkWindow
from aofdoctor.server.command_table import command_table
from aofdoctor.source import pread

_WINDOW_MIN, _WINDOW_MAX = 1 << 13, 1 << 18
_NAME_MAX = 1 << 16  # bytes of a name


class KeyNameReader:
    """Reads the names of keys from one AOF, at the places where they were last written."""

    def __init__(self, side: Side) -> None:
        self._side, self._key = side, side.rules.key
        self._part, self._window = -1, _WINDOW_MIN
        self._batch: RecordBatch | None = None
        self._cursor: Cursor | None = None

    def names_at(self, part: int, start: int, is_record: bool, digests: set[int]) -> dict[int, bytes]:
        """Return the names, by digest, of the keys of the record or RDB key at an offset."""
        if part != self._part:
            self._part, self._batch, self._cursor = part, None, None
        return self._names_in_record(start, digests) if is_record else self._name_of_rdb_key(start, digests)

    def _names_in_record(self, start: int, digests: set[int]) -> dict[int, bytes]:
        batch = self._batch_at(start)
        i = bisect_left(batch.edges, start - batch.base, 0, batch.count)
        names: dict[int, bytes] = {}
        # Most commands have their key first, so the other arguments are read only if needed.
        for arg in chain(_first_argument(batch, i), islice(batch.args(i), 2, None)):
            if (digest := name_digest(self._key, arg)) in digests:
                names[digest] = _truncate_name(arg)
                if len(names) == len(digests):
                    break
        return names

    def _batch_at(self, start: int) -> RecordBatch:
        """Return the batch of records that contains the record at an offset of the current file."""
        batch = self._batch
        if batch is None or not batch.span.start <= start < batch.span.end:
            is_adjacent = batch is not None and 0 <= start - batch.span.end < self._window
            self._window = min(_WINDOW_MAX, 2 * self._window) if is_adjacent else _WINDOW_MIN
            source = self._side.sources[self._part]
            assert source is not None
            batch = self._batch = next(read_batches(source, command_table().names, start, self._window))
        return batch

    def _name_of_rdb_key(self, start: int, digests: set[int]) -> dict[int, bytes]:
        cursor = self._cursor
        if cursor is None:
            source = self._side.sources[self._part]
            assert source is not None
            cursor = self._cursor = Cursor(decompressed(source))
        try:
            seek_name(cursor, start)
        except DecodeError:  # Metadata precedes the name; only the walker can skip it.
            source = cursor.source
            window = WalkWindow(source, layout_of(pread(source, MAGIC_SIZE, 0)), start, batch_items=2, verify=False)
            window.run()
            cursor.seek(max(start, window.columns.name[0]))
        name = read_name(cursor, cursor.offset)
        return dict.fromkeys(digests, name if isinstance(name, bytes) else name.read(_NAME_MAX))


def _first_argument(batch: RecordBatch, i: int) -> list[Arg]:
    return list(islice(batch.args(i), 1, 2)) if batch.oversized else list(batch.argv(i, 2)[1:])


def _truncate_name(arg: Arg) -> bytes:
    return arg if isinstance(arg, bytes) else arg.head(_NAME_MAX)
