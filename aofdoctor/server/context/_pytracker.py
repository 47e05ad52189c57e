"""The context of each record, in plain Python: the twin of steps.h."""

from array import array
from collections.abc import Sequence
from enum import IntEnum

from aofdoctor.aof.records import RecordBatch


class ContextField(IntEnum):
    """The fields of the state, as in steps.h."""

    DB = 0  # selected now; -1 unknown
    TIME = 1  # of the last #TS, unix seconds; -1 none
    TX = 2  # ordinal of the open transaction; 0 none, -1 unknown
    TRANSACTIONS = 3  # MULTIs seen
    COMMANDS = 4
    ANNOTATIONS = 5
    COMMAND_END = 6  # the end of the last command: where a server cuts after a short read
    GOOD_END = 7  # the end of the last record that is not inside an open MULTI
    MULTI_START = 8  # of the open transaction
    BEFORE_MULTI = 9  # COMMAND_END at the last MULTI
    FIRST_TIME = 10
    GOOD_COMMANDS = 11  # COMMANDS at GOOD_END
    SELECTED = 12  # 1 after the first SELECT of a part


NONE, ANNOTATION, SELECT, MULTI, EXEC, MASK, FLAG = 0, 1, 2, 3, 4, 7, 8

ANNOTATION_MAX = 1023  # the longest line that a server reads in one piece (AOF_ANNOTATION_LINE_MAX_LEN, 7.0)

ContextColumns = tuple["array[int]", "array[int]", "array[int]"]


def track_batch(
    state: "array[int]",
    batch: RecordBatch,
    actions: bytes | bytearray,
    argc_min: Sequence[int],
    argc_max: Sequence[int],
    counts: "array[int]",
    flagged: "array[int]",
    columns: ContextColumns | None,
) -> int:
    """How many of a batch's records are noted; `notes` holds their indexes."""
    flagged_count = 0
    for i in range(batch.count):
        number = batch.ids[i] if batch.ids[i] < len(actions) else 0
        flag = bool(actions[number] & FLAG) or not argc_min[number] <= batch.argc[i] <= argc_max[number]
        counts[number] += 1
        before = state[ContextField.DB], state[ContextField.TX], state[ContextField.TIME]
        action = actions[number] & MASK
        flag |= _track_annotation(state, batch, i) if action == ANNOTATION else _track_command(state, batch, i, action)
        if columns is not None:
            shown = (
                state[ContextField.DB] if action == SELECT else before[0],
                state[ContextField.TX] if action == MULTI else before[1],
                before[2],
            )
            for column, value in zip(columns, shown, strict=True):
                column[i] = value
        if state[ContextField.TX] <= 0:
            state[ContextField.GOOD_END] = batch.base + batch.edges[i + 1]
            state[ContextField.GOOD_COMMANDS] = state[ContextField.COMMANDS]
        if flag:
            flagged[flagged_count] = i
            flagged_count += 1
    return flagged_count


def _track_annotation(state: "array[int]", batch: RecordBatch, i: int) -> bool:
    line = b"" if batch.oversized else bytes(batch.raw(i)[:4096]).removesuffix(b"\n").rstrip(b"\r")
    seconds = line[4:] if line.startswith(b"#TS:") else b""
    if seconds.isdigit() and len(seconds) <= 18:
        state[ContextField.TIME] = int(seconds)
        if state[ContextField.FIRST_TIME] < 0:
            state[ContextField.FIRST_TIME] = int(seconds)
    state[ContextField.ANNOTATIONS] += 1
    return batch.record_span(i).size > ANNOTATION_MAX


def _track_command(state: "array[int]", batch: RecordBatch, i: int, action: int) -> bool:
    flag = False
    if action == SELECT:
        db = batch.argv(i, 2)[1:] if not batch.oversized else []
        valid = bool(db) and db[0].isdigit() and len(db[0]) <= 18
        flag = not valid or (state[ContextField.SELECTED] > 0 and int(db[0]) == state[ContextField.DB])
        if valid:
            state[ContextField.DB], state[ContextField.SELECTED] = int(db[0]), 1
    elif action == MULTI:
        state[ContextField.BEFORE_MULTI] = state[ContextField.COMMAND_END]
        flag = state[ContextField.TX] > 0
        if not flag:
            state[ContextField.TRANSACTIONS] += 1
            state[ContextField.TX] = state[ContextField.TRANSACTIONS]
            state[ContextField.MULTI_START] = batch.base + batch.edges[i]
    elif action == EXEC:
        flag = state[ContextField.TX] == 0
        state[ContextField.TX] = 0
    state[ContextField.COMMANDS] += 1
    state[ContextField.COMMAND_END] = batch.base + batch.edges[i + 1]
    return flag
