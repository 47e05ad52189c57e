"""Damage of text mode, read backwards: line ends and text encoding that a transfer or an editor has changed.

A reading takes the front of some bytes: runs of whole records as they must have
been.  LF made CRLF, and Latin-1 made UTF-8, have an exact inverse, and the
lengths in the record prove it.  CRLF made LF has one where the lengths tell how
many CRs a value has lost, and it has no more LFs than that.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from aofdoctor.aof.constants import ARGC_MAX
from aofdoctor.aof.recovery.argument_damage import latin1
from aofdoctor.aof.scan import SLACK, Columns, Names, scan

_NO_NAMES = Names([])
_ROOM = 1 << 14
_HEADER = re.compile(rb"([*$])([0-9]{1,18})\n")
_ARGUMENT = re.compile(rb"\$[0-9]{1,18}\n")
_RECORD = re.compile(rb"\*[0-9]{1,18}\n\$|#TS:[0-9]{1,20}\n|\Z")
_STAMP = re.compile(rb"(#TS:[0-9]{1,20})\n")
_FAR = 64  # records that have to follow where a value could end at two places
_LOST_MAX = 1 << 10  # so many CRs of one value


class Run(NamedTuple):
    """The front of some bytes: `taken` of them are `size` bytes of whole records; 0 where one cannot be told."""

    taken: int
    size: int


@dataclass(frozen=True, slots=True)
class Mode:
    """One way in which bytes were changed: `run` finds whole records, `back` gives the bytes of a run as they were.

    `place` is where in the bytes of a run so many bytes of `back` end; a damage of
    this mode begins as `head` does.
    """

    reason: str
    head: re.Pattern[bytes]
    run: Callable[[bytes], Iterator[Run]]
    undo: Callable[[bytes], bytes]
    place: Callable[[bytes, int], int]


def _inverse(mangle: Callable[[bytes], bytes], undo: Callable[[bytes], bytes | None]) -> Callable[
    [bytes], Iterator[Run]
]:  # fmt: skip
    """Runs where the change has an inverse: the records of the bytes as they were."""

    def run(data: bytes) -> Iterator[Run]:
        plain = undo(data)
        if plain is None:
            return
        columns, at = Columns(_ROOM), 0
        buffer = bytearray(plain + bytes(SLACK))
        while count := scan(buffer, at, len(plain), _NO_NAMES, columns):
            end = at + columns.edges[count]
            yield Run(len(mangle(plain[at:end])), end - at)
            at = end

    return run


def _unlatin(data: bytes) -> bytes | None:
    """Of bytes that may end inside a character."""
    whole = len(data)
    while whole and whole > len(data) - 4 and data[whole - 1] >= 0x80:
        whole -= 1
    return latin1(data[:whole])


def _narrow(data: bytes) -> bytes:
    plain = latin1(data)
    assert plain is not None, "a run has been read before"
    return plain


def _wide(data: bytes) -> bytes:
    return data.decode("latin-1").encode()


def _bare(data: bytes) -> bytes | None:
    """LF for CRLF; None where an LF stands alone, which the change leaves nowhere."""
    data = data.removesuffix(b"\r")
    return None if data.count(b"\n") != data.count(b"\r\n") else data.replace(b"\r\n", b"\n")


def _with_cr(data: bytes) -> bytes:
    return data.replace(b"\n", b"\r\n")


def _lf_runs(data: bytes) -> Iterator[Run]:
    """One record at a time, of bytes in which every CRLF has become LF."""
    at = 0
    while at < len(data):
        found = _lf_record(data, at)
        if found is None:
            return
        end, record = found
        yield Run(end - at, len(record))
        at = end


def _lf_undo(data: bytes) -> bytes:
    out, at = [], 0
    while at < len(data):
        found = _lf_record(data, at)
        assert found is not None, "a run has been read before"
        at, record = found
        out.append(record)
    return b"".join(out)


def _lf_record(data: bytes, at: int, doubts: int = 3) -> tuple[int, bytes] | None:
    """(its end, the record as it was, empty where that cannot be told); None where none stands, or not whole."""
    if stamp := _STAMP.match(data, at):
        return stamp.end(), stamp[1] + b"\r\n"
    head = _HEADER.match(data, at)
    if not head or head[1] != b"*" or not 0 < int(head[2]) <= ARGC_MAX:
        return None
    out = [b"*%b\r\n" % head[2]]
    end = _lf_arguments(data, head.end(), int(head[2]), doubts, out)
    return None if end is None else (end, b"" if b"" in out else b"".join(out))


def _lf_arguments(data: bytes, at: int, count: int, doubts: int, out: list[bytes]) -> int | None:
    """Where so many arguments end; `out` gets them as they were, one that cannot be told as nothing."""
    for left in range(count - 1, -1, -1):
        head = _HEADER.match(data, at)
        if not head or head[1] != b"$":
            return None
        ends = _lf_ends(data, head, _ARGUMENT if left else _RECORD)
        if len(ends) > 1 and doubts:
            ends = {end for end in ends if _goes_on(data, end + 1, left, doubts - 1)}
        if len(ends) != 1:
            return None
        end = ends.pop()
        out.append(_lf_argument(data[head.end() : end], head[2]))
        at = end + 1
    return at


def _goes_on(data: bytes, at: int, left: int, doubts: int) -> bool:
    """True if the arguments that are left stand there, and a run of records behind them, or nothing more."""
    end = _lf_arguments(data, at, left, doubts, [])
    for _ in range(_FAR):
        if end is None or end >= len(data):
            break
        found = _lf_record(data, end, doubts)
        end = found[0] if found else None
    return end is not None


def _lf_argument(value: bytes, size: bytes) -> bytes:
    lost = int(size) - len(value)
    if lost not in (0, value.count(b"\n")):
        return b""
    return b"$%b\r\n%b\r\n" % (size, value.replace(b"\n", b"\r\n") if lost else value)


def _lf_ends(data: bytes, head: re.Match[bytes], after: re.Pattern[bytes]) -> set[int]:
    """Where the value behind a header may end, before what comes after it.

    It has lost no CR, or one for each LF that it has; where neither fits, some.
    """
    start, end = head.end(), head.end() + int(head[2])
    ends = {at for at in (end, _all_lost(data, start, end)) if _ends(data, at, after)}
    return ends or set(_some_lost(data, start, end, after))


def _ends(data: bytes, at: int, after: re.Pattern[bytes]) -> bool:
    return data[at : at + 1] == b"\n" and bool(after.match(data, at + 1))


def _all_lost(data: bytes, start: int, end: int) -> int:
    """Where a value ends of which every LF was a CRLF; it is shorter by as many bytes."""
    at, left = start, end - start
    while left > 0:
        lf = data.find(b"\n", at, at + left)
        if lf < 0:
            return at + left
        left -= lf + 2 - at  # two bytes for this one
        at = lf + 1
    return at


def _some_lost(data: bytes, start: int, end: int, after: re.Pattern[bytes]) -> Iterator[int]:
    """Where it could end if some of its LFs were CRLFs."""
    top = min(end, len(data) - 1)
    inside = data.count(b"\n", start, top)
    for at in range(top, max(start, end - _LOST_MAX) - 1, -1):
        if inside >= end - at and _ends(data, at, after):
            yield at
        inside -= at > start and data[at - 1] == 0x0A


def _lf_place(data: bytes, offset: int) -> int:
    at = 0
    while at < len(data) and offset > 0:
        found = _lf_record(data, at)
        assert found is not None, "a run has been read before"
        offset -= len(found[1])
        at = found[0]
    return at


CR_LOST = Mode("CRLF had become LF", re.compile(rb"\*[0-9]+\n|#TS:[0-9]+\n"), _lf_runs, _lf_undo, _lf_place)
CR_ADDED = Mode(
    "LF had become CRLF", re.compile(rb"\*[0-9]+\r\r\n|#TS:[0-9]+\r\r\n"), _inverse(_with_cr, _bare),
    lambda data: data.replace(b"\r\n", b"\n"), lambda data, n: len(_with_cr(data.replace(b"\r\n", b"\n")[:n])),
)  # fmt: skip
LATIN1 = Mode(
    "Latin-1 had become UTF-8", re.compile(rb"\*[0-9]+\r\n"), _inverse(_wide, _unlatin), _narrow,
    lambda data, n: len(_wide(_narrow(data)[:n])),
)  # fmt: skip
