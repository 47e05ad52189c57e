"""Records to units, in plain Python: the twin of units.h."""

from array import array
from collections.abc import Sequence
from enum import IntEnum

from aofdoctor.aof.records import RecordBatch
from aofdoctor.diff.hashing._pydigest import Digest
from aofdoctor.server.context import _pytracker as plain

EVERYWHERE = 16  # beside the acts of plain.py: the selected database does not matter


class Open(IntEnum):
    """The fields of the state, as in units.h; from PART on they are those of the unit that is being read."""

    OPEN = 0  # inside of a transaction
    DIGEST = 1  # of its commands
    ONLY = 2  # of its last command
    COMMANDS = 3  # in it, MULTI and EXEC not counted
    SEEN = 4  # commands before the next record
    EXACT = 5
    PART = 6
    START = 7
    END = 8
    DB = 9
    TX = 10
    TIME = 11
    NUMBER = 12


class Column(IntEnum):
    """The columns of units, as in units.h."""

    DIGEST = 0
    PART = 1
    START = 2
    END = 3
    DB = 4  # at its first record
    TX = 5  # 0 for a command outside of one
    TIME = 6
    NUMBER = 7  # of its first command
    COMMANDS = 8  # MULTI and EXEC included, SELECT not
    KIND = 9
    LAST = 10  # the number of its last command, SELECTs counted
    CHUNK = 11  # of a key of an RDB: which of its commands, from 0


class Kind(IntEnum):
    """What a unit is; RDB and DAMAGE are bytes that are compared as they are."""

    COMMAND = 0
    TRANSACTION = 1
    UNFINISHED = 2  # MULTI without EXEC
    RDB = 3
    DAMAGE = 4
    KEY = 5  # one of the commands that make a key of an RDB


Out = Sequence["array[int]"]


def run(
    key: bytes, state: "array[int]", batch: RecordBatch, digests: Sequence[int], db: Sequence[int], tx: Sequence[int],
    time: Sequence[int], act: bytes | bytearray, out: Out,
) -> int:  # fmt: skip
    """The number of units that end in a batch; `out` are their columns, with room for one more than it has records."""
    n = 0
    for i in range(batch.count):
        acts = act[batch.ids[i] if batch.ids[i] < len(act) else 0]
        does = acts & plain.MASK
        if does == plain.ANNOTATION:
            continue
        digest = _mix(key, digests[i], 0 if acts & EVERYWHERE else db[i] + 2)
        if state[Open.OPEN] and tx[i] != state[Open.TX]:
            n += close(key, state, False, out, n)
        span = batch.record_span(i)
        if not state[Open.OPEN]:
            begin = (span.start, span.start, db[i], max(0, tx[i]), time[i], state[Open.SEEN] + 1)
            state[Open.START : Open.NUMBER + 1] = array("q", begin)
            if tx[i] > 0:
                state[Open.OPEN], state[Open.DIGEST], state[Open.COMMANDS] = 1, 0, 0
        state[Open.SEEN] += 1
        state[Open.END] = span.end
        if not state[Open.OPEN]:
            if does != plain.SELECT:
                _put(out, n, state, digest, 1, Kind.COMMAND)
                n += 1
        elif does == plain.EXEC:
            n += close(key, state, True, out, n)
        elif does == plain.NONE:
            state[Open.ONLY] = _signed(digest)
            state[Open.DIGEST] = _signed(_mix(key, state[Open.DIGEST], _signed(digest)))
            state[Open.COMMANDS] += 1
    return n


def close(key: bytes, state: "array[int]", finished: bool, out: Out, n: int = 0) -> int:
    """Close the open transaction; the number of units, one or none."""
    if not state[Open.OPEN]:
        return 0
    state[Open.OPEN] = 0
    commands, digest = state[Open.COMMANDS], state[Open.DIGEST]
    if finished and not state[Open.EXACT] and commands < 2:
        if not commands:
            return 0
        digest = state[Open.ONLY]
    else:
        digest = _mix(key, digest, 2 * commands + (not finished))
    kind = Kind.TRANSACTION if finished else Kind.UNFINISHED
    _put(out, n, state, digest, commands + (2 if finished else 1), kind)
    return 1


def _put(out: Out, n: int, state: "array[int]", digest: int, commands: int, kind: Kind) -> None:
    fields = (Open.PART, Open.START, Open.END, Open.DB, Open.TX, Open.TIME, Open.NUMBER)
    row = (_signed(digest), *(state[field] for field in fields), commands, kind, state[Open.SEEN], 0)
    for column, value in zip(out, row, strict=True):
        column[n] = value


def _mix(key: bytes, digest: int, more: int) -> int:
    return Digest(key).number(_signed(digest)).number(_signed(more)).value()


def _signed(value: int) -> int:
    return value - (1 << 64) if value >= 1 << 63 else value
