"""Diagnose one record of an AOF (a command or a # annotation): is it complete and, if not, which byte is wrong?

The scanner (scan.py) is the fast path and only accepts complete records that are
in its buffer.  This code handles a record of any size: it reads through a buffer
of 64 KiB and skips large arguments without reading them.
"""

from dataclasses import dataclass
from enum import Enum, auto

from aofdoctor.aof.constants import ANNOTATION, ARGC_MAX, DIGITS_MAX, NAME_MAX
from aofdoctor.aof.read_window import ReadWindow
from aofdoctor.aof.scan import skip_args

HEADER_MAX = DIGITS_MAX + 3


class Defect(Enum):
    """Why the bytes at an offset of an AOF are not a complete command or annotation."""

    NONE = auto()  # the record is complete
    BAD_FIRST_BYTE = auto()  # the first byte is neither * nor #
    EOF = auto()  # the file ends before the record does, in a header or annotation
    PAST_EOF = auto()  # the file ends inside the bytes of an argument
    BAD_HEADER = auto()  # a header that is not * or $, digits and CRLF
    LINE_END = auto()  # LF where CRLF should be
    ZERO_ARGC = auto()  # *0
    NEGATIVE_LENGTH = auto()  # a minus sign before the digits
    TOO_LARGE = auto()  # more than DIGITS_MAX digits or ARGC_MAX arguments
    MISSING_CRLF = auto()  # no CRLF after the bytes of an argument
    BUDGET = auto()  # more arguments than the caller allows to examine


@dataclass(frozen=True, slots=True)
class RecordDiagnosis:
    """Whether one record of an AOF is complete, and what is wrong if it is not.

    `end` is the offset in the file after the record or, if it is not complete, of
    the first byte that is wrong or missing.  `argc`, `name` (the first argument in
    lower case, cut to NAME_MAX + 1 bytes) and `second_arg` are 0 or empty if they
    were not reached.  `declared_length` is the length in the header of an argument
    that exceeds the file or is not followed by CRLF.
    """

    defect: Defect
    end: int
    argc: int = 0
    name: bytes = b""
    declared_length: int = 0
    second_arg: bytes = b""

    @property
    def is_complete(self) -> bool:
        """Whether the record is a complete command or annotation."""
        return self.defect is Defect.NONE

    @property
    def is_annotation(self) -> bool:
        """Whether the record is a complete annotation (a line that begins with #)."""
        return self.is_complete and self.argc == 0


def diagnose_record(window: ReadWindow, offset: int, args_max: int = ARGC_MAX) -> RecordDiagnosis:
    """Diagnose the command or annotation at `offset` of a file that `window` reads.

    A command of more than `args_max` arguments is not examined and gets Defect.BUDGET.
    """
    mark = window.read(offset, 1)
    if mark == b"#":
        return _annotation(window, offset)
    if mark != b"*":
        return RecordDiagnosis(Defect.BAD_FIRST_BYTE if mark else Defect.EOF, offset)
    defect, size, argc = _header(window.read(offset, HEADER_MAX), b"*")
    if defect is not Defect.NONE:
        return RecordDiagnosis(defect, offset + size)
    if argc == 0:
        return RecordDiagnosis(Defect.ZERO_ARGC, offset + size)
    if argc > min(ARGC_MAX, args_max):
        return RecordDiagnosis(Defect.TOO_LARGE if argc > ARGC_MAX else Defect.BUDGET, offset + 1, argc)
    return _arguments(window, offset + size, argc)


def _arguments(window: ReadWindow, offset: int, argc: int) -> RecordDiagnosis:
    (name, after), left = _name(window, offset), argc
    second = _name(window, after)[0] if argc > 1 and after else b""
    while left:
        start, end = window.locate(offset, HEADER_MAX)
        done, after = skip_args(window.buffer, start, end, left)
        left -= done
        offset += after - start
        if done:
            continue
        defect, size, length = _header(window.read(offset, HEADER_MAX), b"$")
        if defect is not Defect.NONE:
            return RecordDiagnosis(defect, offset + size, argc, name)
        payload_end = offset + size + length
        if not window.has_byte_at(payload_end + 1):
            return RecordDiagnosis(Defect.PAST_EOF, offset + size, argc, name, length)
        if window.read(payload_end, 2) != b"\r\n":
            return RecordDiagnosis(Defect.MISSING_CRLF, payload_end, argc, name, length)
        offset, left = payload_end + 2, left - 1
    return RecordDiagnosis(Defect.NONE, offset, argc, name, second_arg=second)


def _name(window: ReadWindow, offset: int) -> tuple[bytes, int]:
    """Return (argument at `offset` in lower case, cut to NAME_MAX + 1 bytes; offset after it, or 0 if it is longer)."""
    line = window.read(offset, HEADER_MAX + NAME_MAX + 1)
    defect, size, length = _header(line[:HEADER_MAX], b"$")
    if defect is not Defect.NONE:
        return b"", 0
    return line[
        size : size + min(length, NAME_MAX + 1)
    ].lower(), offset + size + length + 2 if length <= NAME_MAX else 0


def _header(line: bytes, mark: bytes) -> tuple[Defect, int, int]:
    """Parse a RESP header such as "*3\\r\\n" at the start of `line`.

    Returns (defect, size of the header or index of the first wrong byte, number in the header).
    """
    if line[:1] != mark:
        return (Defect.BAD_HEADER if line else Defect.EOF), 0, 0
    digits = 0
    while line[1 + digits : 2 + digits].isdigit():
        digits += 1
    tail = line[1 + digits : 3 + digits]
    if digits > DIGITS_MAX:
        return Defect.TOO_LARGE, 1, 0
    if digits and tail == b"\r\n":
        return Defect.NONE, digits + 3, int(line[1 : 1 + digits])
    if tail == b"" or (digits and tail == b"\r"):
        return Defect.EOF, len(line), 0
    if digits and tail[:1] == b"\n":
        return Defect.LINE_END, digits + 1, 0
    return (Defect.NEGATIVE_LENGTH if not digits and _negative(line) else Defect.BAD_HEADER), digits + 1, 0


def _negative(line: bytes) -> bool:
    return line[1:2] == b"-" and line[2:3].isdigit()


def _annotation(window: ReadWindow, offset: int) -> RecordDiagnosis:
    at = offset
    while piece := window.read(at, ReadWindow.SIZE):
        lf = piece.find(b"\n")
        if lf >= 0:
            return RecordDiagnosis(Defect.NONE, at + lf + 1, 0, b"#")
        at += len(piece)
    return RecordDiagnosis(Defect.EOF, at, 0, b"#")


def command_id(diagnosis: RecordDiagnosis, ids: dict[bytes, int]) -> int:
    """Return the id of a complete record's command or subcommand in `ids` (b"name" or b"name|sub"), 0 if unknown."""
    if diagnosis.is_annotation:
        return ANNOTATION
    number = ids.get(diagnosis.name, 0) if b"|" not in diagnosis.name else 0
    return ids.get(diagnosis.name + b"|" + diagnosis.second_arg, number) if number else number
