"""Decode listpacks, ziplists and intsets that are too large to hold in memory, through a sliding window.

As strict as packed.py and with the same results; an item that does not fit into the window becomes a LargeString.
Servers pack a large element of a list or a large field of a stream like a small one (quicklist.c, t_stream.c).
"""

from collections.abc import Iterator
from typing import Any, Literal

from aofdoctor.rdb.encoding.cursor import LARGE_STRING_SIZE, DecodeError, LargeString
from aofdoctor.rdb.encoding.runs import encode_backlen, listpack_run, ziplist_run
from aofdoctor.rdb.values.packed import count_matches

_LOOKAHEAD = 1 << 15  # more bytes than any entry has unless its length takes four bytes
# Reading an item out of LZF decompresses everything before it, so only items of at least _LZF_ITEM bytes, and of at
# least one part in _LZF_ITEMS of the value, become a LargeString.
_LZF_ITEM, _LZF_ITEMS = 1 << 22, 64
_RUN = 512  # items that are yielded together
_END = b"\xff"


def listpack(value: LargeString) -> Iterator[list[Any]]:
    """Yield the items of a listpack too large for memory, in lists of many items."""
    window, count = _PackedWindow(value), 0
    head = window.take(6)
    _require_size("listpack", head, value)
    while window.remaining > 1:
        window.fill(_LOOKAHEAD)
        items, end = listpack_run(window.data, window.at)
        if items:
            window.at = end
            yield items
        elif window.data[window.at] != 0xF0:
            raise DecodeError(window.offset, f"entry {count} of a listpack is broken")
        elif text := window.long_entry(5, 0, "little"):
            window.skip(5 + text.size)
            if window.take(len(encode_backlen(5 + text.size))) != encode_backlen(5 + text.size):
                raise DecodeError(window.offset, f"entry {count} of a listpack is broken")
            yield [text]
            count += 1
        count += len(items)
    _require_end("listpack", window, head[4:6], count)


def ziplist(value: LargeString) -> Iterator[list[Any]]:
    """Yield the items of a ziplist too large for memory, in lists of many items."""
    window, count, prevlen = _PackedWindow(value), 0, 0
    head = window.take(10)
    _require_size("ziplist", head, value)
    while window.remaining > 1:
        window.fill(_LOOKAHEAD)
        items, end, last = ziplist_run(window.data, window.at, prevlen)
        if items:
            window.at, prevlen = end, last
            yield items
        elif not (prefix := _prevlen_size(window, prevlen)):
            raise DecodeError(window.offset, f"entry {count} of a ziplist is broken")
        elif text := window.long_entry(5, prefix, "big"):
            prevlen = prefix + 5 + text.size
            window.skip(prevlen)
            yield [text]
            count += 1
        count += len(items)
    if int.from_bytes(head[4:8], "little") != window.offset - prevlen:
        raise DecodeError(4, "the last entry of a ziplist is not where its head says")
    _require_end("ziplist", window, head[8:10], count)


def intset(value: LargeString) -> Iterator[list[Any]]:
    """Yield the members of an intset too large for memory as decimal digits, in lists of many members."""
    window = _PackedWindow(value)
    head = window.take(8)
    width, count = int.from_bytes(head[:4], "little"), int.from_bytes(head[4:], "little")
    if width not in (2, 4, 8) or value.size != 8 + width * count:
        raise DecodeError(0, f"an intset of {count} members of {width} bytes in {value.size} bytes")
    while window.remaining:
        data = window.take(min(_RUN * width, window.remaining))
        places = range(0, len(data), width)
        yield [b"%d" % int.from_bytes(data[at : at + width], "little", signed=True) for at in places]


class _PackedWindow:
    """A window that moves forward over a large packed string; `data[at:]` are the bytes read from `offset` on."""

    def __init__(self, value: LargeString) -> None:
        self.value, self._pieces = value, value.pieces()
        self.data, self.at, self._base = b"", 0, 0
        self._max_entry_held = max(_LZF_ITEM, value.size // _LZF_ITEMS) if value.lzf_size else LARGE_STRING_SIZE

    @property
    def offset(self) -> int:
        """The reading position in the packed string, in bytes."""
        return self._base + self.at

    @property
    def remaining(self) -> int:
        """The number of bytes of the packed string after the reading position."""
        return self.value.size - self.offset

    def fill(self, size: int) -> bool:
        """Read until `size` bytes after the reading position are in memory; return False if the string has fewer."""
        if len(self.data) - self.at >= size:
            return True
        pieces = [self.data[self.at :]]
        have = len(pieces[0])
        while have < size and (piece := next(self._pieces, b"")):
            pieces.append(piece)
            have += len(piece)
        self._base, self.at, self.data = self.offset, 0, b"".join(pieces)
        return have >= size

    def take(self, size: int) -> bytes:
        """Read `size` bytes of the packed string; the number must be small."""
        if not self.fill(size):
            raise DecodeError(self.offset, "a packed value that ends inside an item")
        self.at += size
        return self.data[self.at - size : self.at]

    def skip(self, size: int) -> None:
        """Move the reading position in the packed string forward by `size` bytes without holding them."""
        end = self.offset + size
        while self._base + len(self.data) < end and (piece := next(self._pieces, b"")):
            self._base, self.data = self._base + len(self.data), piece
        self.at = end - self._base

    def long_entry(self, head: int, prefix: int, order: Literal["little", "big"]) -> LargeString | None:
        """Return the text of an entry with a four-byte length as a LargeString; None if the window now holds all of it.

        The length is in the last four of the `head` bytes that follow `prefix` bytes.
        """
        available = len(self.data) - self.at
        size = int.from_bytes(self.data[self.at + prefix + 1 : self.at + prefix + head], order)
        head += prefix
        if head > available or head + size >= self.remaining:
            raise DecodeError(self.offset, "a packed value that ends inside an item")
        if size > self._max_entry_held:
            return _substring(self.value, self.offset + head, size)
        # Only an entry of a listpack is followed by its backward length; one of a ziplist can end the value.
        entry_size = min(head + size + len(encode_backlen(head + size)), self.remaining)
        if entry_size <= available or not self.fill(entry_size):
            raise DecodeError(self.offset, "a long item of a packed value is broken")
        return None


def _substring(value: LargeString, start: int, size: int) -> LargeString:
    """Return `size` bytes from index `start` of a large string as a LargeString."""
    if value.lzf_size:
        return LargeString(value.source, value.offset, size, value.lzf_size, start, value.size)
    return LargeString(value.source, value.offset + start, size)


def _prevlen_size(window: _PackedWindow, prevlen: int) -> int:
    """Return how many bytes a ziplist entry uses for the length of the entry before it: 1 or 5.

    0 if that length is wrong, or if the entry's own length is not the four-byte form.
    """
    data, at = window.data, window.at
    prefix = 5 if data[at] == 0xFE else 1
    claimed = int.from_bytes(data[at + 1 : at + 5], "little") if prefix == 5 else data[at]
    return prefix if claimed == prevlen and data[at + prefix : at + prefix + 1] == b"\x80" else 0


def _require_size(name: str, head: bytes, value: LargeString) -> None:
    claimed = int.from_bytes(head[:4], "little")
    if claimed != value.size:
        raise DecodeError(0, f"a {name} of {claimed} bytes in a string of {value.size}")


def _require_end(name: str, window: _PackedWindow, count: bytes, entry_count: int) -> None:
    if window.take(1) != _END:
        raise DecodeError(window.offset, f"a {name} without an end")
    if not count_matches(count, entry_count):
        raise DecodeError(4, f"a {name} of {int.from_bytes(count, 'little')} items has {entry_count}")
