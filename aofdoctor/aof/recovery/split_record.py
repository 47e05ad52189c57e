"""Join a record that ends one file and continues at the start of the next.

A server that cannot complete a write, and opens the next incremental file then, leaves such a record.  The joined
bytes prove it: they are exactly one record, and whole records follow it.
"""

import re

from aofdoctor.aof.diagnosis import diagnose_record
from aofdoctor.aof.read_window import ReadWindow
from aofdoctor.source import Source, pread
from aofdoctor.span import Span

_TIMESTAMP = re.compile(rb"#TS:[0-9]{1,18}\r\n")


class JoinedSource:
    """A Source that presents a range of one source, followed by all bytes of another."""

    def __init__(self, first: Source, head: Span, second: Source) -> None:
        assert second.size is not None, "a pipe has no next file"
        self.first, self.head, self.second = first, head, second
        self.size: int | None = head.size + second.size

    def readinto(self, view: memoryview, offset: int) -> int:
        """Fill `view` from `offset`, at most to the end of the range, and return the number of bytes."""
        if offset >= self.head.size:
            return self.second.readinto(view, offset - self.head.size)
        return self.first.readinto(view[: self.head.size - offset], self.head.start + offset)

    def forget(self, offset: int) -> None:
        """Do nothing: both sources can be read again."""


def find_rest_of_record(first: Source, head: Span, second: Source) -> int:
    """Return how many bytes at the start of `second` complete the record at the end of `first`; 0 if none do."""
    source = JoinedSource(first, head, second)
    window = ReadWindow(source)
    record = diagnose_record(window, 0)
    if not record.is_complete or record.end <= head.size:
        return 0
    if record.is_annotation and not _TIMESTAMP.fullmatch(pread(source, min(record.end, 64), 0)):
        return 0
    is_followed = record.end == source.size or diagnose_record(window, record.end).is_complete
    return record.end - head.size if is_followed else 0
