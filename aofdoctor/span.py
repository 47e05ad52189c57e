"""A half-open range of bytes within one part."""

from typing import NamedTuple


class Span(NamedTuple):
    """Bytes from `start` up to, and not with, `end`."""

    start: int
    end: int

    @property
    def size(self) -> int:
        """Its length in bytes."""
        return self.end - self.start
