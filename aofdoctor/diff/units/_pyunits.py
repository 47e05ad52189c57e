"""Records to units, in plain Python: the twin of units.h."""

from array import array
from collections.abc import Sequence
from enum import IntEnum

from aofdoctor.aof.records import RecordBatch
from aofdoctor.diff.hashing._pydigest import Digest
from aofdoctor.server.context import _pytracker as plain

ANY_DATABASE = 16  # beside the acts of plain.py: the selected database does not matter


class OpenUnitField(IntEnum):
    """The fields of the state, as in units.h; from PART on they are those of the unit that is being read."""

    IN_TRANSACTION = 0  # inside of a transaction
    DIGEST = 1  # of its commands
    LAST_DIGEST = 2  # of its last command
    COMMANDS = 3  # in it, MULTI and EXEC not counted
    COMMANDS_READ = 4  # commands before the next record
    EXACT = 5
    PART = 6
    START = 7
    END = 8
    DB = 9
    TX = 10
    TIME = 11
    FIRST_COMMAND = 12


class UnitColumn(IntEnum):
    """The columns of units, as in units.h."""

    DIGEST = 0
    PART = 1
    START = 2
    END = 3
    DB = 4  # at its first record
    TX = 5  # 0 for a command outside of one
    TIME = 6
    FIRST_COMMAND = 7  # of its first command
    COMMANDS = 8  # MULTI and EXEC included, SELECT not
    KIND = 9
    LAST_COMMAND = 10  # the number of its last command, SELECTs counted
    CHUNK = 11  # of a key of an RDB: which of its commands, from 0


class UnitKind(IntEnum):
    """What a unit is; RDB and DAMAGE are bytes that are compared as they are."""

    COMMAND = 0
    TRANSACTION = 1
    UNFINISHED = 2  # MULTI without EXEC
    RDB = 3
    DAMAGE = 4
    KEY = 5  # one of the commands that make a key of an RDB


UnitOutput = Sequence["array[int]"]


def make_units(
    key: bytes, state: "array[int]", batch: RecordBatch, digests: Sequence[int], db: Sequence[int], tx: Sequence[int],
    time: Sequence[int], actions: bytes | bytearray, out: UnitOutput,
) -> int:  # fmt: skip
    """The number of units that end in a batch; `out` are their columns, with room for one more than it has records."""
    n = 0
    for i in range(batch.count):
        acts = actions[batch.ids[i] if batch.ids[i] < len(actions) else 0]
        action = acts & plain.MASK
        if action == plain.ANNOTATION:
            continue
        digest = _mix(key, digests[i], 0 if acts & ANY_DATABASE else db[i] + 2)
        if state[OpenUnitField.IN_TRANSACTION] and tx[i] != state[OpenUnitField.TX]:
            n += close_transaction(key, state, False, out, n)
        span = batch.record_span(i)
        if not state[OpenUnitField.IN_TRANSACTION]:
            begin = (span.start, span.start, db[i], max(0, tx[i]), time[i], state[OpenUnitField.COMMANDS_READ] + 1)
            state[OpenUnitField.START : OpenUnitField.FIRST_COMMAND + 1] = array("q", begin)
            if tx[i] > 0:
                state[OpenUnitField.IN_TRANSACTION], state[OpenUnitField.DIGEST], state[OpenUnitField.COMMANDS] = (
                    1,
                    0,
                    0,
                )
        state[OpenUnitField.COMMANDS_READ] += 1
        state[OpenUnitField.END] = span.end
        if not state[OpenUnitField.IN_TRANSACTION]:
            if action != plain.SELECT:
                _append_unit(out, n, state, digest, 1, UnitKind.COMMAND)
                n += 1
        elif action == plain.EXEC:
            n += close_transaction(key, state, True, out, n)
        elif action == plain.NONE:
            state[OpenUnitField.LAST_DIGEST] = _signed(digest)
            state[OpenUnitField.DIGEST] = _signed(_mix(key, state[OpenUnitField.DIGEST], _signed(digest)))
            state[OpenUnitField.COMMANDS] += 1
    return n


def close_transaction(key: bytes, state: "array[int]", finished: bool, out: UnitOutput, n: int = 0) -> int:
    """Close the open transaction; the number of units, one or none."""
    if not state[OpenUnitField.IN_TRANSACTION]:
        return 0
    state[OpenUnitField.IN_TRANSACTION] = 0
    commands, digest = state[OpenUnitField.COMMANDS], state[OpenUnitField.DIGEST]
    if finished and not state[OpenUnitField.EXACT] and commands < 2:
        if not commands:
            return 0
        digest = state[OpenUnitField.LAST_DIGEST]
    else:
        digest = _mix(key, digest, 2 * commands + (not finished))
    kind = UnitKind.TRANSACTION if finished else UnitKind.UNFINISHED
    _append_unit(out, n, state, digest, commands + (2 if finished else 1), kind)
    return 1


def _append_unit(out: UnitOutput, n: int, state: "array[int]", digest: int, commands: int, kind: UnitKind) -> None:
    fields = (
        OpenUnitField.PART,
        OpenUnitField.START,
        OpenUnitField.END,
        OpenUnitField.DB,
        OpenUnitField.TX,
        OpenUnitField.TIME,
        OpenUnitField.FIRST_COMMAND,
    )
    row = (_signed(digest), *(state[field] for field in fields), commands, kind, state[OpenUnitField.COMMANDS_READ], 0)
    for column, value in zip(out, row, strict=True):
        column[n] = value


def _mix(key: bytes, digest: int, more: int) -> int:
    return Digest(key).add_number(_signed(digest)).add_number(_signed(more)).value()


def _signed(value: int) -> int:
    return value - (1 << 64) if value >= 1 << 63 else value
