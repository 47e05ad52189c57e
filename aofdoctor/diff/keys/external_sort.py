"""Rows in order, however many: sorted in memory while they are few, else by runs in a temporary file.

A row is 48 bytes whose order as bytes is the order that is wanted.
"""

import os
import tempfile
from collections.abc import Iterator
from heapq import merge
from typing import BinaryIO

from aofdoctor import text
from aofdoctor.errors import RefusedEdit

ROW_SIZE = 48
ROWS_IN_MEMORY = 1 << 17  # rows in memory
_ROWS_PER_READ = 1 << 9  # rows of a run that are read at once


class ExternalSorter:
    """Rows come in any order, and are read in theirs, as often as is wanted."""

    def __init__(self, rows_in_memory: int = ROWS_IN_MEMORY) -> None:
        self._rows_in_memory, self._rows = rows_in_memory, list[bytes]()
        self._file: BinaryIO | None = None
        self._runs: list[tuple[int, int]] = []  # where each begins and ends in the file
        self.count = 0

    def add(self, row: bytes) -> None:
        """One more."""
        self._rows.append(row)
        self.count += 1
        if len(self._rows) >= self._rows_in_memory:
            self._spill()

    def __iter__(self) -> Iterator[bytes]:
        self._rows.sort()
        return merge(*map(self._read_run, self._runs), iter(self._rows))

    def _spill(self) -> None:
        if self._file is None:
            self._file = tempfile.TemporaryFile(prefix="aofdoctor-")  # noqa: SIM115 (closed with this)
        self._rows.sort()
        start = self._runs[-1][1] if self._runs else 0
        try:
            self._file.write(b"".join(self._rows))
            self._file.flush()
        except OSError as problem:
            raise RefusedEdit(
                f"what differs does not fit into {text.display_path(tempfile.gettempdir())} ({problem.strerror})",
                "name a directory with more room in TMPDIR, or select keys with --key or --db",
            ) from None
        self._runs.append((start, start + ROW_SIZE * len(self._rows)))
        self._rows = []

    def _read_run(self, run: tuple[int, int]) -> Iterator[bytes]:
        assert self._file is not None
        for at in range(*run, ROW_SIZE * _ROWS_PER_READ):
            data = os.pread(self._file.fileno(), min(ROW_SIZE * _ROWS_PER_READ, run[1] - at), at)
            for row in range(0, len(data), ROW_SIZE):
                yield data[row : row + ROW_SIZE]
