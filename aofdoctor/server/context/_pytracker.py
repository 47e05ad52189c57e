"""Track the database, transaction and time of each AOF record: the pure Python fallback of tracker.h."""

from array import array
from collections.abc import Sequence

from aofdoctor.aof.records import RecordBatch
from aofdoctor.server.context.fields import (
    ACTION_MASK,
    ANNOTATION_MAX,
    FLAG,
    ContextColumns,
    ContextField,
    RecordAction,
)  # fmt: skip


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
    """Update the context (database, transaction, time ...) with a batch of AOF records; return how many are flagged.

    Flagged records are those that the caller wants to examine.  `state` has one number per ContextField.  `actions`,
    `argc_min`, `argc_max` and `counts` are indexed by command id: the RecordAction (plus FLAG to flag every such
    record), the argument counts that are not flagged, and the number of records.  `flagged` receives the indexes of the
    flagged records, `columns` the database, transaction and time of each record.
    """
    flagged_count = 0
    for i in range(batch.count):
        number = batch.ids[i] if batch.ids[i] < len(actions) else 0
        flag = bool(actions[number] & FLAG) or not argc_min[number] <= batch.argc[i] <= argc_max[number]
        counts[number] += 1
        before = state[ContextField.DB], state[ContextField.TX], state[ContextField.TIME]
        action = actions[number] & ACTION_MASK
        flag |= (
            _track_annotation(state, batch, i)
            if action == RecordAction.ANNOTATION
            else _track_command(state, batch, i, action)
        )
        if columns is not None:
            shown = (
                state[ContextField.DB] if action == RecordAction.SELECT else before[0],
                state[ContextField.TX] if action == RecordAction.MULTI else before[1],
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
    is_time = seconds.isdigit() and len(seconds) <= 18
    if is_time:
        state[ContextField.TIME] = int(seconds)
        if state[ContextField.FIRST_TIME] < 0:
            state[ContextField.FIRST_TIME] = int(seconds)
    state[ContextField.ANNOTATIONS] += 1
    return not is_time or batch.record_span(i).size > ANNOTATION_MAX


def _track_command(state: "array[int]", batch: RecordBatch, i: int, action: int) -> bool:
    flag = False
    if action == RecordAction.SELECT:
        db = batch.argv(i, 2)[1:] if not batch.oversized else []
        valid = bool(db) and db[0].isdigit() and len(db[0]) <= 18
        flag = not valid or (state[ContextField.SELECTED] > 0 and int(db[0]) == state[ContextField.DB])
        flag |= valid and 0 < state[ContextField.DB_LIMIT] <= int(db[0])
        if valid:
            state[ContextField.DB], state[ContextField.SELECTED] = int(db[0]), 1
    elif action == RecordAction.MULTI:
        state[ContextField.BEFORE_MULTI] = state[ContextField.COMMAND_END]
        flag = state[ContextField.TX] > 0
        if not flag:
            state[ContextField.TRANSACTIONS] += 1
            state[ContextField.TX] = state[ContextField.TRANSACTIONS]
            state[ContextField.MULTI_START] = batch.base + batch.edges[i]
    elif action == RecordAction.EXEC:
        flag = state[ContextField.TX] == 0
        state[ContextField.TX] = 0
    state[ContextField.COMMANDS] += 1
    state[ContextField.COMMAND_END] = batch.base + batch.edges[i + 1]
    return flag
