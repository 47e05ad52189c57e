"""Decode a listpack, ziplist, intset or zipmap in memory or through a window, depending on its size."""

from collections.abc import Callable, Iterator
from typing import Any

from aofdoctor.rdb.encoding.cursor import DecodeError, LargeString, String
from aofdoctor.rdb.values import packed, packed_large

_IN_MEMORY_MAX, _PACKED_MAX = 1 << 20, 1 << 26
_LARGE_UNPACKERS: dict[Callable[[bytes], Iterator[list[Any]]], Callable[[LargeString], Iterator[list[Any]]]] = {
    packed.listpack: packed_large.listpack,
    packed.ziplist: packed_large.ziplist,
    packed.intset: packed_large.intset,
}


def unpack_items(data: String, unpack: Callable[[bytes], Iterator[list[Any]]]) -> Iterator[list[Any]]:
    """Decode a listpack, ziplist, intset or zipmap of any size; yield its items in lists of many.

    `unpack` is the decoder of packed.py for strings in memory, such as packed.listpack.  A large string is decoded
    through a window.  Raises DecodeError at a defect.
    """
    if isinstance(data, bytes):
        return unpack(data)
    if data.size > _IN_MEMORY_MAX and unpack in _LARGE_UNPACKERS:
        return _LARGE_UNPACKERS[unpack](data)
    if data.size > _PACKED_MAX:
        raise DecodeError(data.offset, f"{data.size} bytes of one packed value are more than are read at once")
    return unpack(data.read())
