"""Undo text-mode damage in an AOF: line ends or a text encoding that a transfer or an editor changed.

Each kind of damage is a TextModeDamage, which restores runs of complete records
(commands and annotations).  The changes LF to CRLF and Latin-1 to UTF-8 have an
exact inverse, and the declared lengths of the arguments prove the result.  The
change CRLF to LF can be undone if the declared length of an argument shows that
it lost no CR, or one for each of its LFs.
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
_LOOKAHEAD_RECORDS = 64  # records that must follow an argument with two possible ends, to choose one of these
_LOST_CRS_MAX = 1 << 10  # the maximum number of lost CRs of one argument


class RestoredRun(NamedTuple):
    """Adjacent complete records that text-mode damage changed: their size in the file and their original size.

    `size`, the original size, is 0 for a record if its original form cannot be determined.
    """

    source_size: int
    size: int


@dataclass(frozen=True, slots=True)
class TextModeDamage:
    """One kind of text-mode change, such as LF to CRLF, and its reversal (a Transform of patched_source.py).

    `header_pattern` matches the first bytes of damage of this kind.  `find_runs`
    yields the runs of records that it can restore at the start of damaged bytes.
    `undo` returns the original bytes of a run; `source_offset` maps an offset in the
    original bytes to the damaged bytes.
    """

    reason: str
    header_pattern: re.Pattern[bytes]
    find_runs: Callable[[bytes], Iterator[RestoredRun]]
    undo: Callable[[bytes], bytes]
    source_offset: Callable[[bytes, int], int]


def _runs_by_inverse(damage: Callable[[bytes], bytes], undo: Callable[[bytes], bytes | None]) -> Callable[
    [bytes], Iterator[RestoredRun]
]:  # fmt: skip
    """Return the `find_runs` function of a change with an exact inverse: it undoes the change, then scans for records.

    `damage` applies the change to bytes; `undo` reverses it, or returns None if it cannot have happened.
    """

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
    """Convert UTF-8 to Latin-1, without an incomplete character at the end; None if `data` is not UTF-8 of Latin-1."""
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
    """Replace CRLF with LF; None if `data` has an LF without a CR, because then LF was not changed to CRLF."""
    data = data.removesuffix(b"\r")
    return None if data.count(b"\n") != data.count(b"\r\n") else data.replace(b"\r\n", b"\n")


def _add_cr(data: bytes) -> bytes:
    return data.replace(b"\n", b"\r\n")


def _lf_runs(data: bytes) -> Iterator[RestoredRun]:
    """Yield the records at the start of bytes in which every CRLF has become LF, each as a RestoredRun."""
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
    """Parse the record at data[at:], in which every CRLF has become LF; return (its end in `data`, its original bytes).

    The original bytes are empty if they are ambiguous.  None if no complete record is at `at`.  `lookahead_depth`
    limits how deep the records that follow are examined to decide where an argument ends.
    """
    if stamp := _STAMP.match(data, at):
        return stamp.end(), stamp[1] + b"\r\n"
    head = _HEADER.match(data, at)
    if not head or head[1] != b"*" or not 0 < int(head[2]) <= ARGC_MAX:
        return None
    out = [b"*%b\r\n" % head[2]]
    end = _lf_arguments(data, head.end(), int(head[2]), lookahead_depth, out)
    return None if end is None else (end, b"" if b"" in out else b"".join(out))


def _lf_arguments(data: bytes, at: int, count: int, lookahead_depth: int, out: list[bytes]) -> int | None:
    """Parse `count` arguments at data[at:], in which every CRLF has become LF; return their end in `data`, or None.

    The original bytes of each argument are appended to `out`, or b"" if they are ambiguous.
    """
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
    """Whether `left` more arguments are at data[at:], followed by _LOOKAHEAD_RECORDS records or the end of the data."""
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
    """Return the possible ends of the argument after its header `head`, if every CRLF in `data` has become LF.

    At each, an LF and bytes that match `after` follow.  First it is assumed that the
    argument lost no CR, or one for each of its LFs; if neither fits, that it lost some.
    """
    start, end = head.end(), head.end() + int(head[2])
    ends = {at for at in (end, _end_if_all_crs_lost(data, start, end)) if _ends_at(data, at, after)}
    return ends or set(_ends_if_some_crs_lost(data, start, end, after))


def _ends_at(data: bytes, at: int, after: re.Pattern[bytes]) -> bool:
    return data[at : at + 1] == b"\n" and bool(after.match(data, at + 1))


def _end_if_all_crs_lost(data: bytes, start: int, end: int) -> int:
    """Return the end of the argument at data[start:end] if each LF in it was a CRLF: one byte earlier for each LF."""
    at, left = start, end - start
    while left > 0:
        lf = data.find(b"\n", at, at + left)
        if lf < 0:
            return at + left
        left -= lf + 2 - at  # the LF counts as two bytes, because it was CRLF
        at = lf + 1
    return at


def _ends_if_some_crs_lost(data: bytes, start: int, end: int, after: re.Pattern[bytes]) -> Iterator[int]:
    """Yield the possible ends of the argument at data[start:end] if some of its LFs were CRLFs, the latest first."""
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
