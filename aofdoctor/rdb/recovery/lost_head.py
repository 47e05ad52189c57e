"""Find where an RDB can still be read if its first bytes are lost: only the magic, or one or more disk sectors."""

import re
from typing import NamedTuple

from aofdoctor.rdb.opcodes import RdbType
from aofdoctor.rdb.recovery.resync import find_keys
from aofdoctor.rdb.walk.layouts import layout_of
from aofdoctor.rdb.walk.window import WalkWindow
from aofdoctor.source import Source, pread

_FIRST_AUX = re.compile(rb"\xfa(?:\x09redis|\x0avalkey)-ver")
_HEAD = 64
_VERSION_DIGITS = re.compile(rb"[0-9]{3,4}\Z")
_OLD, _NEW = b"REDIS0009", b"REDIS0011"  # the oldest version that holds the types before 7.0, and those since


class LostHead(NamedTuple):
    """For an RDB without its beginning: the file offset of its first readable item, and a magic to put before it."""

    keys_start: int
    magic: bytes


def begins_with_aux(source: Source) -> int | None:
    """Return the offset of the AUX field redis-ver or valkey-ver in the first 64 bytes of a file, or None."""
    match = _FIRST_AUX.search(pread(source, _HEAD, 0))
    return match.start() if match else None


def lost_head(source: Source) -> LostHead | None:
    """Find the first readable item of an RDB that has lost its beginning; None if no keys can be found."""
    start = begins_with_aux(source)
    if start is not None:  # The beginning of the AUX fields is there.
        before = pread(source, start, 0)
        digits = _VERSION_DIGITS.search(before)
        valkey = pread(source, 12, start)[1:2] == b"\x0a"
        if digits:
            return LostHead(start, b"VALKEY" + digits[0][-3:] if valkey else b"REDIS" + digits[0].zfill(4))
        return LostHead(start, b"VALKEY080" if valkey else _newest_needed(source, start))
    first = _first_nonzero(source)
    start = find_keys(source, first, layout_of(_NEW), end=source.size) if first is not None else None
    return None if start is None else LostHead(start, _newest_needed(source, start))


def _first_nonzero(source: Source) -> int | None:
    at = 0
    while data := pread(source, 1 << 18, at):
        rest = data.lstrip(b"\0")
        if rest:
            return at + len(data) - len(rest)
        at += len(data)
    return None


def _newest_needed(source: Source, start: int) -> bytes:
    """Return a magic for an RDB that lost its own: of the version that has the value types from offset `start` on."""
    window = WalkWindow(source, layout_of(_NEW), start, verify=False)
    window.run()
    kinds = [window.columns.kind[i] for i in range(window.columns.count) if window.columns.name[i] >= 0]
    return _NEW if any(kind > RdbType.STREAM_LISTPACKS for kind in kinds) else _OLD
