"""Find where keys begin again after damage in an RDB.

An offset is accepted if items can be walked from it and the names of the keys among them are plausible.  A value can
contain bytes that look like keys, and bytes that look like one key can hide several, so the result is a guess and is
labelled as one.  The work is limited: a number of walker steps for every byte that a search passes, and one budget for
all closer examinations together.
"""

from collections.abc import Callable

from aofdoctor.rdb import header
from aofdoctor.rdb.items import ItemBatch, KeyItem
from aofdoctor.rdb.recovery.collection_tail import is_collection_tail
from aofdoctor.rdb.walk.layouts import Layout
from aofdoctor.rdb.walk.plausibility import SCORE_NEEDED, is_plausible_item, name_score
from aofdoctor.rdb.walk.walker import SLACK, StopReason, find_key_start
from aofdoctor.rdb.walk.window import WalkWindow
from aofdoctor.source import Source, pread

KeyDefect = Callable[[Source, KeyItem], str]  # why a key cannot be loaded; empty if it can

LOOKBACK_BYTES = 1 << 20  # bytes that a search goes back into an item that seemed complete
_FIRST, _LARGEST = 1 << 14, 1 << 20  # bytes of a search's first and largest window
_BASE_STEPS = 1 << 20  # walker steps that a search may take, in addition to those for each byte that it passes
_STEPS_PER_BYTE = 8
_MIN_CHECK_STEPS = 1 << 12  # steps that a closer examination costs at least
_SCORE_NEEDED_AT_END = 8  # lower than SCORE_NEEDED, because few keys can follow near the end
_KEYS_COMPARED = 8  # items after a gap: their key names are compared
_MAX_NESTING = 16  # apparent keys inside each other that are examined for hidden keys
_NAME_HEAD = 80  # bytes of an encoded name that are scored


def find_keys(
    source: Source,
    start: int,
    layout: Layout,
    min_end: int = 0,
    end: int | None = None,
    key_defect: KeyDefect | None = None,
) -> int | None:
    """Return the first offset from `start` on where keys of a damaged RDB seem to begin, or None.

    The items from there must be walkable to beyond the offset `min_end`.  `end` is where the search stops, and
    `is_plausible_key` can reject the first key.
    """
    return KeySearch(source, layout, end, key_defect).find_outside_value(start, min_end)


