"""Constants of the code that groups records into commands and transactions (units); units.h repeats them."""

from array import array
from collections.abc import Sequence
from enum import IntEnum

ANY_DATABASE = 16  # added to a RecordAction: the command has the same effect whatever database is selected

UnitOutput = Sequence["array[int]"]  # one array of int64 for each UnitColumn


class OpenUnitField(IntEnum):
    """Indexes into the state of the unit builder; from PART on they describe the open transaction or command."""

    IN_TRANSACTION = 0  # 1 inside of a transaction
    DIGEST = 1  # of the commands of the transaction
    LAST_DIGEST = 2  # of its last command
    COMMANDS = 3  # in the transaction, without MULTI and EXEC
    COMMANDS_READ = 4  # commands before the next record
    EXACT = 5  # 1 to keep transactions of fewer than two commands as transactions
    PART = 6
    START = 7
    END = 8
    DB = 9
    TX = 10
    TIME = 11
    FIRST_COMMAND = 12


class UnitColumn(IntEnum):
    """The columns of a batch of units; a unit is a command, a transaction or a key of an RDB."""

    DIGEST = 0
    PART = 1
    START = 2
    END = 3
    DB = 4  # at the first record of the unit
    TX = 5  # the transaction's number; 0 for a command outside of a transaction
    TIME = 6
    FIRST_COMMAND = 7  # the number of its first command
    COMMANDS = 8  # including MULTI and EXEC, without SELECT
    KIND = 9
    LAST_COMMAND = 10  # the number of its last command; SELECTs have numbers as well
    CHUNK = 11  # for a key of an RDB: which of the commands that recreate it, from 0


class UnitKind(IntEnum):
    """The kinds of units; RDB and DAMAGE are bytes that are compared without being decoded."""

    COMMAND = 0
    TRANSACTION = 1
    UNFINISHED = 2  # MULTI without EXEC
    RDB = 3
    DAMAGE = 4
    KEY = 5  # one of the commands that recreate a key of an RDB
