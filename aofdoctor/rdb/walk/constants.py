"""Constants of the RDB walker: the compiled walker, its fallback and their users share them; walker.h repeats them."""

from enum import IntEnum

SLACK = 64  # zero bytes that must follow the data in every buffer
KIND_MAGIC, KIND_UNPARSED = 256, 257  # kinds of items that do not begin with a type byte or opcode
TEMPLATE_SLOTS, TEMPLATE_PROBES = 1 << 14, 64  # hash templates that are remembered; slots that are searched for one

# The counts of count_items: one for each kind of item (0 to 255), then these three.
KEYS_INDEX, EXPIRING_INDEX, EXPIRED_INDEX, COUNTS_SIZE = 256, 257, 258, 259


class StopReason(IntEnum):
    """Why the walker stopped."""

    END_OF_DATA = 0  # the buffer ends
    FULL = 1  # the columns are full
    DONE = 2  # after the opcode EOF
    STEP_LIMIT = 3  # the step budget is used up
    UNKNOWN_TYPE = 4  # a byte that is no type and no opcode
    NOT_A_LENGTH = 5  # a special encoding where a length is required
    BAD_LENGTH = 6  # a byte that begins no length
    BAD_STRING = 7  # a string encoding that does not exist
    BAD_CASE = 8  # a number that selects none of a layout's cases
    UNKNOWN_TEMPLATE = 9  # a hash template that was not defined before
    BAD_NUMBER = 10  # no RESP number where one is required
