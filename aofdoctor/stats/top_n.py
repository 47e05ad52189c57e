"""Keep the N largest items of a stream in fixed memory, with a heap; of equal items, the earlier ones are kept."""

from collections.abc import Callable, Sequence
from heapq import heappush, heapreplace, nsmallest
from typing import Generic, TypeVar

DEFAULT_CAPACITY = 100

T = TypeVar("T")


class TopN(Generic[T]):
    """Keeps the largest `capacity` of all items offered; only items larger than `threshold` can still be accepted."""

    def __init__(self, capacity: int = DEFAULT_CAPACITY) -> None:
        self.capacity, self.threshold = capacity, 0
        self._heap: list[tuple[int, int, T]] = []
        self._accepted = 0

    def offer(self, size: int, make: Callable[[], T]) -> None:
        """Keep an item if its size is among the largest so far; `make` creates the item, and is only called then."""
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
        """Return those of `items` that are worth offering: all, or only the largest `capacity`, in their order.

        The items are numbers, such as indexes in a batch; `size` returns the size of an item.
        """
        if len(items) <= self.capacity:
            return items
        return sorted(nsmallest(self.capacity, items, key=lambda item: (-size(item), item)))

    def ranked(self) -> list[T]:
        """Return the kept items, the largest first."""
        return [item for _, _, item in sorted(self._heap, key=lambda heap_entry: heap_entry[:2], reverse=True)]
