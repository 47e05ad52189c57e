"""A range of bytes in one file."""

from typing import NamedTuple


class Span(NamedTuple):
    """A half-open range of byte offsets: `start` is included, `end` is not."""

    start: int
    end: int

    @property
    def size(self) -> int:
        """The number of bytes in the range."""
        return self.end - self.start
