"""The field names that hashes of an RDB share: the records of opcode 242 (Redis 8.10), which stand before the keys.

A hash says only a template's number and its values.  Where each template
stands is looked for once for a source; the names are read when they are asked
for, and small ones are kept.
"""

from collections.abc import Iterator
from itertools import chain
from weakref import WeakKeyDictionary

from aofdoctor.rdb.encoding.cursor import Cursor, DecodeError, String
from aofdoctor.rdb.items import ItemReader, Key
from aofdoctor.source import Source

_TEMPLATE = 242
_KEPT, _KEPT_FIELDS, _KEPT_NAME = 256, 1024, 64  # so many templates of so many names, each no longer than that
_WINDOW, _ROOM = 1 << 14, 64


class Templates:
    """Where the templates of one RDB stand, by number, and how many names each has."""

    def __init__(self, source: Source) -> None:
        self._places: dict[int, tuple[int, int]] = {}
        self._kept: dict[int, list[String]] = {}
        cursor = Cursor(source)
        for batch in ItemReader(source, _WINDOW, _ROOM, verify=False):
            for item in batch:
                if isinstance(item, Key):
                    return
                if item.kind == _TEMPLATE:
                    cursor.seek(item.body)
                    number, count = cursor.length(), cursor.length()
                    self._places[number] = cursor.offset, count

    def fields(self, source: Source, number: int) -> tuple[int, Iterator[String]]:
        """(how many names, the names) of a template; raises Broken where there is none of that number."""
        if number in self._kept:
            names = self._kept[number]
            return len(names), iter(names)
        if number not in self._places:
            raise DecodeError(0, f"hash template {number} is not there")
        at, count = self._places[number]
        cursor = Cursor(source)
        cursor.seek(at)
        if count > _KEPT_FIELDS or len(self._kept) == _KEPT:
            return count, chain.from_iterable(cursor.strings(count))
        names = [*chain.from_iterable(cursor.strings(count))]
        if all(isinstance(name, bytes) and len(name) <= _KEPT_NAME for name in names):
            self._kept[number] = names
        return count, iter(names)


_KNOWN: WeakKeyDictionary[Source, Templates] = WeakKeyDictionary()


def templates(source: Source) -> Templates:
    """The templates of the RDB at the head of a source."""
    found = _KNOWN.get(source)
    if found is None:
        found = _KNOWN[source] = Templates(source)
    return found
