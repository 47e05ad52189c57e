"""The items of a packed string, by the reader that it is small enough for."""

from collections.abc import Callable, Iterator
from typing import Any

from aofdoctor.rdb.encoding.cursor import DecodeError, LargeString, String
from aofdoctor.rdb.values import packed, packed_large

_HELD, _MOST = 1 << 20, 1 << 26
_LARGE: dict[Callable[[bytes], Iterator[list[Any]]], Callable[[LargeString], Iterator[list[Any]]]] = {
    packed.listpack: packed_large.listpack,
    packed.ziplist: packed_large.ziplist,
    packed.intset: packed_large.intset,
}


def unfolded(data: String, unpack: Callable[[bytes], Iterator[list[Any]]]) -> Iterator[list[Any]]:
    """The same as `unpack` gives, in runs; of a string that is too large to hold, too."""
    if isinstance(data, bytes):
        return unpack(data)
    if data.size > _HELD and unpack in _LARGE:
        return _LARGE[unpack](data)
    if data.size > _MOST:
        raise DecodeError(data.offset, f"{data.size} bytes of one packed value are more than are read at once")
    return unpack(data.read())
