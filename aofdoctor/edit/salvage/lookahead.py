"""Search forward in a damaged AOF file: for the end of a transaction, or for the next command with a known database."""

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
    """Reads an AOF file ahead from any command, without moving the salvage that reads the same file in order."""

    def __init__(self, source: Source) -> None:
        self.source = source
        ids = command_table().names.ids
        self.select, self.multi, self.exec = ids[b"select"], ids[b"multi"], ids[b"exec"]

    def count_commands(self, span: Span) -> int:
        """The number of whole commands that begin in a byte range of the file, which starts at a command."""
        count = 0
        for batch in self.batches(span.start):
            end = bisect_left(batch.edges, span.end - batch.base, 0, batch.count)
            count += end - batch.ids[:end].count(ANNOTATION)
            if end < batch.count or batch.span.end >= span.end:
                break
        return count

    def batches(self, start: int) -> Iterator[RecordBatch]:
        """Yield the whole commands from file offset `start`; the first reads are small, as most searches end soon."""
        at = start
        for batch in read_batches(self.source, command_table().names, start, window=_SMALL_WINDOW):
            yield batch
            at = batch.span.end
            if at - start > 8 * _SMALL_WINDOW:
                yield from read_batches(self.source, command_table().names, at)
                return

    def find_first(self, start: int, *ids: int) -> tuple[int, Span]:
        """(command id, byte range) of the first command from offset `start` that has one of the ids.

        If damage or the end of the file comes first: 0, and an empty range there.
        """
        end = start
        for batch in self.batches(start):
            index = min(find_id(batch, number, 0, batch.count) for number in ids)
            if index < batch.count:
                return batch.ids[index], batch.record_span(index)
            end = batch.span.end
        return 0, Span(end, end)

    def next_known_database(self, start: int) -> int:
        """The next file offset where it is certain, after damage, in which database the commands run.

        That is at a SELECT, or at the MULTI directly before it.
        """
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
    """The index of the first command with id `number` among the commands `start` to `end` - 1 of a batch, or `end`."""
    try:
        return batch.ids.index(number, start, end)
    except ValueError:
        return end
