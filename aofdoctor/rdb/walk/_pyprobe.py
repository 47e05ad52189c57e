"""Where keys seem to begin in a buffer, in plain Python: the twin of rdb_find in walk.h.

A place is believed if items walk well from it, and the names of the keys among
them speak for it: a readable name more than one that could be any bytes.  That
is a guess; its work is bounded by the fuel that it is given, a unit a step.
"""

from aofdoctor.rdb.walk._pywalker import ItemColumns, StopReason, Walker
from aofdoctor.rdb.walk.layouts import Layout

SCORE_NEEDED = 16  # so many make a place believable: four keys with readable names
_NAME_MAX = 8191
_NAME_CHECKED_MAX = 64
_DB_MAX = 1 << 20
_EXPIRE_MAX = 1 << 48  # the year 10889, in ms: 9999 is written for never
_OPCODES = 240


def find_key_start(
    buffer: bytearray, at: int, stop: int, end: int, layout: Layout, min_end: int, bytes_after: int, step_budget: int
) -> tuple[int, StopReason, int]:
    """(the first place in buffer[at:stop] where keys seem to begin, why it stopped there, the fuel that is left).

    FULL: POINTS were made by keys, up to behind `past`.  SHORT and DONE: all went
    well up to `end`, or the end of the RDB.  FUEL: it ran out; TYPE: there is no
    such place up to `stop`.  `beyond`: so many bytes follow the buffer.
    """
    columns = ItemColumns(1)
    while at < stop and step_budget > 0:
        if layout.entry[buffer[at]] and (buffer[at] >= _OPCODES or name_score(buffer, at + 1, end) > 0):
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
    """How much an item says for the place it was reached from; -1: nobody writes such an item."""
    if not is_plausible_item(columns, 0):
        return -1
    return name_score(buffer, columns.name[0], end) if columns.name[0] >= 0 else 0


def is_plausible_item(columns: ItemColumns, i: int) -> bool:
    """False if no server has such a database or expiry."""
    expire = columns.expire[i]
    return columns.db[i] <= _DB_MAX and (expire == -1 or 0 < expire < _EXPIRE_MAX)


def name_score(buffer: bytearray | bytes, at: int, end: int) -> int:
    """How much a name says for the place where it stands: 4 to 1; -1: no name begins so."""
    first = buffer[at] if at < end else 0xFF
    if 0x80 <= first < 0xC0 or first > 0xC3:
        return -1
    if first >= 0xC0:
        return 1
    size, at = (first, at + 1) if first < 0x40 else ((first & 63) << 8 | buffer[at + 1], at + 2)
    if not 0 < size <= _NAME_MAX or at + size > end:
        return -1
    text = buffer[at : at + min(size, _NAME_CHECKED_MAX)]
    if any(byte < 0x20 or byte == 0x7F for byte in text):
        return 1
    return 4 if size >= 3 else 2
