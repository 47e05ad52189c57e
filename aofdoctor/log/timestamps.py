"""Find out when an AOF was written, from its #TS annotations and the `ctime` field of its RDB.

Servers write an annotation with the unix second before the first command of that second, if aof-timestamp-enabled is on
(Redis 7.0).  Records before the first annotation of a file have no time.
"""

from collections.abc import Iterator

from aofdoctor.aof.constants import ANNOTATION
from aofdoctor.aof.model import AOF
from aofdoctor.aof.reader import read_tiles
from aofdoctor.aof.records import Preamble, RecordBatch
from aofdoctor.aof.recovery.resync import find_record
from aofdoctor.errors import RefusedEdit
from aofdoctor.log.context_walk import none_if_unknown, walk_aof
from aofdoctor.log.transaction_start import multi_offset, transaction_before_batch
from aofdoctor.rdb.preamble import creation_time
from aofdoctor.server.command_table import command_table
from aofdoctor.server.context.fields import ContextField
from aofdoctor.server.context.tracker import ContextTracker
from aofdoctor.source import PipeSource, Source, pread
from aofdoctor.text import display_path, format_time

_EDGE_SIZE = 1 << 16
_TAIL_SIZE = 1 << 24


def last_time(aof: AOF) -> int | None:
    """Return the time of the last #TS annotation of an AOF in unix seconds, or None if it has no annotation."""
    for part in reversed(aof.parts):
        if part.source is None or isinstance(part.source, PipeSource):
            continue
        for start in _start_offsets(part.source):
            time = _last_time_from(part.source, start)
            if time is not None:
                return time
    return None


def _start_offsets(source: Source) -> Iterator[int]:
    """Yield the offsets of an AOF file to search the last #TS annotation from: near the end first, then 0."""
    near = max(0, (source.size or 0) - _TAIL_SIZE)
    if near and (start := find_record(source, near, command_table().names.ids, run=True)):
        yield start
    yield 0


def _last_time_from(source: Source, start: int) -> int | None:
    """Return the time of the last #TS annotation of an AOF file, or None without one.

    Reads from the offset `start` on.
    """
    tracker = ContextTracker()
    for tile in read_tiles(source, command_table().names, start):
        if isinstance(tile, RecordBatch):
            tracker.track(tile)
    return none_if_unknown(tracker.state[ContextField.TIME])


def probably_has_timestamps(aof: AOF) -> bool:
    """Guess whether the AOF has #TS annotations, from the first and the last 64 KiB of each file."""
    for part in aof.parts:
        if part.source is None or part.source.size is None:
            continue
        ends = pread(part.source, _EDGE_SIZE, 0) + pread(part.source, _EDGE_SIZE, max(0, part.source.size - _EDGE_SIZE))
        if b"#TS:" in ends:
            return True
    return False


# -- the commands after a time --


def first_command_after(aof: AOF, seconds: int) -> tuple[int, int] | None:
    """Return (index of the file in load order, offset in it) of the first command written after a given unix second.

    Returns None if there is no such command.  If it is inside a transaction, the offset is that of the MULTI.  Commands
    without a time count as earlier.  Raises RefusedEdit if an RDB was written later than `seconds`.
    """
    tracker = ContextTracker(columns=True)
    for index, part, tile, _ in walk_aof(aof, tracker):
        if isinstance(tile, RecordBatch):
            offset = _first_after_in_batch(tile, tracker, seconds)
            if offset is not None:
                return index, offset
        elif isinstance(tile, Preamble):
            _require_earlier(part.name, tile, seconds)
    return None


def _require_earlier(part: str, rdb: Preamble, seconds: int) -> None:
    """Raise RefusedEdit if the RDB of a file was written after `seconds`, because the AOF lacks older data."""
    created = creation_time(rdb.aux)
    if created is not None and created > seconds:
        raise RefusedEdit(
            f"the RDB of {display_path(part)} was written at {format_time(created)}: "
            "what was before that is not in this AOF",
            "look for a history file, a backup or an older base",
        )


def _first_after_in_batch(batch: RecordBatch, tracker: ContextTracker, seconds: int) -> int | None:
    """Pass a batch of records to the ContextTracker, and return where its first command after a given second begins.

    The result is an offset in the file, or None.  If the command is inside a transaction, it is the offset of the
    MULTI.
    """
    open_before = transaction_before_batch(tracker)
    tracker.track(batch)
    times = tracker.time
    if max(memoryview(times)[: batch.count]) <= seconds:
        return None
    at = next((i for i in range(batch.count) if times[i] > seconds and batch.ids[i] != ANNOTATION), None)
    return None if at is None else multi_offset(batch, tracker.tx, at, open_before)
