"""Group AOF records into units of comparison (commands and transactions): the pure Python fallback of units.h."""

from array import array
from collections.abc import Sequence

from aofdoctor.aof.records import RecordBatch
from aofdoctor.diff.hashing.digest import Digest
from aofdoctor.diff.units.columns import ANY_DATABASE, OpenUnitField, UnitKind, UnitOutput
from aofdoctor.server.context.fields import ACTION_MASK, RecordAction


def make_units(
    key: bytes, state: "array[int]", batch: RecordBatch, digests: Sequence[int], db: Sequence[int], tx: Sequence[int],
    time: Sequence[int], actions: bytes | bytearray, out: UnitOutput,
) -> int:  # fmt: skip
    """Write the commands and transactions that end in a batch of records to the columns `out`; return their number.

    `digests`, `db`, `tx` and `time` have an element for each record; `actions` is indexed by command id.  `state` is an
    array with an OpenUnitField each.  The columns need room for one unit more than the batch has records.
    """
    n = 0
    for i in range(batch.count):
        acts = actions[batch.ids[i] if batch.ids[i] < len(actions) else 0]
        action = acts & ACTION_MASK
        if action == RecordAction.ANNOTATION:
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
            if action != RecordAction.SELECT:
                _append_unit(out, n, state, digest, 1, UnitKind.COMMAND)
                n += 1
        elif action == RecordAction.EXEC:
            n += close_transaction(key, state, True, out, n)
        elif action == RecordAction.NONE:
            state[OpenUnitField.LAST_DIGEST] = _signed(digest)
            state[OpenUnitField.DIGEST] = _signed(_mix(key, state[OpenUnitField.DIGEST], _signed(digest)))
            state[OpenUnitField.COMMANDS] += 1
    return n


def close_transaction(key: bytes, state: "array[int]", finished: bool, out: UnitOutput, n: int = 0) -> int:
    """Close an open transaction and write it as row `n` of the columns; return the number of rows written, 0 or 1."""
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
