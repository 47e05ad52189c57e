"""The largest of many, in a fixed room: the first so many by size, of equals those that came first."""

from collections.abc import Callable, Sequence
from heapq import heappush, heapreplace, nsmallest
from typing import Generic, TypeVar

KEPT = 100

T = TypeVar("T")


class TopN(Generic[T]):
    """`least`: only what is larger than this can still get in."""

    def __init__(self, room: int = KEPT) -> None:
        self.room, self.least = room, 0
        self._heap: list[tuple[int, int, T]] = []
        self._seen = 0

    def offer(self, size: int, make: Callable[[], T]) -> None:
        """Keep one of this size if there is room for it, or it is larger than the least; `make` makes what is kept."""
        if size <= self.least:
            return
        self._seen += 1
        if len(self._heap) < self.room:
            heappush(self._heap, (size, -self._seen, make()))
        else:
            heapreplace(self._heap, (size, -self._seen, make()))
        if len(self._heap) == self.room:
            self.least = self._heap[0][0]

    def worth(self, items: Sequence[int], size: Callable[[int], int]) -> Sequence[int]:
        """Those of many, in their order, that can still get in beside each other."""
        if len(items) <= self.room:
            return items
        return sorted(nsmallest(self.room, items, key=lambda item: (-size(item), item)))

    def ranked(self) -> list[T]:
        """What was kept, the largest first."""
        return [kept for _, _, kept in sorted(self._heap, key=lambda one: one[:2], reverse=True)]
