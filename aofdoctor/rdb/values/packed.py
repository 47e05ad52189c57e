"""Decode collections that are packed into one string in memory: listpack, ziplist, intset and zipmap.

Decoding is strict: the size in the header, the entry count, the backward length of every entry and the end byte must
agree with the bytes.  Items before a defect are yielded, then DecodeError is raised.  What the items mean is not known
here.  Sources: listpack.c (Redis 7.0), ziplist.c and zipmap.c (Redis 6.2), intset.c.
"""

from collections.abc import Iterator

from aofdoctor.rdb.encoding.cursor import DecodeError
from aofdoctor.rdb.encoding.runs import listpack_run, ziplist_run

_UNCOUNTED = 65535  # the entry count of a header that was not kept up to date
_ZIPMAP_LONG, _END = 254, 255
_RUN = 512  # items that are yielded together


def listpack(data: bytes) -> Iterator[list[bytes]]:
    """Yield the items of a listpack, in lists of many items; raises DecodeError after the items before a defect."""
    _check_head("listpack", data, 6)
    at, count = 6, 0
    while at < len(data) - 1:
        items, end = listpack_run(data, at)
        if not items:
            raise DecodeError(at, f"entry {count} of a listpack is broken")
        at, count = end, count + len(items)
        yield items
    _check_count("listpack", data, 4, count)


def ziplist(data: bytes) -> Iterator[list[bytes]]:
    """Yield the items of a ziplist, in lists of many items; raises DecodeError after the items before a defect."""
    _check_head("ziplist", data, 10)
    at, prevlen, count = 10, 0, 0
    while at < len(data) - 1:
        items, end, prevlen = ziplist_run(data, at, prevlen)
        if not items:
            raise DecodeError(at, f"entry {count} of a ziplist is broken")
        at, count = end, count + len(items)
        yield items
    if int.from_bytes(data[4:8], "little") != at - prevlen:
        raise DecodeError(4, "the last entry of a ziplist is not where its head says")
    _check_count("ziplist", data, 8, count)


def intset(data: bytes) -> Iterator[list[bytes]]:
    """Yield the members of an intset as decimal digits, in lists of many members."""
    width, count = int.from_bytes(data[:4], "little"), int.from_bytes(data[4:8], "little")
    if width not in (2, 4, 8) or len(data) != 8 + width * count:
        raise DecodeError(0, f"an intset of {count} members of {width} bytes in {len(data)} bytes")
    for start in range(8, len(data), _RUN * width):
        ends = range(start, min(start + _RUN * width, len(data)), width)
        yield [b"%d" % int.from_bytes(data[at : at + width], "little", signed=True) for at in ends]


def zipmap(data: bytes) -> Iterator[list[bytes]]:
    """Yield the fields and values of a zipmap alternately, in lists of many items."""
    at, count, run = 1, 0, []
    while data[at : at + 1] != b"\xff":
        field, at = _zipmap_string(data, at, 0)
        value, at = _zipmap_string(data, at, 1)
        run += [field, value]
        count += 1
        if len(run) >= _RUN:
            yield run
            run = []
    if run:
        yield run
    if at != len(data) - 1 or (data[0] < _ZIPMAP_LONG and data[0] != count):
        raise DecodeError(at, f"a zipmap of {data[0]} fields has {count}, and ends at {at} of {len(data)}")


def _zipmap_string(data: bytes, at: int, unused: int) -> tuple[bytes, int]:
    """Return (the string at index `at` of a zipmap, the index after it).

    A value's length is followed by one more byte (`unused` is 1), the number of free bytes after the value.
    """
    size, head = data[at] if at < len(data) else _END, 1
    if size == _ZIPMAP_LONG:
        size, head = int.from_bytes(data[at + 1 : at + 5], "little"), 5
    start = at + head + unused
    end = start + size
    if end >= len(data) or (head == 1 and size == _END):
        raise DecodeError(at, "a zipmap that ends inside a string")
    return data[start:end], end + (data[start - 1] if unused else 0)


def _check_head(name: str, data: bytes, head: int) -> None:
    if len(data) < head + 1 or data[-1] != _END or int.from_bytes(data[:4], "little") != len(data):
        claimed = int.from_bytes(data[:4], "little")
        raise DecodeError(0, f"a {name} of {claimed} bytes in a string of {len(data)}, or one without an end")


def _check_count(name: str, data: bytes, at: int, count: int) -> None:
    if not count_matches(data[at : at + 2], count):
        raise DecodeError(at, f"a {name} of {int.from_bytes(data[at : at + 2], 'little')} items has {count}")


def count_matches(count: bytes, entry_count: int) -> bool:
    """Return whether the entry count of a listpack's or ziplist's header is right; 65535 means "not counted"."""
    return int.from_bytes(count, "little") in (entry_count, _UNCOUNTED)