class KeySearch:
    """Searches a damaged RDB for the offset where keys begin again.

    All searches of one object share a budget of walker steps.
    """

    def __init__(self, source: Source, layout: Layout, end: int | None, key_defect: KeyDefect | None) -> None:
        self.source, self.layout, self.end, self.key_defect = source, layout, end, key_defect
        self.steps_left = _BASE_STEPS + _STEPS_PER_BYTE * (end or 0)

    def find(self, start: int, min_end: int, stop: int | None = None) -> int | None:
        """Return the first offset in [start, stop) where keys of the damaged RDB seem to begin, or None.

        The items from there must be walkable to beyond the offset `min_end`.
        """
        at, size, step_budget = start, _FIRST, _BASE_STEPS
        while data := pread(self.source, size if self.end is None else max(0, min(size, self.end - at)), at):
            if stop is not None and at >= stop:
                return None
            last = len(data) < size
            place, reason, step_budget = self._search_window(data, at, min_end, last, step_budget)
            if reason == StopReason.FULL:
                return place if stop is None or place < stop else None
            if last and place >= at + len(data):
                return None
            step_budget = max(step_budget, 0) + _STEPS_PER_BYTE * (place - at)
            at, size = place, min(4 * size, _LARGEST)
        return None

    def _search_window(
        self, data: bytes, base: int, min_end: int, last: bool, step_budget: int
    ) -> tuple[int, StopReason, int]:
        """Search the bytes `data`, from file offset `base` on; return (offset, reason, remaining step budget).

        If the StopReason is FULL, keys begin at the offset.  Otherwise, the search must continue there in the next
        part of the file.
        """
        buffer, end = bytearray(data + bytes(SLACK)), len(data)
        stop, at = end if last else end - end // 4, 0
        bytes_after = 0 if last else (1 << 62 if self.end is None else self.end - base - end)
        while True:
            at, reason, step_budget = find_key_start(
                buffer, at, stop, end, self.layout, min_end - base, bytes_after, step_budget
            )
            if reason >= StopReason.STEP_LIMIT:
                return base + stop, StopReason.END_OF_DATA, step_budget
            if reason == StopReason.END_OF_DATA and not last and len(data) < _LARGEST:
                return base + at, StopReason.END_OF_DATA, step_budget
            if (
                self._first_key_is_plausible(base + at)
                if reason == StopReason.FULL
                else self._walks_well(base + at, min_end)
            ):
                return base + at, StopReason.FULL, step_budget
            at += 1

    def find_outside_value(self, start: int, min_end: int) -> int | None:
        """Find where keys of the damaged RDB seem to begin, as `find` does, but prefer keys hidden in the first one.

        An apparent first key that contains at least two keys probably has a damaged length that swallowed them.
        """
        place = self.find(start, min_end)
        for _ in range(_MAX_NESTING):
            end = self._first_end(place) if place is not None else None
            if place is None or end is None or end - place > LOOKBACK_BYTES:
                break
            inner = self._find_two_keys(place + 1, end)
            if inner is None:
                break
            place = inner
        return None if place is None else self.skip_false_keys(start, place)

    def skip_false_keys(self, lowest: int, place: int) -> int:
        """Return the offset of the first key from `place` on that is no piece of a value which begins before it."""
        place = self._skip_unlike_keys(place)
        if self.steps_left <= 0 or pread(self.source, 1, place) != b"\0":
            return place
        end = self._first_end(place)
        self.steps_left -= _MIN_CHECK_STEPS
        return end if end and is_collection_tail(self.source, lowest, place, end) else place

    def _skip_unlike_keys(self, place: int) -> int:
        """Return the offset of the first key from offset `place` on that has a name like the keys after it.

        Bytes of a damaged value can look like a key and end where a true key begins.  Such names are rarely readable.
        If the names of the keys that follow are, the unreadable ones before them are taken for pieces of a value.
        """
        if self.steps_left <= 0:
            return place
        window = WalkWindow(self.source, self.layout, place, -1, _FIRST, _KEYS_COMPARED, verify=False, limit=self.end)
        _, left = window.run(min(self.steps_left, _BASE_STEPS))
        self.steps_left = min(left, self.steps_left - _MIN_CHECK_STEPS)
        columns = window.columns
        keys = [(columns.edges[i], self._item_score(window, i)) for i in range(columns.count) if columns.name[i] >= 0]
        first = next((number for number, (_, score) in enumerate(keys) if score > 1), 0)
        after = [score for _, score in keys[first:]]
        return keys[first][0] if first and len(after) > first and min(after) > 1 else place

    def _find_two_keys(self, start: int, end: int) -> int | None:
        """Find the first offset from which at least two keys lie before `end`, and are walkable to beyond it."""
        place = self.find(start, end, end)
        while place is not None and self.steps_left > 0:
            if self.count_keys(place, end) >= 2:
                return place
            place = self.find(place + 1, end, end)
        return None

    def _first_end(self, place: int) -> int | None:
        """Return the offset where the first key from offset `place` on ends; None if no key can be walked."""
        window = WalkWindow(self.source, self.layout, place, -1, _FIRST, 1, verify=False, limit=self.end)
        while self.steps_left > 0:
            reason, left = window.run(self.steps_left)
            self.steps_left = min(left, self.steps_left - _MIN_CHECK_STEPS)
            if window.columns.key_count or reason != StopReason.FULL:
                break
            window.columns.truncate(0)
        return window.columns.edges[1] if window.columns.key_count else None

    def count_keys(self, place: int, until: int | None) -> int:
        """Count the keys of the RDB that can be walked from offset `place` to offset `until`."""
        window = WalkWindow(self.source, self.layout, place, -1, _FIRST, 1 << 6, verify=False, limit=until)
        keys, reason = 0, StopReason.FULL
        while self.steps_left > 0 and reason == StopReason.FULL:
            reason, left = window.run(self.steps_left)
            self.steps_left = min(left, self.steps_left - _MIN_CHECK_STEPS)
            keys += window.columns.key_count
            window.columns.truncate(0)
        return keys

    def _walks_well(self, place: int, min_end: int) -> bool:
        """Decide whether plausible RDB items can be walked from offset `place`, however large they are."""
        window = WalkWindow(self.source, self.layout, place, -1, _FIRST, 1 << 6, verify=False, limit=self.end)
        score, columns = 0, window.columns
        while self.steps_left > 0:
            reason, left = window.run(self.steps_left)
            self.steps_left = min(left, self.steps_left - _MIN_CHECK_STEPS)
            item_scores = [self._item_score(window, i) for i in range(columns.count)]
            if -1 in item_scores:
                return False
            score += sum(item_scores)
            if score >= SCORE_NEEDED and window.walker.start > min_end:
                return self._first_key_is_plausible(place)
            if reason == StopReason.DONE:
                fits = end_after_eof(self.source, window.offset, self.end, b"REDIS0099") is not None
                return score > 0 and fits and self._first_key_is_plausible(place)
            if reason != StopReason.FULL:
                return (
                    reason == StopReason.END_OF_DATA
                    and score >= _SCORE_NEEDED_AT_END
                    and self._first_key_is_plausible(place)
                )
            columns.truncate(0)
        return False

    def _item_score(self, window: WalkWindow, i: int) -> int:
        columns = window.columns
        if not is_plausible_item(columns, i):
            return -1
        if columns.name[i] < 0:
            return 0
        size = columns.value[i] - columns.name[i]
        data = pread(self.source, min(size, _NAME_HEAD), columns.name[i])
        return name_score(data, 0, size)

    def _first_key_is_plausible(self, place: int) -> bool:
        if self.key_defect is None:
            return True
        window = WalkWindow(self.source, self.layout, place, -1, _FIRST, 1, verify=False, limit=self.end)
        while not window.columns.key_count:
            window.columns.truncate(0)
            reason, self.steps_left = window.run(self.steps_left)
            if reason != StopReason.FULL and not window.columns.key_count:
                return reason == StopReason.DONE
        item = ItemBatch(window.columns)[0]
        return isinstance(item, KeyItem) and not self.key_defect(self.source, item)


def end_after_eof(source: Source, at: int, end: int | None, magic: bytes) -> int | None:
    """Return the offset where an RDB ends if the byte before offset `at` is its EOF opcode, or None if it is not.

    It is not if neither the source's end (or `end`) nor RESP follows the checksum.
    """
    after = at + 8 if header.has_checksum(magic) else at
    if end is not None and after > end:
        return None
    return after if after == end or header.CAN_FOLLOW_RDB.match(pread(source, 24, after)) else None
