"""The largest of many, in a fixed room: the first so many by size, of equals those that came first."""

from collections.abc import Callable, Sequence
from heapq import heappush, heapreplace, nsmallest
from typing import Generic, TypeVar

DEFAULT_CAPACITY = 100

T = TypeVar("T")


class TopN(Generic[T]):
    """`least`: only what is larger than this can still get in."""

    def __init__(self, capacity: int = DEFAULT_CAPACITY) -> None:
        self.capacity, self.threshold = capacity, 0
        self._heap: list[tuple[int, int, T]] = []
        self._accepted = 0

    def offer(self, size: int, make: Callable[[], T]) -> None:
        """Keep one of this size if there is room for it, or it is larger than the least; `make` makes what is kept."""
        if size <= self.threshold:
            return
        self._accepted += 1
        if len(self._heap) < self.capacity:
            heappush(self._heap, (size, -self._accepted, make()))
        else:
            heapreplace(self._heap, (size, -self._accepted, make()))
        if len(self._heap) == self.capacity:
            self.threshold = self._heap[0][0]

    def candidates(self, items: Sequence[int], size: Callable[[int], int]) -> Sequence[int]:
        """Those of many, in their order, that can still get in beside each other."""
        if len(items) <= self.capacity:
            return items
        return sorted(nsmallest(self.capacity, items, key=lambda item: (-size(item), item)))

    def ranked(self) -> list[T]:
        """What was kept, the largest first."""
        return [item for _, _, item in sorted(self._heap, key=lambda heap_entry: heap_entry[:2], reverse=True)]
