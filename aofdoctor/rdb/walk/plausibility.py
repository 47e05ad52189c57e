"""Score how plausible it is that a key of an RDB begins at a given place, to resume reading after damage.

Only names, databases and expiries are looked at: readable names score higher
than names that could be any bytes.  probe.h computes the same scores.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aofdoctor.rdb.walk.walker import ItemColumns

SCORE_NEEDED = 16  # the total score of consecutive items that is accepted: four keys with readable names
_NAME_MAX = 8191
_NAME_CHECKED_MAX = 64
_DB_MAX = 1 << 20
_EXPIRE_MAX = 1 << 48  # the year 10889, in ms; some clients write the year 9999 to mean "never"


def is_plausible_item(columns: "ItemColumns", i: int) -> bool:
    """Return False if RDB item `i` of the columns has a database number or an expiry that no server writes."""
    expire = columns.expire[i]
    return columns.db[i] <= _DB_MAX and (expire == -1 or 0 < expire < _EXPIRE_MAX)


def name_score(buffer: bytearray | bytes, at: int, end: int) -> int:
    """Score the supposed key name (an RDB string) at buffer[at:end] by its readability.

    1 is a name that could be any bytes, 2 and 4 are short and longer readable ones; -1 means that no name begins like
    this.
    """
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
