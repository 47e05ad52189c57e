"""A read buffer of 64 KiB that moves to any offset of a file or pipe, for code that examines single records."""

from aofdoctor.aof.scan import SLACK
from aofdoctor.source import Source


class ReadWindow:
    """A buffer of SIZE bytes over a source; `bytes_read` counts the bytes that it has loaded.

    The first load, and one after a jump, is small, because most records are; a load that continues forwards is of SIZE.
    """

    SIZE = 1 << 16
    FIRST_SIZE = 1 << 12

    def __init__(self, source: Source) -> None:
        self.source = source
        self.buffer = bytearray(self.SIZE + SLACK)
        self.bytes_read = 0
        self._view = memoryview(self.buffer)
        self._base = self._fill = 0

    def locate(self, offset: int, need: int) -> tuple[int, int]:
        """Ensure that the bytes from `offset` of the source are in `buffer`; return their (start, end) in `buffer`.

        They are at least `need` bytes, or fewer at the end of the source.
        """
        if not (self._base <= offset and offset + need <= self._base + self._fill):
            self._load(offset, need)
        return offset - self._base, self._fill

    def read(self, offset: int, size: int) -> bytes:
        """Return `size` bytes, at most SIZE, from `offset` of the source; fewer at its end."""
        start, end = self.locate(offset, size)
        return bytes(self._view[start : min(end, start + size)])

    def has_byte_at(self, offset: int) -> bool:
        """Whether the source is longer than `offset` bytes."""
        if self.source.size is not None:
            return offset < self.source.size
        return self.source.readinto(memoryview(bytearray(1)), offset) > 0

    def _load(self, offset: int, need: int) -> None:
        continues = self._fill and self._base <= offset <= self._base + self._fill
        size = self.SIZE if continues else max(need, self.FIRST_SIZE)
        self._base, self._fill = offset, 0
        while self._fill < size:
            got = self.source.readinto(self._view[self._fill : size], offset + self._fill)
            if not got:
                break
            self._fill += got
        self.bytes_read += self._fill
        self._view[self._fill : self._fill + SLACK] = bytes(SLACK)
