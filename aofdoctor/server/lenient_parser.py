"""Parse an AOF record with the rules of a server's load loop, which accepts more than the AOF format allows.

The server uses fgets, atoi and strtol: junk at the end of a header and headers with LF only are accepted, and the two
bytes after a payload are not checked.  Source: loadSingleAppendOnlyFile in aof.c.  The versions differ only in the size
of the line buffer and in the annotations of 7.0.
"""

import re
from dataclasses import dataclass
from enum import Enum, auto

from aofdoctor.aof.constants import NAME_MAX
from aofdoctor.aof.read_window import ReadWindow
from aofdoctor.aof.scan import skip_args

_INTEGER = re.compile(rb"[ \t\n\v\f\r]*([+-]?[0-9]{1,40})")
_SHORT_READ = "the file ends inside a record"
_ARG_PREFIX_SIZE = 64  # bytes of an argument that are kept, enough for a name or a database number
ALLOCATION_MAX = 1 << 32  # bytes; whether a larger allocation fails depends on the host's memory


class ParseResult(Enum):
    """The possible results when a server's load loop tries to read one record of an AOF."""

    RECORD = auto()
    ANNOTATION = auto()
    END = auto()  # the file ends between records
    FORMAT = auto()  # the server logs "Bad file format"
    SHORT = auto()  # the file ends inside a record
    UNRECOVERABLE = auto()  # the server logs "Unrecoverable error reading the append only file"
    UNDEFINED = auto()  # the server can crash


@dataclass(frozen=True, slots=True)
class ParsedRecord:
    """The result of reading one AOF record as a server does.

    `end` is the offset in the file at which the server reads on.

    `first_args` holds the first 64 bytes of the first two arguments.  `reason` says in words what is wrong.
    """

    result: ParseResult
    end: int
    argc: int = 0
    first_args: tuple[bytes, ...] = ()
    reason: str = ""

    @property
    def name(self) -> bytes:
        """The name of the command in lower case; empty if the name could not be read."""
        return self.first_args[0].lower() if self.first_args else b""


def parse_leniently(window: ReadWindow, offset: int, line_max: int, annotations: bool) -> ParsedRecord:
    """Parse the AOF record at a file offset as a server does when it loads the file.

    `line_max` is the size of the server's line buffer in bytes, with its final NUL; `annotations`: the server skips
    lines that begin with #.
    """
    line = _fgets(window, offset, line_max)
    if not line:
        return ParsedRecord(ParseResult.END, offset)
    if line[:1] == b"#" and annotations:
        return ParsedRecord(ParseResult.ANNOTATION, offset + len(line))
    if line[:1] != b"*":
        return ParsedRecord(ParseResult.FORMAT, offset, reason="no * where a record should begin")
    if line[1:2] in (b"", b"\0"):
        full = len(line) == line_max - 1 or line.endswith(b"\n")
        if full:  # otherwise the line ended at the end of the file, which is a short read
            return ParsedRecord(ParseResult.UNRECOVERABLE, offset, reason="a NUL after *")
        return ParsedRecord(ParseResult.SHORT, offset, reason=_SHORT_READ)
    argc = _c_int(_integer(line[1:]))
    if argc < 1:
        return ParsedRecord(ParseResult.FORMAT, offset, argc, reason="no number of arguments, or one below 1")
    if 8 * argc > ALLOCATION_MAX:
        return ParsedRecord(ParseResult.UNDEFINED, offset, argc, reason=f"room for {argc} arguments is allocated")
    return _arguments(window, offset + len(line), argc, line_max)


def _arguments(window: ReadWindow, offset: int, argc: int, line_max: int) -> ParsedRecord:
    first: list[bytes] = []
    left = argc
    while left:
        if len(first) == 2:  # the content of the other arguments is not needed
            start, end = window.locate(offset, line_max)
            done, after = skip_args(window.buffer, start, end, left)
            left, offset = left - done, offset + after - start
            if done:
                continue
        line = _fgets(window, offset, line_max)
        if not line:
            return ParsedRecord(ParseResult.SHORT, offset, argc, tuple(first), _SHORT_READ)
        if line[:1] != b"$":
            return ParsedRecord(ParseResult.FORMAT, offset, argc, tuple(first), "no $ where an argument should begin")
        size = _integer(line[1:])
        offset += len(line)
        if size < 0 or size > ALLOCATION_MAX:
            return ParsedRecord(
                ParseResult.UNDEFINED, offset, argc, tuple(first), f"{size} bytes are allocated for an argument"
            )
        if (size and not window.has_byte_at(offset + size - 1)) or not window.has_byte_at(offset + size + 1):
            return ParsedRecord(ParseResult.SHORT, offset, argc, tuple(first), _SHORT_READ)
        if len(first) < 2:
            first.append(
                window.read(offset, min(size, _ARG_PREFIX_SIZE)) if size <= NAME_MAX else b"\0" * _ARG_PREFIX_SIZE
            )
        offset += size + 2
        left -= 1
    return ParsedRecord(ParseResult.RECORD, offset, argc, tuple(first))


def _fgets(window: ReadWindow, offset: int, line_max: int) -> bytes:
    piece = window.read(offset, line_max - 1)
    return piece[: piece.find(b"\n") + 1] or piece


def _integer(text: bytes) -> int:
    """Parse a number as C's strtol does: white space, sign, digits; 0 without digits; limited to a C long."""
    match = _INTEGER.match(text.partition(b"\0")[0])
    return max(-(2**63), min(2**63 - 1, int(match[1]))) if match else 0


def _c_int(value: int) -> int:
    """Truncate a C long to a C int, as atoi does."""
    return (value + 2**31) % 2**32 - 2**31
