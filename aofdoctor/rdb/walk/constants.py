"""Constants of the RDB walker, shared by the compiled walker, its Python fallback and their users.

walker.h repeats the numbers.
"""

from enum import IntEnum

SLACK = 64  # zero bytes that must follow the data in every buffer
# Kinds of items that do not begin with a type byte or opcode: the magic, and bytes that could not be parsed.
KIND_MAGIC, KIND_UNPARSED = 256, 257
# Hash templates (Redis 8.10) that are remembered, in a hash table; slots of the table that are searched for one.
TEMPLATE_SLOTS, TEMPLATE_PROBES = 1 << 14, 64

# The indexes of count_items' array: first one count for each type byte or opcode (0 to 255), then all keys, keys with
# an expiry, and expired keys.
KEYS_INDEX, EXPIRING_INDEX, EXPIRED_INDEX, COUNTS_SIZE = 256, 257, 258, 259


class StopReason(IntEnum):
    """Why the RDB walker stopped; the numbers are those of walker.h."""

    END_OF_DATA = 0  # the buffer ends
    FULL = 1  # the columns have no room for another item
    DONE = 2  # after the EOF opcode
    STEP_LIMIT = 3  # the step budget is used up
    UNKNOWN_TYPE = 4  # a byte that is no type and no opcode
    NOT_A_LENGTH = 5  # a special encoding where a length is required
    BAD_LENGTH = 6  # a byte that begins no length
    BAD_STRING = 7  # a string encoding that does not exist
    BAD_CASE = 8  # a number, such as the kind of a module's part, that no server writes there
    UNKNOWN_TEMPLATE = 9  # a hash template that was not defined before
    BAD_NUMBER = 10  # no RESP number where one is required
