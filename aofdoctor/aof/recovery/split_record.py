"""Join a record that begins at the end of one AOF file and continues at the start of the next file.

A server leaves such a record if it cannot complete a write, and then opens the next incremental file.  The joined
bytes prove it: they are exactly one record, and complete records follow it.
"""

import re

from aofdoctor.aof.diagnosis import diagnose_record
from aofdoctor.aof.read_window import ReadWindow
from aofdoctor.source import Source, pread
from aofdoctor.span import Span

_TIMESTAMP = re.compile(rb"#TS:[0-9]{1,18}\r\n")


class JoinedSource:
    """A Source that presents the range `head` of one source, followed by all bytes of another."""

    def __init__(self, first: Source, head: Span, second: Source) -> None:
        assert second.size is not None, "a pipe has no next file"
        self.first, self.head, self.second = first, head, second
        self.size: int | None = head.size + second.size

    def readinto(self, view: memoryview, offset: int) -> int:
        """Read bytes at `offset` of the joined sources into `view`, from one of the two; return their number."""
        if offset >= self.head.size:
            return self.second.readinto(view, offset - self.head.size)
        return self.first.readinto(view[: self.head.size - offset], self.head.start + offset)

    def forget(self, offset: int) -> None:
        """Do nothing: both sources can be read again."""


def find_rest_of_record(first: Source, head: Span, second: Source) -> int:
    """Return how many bytes at the start of the file `second` complete the record in the range `head` of `first`.

    0 if they do not form exactly one record that is followed by another one or by the end of the file.
    """
    source = JoinedSource(first, head, second)
    window = ReadWindow(source)
    record = diagnose_record(window, 0)
    if not record.is_complete or record.end <= head.size:
        return 0
    if record.is_annotation and not _TIMESTAMP.fullmatch(pread(source, min(record.end, 64), 0)):
        return 0
    is_followed = record.end == source.size or diagnose_record(window, record.end).is_complete
    return record.end - head.size if is_followed else 0
