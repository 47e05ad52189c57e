"""Find where keys begin in a buffer of RDB bytes: the pure Python fallback of probe.h.

An index is accepted if items can be walked from it and the scores of their
key names (see plausibility.py) add up to SCORE_NEEDED.  This is a guess.  The work is
bounded by a step budget: each step of the walker costs 1.
"""

from aofdoctor.rdb.walk._pywalker import ItemColumns, Walker
from aofdoctor.rdb.walk.constants import StopReason
from aofdoctor.rdb.walk.layouts import Layout
from aofdoctor.rdb.walk.plausibility import SCORE_NEEDED, is_plausible_item, name_score

_FIRST_OPCODE = 240


def find_key_start(
    buffer: bytearray, at: int, stop: int, end: int, layout: Layout, min_end: int, bytes_after: int, step_budget: int
) -> tuple[int, StopReason, int]:
    """Find the first index in buffer[at:stop] where keys of an RDB seem to begin.

    Returns (index, reason, remaining step budget).  The reason is FULL if the keys up to an index after `min_end`
    scored SCORE_NEEDED; END_OF_DATA or DONE if all items up to `end` or up to the EOF opcode could be walked;
    STEP_LIMIT if the budget was used up; UNKNOWN_TYPE if there is no such index before `stop`.  `bytes_after` is the
    number of bytes of the file that follow the buffer.
    """
    columns = ItemColumns(1)
    while at < stop and step_budget > 0:
        if layout.entry[buffer[at]] and (buffer[at] >= _FIRST_OPCODE or name_score(buffer, at + 1, end) > 0):
            reason, step_budget = _probe(buffer, at, end, layout, min_end, bytes_after, step_budget, columns)
            if reason <= StopReason.STEP_LIMIT:
                return at, reason, step_budget
        at += 1
    return at, StopReason.STEP_LIMIT if at < stop else StopReason.UNKNOWN_TYPE, step_budget


def _probe(
    buffer: bytearray,
    at: int,
    end: int,
    layout: Layout,
    min_end: int,
    bytes_after: int,
    step_budget: int,
    columns: ItemColumns,
) -> tuple[StopReason, int]:
    walker, score = Walker(layout, at, -1), 0
    while True:
        columns.truncate(0)
        reason, at, step_budget = walker.run(buffer, at, end, 0, columns, step_budget)
        if columns.count:
            if (item_score := _item_score(buffer, columns, end)) < 0:
                return StopReason.UNKNOWN_TYPE, step_budget
            score += item_score
        if reason == StopReason.END_OF_DATA and (walker.skip > bytes_after or (not score and walker.name < 0)):
            return StopReason.UNKNOWN_TYPE, step_budget
        if reason == StopReason.DONE and not score:
            return StopReason.UNKNOWN_TYPE, step_budget
        if reason != StopReason.FULL:
            return reason, step_budget
        if score >= SCORE_NEEDED and at > min_end:
            return StopReason.FULL, step_budget


def _item_score(buffer: bytearray, columns: ItemColumns, end: int) -> int:
    """Score how plausible the first item of `columns` is, by its key's name; -1 if no server writes such an item."""
    if not is_plausible_item(columns, 0):
        return -1
    return name_score(buffer, columns.name[0], end) if columns.name[0] >= 0 else 0
