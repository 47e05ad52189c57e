"""Restore AOF commands in which an editor or a transfer has changed each bare LF to CRLF, but kept each CRLF.

The RESP headers stay valid, but arguments are longer than their declared lengths.  The original of an argument is
proven if it fits its length as it is, or after all of its CRLFs have become LFs.  If only some of them were bare LFs,
the length does not show which ones: the original of such an argument is not provable.
"""

import re
from typing import NamedTuple

from aofdoctor.aof.constants import ARGC_MAX

_COMMAND_HEADER = re.compile(rb"\*([0-9]{1,18})\r\n")
_VALUE_HEADER = re.compile(rb"\$([0-9]{1,18})\r\n")
_NEXT_VALUE = re.compile(rb"\$[0-9]{1,18}\r\n")
_NEXT_RECORD = re.compile(rb"\*[0-9]{1,18}\r\n\$|#|\Z")
_RECORD_INSIDE = re.compile(rb"\r\n\*[0-9]{1,18}\r\n\$[0-9]{1,18}\r\n")
_CANDIDATES_MAX = 64  # places at which a value may end that are examined
_ARGUMENTS_AHEAD = 8  # arguments that must follow one reading of a value if it has several
_NEXT_SIZE_MAX = 24  # bytes after a value that show what follows it


class IncompleteData(Exception):
    """The given bytes end inside a command, and the caller must pass more bytes of the file."""


class _Value(NamedTuple):
    """The range of a command argument in the changed bytes, and the number of CRs that the change added to it."""

    start: int
    end: int
    added: int


class ChangedRecord(NamedTuple):
    """A command in which bare LFs became CRLFs: its size in the file (`source_size`) and the ranges of its arguments.

    `values` are the arguments in order.  `is_provable` is false if only some of the CRLFs of an argument were bare LFs,
    because it is unknown which.  `has_end` is false if such an argument may end at several places; then `source_size`
    is where the parsing stopped.
    """

    source_size: int
    values: tuple[_Value, ...]
    is_provable: bool = True
    has_end: bool = True

    @property
    def added(self) -> int:
        """The number of CRs that the change has added to the command."""
        return sum(value.added for value in self.values)


def parse_changed_record(data: bytes, is_end_of_file: bool) -> ChangedRecord | None:
    """Parse the command at the start of `data`, in which bare LFs may have become CRLFs; None if that does not fit.

    Raises IncompleteData if more bytes are needed, unless `data` reaches to the end of the file.
    """
    head = _COMMAND_HEADER.match(data)
    if not head or not 0 < int(head[1]) <= ARGC_MAX:
        return None
    at, values, is_provable = head.end(), list[_Value](), True
    for left in range(int(head[1]) - 1, -1, -1):
        header = _VALUE_HEADER.match(data, at)
        if not header:
            _require_complete(data, at + _NEXT_SIZE_MAX, is_end_of_file)
            return None
        proven, ambiguous = _find_values(data, header.end(), int(header[1]), bool(left), is_end_of_file)
        if len(proven) + len(ambiguous) > 1:
            proven, ambiguous = (
                [value for value in readings if _may_continue(data, value.end + 2, left, is_end_of_file)]
                for readings in (proven, ambiguous)
            )
        if not proven and not ambiguous:
            return None
        if len(proven) != 1 and len(proven) + len(ambiguous) > 1:
            return ChangedRecord(at, tuple(values), is_provable=False, has_end=False)
        is_provable = is_provable and len(proven) == 1
        values.append((proven or ambiguous)[0])
        at = values[-1].end + 2
    return ChangedRecord(at, tuple(values), is_provable)


def _may_continue(data: bytes, at: int, left: int, is_end_of_file: bool) -> bool:
    """Whether the next of `left` arguments can be read at an offset, as far as each has only one reading."""
    for further in range(left - 1, max(left - 1 - _ARGUMENTS_AHEAD, -1), -1):
        header = _VALUE_HEADER.match(data, at)
        if not header:
            return at + _NEXT_SIZE_MAX > len(data) and not is_end_of_file
        try:
            readings = _find_values(data, header.end(), int(header[1]), bool(further), is_end_of_file)
        except IncompleteData:
            return True
        values = [value for group in readings for value in group]
        if len(values) != 1:
            return bool(values)
        at = values[0].end + 2
    return True


def _find_values(
    data: bytes, start: int, length: int, has_next: bool, is_end_of_file: bool
) -> tuple[list[_Value], list[_Value]]:
    """Find where the argument of declared `length` at data[start:] can end; return (proven, ambiguous) possibilities.

    A possibility is proven if none or all CRLFs of the argument were bare LFs, and ambiguous if only some were.
    `has_next`: another argument follows in the command.
    """
    _require_complete(data, start + length + 2, is_end_of_file)
    pattern, proven, ambiguous = _NEXT_VALUE if has_next else _NEXT_RECORD, list[_Value](), list[_Value]()
    counted_to, crlfs, candidates = start, 0, 0
    end = data.find(b"\r\n", start + length)
    while end >= 0:
        crlfs += data.count(b"\r\n", counted_to, end)
        counted_to, added = end, end - start - length
        if added > crlfs:  # A later end is no solution: each line is longer than the one CR that it can have gained.
            break
        _require_complete(data, end + 2 + _NEXT_SIZE_MAX, is_end_of_file)
        if pattern.match(data, end + 2):
            candidates += 1
            if candidates > _CANDIDATES_MAX:
                return [], []
            # The change leaves no bare LF.  If the argument contains records, its length is wrong for another reason.
            is_possible = not added or (
                data.count(b"\n", start, end) == crlfs and not _RECORD_INSIDE.search(data, start, end)
            )
            if is_possible and added in (0, crlfs):
                proven.append(_Value(start, end, added))
            elif is_possible:
                ambiguous.append(_Value(start, end, added))
        end = data.find(b"\r\n", end + 2)
    else:
        _require_complete(data, len(data) + 1, is_end_of_file)
    return proven, ambiguous


def _require_complete(data: bytes, size: int, is_end_of_file: bool) -> None:
    if size > len(data) and not is_end_of_file:
        raise IncompleteData


class BareLineFeeds:
    """Restores a command in which bare LFs became CRLFs (a Transform of patched_source.py)."""

    def undo(self, data: bytes) -> bytes:
        """Return the original bytes of a command; `parse_changed_record` must have proven that they are known."""
        return b"".join(original for _, original in self._segments(data))

    def source_offset(self, data: bytes, offset: int) -> int:
        """Map an offset in the original command to the offset in its changed bytes `data`."""
        at = 0
        for source_size, original in self._segments(data):
            if offset < len(original):
                changed = source_size != len(original)
                return at + (len(original[:offset].replace(b"\n", b"\r\n")) if changed else offset)
            at, offset = at + source_size, offset - len(original)
        return at

    def _segments(self, data: bytes) -> list[tuple[int, bytes]]:
        """Divide a changed command into segments: each argument that was changed, and the bytes between those.

        Returns (size in the changed bytes, original bytes) of each segment.
        """
        record = parse_changed_record(data, is_end_of_file=True)
        assert record is not None, "the record has been parsed before"
        segments, at = list[tuple[int, bytes]](), 0
        for value in record.values:
            if value.added:
                segments.append((value.start - at, data[at : value.start]))
                segments.append((value.end - value.start, data[value.start : value.end].replace(b"\r\n", b"\n")))
                at = value.end
        return [*segments, (len(data) - at, data[at:])]


BARE_LINE_FEEDS = BareLineFeeds()
