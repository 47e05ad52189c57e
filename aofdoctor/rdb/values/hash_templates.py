"""Find the field names that hashes of an RDB share: hash templates, Redis 8.10.

A hash that uses a template stores only the template's id and its values; the templates, each a list of field names, are
records before the first key.  Their offsets are collected once for each source.  Names are read on request, and those
of small templates are cached.
"""

from collections.abc import Iterator
from itertools import chain
from weakref import WeakKeyDictionary

from aofdoctor.rdb.encoding.cursor import Cursor, DecodeError, String
from aofdoctor.rdb.header import MAGIC_SIZE
from aofdoctor.rdb.opcodes import Opcode
from aofdoctor.rdb.walk.layouts import layout_of
from aofdoctor.rdb.walk.walker import StopReason
from aofdoctor.rdb.walk.window import WalkWindow
from aofdoctor.source import Source, pread

_HASH_TEMPLATE = int(Opcode.HASH_TEMPLATE)
# Limits of the cache: templates, fields of a template, bytes of a field name.
_CACHED_TEMPLATES, _CACHED_FIELDS, _CACHED_NAME_SIZE = 256, 1024, 64
_WINDOW, _BATCH_ITEMS = 1 << 14, 64


class HashTemplates:
    """The hash templates of one RDB (shared lists of field names), found by their ids."""

    def __init__(self, source: Source) -> None:
        self._locations: dict[int, tuple[int, int]] = {}  # by template id: (offset of the field names, their number)
        self._cached: dict[int, list[String]] = {}
        cursor = Cursor(source)
        for offset in _template_offsets(source):
            cursor.seek(offset)
            number, count = cursor.length(), cursor.length()
            self._locations[number] = cursor.offset, count

    def fields(self, source: Source, number: int) -> tuple[int, Iterator[String]]:
        """Return (the number of field names of the template with id `number`, the names).

        Raises DecodeError if the RDB has no such template.
        """
        if number in self._cached:
            names = self._cached[number]
            return len(names), iter(names)
        if number not in self._locations:
            raise DecodeError(0, f"hash template {number} is not there")
        at, count = self._locations[number]
        if not count:
            raise DecodeError(at, f"hash template {number} has no fields")
        cursor = Cursor(source)
        cursor.seek(at)
        if count > _CACHED_FIELDS or len(self._cached) == _CACHED_TEMPLATES:
            return count, _in_order(cursor, count)
        names = [*_in_order(cursor, count)]
        if all(isinstance(name, bytes) and len(name) <= _CACHED_NAME_SIZE for name in names):
            self._cached[number] = names
        return count, iter(names)


def _in_order(cursor: Cursor, count: int) -> Iterator[String]:
    """Yield the field names of a hash template; raises DecodeError unless they are sorted by length, then by bytes."""
    last: String | None = None
    for name in chain.from_iterable(cursor.strings(count)):
        if last is not None and not _precedes(last, name):
            raise DecodeError(cursor.offset, "a hash template whose field names are not in order")
        last = name
        yield name


def _precedes(first: String, second: String) -> bool:
    if len(first) != len(second) or not isinstance(first, bytes) or not isinstance(second, bytes):
        return len(first) <= len(second)
    return first < second


def _template_offsets(source: Source) -> Iterator[int]:
    """Yield the offset after the opcode of each hash template record; all of them precede the first key."""
    window = WalkWindow(
        source, layout_of(pread(source, MAGIC_SIZE, 0)), MAGIC_SIZE, 0, _WINDOW, _BATCH_ITEMS, verify=False
    )
    columns, reason = window.columns, StopReason.FULL
    while reason == StopReason.FULL:
        reason, _ = window.run()
        for i in range(columns.count):
            if columns.name[i] >= 0:
                return
            if columns.kind[i] == _HASH_TEMPLATE:
                yield columns.value[i]
        columns.truncate(0)


_BY_SOURCE: WeakKeyDictionary[Source, HashTemplates] = WeakKeyDictionary()


def hash_templates(source: Source) -> HashTemplates:
    """Return the hash templates of the RDB at the start of a source; they are collected at the first call."""
    cached = _BY_SOURCE.get(source)
    if cached is None:
        cached = _BY_SOURCE[source] = HashTemplates(source)
    return cached
