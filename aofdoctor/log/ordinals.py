"""Which command a record is: annotations stand between them and are not counted."""

from bisect import bisect_right
from collections.abc import Iterable, Iterator

from aofdoctor.aof.constants import ANNOTATION
from aofdoctor.aof.records import RecordBatch
from aofdoctor.log.position import Position


def command_numbers(batch: RecordBatch, records: Iterable[int]) -> Iterator[int]:
    """Which command of its batch each record is, from 1; an annotation is as the command before it.

    `records` are in order.
    """
    ids, annotations, at = batch.ids, 0, 0
    for i in records:
        annotations += ids[at : i + 1].count(ANNOTATION)
        at = i + 1
        yield at - annotations


def command_number(batch: RecordBatch, i: int) -> int:
    """Which command of its batch one record is, from 1."""
    return next(command_numbers(batch, (i,)))


def index_at_position(batch: RecordBatch, position: Position, part_index: int, commands_before: int) -> int:
    """The record of a batch that stands at a position: -1 if the position is before it, `count` if it is after it.

    `part` is the batch's place in load order; `before` commands came before it.
    """
    if position.number:
        return _index_of_nth_command(batch, position.number - commands_before)
    if part_index != position.part_index:
        return -1 if part_index > position.part_index else batch.count
    if not batch.span.start <= position.offset < batch.span.end:
        return -1 if position.offset < batch.span.start else batch.count
    return bisect_right(batch.edges, position.offset - batch.base, 0, batch.count) - 1


def _index_of_nth_command(batch: RecordBatch, nth: int) -> int:
    """The record of the `wanted`th command of a batch, from 1."""
    if nth < 1:
        return -1
    ids, at = batch.ids[: batch.count], nth - 1
    while at < batch.count:  # each step skips the annotations that it has just found
        missing = nth - (at + 1 - ids[: at + 1].count(ANNOTATION))
        if not missing and ids[at] != ANNOTATION:
            return at
        at += missing or 1
    return batch.count


def none_if_unknown(value: int) -> int | None:
    """A column's value, or None where it is unknown."""
    return None if value == -1 else value
