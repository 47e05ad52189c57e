"""Slide a window over an RDB while the walker runs in it, so that a file of any size is walked in constant memory.

A string that does not fit into the window passes through it in pieces.  With `verify` every byte is read exactly once
and added to the checksum; without it, a large string is skipped without being read.
"""

from aofdoctor.rdb.compressed.source import MAX_BATCH_SPAN, DecompressedSource
from aofdoctor.rdb.encoding.crc64 import crc64
from aofdoctor.rdb.walk.layouts import Layout
from aofdoctor.rdb.walk.walker import SLACK, ItemColumns, StopReason, Walker
from aofdoctor.source import Source

WINDOW_SIZE = 1 << 18  # bytes; small enough to stay in the second-level cache between the walk and the checksum
BATCH_ITEMS = 1 << 12  # items that the columns hold at most
_UNLIMITED_STEPS = 1 << 62


class WalkWindow:
    """A walk over the items of an RDB from file offset `start` on, through a window of `window_size` bytes.

    `columns` holds the items since they were last emptied, and `crc` is the CRC-64 of the bytes up to the last call of
    `checksum`.  `limit` is an offset at which the walk stops, as at the end of the source.  With `stop_at_window_end`
    the walk also pauses before the window moves, as if the columns were full: each item that began in it is then
    complete.
    """

    def __init__(
        self,
        source: Source,
        layout: Layout,
        start: int,
        db: int = 0,
        window_size: int = WINDOW_SIZE,
        batch_items: int = BATCH_ITEMS,
        verify: bool = True,
        limit: int | None = None,
    ) -> None:
        self.source, self.layout, self.verify, self.limit = source, layout, verify, limit
        self.window_size = max(window_size, 1)
        self.buffer = bytearray(self.window_size + 2 * SLACK)
        self.view = memoryview(self.buffer)
        self.columns, self.walker = ItemColumns(batch_items), Walker(layout, start, db)
        self.base, self.at, self.data_end = start, 0, 0
        self.crc, self._crc_at = 0, 0
        self._max_batch_span = MAX_BATCH_SPAN if isinstance(source, DecompressedSource) else None
        self.stop_at_window_end = False

    @property
    def offset(self) -> int:
        """The file offset that the walk over the items of the RDB has reached."""
        return self.base + self.at

    def run(self, step_budget: int = _UNLIMITED_STEPS) -> tuple[StopReason, int]:
        """Walk the RDB until the columns are full or something stops the walk; return (the reason, the steps left).

        END_OF_DATA means the end of the source, or the limit.
        """
        while True:
            reason, self.at, step_budget = self.walker.run(
                self.buffer, self.at, self.data_end, self.base, self.columns, step_budget
            )
            if reason == StopReason.END_OF_DATA and (
                self._should_flush() or (self.stop_at_window_end and self.columns.count)
            ):
                return StopReason.FULL, step_budget
            if reason != StopReason.END_OF_DATA or not self._load():
                return StopReason(reason), step_budget

    def restart(self, start: int, db: int, limit: int | None = None) -> None:
        """Continue the walk at an item that begins at offset `start` of the source, in database `db`.

        The columns are emptied.  `limit`, if given, replaces the previous limit.
        """
        if limit is not None:
            self.limit, self.data_end = limit, 0
        self.walker.restart(start, db)
        self.columns.truncate(0)
        self.columns.edges[0] = start
        if self.base <= start <= self.base + self.data_end:
            self.at = start - self.base
        else:
            self.base, self.at, self.data_end = start, 0, 0

    def checksum(self) -> int:
        """Return the CRC-64 of all bytes from the start of the walk up to `offset`."""
        self.crc = crc64(self.view[self._crc_at : self.at], self.crc)
        self._crc_at = self.at
        return self.crc

    def _should_flush(self) -> bool:
        """Whether to deliver the RDB items now, while a compressed RDB still has their decompressed bytes in memory."""
        columns = self.columns
        return (
            self._max_batch_span is not None
            and columns.count > 0
            and self.offset - columns.edges[0] > self._max_batch_span
        )

    def _load(self) -> bool:
        """Move the window forward over the RDB and fill it; return False if there are no more bytes."""
        if self.verify:
            self.checksum()
        rest, end = self.data_end - self.at, self._end()
        if end is not None and self.offset + rest + self.walker.skip > end:
            return False
        self.buffer[:rest] = self.buffer[self.at : self.data_end]
        self.base, self.at, self._crc_at = self.offset, 0, 0
        if not self.verify and end is not None and self.walker.skip > self.window_size:
            self.base, self.walker.skip = self.base + self.walker.skip, 0
        read_size = self.window_size if end is None else min(self.window_size, end - self.base - rest)
        received = self.source.readinto(self.view[rest : rest + read_size], self.base + rest) if read_size > 0 else 0
        self.data_end = rest + received
        self.buffer[self.data_end : self.data_end + SLACK] = bytes(SLACK)
        return received > 0

    def _end(self) -> int | None:
        if self.limit is None or self.source.size is None:
            return self.source.size if self.limit is None else self.limit
        return min(self.limit, self.source.size)
