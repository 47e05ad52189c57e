"""Recognize the last element of a collection that looks like a key, where keys are searched after damage.

A plain collection is a row of strings. If the byte before its last field or member is 0, which is also the type byte
of a string key, the last two strings look like a string key that ends exactly where the next key begins. The row of
strings before them proves what they are: one of its strings contains that byte. Before a true key, a string ends.
"""

from aofdoctor.source import Source, pread

_REACH = 1 << 10  # bytes before an apparent key that are examined
_PROOF = 6  # strings in a row, before the apparent key
_INTEGERS = {0xC0: 2, 0xC1: 3, 0xC2: 5}  # sizes of the integer encodings


def is_collection_tail(source: Source, lowest: int, place: int, end: int) -> bool:
    """Whether the apparent key from offset `place` to `end` is the tail of a collection.

    `lowest` is the first offset that may be examined.
    """
    start = max(lowest, place - _REACH)
    if end - place > _REACH or start >= place:
        return False
    data, at = pread(source, end - start, start), place - start
    return len(data) == end - start and _longest_row(data, at, over=True) > max(_PROOF, _longest_row(data, at))


def _longest_row(data: bytes, place: int, over: bool = False) -> int:
    """Return the length of the longest row of strings before `place` that continues to the end of `data`.

    With `over`, a string of the row contains the byte at `place`; otherwise one begins there.
    """
    size = len(data)
    lengths = [-1] * (size + 1)  # The strings before `place` of the row from each offset on; -1: there is no row.
    lengths[size if over else place] = 0
    for at in range(size - 1 if over else place - 1, -1, -1):
        following = at + _string_size(data, at)
        if at != place and at < following <= size and lengths[following] >= 0:
            lengths[at] = lengths[following] + (at < place)
    return max(lengths[:place])


def _string_size(data: bytes, at: int) -> int:
    """Return the size of an encoded string, 0 if it is empty, compressed or none."""
    first = data[at]
    if first < 0x40:
        return 1 + first if first else 0
    if first < 0x80:
        return 2 + ((first & 63) << 8 | data[at + 1]) if at + 1 < len(data) else 0
    return _INTEGERS.get(first, 0)
