"""Number the commands in a batch of AOF records; annotations such as #TS are records too, but are not counted."""

from bisect import bisect_right
from collections.abc import Iterable, Iterator

from aofdoctor.aof.constants import ANNOTATION
from aofdoctor.aof.records import RecordBatch
from aofdoctor.log.position import Position


def command_numbers(batch: RecordBatch, records: Iterable[int]) -> Iterator[int]:
    """Yield the number of each given record among the commands of its batch, counted from 1.

    `records` are indexes in the batch in ascending order.  An annotation gets the number of the command before it.
    """
    ids, annotations, at = batch.ids, 0, 0
    for i in records:
        annotations += ids[at : i + 1].count(ANNOTATION)
        at = i + 1
        yield at - annotations


def index_at_position(batch: RecordBatch, position: Position, part_index: int, commands_before: int) -> int:
    """Return the index in a batch of the record at a position (a file offset, or the number of a command in the AOF).

    The result is -1 for a position before the batch and `batch.count` for one after it.  `part_index` is the place of
    the batch's file in load order; `commands_before` is the number of commands before the batch, in all files.
    """
    if position.number:
        return _index_of_nth_command(batch, position.number - commands_before)
    if part_index != position.part_index:
        return -1 if part_index > position.part_index else batch.count
    if not batch.span.start <= position.offset < batch.span.end:
        return -1 if position.offset < batch.span.start else batch.count
    return bisect_right(batch.edges, position.offset - batch.base, 0, batch.count) - 1


def _index_of_nth_command(batch: RecordBatch, nth: int) -> int:
    """Return the index of the `nth` command of a batch, counted from 1.

    The result is -1 if `nth` is below 1, and `batch.count` if the batch has fewer commands.
    """
    if nth < 1:
        return -1
    ids, at = batch.ids[: batch.count], nth - 1
    while at < batch.count:  # Each round steps over the annotations that the round before has counted.
        missing = nth - (at + 1 - ids[: at + 1].count(ANNOTATION))
        if not missing and ids[at] != ANNOTATION:
            return at
        at += missing or 1
    return batch.count
