"""Find a complete RDB inside an AOF file: after an HTTP or bulk header, or where a second AOF was appended.

An RDB counts only if it can be parsed from its magic ("REDIS0011") to its EOF opcode.  The search for a magic is linear
and looks only at bytes that are damage anyway.  Attempts that fail share a budget of bytes, so that a hostile file
costs linear time.
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
    """Limits how many bytes of one file may be parsed as an RDB in attempts that fail; `failed_bytes` counts them."""

    failed_bytes: int = 0

    def allows(self, offset: int) -> bool:
        """Whether one more attempt to parse an RDB may be made, at `offset` of the file."""
        return self.failed_bytes < _FAILED_BYTES_FREE + 2 * offset


class SourceSlice:
    """A Source that presents another Source from the offset `start` to its end."""

    def __init__(self, source: Source, start: int) -> None:
        self._source, self._start = source, start

    @property
    def size(self) -> int | None:
        """The number of bytes from `start` to the end of the other source; None if that is unknown (a pipe)."""
        return None if self._source.size is None else max(0, self._source.size - self._start)

    def readinto(self, view: memoryview, offset: int) -> int:
        """Read bytes into `view`, from `offset` counted from the start of the slice; return their number."""
        return self._source.readinto(view, self._start + offset)

    def forget(self, offset: int) -> None:
        """Do nothing: the other source still needs its bytes."""


def walk_embedded_rdb(source: Source, offset: int, budget: RdbSearchBudget) -> RdbInfo | None:
    """Parse the RDB with its magic at `offset` of a file; None if there is none, or if it is not complete.

    The `end` of the result is an offset in `source`.  A failed attempt is charged to `budget`.
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
        budget.failed_bytes += (source.size or 0) - offset  # walk_rdb read to the end of the file for the checksum.
        return None
    rdb.end += offset
    return rdb


def find_leading_rdb(source: Source, budget: RdbSearchBudget) -> int | None:
    """Return the offset of a complete RDB that begins in the first 64 KiB of a file, but not at 0; or None."""
    return find_rdb_behind(source, 0, LEADING_MAX, budget)


def find_rdb_behind(source: Source, start: int, end: int, budget: RdbSearchBudget) -> int | None:
    """Return the offset of the first complete RDB that begins after `start` and before `end` of a file, or None.

    Only the first LEADING_MAX bytes after `start` are searched.  If they begin with `*`, None is returned, because the
    RDB can be an argument of a command.
    """
    head = pread(source, min(LEADING_MAX, end - start), start)
    if head[:1] == b"*":
        return None
    for match in _MAGIC.finditer(head, 1):
        if walk_embedded_rdb(source, start + match.start(), budget):
            return start + match.start()
    return None


def describe_rdb(rdb: RdbInfo) -> str:
    """Describe a complete RDB that was found inside an AOF file: version, keys and checksum."""
    keys = text.format_count(rdb.key_count, "key") if rdb.key_count is not None else "an unknown number of keys"
    return f"a whole RDB: version {rdb.version}, {keys}, checksum {rdb.checksum}"
