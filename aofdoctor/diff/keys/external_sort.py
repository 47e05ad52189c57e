"""Sort any number of rows of 48 bytes: external merge sort.

Rows are sorted in memory; each time the limit is reached, they are written as a
sorted run to a temporary file.  Reading merges the runs.  Rows are compared as
bytes.
"""

import os
import tempfile
from collections.abc import Iterator
from heapq import merge
from typing import BinaryIO

from aofdoctor.diff.key_table.table import no_temporary_space

ROW_SIZE = 48
ROWS_IN_MEMORY = 1 << 17
_ROWS_PER_READ = 1 << 9  # rows of a run that are read in one call


class ExternalSorter:
    """Sorts rows of integers in bounded memory (external merge sort); rows can be read repeatedly."""

    def __init__(self, rows_in_memory: int = ROWS_IN_MEMORY) -> None:
        self._rows_in_memory, self._rows = rows_in_memory, list[bytes]()
        self._file: BinaryIO | None = None
        self._runs: list[tuple[int, int]] = []  # start and end of each in the file
        self.count = 0

    def add(self, row: bytes) -> None:
        """Add one row; the rows in memory are written to a sorted temporary file when there are too many."""
        self._rows.append(row)
        self.count += 1
        if len(self._rows) >= self._rows_in_memory:
            self._spill()

    def __iter__(self) -> Iterator[bytes]:
        self._rows.sort()
        return merge(*map(self._read_run, self._runs), iter(self._rows))

    def _spill(self) -> None:
        if self._file is None:
            self._file = tempfile.TemporaryFile(prefix="aofdoctor-")  # noqa: SIM115 (closed with this object)
        self._rows.sort()
        start = self._runs[-1][1] if self._runs else 0
        try:
            self._file.write(b"".join(self._rows))
            self._file.flush()
        except OSError as problem:
            raise no_temporary_space("what differs does not fit", problem) from None
        self._runs.append((start, start + ROW_SIZE * len(self._rows)))
        self._rows = []

    def _read_run(self, run: tuple[int, int]) -> Iterator[bytes]:
        assert self._file is not None
        for at in range(*run, ROW_SIZE * _ROWS_PER_READ):
            data = os.pread(self._file.fileno(), min(ROW_SIZE * _ROWS_PER_READ, run[1] - at), at)
            for row in range(0, len(data), ROW_SIZE):
                yield data[row : row + ROW_SIZE]
