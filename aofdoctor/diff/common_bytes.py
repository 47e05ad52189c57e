"""Skip what two AOFs have in common byte for byte, at memory speed.

Side A is read as records, so that record boundaries and context (database,
transaction, time) are known; the bytes of side B are compared with those of
each batch.  Equal bytes in an equal context are equal records.  The comparison
stops at the first differing byte, at damage (its extent depends on the bytes
that follow) and where one part ends before the other.  The rest is compared by
units, starting at the last position that is certain on both sides.
"""

from bisect import bisect_right
from collections import deque
from typing import NamedTuple

from aofdoctor.aof.reader import WINDOW, read_tiles
from aofdoctor.aof.records import Preamble, RecordBatch
from aofdoctor.damage import Damage
from aofdoctor.diff.hashing.digest import common_prefix_length
from aofdoctor.diff.units.side import Side
from aofdoctor.diff.units.unit import DiffPosition
from aofdoctor.server.command_table import command_table
from aofdoctor.server.context.fields import ContextField
from aofdoctor.server.context.tracker import ContextTracker
from aofdoctor.source import Source

_SELECT = command_table().names.ids[b"select"]


class CommonBytes(NamedTuple):
    """How far the bytes of two AOFs are equal.

    `fork` is the position on each side of the first record that differs, or of the end.
    `bytes_past_fork` counts the leading bytes of that record that are equal, -1 if no differing byte was met.
    `resume` is where the comparison by units starts: outside of a transaction, and a little before the fork,
    so that equal units can be shown as context.
    `commands` and `keys` count the commands (without SELECTs) and the RDB keys before `resume`.
    """

    fork: tuple[DiffPosition, DiffPosition]
    bytes_past_fork: int
    resume: tuple[DiffPosition, DiffPosition]
    commands: int
    keys: int


class _Checkpoint(NamedTuple):
    positions: tuple[DiffPosition, DiffPosition]
    commands: int
    keys: int


def skip_common_bytes(a: Side, b: Side, at: tuple[DiffPosition, DiffPosition]) -> CommonBytes:
    """Find how far the bytes of two AOFs are equal, from `at` on: a position on each side, outside of a transaction."""
    positions = _skip_finished_part(a, at[0]), _skip_finished_part(b, at[1])
    checkpoints = deque([_Checkpoint(at, 0, 0)], maxlen=2)
    bytes_past_fork, ends = -1, at
    while True:
        one, two = positions
        if one.db != two.db or one.part >= len(a.sources) or two.part >= len(b.sources):
            break
        run = _PartComparison(a, b, one, two, checkpoints)
        is_equal = run.compare()
        positions = (_skip_finished_part(a, run.fork[0]), _skip_finished_part(b, run.fork[1])) if is_equal else run.fork
        bytes_past_fork, ends = run.bytes_past_fork, run.fork
        if not is_equal or positions[0].part == one.part or positions[1].part == two.part:
            break
    one, two = (end if at.part >= len(side.sources) else at
                for side, at, end in zip((a, b), positions, ends, strict=True))  # fmt: skip
    return CommonBytes((one, two), bytes_past_fork, *checkpoints[0])


def _skip_finished_part(side: Side, position: DiffPosition) -> DiffPosition:
    """Return a position in an AOF; at the end of a file, the start of the next file that is not empty."""
    while position.part < len(side.sources):
        source = side.sources[position.part]
        if source and source.readinto(memoryview(bytearray(1)), position.offset):
            break
        position = position._replace(part=position.part + 1, offset=0, db=0, time=-1)
    return position


