"""Where in an AOF a moment is: the first command of a later second, by the #TS annotations.

A transaction that such a command is in counts as a whole.  What was written
before the first annotation has no time, and counts as earlier.
"""

from aofdoctor.aof.constants import ANNOTATION
from aofdoctor.aof.discovery import AOF
from aofdoctor.aof.reader import read_tiles
from aofdoctor.aof.records import Preamble, RecordBatch
from aofdoctor.errors import RefusedEdit
from aofdoctor.log.base_keys import creation_time
from aofdoctor.server.command_table import command_table
from aofdoctor.server.context.fields import ContextField
from aofdoctor.server.context.tracker import ContextTracker
from aofdoctor.text import display_path, format_time


def first_command_after(aof: AOF, seconds: int) -> tuple[int, int] | None:
    """(part, offset) of the first command that is past a second, None where nothing is.

    Raises Refused where an RDB was written later: what was before that is not in this AOF.
    """
    tracker = ContextTracker(columns=True)
    for index, part in enumerate(aof.parts):
        tracker.begin_part()
        for tile in read_tiles(part.source, command_table().names) if part.source else ():
            if isinstance(tile, RecordBatch):
                offset = _first_after_in_batch(tile, tracker, seconds)
                if offset is not None:
                    return index, offset
            elif isinstance(tile, Preamble):
                _require_earlier(part.name, tile, seconds)
            else:
                tracker.mark_unknown()
    return None


def _require_earlier(part: str, rdb: Preamble, seconds: int) -> None:
    created = creation_time(rdb)
    if created is not None and created > seconds:
        raise RefusedEdit(
            f"the RDB of {display_path(part)} was written at {format_time(created)}: what was before that is not in this AOF",
            "look for a history file, a backup or an older base",
        )


def _first_after_in_batch(batch: RecordBatch, tracker: ContextTracker, seconds: int) -> int | None:
    multi_start = tracker.state[ContextField.MULTI_START]  # of a transaction that is open before the batch
    tracker.track(batch)
    times, tx = tracker.time, tracker.tx
    if max(memoryview(times)[: batch.count]) <= seconds:
        return None
    at = next((i for i in range(batch.count) if times[i] > seconds and batch.ids[i] != ANNOTATION), None)
    if at is None:
        return None
    first = at
    while tx[at] > 0 and first and tx[first - 1] == tx[at]:
        first -= 1
    is_start_in_batch = tx[at] <= 0 or first or batch.ids[0] == command_table().names.ids[b"multi"]
    return batch.record_span(first).start if is_start_in_batch else multi_start
