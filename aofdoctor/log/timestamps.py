"""When an AOF was written, as its #TS annotations say."""

from collections.abc import Iterator

from aofdoctor.aof.discovery import AOF
from aofdoctor.aof.reader import read_tiles
from aofdoctor.aof.records import RecordBatch
from aofdoctor.aof.recovery.resync import find_record
from aofdoctor.log.ordinals import none_if_unknown
from aofdoctor.server.command_table import command_table
from aofdoctor.server.context.fields import ContextField
from aofdoctor.server.context.tracker import ContextTracker
from aofdoctor.source import PipeSource, Source, pread

_EDGE_SIZE = 1 << 16
_TAIL_SIZE = 1 << 24


def last_time(aof: AOF) -> int | None:
    """The time of the end of the log, unix seconds; None if it has no #TS annotation."""
    for part in reversed(aof.parts):
        if part.source is None or isinstance(part.source, PipeSource):
            continue
        for start in _start_offsets(part.source):
            time = _last_time_from(part.source, start)
            if time is not None:
                return time
    return None


def _start_offsets(source: Source) -> Iterator[int]:
    """Where to read from: near the end, and only if no annotation is there, from the start."""
    near = max(0, (source.size or 0) - _TAIL_SIZE)
    if near and (start := find_record(source, near, command_table().names.ids, run=True)):
        yield start
    yield 0


def _last_time_from(source: Source, start: int) -> int | None:
    tracker = ContextTracker()
    for tile in read_tiles(source, command_table().names, start):
        if isinstance(tile, RecordBatch):
            tracker.track(tile)
    return none_if_unknown(tracker.state[ContextField.TIME])


def probably_has_timestamps(aof: AOF) -> bool:
    """True if the beginning or the end of a part holds a #TS annotation: a guess that costs nothing."""
    for part in aof.parts:
        if part.source is None or part.source.size is None:
            continue
        ends = pread(part.source, _EDGE_SIZE, 0) + pread(part.source, _EDGE_SIZE, max(0, part.source.size - _EDGE_SIZE))
        if b"#TS:" in ends:
            return True
    return False