class _PartComparison:
    """Compares the bytes of one file of AOF A with one file of AOF B, record by record."""

    def __init__(self, a: Side, b: Side, one: DiffPosition, two: DiffPosition, checkpoints: deque[_Checkpoint]) -> None:
        self._start = one, two
        self._shift = two.offset - one.offset
        source_a, source_b = a.sources[one.part], b.sources[two.part]
        assert source_a is not None
        assert source_b is not None
        self._source_a, self._source_b = source_a, source_b
        self._buffer = bytearray(WINDOW)
        self._tracker = tracker = ContextTracker()
        tracker.state[ContextField.TRANSACTIONS] = one.transactions
        tracker.begin_part()
        tracker.state[ContextField.DB], tracker.state[ContextField.TIME] = one.db, one.time
        self.fork, self.bytes_past_fork = (one, two), -1
        self._checkpoints = checkpoints
        self._commands_before, self._key_count = checkpoints[-1].commands, checkpoints[-1].keys
        self._rdbs = (a.rdbs, one.part), (b.rdbs, two.part)

    def compare(self) -> bool:
        """Return True if all bytes to the end of A's part are equal and no transaction is open at that end."""
        tracker = self._tracker
        for tile in read_tiles(self._source_a, command_table().names, self._start[0].offset):
            if isinstance(tile, Damage) or (isinstance(tile, Preamble) and not tile.complete):
                self.fork = self._position_at(tile.span.start), self._position_at(tile.span.start, on_b=True)
                return False
            if isinstance(tile, Preamble):
                rdbs, part = self._rdbs[0]
                rdbs[part] = tile
            common = self._count_common_bytes(tile)
            if common < tile.span.size:
                self._locate_fork(tile, common)
                return False
            tracker.track(tile) if isinstance(tile, RecordBatch) else self._skip_rdb(tile)
            self.fork = self._position_at(tile.span.end), self._position_at(tile.span.end, on_b=True)
            if tracker.state[ContextField.TX] == 0:
                selects = tracker.counts[_SELECT]
                commands = self._commands_before + tracker.state[ContextField.COMMANDS] - selects
                self._checkpoints.append(_Checkpoint(self.fork, commands, self._key_count))
        return tracker.state[ContextField.TX] == 0

    def _skip_rdb(self, rdb: Preamble) -> None:
        """Count the keys of an RDB that is the same in both AOFs, and continue after it."""
        rdbs, part = self._rdbs[1]
        rdbs[part] = rdb
        self._key_count += rdb.keys or 0
        self._checkpoints.clear()  # An RDB is not shown as context, so reading need not resume before it.
        self._tracker.begin_after_preamble(rdb.span.end)

    def _count_common_bytes(self, tile: RecordBatch | Preamble) -> int:
        """Count the leading bytes of a tile (a batch of records, or an RDB) of AOF A that are the same in AOF B."""
        start, size = tile.span.start, tile.span.size
        if not isinstance(tile, RecordBatch) or tile.oversized:
            return count_common_bytes(self._source_a, start, self._source_b, start + self._shift, size)
        origin, done = tile.origin + tile.edges[0], 0
        while done < size:
            step = min(WINDOW, size - done)
            got = _fill_buffer(self._source_b, self._buffer, step, start + self._shift + done)
            same = common_prefix_length(tile.buffer, origin + done, self._buffer, 0, got)
            done += same
            if same < step:
                break
        return done

    def _locate_fork(self, tile: RecordBatch | Preamble, common: int) -> None:
        """Set `fork` to the first record that differs; the first `common` bytes of the tile of AOF A are equal in B."""
        start = tile.span.start
        if isinstance(tile, RecordBatch) and not tile.oversized:
            k = bisect_right(tile.edges, tile.edges[0] + common, 0, tile.count) - 1
            start = tile.record_span(k).start
            self._tracker.track(RecordBatch(
                tile.source, tile.base, k, tile.buffer, tile.origin, tile.edges, tile.argc, tile.ids,
            ))  # fmt: skip
        self.fork = self._position_at(start), self._position_at(start, on_b=True)
        self.bytes_past_fork = tile.span.start + common - start

    def _position_at(self, offset: int, on_b: bool = False) -> DiffPosition:
        """Return the position in A, or (`on_b`) in B, that belongs to an offset in A's file."""
        state, begin = self._tracker.state, self._start[on_b]
        timed = state[ContextField.ANNOTATIONS] or not on_b
        return DiffPosition(
            begin.part,
            offset + (self._shift if on_b else 0),
            state[ContextField.DB],
            state[ContextField.TIME] if timed else begin.time,
            begin.commands + state[ContextField.COMMANDS],
            begin.transactions + state[ContextField.TRANSACTIONS] - self._start[0].transactions,
        )


def count_common_bytes(source: Source, start: int, other_source: Source, start_other: int, size: int) -> int:
    """Count how many of the next `size` bytes of two sources are equal."""
    own, theirs, done = bytearray(min(size, WINDOW)), bytearray(min(size, WINDOW)), 0
    while done < size:
        step = min(WINDOW, size - done)
        got = min(
            _fill_buffer(source, own, step, start + done), _fill_buffer(other_source, theirs, step, start_other + done)
        )
        same = common_prefix_length(own, 0, theirs, 0, got)
        done += same
        if same < step:
            break
    return done


def _fill_buffer(source: Source, buffer: bytearray, size: int, offset: int) -> int:
    """Fill a buffer with `size` bytes of a file, or fewer at its end; return the number of bytes read."""
    view, done = memoryview(buffer)[:size], 0
    while done < size and (got := source.readinto(view[done:], offset + done)):
        done += got
    return done
