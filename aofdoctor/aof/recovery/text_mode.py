"""Undo text-mode damage: line ends or a text encoding that a transfer or an editor changed.

Each kind of damage is a TextModeDamage, which finds runs of complete records in
their original form at the beginning of some bytes.  The changes LF to CRLF and
Latin-1 to UTF-8 have an exact inverse, and the lengths in the records prove it.
The change CRLF to LF can be undone if the length of a value shows that it lost
no CR, or one for each of its LFs.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from aofdoctor.aof.constants import ARGC_MAX
from aofdoctor.aof.recovery.argument_damage import utf8_as_latin1
from aofdoctor.aof.scan import SLACK, ScanColumns, ScanNames, scan

_NO_NAMES = ScanNames([])
_ROOM = 1 << 14
_HEADER = re.compile(rb"([*$])([0-9]{1,18})\n")
_ARGUMENT = re.compile(rb"\$[0-9]{1,18}\n")
_RECORD = re.compile(rb"\*[0-9]{1,18}\n\$|#TS:[0-9]{1,20}\n|\Z")
_STAMP = re.compile(rb"(#TS:[0-9]{1,20})\n")
_LOOKAHEAD_RECORDS = 64  # records that must follow if a value could end at two places
_LOST_CRS_MAX = 1 << 10  # the maximum number of lost CRs of one value


class RestoredRun(NamedTuple):
    """A run of complete records: `source_size` damaged bytes are `size` original ones.

    `size` is 0 for a record if its original form cannot be determined.
    """

    source_size: int
    size: int


@dataclass(frozen=True, slots=True)
class TextModeDamage:
    """A way in which bytes were changed, and its reversal (a Transform of patched_source.py).

    `header_pattern` matches the first bytes of damage of this kind.  `find_runs`
    yields the runs at the beginning of some bytes.  `undo` returns the original
    bytes of a run; `source_offset` maps an offset in them to the damaged bytes.
    """

    reason: str
    header_pattern: re.Pattern[bytes]
    find_runs: Callable[[bytes], Iterator[RestoredRun]]
    undo: Callable[[bytes], bytes]
    source_offset: Callable[[bytes, int], int]


def _runs_by_inverse(damage: Callable[[bytes], bytes], undo: Callable[[bytes], bytes | None]) -> Callable[
    [bytes], Iterator[RestoredRun]
]:  # fmt: skip
    """Return a `find_runs` for a change with an exact inverse: undo it, then scan for records."""

    def run(data: bytes) -> Iterator[RestoredRun]:
        plain = undo(data)
        if plain is None:
            return
        columns, at = ScanColumns(_ROOM), 0
        buffer = bytearray(plain + bytes(SLACK))
        while count := scan(buffer, at, len(plain), _NO_NAMES, columns):
            end = at + columns.edges[count]
            yield RestoredRun(len(damage(plain[at:end])), end - at)
            at = end

    return run


def _undo_utf8(data: bytes) -> bytes | None:
    """Undo UTF-8 for bytes that can end inside a character; None if they are not UTF-8 of Latin-1."""
    complete = len(data)
    while complete and complete > len(data) - 4 and data[complete - 1] >= 0x80:
        complete -= 1
    return utf8_as_latin1(data[:complete])


def _to_latin1(data: bytes) -> bytes:
    plain = utf8_as_latin1(data)
    assert plain is not None, "a run has been read before"
    return plain


def _to_utf8(data: bytes) -> bytes:
    return data.decode("latin-1").encode()


def _strip_cr(data: bytes) -> bytes | None:
    """Replace CRLF with LF; None if an LF has no CR, because the change leaves none of these."""
    data = data.removesuffix(b"\r")
    return None if data.count(b"\n") != data.count(b"\r\n") else data.replace(b"\r\n", b"\n")


def _add_cr(data: bytes) -> bytes:
    return data.replace(b"\n", b"\r\n")


def _lf_runs(data: bytes) -> Iterator[RestoredRun]:
    """Yield runs of one record, for bytes in which every CRLF has become LF."""
    at = 0
    while at < len(data):
        parsed = _lf_record(data, at)
        if parsed is None:
            return
        end, record = parsed
        yield RestoredRun(end - at, len(record))
        at = end


def _lf_undo(data: bytes) -> bytes:
    out, at = [], 0
    while at < len(data):
        parsed = _lf_record(data, at)
        assert parsed is not None, "a run has been read before"
        at, record = parsed
        out.append(record)
    return b"".join(out)


def _lf_record(data: bytes, at: int, lookahead_depth: int = 3) -> tuple[int, bytes] | None:
    """Return (end, original record); the record is empty if it is ambiguous.  None if no complete record is at `at`."""
    if stamp := _STAMP.match(data, at):
        return stamp.end(), stamp[1] + b"\r\n"
    head = _HEADER.match(data, at)
    if not head or head[1] != b"*" or not 0 < int(head[2]) <= ARGC_MAX:
        return None
    out = [b"*%b\r\n" % head[2]]
    end = _lf_arguments(data, head.end(), int(head[2]), lookahead_depth, out)
    return None if end is None else (end, b"" if b"" in out else b"".join(out))


def _lf_arguments(data: bytes, at: int, count: int, lookahead_depth: int, out: list[bytes]) -> int | None:
    """Return the end of `count` arguments, or None; their original form is appended to `out`, b"" if ambiguous."""
    for left in range(count - 1, -1, -1):
        head = _HEADER.match(data, at)
        if not head or head[1] != b"$":
            return None
        ends = _lf_ends(data, head, _ARGUMENT if left else _RECORD)
        if len(ends) > 1 and lookahead_depth:
            ends = {end for end in ends if _continues(data, end + 1, left, lookahead_depth - 1)}
        if len(ends) != 1:
            return None
        end = ends.pop()
        out.append(_lf_argument(data[head.end() : end], head[2]))
        at = end + 1
    return at


def _continues(data: bytes, at: int, left: int, lookahead_depth: int) -> bool:
    """True if the remaining arguments are at `at`, followed by a run of records or the end of the data."""
    end = _lf_arguments(data, at, left, lookahead_depth, [])
    for _ in range(_LOOKAHEAD_RECORDS):
        if end is None or end >= len(data):
            break
        parsed = _lf_record(data, end, lookahead_depth)
        end = parsed[0] if parsed else None
    return end is not None


def _lf_argument(value: bytes, size: bytes) -> bytes:
    lost = int(size) - len(value)
    if lost not in (0, value.count(b"\n")):
        return b""
    return b"$%b\r\n%b\r\n" % (size, value.replace(b"\n", b"\r\n") if lost else value)


def _lf_ends(data: bytes, head: re.Match[bytes], after: re.Pattern[bytes]) -> set[int]:
    """Return the possible ends of the value after a header, so that `after` matches the bytes behind it.

    First it is assumed that the value lost no CR, or one for each of its LFs; if
    neither fits, that it lost some.
    """
    start, end = head.end(), head.end() + int(head[2])
    ends = {at for at in (end, _end_if_all_crs_lost(data, start, end)) if _ends_at(data, at, after)}
    return ends or set(_ends_if_some_crs_lost(data, start, end, after))


def _ends_at(data: bytes, at: int, after: re.Pattern[bytes]) -> bool:
    return data[at : at + 1] == b"\n" and bool(after.match(data, at + 1))


def _end_if_all_crs_lost(data: bytes, start: int, end: int) -> int:
    """Return the end of a value if each of its LFs was a CRLF, so that it is one byte shorter for each."""
    at, left = start, end - start
    while left > 0:
        lf = data.find(b"\n", at, at + left)
        if lf < 0:
            return at + left
        left -= lf + 2 - at  # two bytes for this one
        at = lf + 1
    return at


def _ends_if_some_crs_lost(data: bytes, start: int, end: int, after: re.Pattern[bytes]) -> Iterator[int]:
    """Yield the ends of a value that are possible if some of its LFs were CRLFs."""
    top = min(end, len(data) - 1)
    inside = data.count(b"\n", start, top)
    for at in range(top, max(start, end - _LOST_CRS_MAX) - 1, -1):
        if inside >= end - at and _ends_at(data, at, after):
            yield at
        inside -= at > start and data[at - 1] == 0x0A


def _lf_source_offset(data: bytes, offset: int) -> int:
    at = 0
    while at < len(data) and offset > 0:
        parsed = _lf_record(data, at)
        assert parsed is not None, "a run has been read before"
        offset -= len(parsed[1])
        at = parsed[0]
    return at


CR_LOST = TextModeDamage(
    "CRLF had become LF", re.compile(rb"\*[0-9]+\n|#TS:[0-9]+\n"), _lf_runs, _lf_undo, _lf_source_offset
)
CR_ADDED = TextModeDamage(
    "LF had become CRLF", re.compile(rb"\*[0-9]+\r\r\n|#TS:[0-9]+\r\r\n"), _runs_by_inverse(_add_cr, _strip_cr),
    lambda data: data.replace(b"\r\n", b"\n"), lambda data, n: len(_add_cr(data.replace(b"\r\n", b"\n")[:n])),
)  # fmt: skip
LATIN1 = TextModeDamage(
    "Latin-1 had become UTF-8", re.compile(rb"\*[0-9]+\r\n"), _runs_by_inverse(_to_utf8, _undo_utf8), _to_latin1,
    lambda data, n: len(_to_utf8(_to_latin1(data)[:n])),
)  # fmt: skip
