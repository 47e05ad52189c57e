"""Decode consecutive items of a listpack, a ziplist, or a sequence of RDB strings: the pure Python fallback of runs.h.

Many items are decoded in one call (a "run").  Each function stops at the first
item that is incomplete or malformed, and does not diagnose why.  Sources:
listpack.c (Redis 7.0), ziplist.c (Redis 6.2), rdb.c.
"""

from typing import Any

from aofdoctor.rdb.encoding.constants import MAX_RUN_ITEMS, encode_backlen
from aofdoctor.rdb.encoding.lzf import decompress

_WIDTHS = {0xF1: 2, 0xF2: 3, 0xF3: 4, 0xF4: 8}
_ZIPLIST_WIDTHS = {0xFE: 1, 0xC0: 2, 0xF0: 3, 0xD0: 4, 0xE0: 8}


class _IncompleteEntry(Exception):
    pass


def listpack_run(data: bytes, at: int) -> tuple[list[bytes], int]:
    """Decode items of a listpack from index `at` of `data` on, at most MAX_RUN_ITEMS.

    Returns (items, the index where the next item begins).
    """
    items: list[bytes] = []
    while len(items) < MAX_RUN_ITEMS and data[at : at + 1] not in (b"\xff", b""):
        try:
            value, end = _listpack_entry(data, at)
        except _IncompleteEntry:
            break
        back = encode_backlen(end - at)
        if data[end : end + len(back)] != back:
            break
        items.append(value)
        at = end + len(back)
    return items, at


def ziplist_run(data: bytes, at: int, prevlen: int) -> tuple[list[bytes], int, int]:
    """Decode items of a ziplist from index `at` of `data` on, at most MAX_RUN_ITEMS.

    `prevlen` is the length of the entry before `at`, which the entry at `at` repeats.  Returns (items, the index where
    the next one begins, the length of the last entry).
    """
    items: list[bytes] = []
    while len(items) < MAX_RUN_ITEMS and data[at : at + 1] not in (b"\xff", b""):
        prefix = 5 if data[at] == 0xFE else 1
        claimed = _little(data, at + 1, 4) if prefix == 5 and at + 5 <= len(data) else data[at]
        if claimed != prevlen or at + prefix >= len(data):
            break
        try:
            value, end = _ziplist_entry(data, at + prefix)
        except _IncompleteEntry:
            break
        items.append(value)
        at, prevlen = end, end - at
    return items, at, prevlen


def strings_run(
    data: bytes, at: int, width: int, has_tail: bool, large_size: int, max_items: int
) -> tuple[list[Any], int]:
    """Decode elements that consist of `width` RDB strings each, from index `at` of `data` on.

    With `has_tail`, eight more bytes belong to each element and become an item of their own.  At most `max_items` items
    are decoded, and only complete elements.  An item is None if its LZF data is corrupt; a string of `large_size` bytes
    or more ends the run.  Returns (flat list of items, the index where the next element begins).
    """
    items: list[Any] = []
    while len(items) + width + has_tail <= min(max_items, MAX_RUN_ITEMS):
        element: list[bytes | None] = []
        end = at
        try:
            for _ in range(width):
                value, end = _rdb_string(data, end, large_size)
                element.append(value)
            if has_tail:
                element.append(_bytes(data, end, 8))
                end += 8
        except _IncompleteEntry:
            break
        items += element
        at = end
    return items, at


def _bytes(data: bytes, at: int, size: int) -> bytes:
    if at + size > len(data):
        raise _IncompleteEntry
    return data[at : at + size]


def _little(data: bytes, at: int, size: int) -> int:
    return int.from_bytes(_bytes(data, at, size), "little")


def _number(data: bytes, at: int, size: int) -> tuple[bytes, int]:
    return b"%d" % int.from_bytes(_bytes(data, at, size), "little", signed=True), at + size


def _text(data: bytes, at: int, size: int) -> tuple[bytes, int]:
    return _bytes(data, at, size), at + size


def _listpack_entry(data: bytes, at: int) -> tuple[bytes, int]:
    first = data[at]
    if first < 0x80:
        return b"%d" % first, at + 1
    if first < 0xC0:
        return _text(data, at + 1, first & 63)
    if first < 0xE0:
        value = (first & 31) << 8 | _bytes(data, at + 1, 1)[0]
        return b"%d" % (value - 8192 if value >= 4096 else value), at + 2
    if first < 0xF0:
        return _text(data, at + 2, (first & 15) << 8 | _bytes(data, at + 1, 1)[0])
    if first == 0xF0:
        return _text(data, at + 5, _little(data, at + 1, 4))
    if first not in _WIDTHS:
        raise _IncompleteEntry
    return _number(data, at + 1, _WIDTHS[first])


def _ziplist_entry(data: bytes, at: int) -> tuple[bytes, int]:
    first = data[at]
    if first < 0x40:
        return _text(data, at + 1, first & 63)
    if first < 0x80:
        return _text(data, at + 2, (first & 63) << 8 | _bytes(data, at + 1, 1)[0])
    if first == 0x80:
        return _text(data, at + 5, int.from_bytes(_bytes(data, at + 1, 4), "big"))
    if 0xF1 <= first <= 0xFD:
        return b"%d" % ((first & 15) - 1), at + 1
    if first not in _ZIPLIST_WIDTHS:
        raise _IncompleteEntry
    return _number(data, at + 1, _ZIPLIST_WIDTHS[first])


def _rdb_length(data: bytes, at: int) -> tuple[int, int]:
    first = _bytes(data, at, 1)[0]
    if first < 0x40:
        return first, at + 1
    if first < 0x80:
        return int.from_bytes(_bytes(data, at, 2), "big") & 0x3FFF, at + 2
    if first > 0x81:
        raise _IncompleteEntry
    size = 4 if first == 0x80 else 8
    return int.from_bytes(_bytes(data, at + 1, size), "big"), at + 1 + size


def _rdb_string(data: bytes, at: int, large: int) -> tuple[bytes | None, int]:
    first = _bytes(data, at, 1)[0]
    if 0xC0 <= first < 0xC3:
        return _number(data, at + 1, 1 << (first & 3))
    size, at = _rdb_length(data, at + (first == 0xC3))
    unpacked_size = size
    if first == 0xC3:
        unpacked_size, at = _rdb_length(data, at)
    if size >= large or unpacked_size >= large or (first == 0xC3 and unpacked_size // 88 > size):
        raise _IncompleteEntry
    value = _bytes(data, at, size)
    return decompress(value, unpacked_size) if first == 0xC3 else value, at + size
