"""Find a whole RDB that begins inside a file: behind a transfer's header, or where a second AOF was appended.

An RDB counts only if it can be walked from its magic to its end mark.  The search for a magic is linear and looks only
at bytes that are damage anyway; walks that fail share a budget, so that a hostile file costs linear time.
"""

import re
from dataclasses import dataclass

from aofdoctor import text
from aofdoctor.rdb.header import MAGIC_SIZE
from aofdoctor.rdb.items import RdbInfo
from aofdoctor.rdb.preamble import walk_rdb
from aofdoctor.rdb.walk.layouts import layout_of
from aofdoctor.rdb.walk.walker import StopReason
from aofdoctor.rdb.walk.window import WalkWindow
from aofdoctor.source import Source, pread

LEADING_MAX = 1 << 16  # bytes before an RDB at the start of a file: HTTP headers, a bulk header, debris of nc
_MAGIC = re.compile(rb"REDIS[0-9]{4}|VALKEY[0-9]{3}")
_FAILED_BYTES_FREE = 64 << 20
_WINDOW, _ITEMS = 1 << 14, 1 << 8


@dataclass(slots=True)
class RdbSearchBudget:
    """The bytes that failed walks of one file may cost."""

    failed_bytes: int = 0

    def allows(self, offset: int) -> bool:
        """True if one more walk may fail; `offset` is where it begins."""
        return self.failed_bytes < _FAILED_BYTES_FREE + 2 * offset


class SourceSlice:
    """A source from an offset of another one on."""

    def __init__(self, source: Source, start: int) -> None:
        self._source, self._start = source, start

    @property
    def size(self) -> int | None:
        """The bytes from the offset to the end."""
        return None if self._source.size is None else max(0, self._source.size - self._start)

    def readinto(self, view: memoryview, offset: int) -> int:
        """Fill `view` from `offset`, counted from the start of the slice."""
        return self._source.readinto(view, self._start + offset)

    def forget(self, offset: int) -> None:
        """Do nothing: the bytes before may be read again."""


def walk_embedded_rdb(source: Source, offset: int, budget: RdbSearchBudget) -> RdbInfo | None:
    """Walk the RDB with its magic at `offset`; None if there is none, or if its end cannot be found.

    The `end` of the result is an offset of `source`.
    """
    magic = pread(source, MAGIC_SIZE, offset)
    if not _MAGIC.fullmatch(magic) or not budget.allows(offset):
        return None
    window = WalkWindow(SourceSlice(source, offset), layout_of(magic), MAGIC_SIZE, 0, _WINDOW, _ITEMS, verify=False)
    while (reason := window.run()[0]) == StopReason.FULL:
        window.columns.truncate(0)
    if reason != StopReason.DONE:
        budget.failed_bytes += max(window.offset, _WINDOW)
        return None
    rdb = walk_rdb(SourceSlice(source, offset))
    if not rdb.complete:
        budget.failed_bytes += (source.size or 0) - offset  # Its end was searched by the checksum alone.
        return None
    rdb.end += offset
    return rdb


def find_leading_rdb(source: Source, budget: RdbSearchBudget) -> int | None:
    """Return the offset of a whole RDB behind the first bytes of a file, or None."""
    return find_rdb_behind(source, 0, LEADING_MAX, budget)


def find_rdb_behind(source: Source, start: int, end: int, budget: RdbSearchBudget) -> int | None:
    """Return the offset of the first whole RDB with its magic behind `start` and before `end`, or None.

    Only the first LEADING_MAX bytes are searched.  An RDB that is the value of a command (the bytes begin with `*`)
    does not count.
    """
    head = pread(source, min(LEADING_MAX, end - start), start)
    if head[:1] == b"*":
        return None
    for match in _MAGIC.finditer(head, 1):
        if walk_embedded_rdb(source, start + match.start(), budget):
            return start + match.start()
    return None


def describe_rdb(rdb: RdbInfo) -> str:
    """The note of a damage that is a whole RDB: version, keys and checksum."""
    keys = text.format_count(rdb.key_count, "key") if rdb.key_count is not None else "an unknown number of keys"
    return f"a whole RDB: version {rdb.version}, {keys}, checksum {rdb.checksum}"
