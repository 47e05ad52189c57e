"""Constants of the key table, for its compiled and its pure Python form; slots.h repeats them."""

from enum import IntEnum

WORD_MASK = (1 << 64) - 1
GOLDEN = 0x9E3779B97F4A7C15  # 2^64 divided by the golden ratio (Fibonacci hashing)
SLOT_WORDS, ROW_WORDS = 5, 6  # 64-bit words of a slot of the table, and of a row that compare writes
OP_BITS = 4  # low bits of the last word of an event, which hold its KeyOp
FIRST_SPACE = 3  # the first number of a space; 1 and 2 mark the entries that map databases to spaces and back


class KeyTableField(IntEnum):
    """Indexes into the state of a key table, an array of uint64: its size, its number of keys, and so on."""

    SLOTS = 0
    USED = 1  # slots that are not free
    USED_MAX = 2  # slots that may be used
    EPOCH = 3  # the number of FLUSHALLs
    NEXT_SPACE = 4  # the space that the next database gets
    LAST_DB = 5  # the database that was looked up last, and its space or 0
    LAST_SPACE = 6
    PENDING = 7  # events that wait to be applied
    PENDING_MAX = 8  # events that may wait; 0: events are applied at once
    KEEP_DELETED = 9  # 1 to keep deleted keys in the table


def even(word: int) -> int:
    """Return the content of a key that certainly exists, from a digest: even and not 0.

    An odd content is that of a key that may not exist.
    """
    return word & ~1 or 2


def mix_digest(digest: int, content: int) -> int:
    """Combine the digest of a write command with the digest of the key's value before it; even and never 0."""
    return even(((content * GOLDEN + even(digest)) & WORD_MASK) ^ (content >> 29))
