"""Hold a set of stream ids compactly, in sorted blocks of 16 bytes an id, because a group can have millions of them."""

from collections.abc import Iterator
from heapq import merge

from aofdoctor.rdb.values.pending_entries import ID_SIZE

_RUN = 1 << 13  # ids that are sorted together


class StreamIdSet:
    """A set of stream ids: added in any order, possibly repeatedly, and iterated in order, each once."""

    def __init__(self) -> None:
        self._runs: list[bytes] = []
        self._unsorted: list[bytes] = []
        self.count = 0

    def add(self, raw: bytes) -> None:
        """Add a stream id of 16 bytes; `count` counts the calls, also for an id that is already present."""
        self._unsorted.append(raw)
        self.count += 1
        if len(self._unsorted) == _RUN:
            self._sort_run()

    def __iter__(self) -> Iterator[bytes]:
        """Yield each stream id once, as 16 bytes, smallest first."""
        self._sort_run()
        before = b""
        for raw in merge(*map(_split, self._runs)):
            if raw != before:
                yield raw
            before = raw

    def _sort_run(self) -> None:
        if self._unsorted:
            self._runs.append(b"".join(sorted(set(self._unsorted))))
            self._unsorted = []


def _split(run: bytes) -> Iterator[bytes]:
    return (run[at : at + ID_SIZE] for at in range(0, len(run), ID_SIZE))
