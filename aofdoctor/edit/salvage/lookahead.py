"""Search ahead among whole records: where a transaction ends, and where the database is known again."""

from bisect import bisect_left
from collections.abc import Iterator

from aofdoctor.aof.constants import ANNOTATION
from aofdoctor.aof.reader import read_batches
from aofdoctor.aof.records import RecordBatch
from aofdoctor.server.command_table import command_table
from aofdoctor.source import Source
from aofdoctor.span import Span

_SMALL_WINDOW = 1 << 14


class Lookahead:
    """Reads one part ahead from any record, independent of the main pass over it."""

    def __init__(self, source: Source) -> None:
        self.source = source
        ids = command_table().names.ids
        self.select, self.multi, self.exec = ids[b"select"], ids[b"multi"], ids[b"exec"]

    def count_commands(self, span: Span) -> int:
        """The number of whole commands that begin in a byte range, which starts at a record."""
        count = 0
        for batch in self.batches(span.start):
            end = bisect_left(batch.edges, span.end - batch.base, 0, batch.count)
            count += end - batch.ids[:end].count(ANNOTATION)
            if end < batch.count or batch.span.end >= span.end:
                break
        return count

    def batches(self, start: int) -> Iterator[RecordBatch]:
        """The whole records from `start`; the first reads are small, because most searches end soon."""
        at = start
        for batch in read_batches(self.source, command_table().names, start, window=_SMALL_WINDOW):
            yield batch
            at = batch.span.end
            if at - start > 8 * _SMALL_WINDOW:
                yield from read_batches(self.source, command_table().names, at)
                return

    def find_first(self, start: int, *ids: int) -> tuple[int, Span]:
        """(id, span) of the first command with one of the ids.

        If damage or the end of the part comes first: 0, and an empty span there.
        """
        end = start
        for batch in self.batches(start):
            index = min(find_id(batch, number, 0, batch.count) for number in ids)
            if index < batch.count:
                return batch.ids[index], batch.record_span(index)
            end = batch.span.end
        return 0, Span(end, end)

    def next_known_database(self, start: int) -> int:
        """The offset where the selected database is known again: at a SELECT, or at the MULTI directly before it."""
        while True:
            number, span = self.find_first(start, self.select, self.multi)
            if number != self.multi:
                return span.start
            number, inside = self.find_first(span.end, self.select, self.exec)
            if number == self.select:
                return span.start if inside.start == span.end else self.find_first(inside.end, self.exec)[1].end
            start = inside.end
            if not number:
                return start


def find_id(batch: RecordBatch, number: int, start: int, end: int) -> int:
    """The index of the first record with an id in [start, end); `end` if there is none."""
    try:
        return batch.ids.index(number, start, end)
    except ValueError:
        return end
