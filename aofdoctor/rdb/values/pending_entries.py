"""Hold the pending entries of a stream's consumer group compactly, because a group can have millions of them.

Each entry takes 33 bytes: its id, its delivery time, its delivery count, and whether a consumer owns it.
"""

from array import array
from bisect import bisect_left

ID_SIZE = 16
_NEAR = ID_SIZE << 6  # bytes that are searched before a binary search


class PendingEntries:
    """The pending entries of a consumer group, each of which the consumer that owns it takes out once.

    An RDB has the entries of the group first and then those of each consumer, both in the order of their ids, because
    they are saved from radix trees (rdbSaveStreamPEL of rdb.c).
    """

    def __init__(self) -> None:
        self._ids, self._times, self._deliveries = bytearray(), array("Q"), array("Q")
        self._taken = bytearray()
        self._at = -1
        self.remaining = 0

    def add(self, raw: bytes, time: int, deliveries: int) -> bool:
        """Add a pending entry by the 16 bytes of its id; return False if the id is not greater than the one before."""
        if self._ids and raw <= self._ids[-ID_SIZE:]:
            return False
        self._ids += raw
        self._times.append(time)
        self._deliveries.append(deliveries)
        self._taken.append(0)
        self.remaining += 1
        return True

    def take(self, raw: bytes) -> tuple[int, int] | None:
        """Take out the entry with an id of 16 bytes; return (delivery time in unix ms, delivery count).

        None if the group has no such entry or it is already taken.
        """
        # The entries of a consumer are in the order of their ids too, so the next one is usually near the last one.
        start = ID_SIZE * (self._at + 1)
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
