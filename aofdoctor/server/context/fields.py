"""Define the state of the ContextTracker for its compiled form, its Python form and its users.

The header tracker.h repeats these definitions.
"""

from array import array
from enum import IntEnum

ACTION_MASK, FLAG = 7, 8  # an entry of `actions` is a RecordAction, plus FLAG to flag every record with that id
ANNOTATION_MAX = 1023  # the longest line that a server reads in one piece (AOF_ANNOTATION_LINE_MAX_LEN, 7.0)

ContextColumns = tuple["array[int]", "array[int]", "array[int]"]  # the database, transaction and time of each record


class RecordAction(IntEnum):
    """How a record of a command id changes the database, the transaction or the time."""

    NONE = 0
    ANNOTATION = 1
    SELECT = 2
    MULTI = 3
    EXEC = 4


class ContextField(IntEnum):
    """The fields of a ContextTracker's state, an array of int64; all offsets are offsets in the current AOF file."""

    DB = 0  # the selected database; -1 if unknown
    TIME = 1  # of the last #TS annotation, in Unix seconds; -1 if there was none
    TX = 2  # the number of the open transaction; 0 if none is open, -1 if unknown
    TRANSACTIONS = 3  # MULTIs that were read
    COMMANDS = 4
    ANNOTATIONS = 5
    COMMAND_END = 6  # the offset after the last command, where a server truncates a file that ends too early
    GOOD_END = 7  # the offset after the last record that is not inside an open MULTI
    MULTI_START = 8  # the offset of the MULTI of the open transaction
    BEFORE_MULTI = 9  # the offset after the command before the last MULTI
    FIRST_TIME = 10  # of the first #TS annotation; -1 if there was none
    GOOD_COMMANDS = 11  # the number of commands before GOOD_END
    SELECTED = 12  # 1 after the first SELECT of a file
    DB_LIMIT = 13  # a SELECT of this database or a higher one is flagged; 0 if none is
