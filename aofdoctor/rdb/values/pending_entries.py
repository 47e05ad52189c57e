"""Ids of a stream's pending entries, by the million: held in their 16 bytes each, and little beside."""

from array import array
from bisect import bisect_left
from collections.abc import Iterator
from heapq import merge

ID_SIZE = 16
_RUN = 1 << 13  # ids that are sorted at once
_NEAR = ID_SIZE << 6


class PendingEntries:
    """What a group knows of the entries that were delivered; each is taken once, by its consumer.

    They stand in the file in the order of their ids, as a radix tree gives them
    (rdbSaveStreamPEL of rdb.c), those of the group and those of each consumer.
    """

    def __init__(self) -> None:
        self._ids, self._times, self._deliveries = bytearray(), array("Q"), array("Q")
        self._taken = bytearray()
        self._at = -1
        self.remaining = 0

    def add(self, raw: bytes, time: int, deliveries: int) -> bool:
        """Note one; False if its id does not come after the one before."""
        if self._ids and raw <= self._ids[-ID_SIZE:]:
            return False
        self._ids += raw
        self._times.append(time)
        self._deliveries.append(deliveries)
        self._taken.append(0)
        self.remaining += 1
        return True

    def take(self, raw: bytes) -> tuple[int, int] | None:
        """(when it was delivered, how often); None if it is not there, or was taken."""
        start = ID_SIZE * (self._at + 1)  # a consumer's own are in order too, and the next one is near
        place = self._ids.find(raw, start, start + _NEAR)
        at = place // ID_SIZE
        if place < 0 or place % ID_SIZE:
            at = bisect_left(range(len(self._taken)), raw, key=self._id)
            if self._id(at) != raw:
                return None
        if self._taken[at]:
            return None
        self._at, self._taken[at] = at, 1
        self.remaining -= 1
        return self._times[at], self._deliveries[at]

    def _id(self, at: int) -> bytes:
        return bytes(self._ids[ID_SIZE * at : ID_SIZE * at + ID_SIZE])


class StreamIdSet:
    """Ids that come in any order, and more than once, to be had in order."""

    def __init__(self) -> None:
        self._runs: list[bytes] = []
        self._unsorted: list[bytes] = []
        self.count = 0

    def add(self, raw: bytes) -> None:
        """Note one; `count` is how often that was done."""
        self._unsorted.append(raw)
        self.count += 1
        if len(self._unsorted) == _RUN:
            self._sort_run()

    def __iter__(self) -> Iterator[bytes]:
        """Each once, from the smallest."""
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
