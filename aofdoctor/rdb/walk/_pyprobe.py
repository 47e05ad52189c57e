"""Where keys seem to begin in a buffer, in plain Python: the twin of rdb_find in walk.h.

A place is believed if items walk well from it, and the names of the keys among
them speak for it: a readable name more than one that could be any bytes.  That
is a guess; its work is bounded by the fuel that it is given, a unit a step.
"""

from aofdoctor.rdb.walk._pywalker import Columns, StopReason, Walker
from aofdoctor.rdb.walk.layouts import Layout

SCORE_NEEDED = 16  # so many make a place believable: four keys with readable names
_NAME_MAX = 8191
_NAME_LOOK = 64
_DB_MAX = 1 << 20
_EXPIRE_MAX = 1 << 48  # the year 10889, in ms: 9999 is written for never
_OPCODES = 240


def find(
    buffer: bytearray, at: int, stop: int, end: int, layout: Layout, past: int, beyond: int, step_budget: int
) -> tuple[int, StopReason, int]:
    """(the first place in buffer[at:stop] where keys seem to begin, why it stopped there, the fuel that is left).

    FULL: POINTS were made by keys, up to behind `past`.  SHORT and DONE: all went
    well up to `end`, or the end of the RDB.  FUEL: it ran out; TYPE: there is no
    such place up to `stop`.  `beyond`: so many bytes follow the buffer.
    """
    columns = Columns(1)
    while at < stop and step_budget > 0:
        if layout.entry[buffer[at]] and (buffer[at] >= _OPCODES or name_score(buffer, at + 1, end) > 0):
            why, step_budget = _probe(buffer, at, end, layout, past, beyond, step_budget, columns)
            if why <= StopReason.STEP_LIMIT:
                return at, why, step_budget
        at += 1
    return at, StopReason.STEP_LIMIT if at < stop else StopReason.TYPE, step_budget


def _probe(
    buffer: bytearray, at: int, end: int, layout: Layout, past: int, beyond: int, step_budget: int, columns: Columns
) -> tuple[StopReason, int]:
    walker, score = Walker(layout, at, -1), 0
    while True:
        columns.cut(0)
        why, at, step_budget = walker.run(buffer, at, end, 0, columns, step_budget)
        if columns.count:
            if (made := _item_score(buffer, columns, end)) < 0:
                return StopReason.TYPE, step_budget
            score += made
        if why == StopReason.SHORT and (walker.skip > beyond or (not score and walker.name < 0)):
            return StopReason.TYPE, step_budget
        if why == StopReason.DONE and not score:
            return StopReason.TYPE, step_budget
        if why != StopReason.FULL:
            return why, step_budget
        if score >= SCORE_NEEDED and at > past:
            return StopReason.FULL, step_budget


def _item_score(buffer: bytearray, columns: Columns, end: int) -> int:
    """How much an item says for the place it was reached from; -1: nobody writes such an item."""
    if not is_plausible_item(columns, 0):
        return -1
    return name_score(buffer, columns.name[0], end) if columns.name[0] >= 0 else 0


def is_plausible_item(columns: Columns, i: int) -> bool:
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
    text = buffer[at : at + min(size, _NAME_LOOK)]
    if any(byte < 0x20 or byte == 0x7F for byte in text):
        return 1
    return 4 if size >= 3 else 2
