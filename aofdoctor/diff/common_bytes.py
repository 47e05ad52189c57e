"""What two histories have byte for byte in common, at the speed of memory.

One side is read as records, so that a place is known for certain; the bytes of
the other are compared with them.  Equal bytes in equal context are equal
records.  It stops at the first other byte, at damage (where it ends depends on
what follows) and where one part ends before the other; what follows is compared
by units, from the last place that is certain on both sides.
"""

from bisect import bisect_right
from collections import deque
from typing import NamedTuple

from aofdoctor.aof.reader import WINDOW, read_tiles
from aofdoctor.aof.records import Preamble, RecordBatch
from aofdoctor.damage import Damage
from aofdoctor.diff.hashing.digest import common_prefix_length
from aofdoctor.diff.units.side import DiffPosition, Side
from aofdoctor.server.command_table import command_table
from aofdoctor.server.context.fields import ContextField
from aofdoctor.server.context.tracker import ContextTracker
from aofdoctor.source import Source

_SELECT = command_table().names.ids[b"select"]


class CommonBytes(NamedTuple):
    """How far the bytes are the same: `fork` is the first record that is not, or the end, on both sides.

    `past` are the bytes of that record that are the same, -1 where no other byte was seen.
    `resume` is where to go on by units: outside of a transaction, and a little before the fork, for context;
    `commands` are those up to there, SELECTs not counted, `keys` those of RDBs, if they could be counted.
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
    """Go on over what is the same; `at` are places of equal database, outside of a transaction."""
    positions, checkpoints = (
        (_skip_finished_part(a, at[0]), _skip_finished_part(b, at[1])),
        deque([_Checkpoint(at, 0, 0)], maxlen=2),
    )
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
    one, two = (end if place.part >= len(side.sources) else place
                for side, place, end in zip((a, b), positions, ends, strict=True))  # fmt: skip
    return CommonBytes((one, two), bytes_past_fork, *checkpoints[0])


def _skip_finished_part(side: Side, position: DiffPosition) -> DiffPosition:
    """The same place, in the part whose first byte it is where a part ends there."""
    while position.part < len(side.sources):
        source = side.sources[position.part]
        if source and source.readinto(memoryview(bytearray(1)), position.offset):
            break
        position = position._replace(part=position.part + 1, offset=0, db=0, time=-1)
    return position


class _PartComparison:
    """Two parts side by side."""

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
        self._checkpoints, self._commands_before, self._key_count = (
            checkpoints,
            checkpoints[-1].commands,
            checkpoints[-1].keys,
        )
        self._rdbs = (a.rdbs, one.part), (b.rdbs, two.part)

    def compare(self) -> bool:
        """True if the first part is the same to its end."""
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
        """An RDB that both have."""
        rdbs, part = self._rdbs[1]
        rdbs[part] = rdb
        self._key_count += rdb.keys or 0
        self._checkpoints.clear()  # nobody tells an RDB for context
        self._tracker.begin_after_preamble(rdb.span.end)

    def _count_common_bytes(self, tile: RecordBatch | Preamble) -> int:
        """How many of a tile's bytes the other side has."""
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
        """The first record of a tile that is not the same."""
        start = tile.span.start
        if isinstance(tile, RecordBatch) and not tile.oversized:
            k = bisect_right(tile.edges, tile.edges[0] + common, 0, tile.count) - 1
            start = tile.record_span(k).start
            self._tracker.track(RecordBatch(
                tile.source, tile.base, k, tile.buffer, tile.origin, tile.edges, tile.argc, tile.ids,
            ))  # fmt: skip
        self.fork, self.bytes_past_fork = (
            (self._position_at(start), self._position_at(start, on_b=True)),
            tile.span.start + common - start,
        )

    def _position_at(self, offset: int, on_b: bool = False) -> DiffPosition:
        """The place at an offset of the first side, on either side; the state is that of the steps."""
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
    """How many of the next bytes of two sources are the same, of `size` at the most."""
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
    """Fill a buffer; how many bytes there are."""
    view, done = memoryview(buffer)[:size], 0
    while done < size and (got := source.readinto(view[done:], offset + done)):
        done += got
    return done
