"""Parse positions and times as users write them: PART@OFFSET, #NUMBER, ISO 8601, unix seconds, -10m.

A position is checked against the files of the AOF and their sizes.  Whether a record begins at it is not known here.
"""

import re
from dataclasses import dataclass
from datetime import datetime

from aofdoctor import text
from aofdoctor.aof.model import AOF, AofPart
from aofdoctor.errors import InvalidSelection
from aofdoctor.rdb.header import compression_codec

_OFFSET = re.compile(r"(?:(?P<part>.*)@)?(?P<offset>0x[0-9a-fA-F]{1,16}|[0-9]{1,19})\Z", re.DOTALL)
_NUMBER = re.compile(r"#([0-9]{1,19})\Z")
_RELATIVE = re.compile(r"-([0-9]{1,9})([smhd])\Z")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


@dataclass(frozen=True, slots=True)
class Position:
    """A place in an AOF as a user names it: a byte offset in a file (PART@OFFSET), or a command's number (#NUMBER).

    `part` is the name of the file and `part_index` its place in load order, -1 for a file that servers do not load.
    `number` counts commands from 1 in load order; it is 0 if an offset is given.
    """

    part: str = ""
    part_index: int = -1
    offset: int = -1
    number: int = 0


def is_position(value: str) -> bool:
    """Whether a string has the form of a position (PART@OFFSET, OFFSET or #NUMBER); it need not exist in any AOF."""
    return bool(_NUMBER.match(value) or _OFFSET.match(value))


def parse_position(value: str, aof: AOF) -> Position:
    """Parse a position in an AOF: PART@OFFSET, #NUMBER, or OFFSET alone, which is one in the last file.

    Raises InvalidSelection for a string of another form, an unknown or ambiguous file name, or an offset past the end
    of the file.
    """
    number = _NUMBER.match(value)
    if number and not int(number[1]):
        raise InvalidSelection("there is no command #0", "commands are counted from #1")
    if number:
        return Position(number=int(number[1]))
    match = _OFFSET.match(value)
    if not match:
        raise InvalidSelection(
            f"{text.display_path(value)} is not a position",
            "write PART@1234, PART@0x4d2, or #17 for the 17th command",
        )
    part = _find_part(match["part"] or "", aof)
    offset = int(match["offset"], 0 if match["offset"].startswith("0x") else 10)
    # Offsets in a compressed RDB are those of its decompressed bytes, which can exceed the size of the file.
    is_compressed = part.source is not None and compression_codec(part.source)
    if part.size is not None and offset >= max(1, part.size) and not is_compressed:
        raise InvalidSelection(f"{text.display_path(part.name)} has {part.size:,} bytes: there is nothing at {offset}")
    return Position(part.name, aof.parts.index(part) if part in aof.parts else -1, offset)


def _find_part(name: str, aof: AOF) -> AofPart:
    """Return the one file of the AOF with `name` in its name; the last file for an empty name.

    Raises InvalidSelection if no file or more than one has such a name.
    """
    if not name:
        if not aof.existing_parts:
            raise InvalidSelection("no part of this AOF is there")
        return aof.existing_parts[-1]
    parts = [part for part in aof.find_parts(name) if part.exists]
    if len(parts) != 1:
        names = ", ".join(text.display_path(part.name) for part in parts or aof.existing_parts)
        problem = "no part's name holds" if not parts else "more than one part's name holds"
        raise InvalidSelection(f"{problem} {text.display_path(name)}", f"the parts are {names}")
    return parts[0]


def parse_time(value: str, log_end: int | None) -> int:
    """Parse a time as a user writes it (ISO 8601, unix seconds, or -10m) to unix seconds.

    A relative time (`-10m`) counts back from `log_end`, the time of the last annotation in unix seconds.
    """
    relative = _RELATIVE.match(value)
    if relative:
        if log_end is None:
            raise InvalidSelection(f"{value} counts from the end of the log, which has no #TS annotation or is a pipe")
        return log_end - int(relative[1]) * _SECONDS[relative[2]]
    if re.fullmatch(r"[0-9]{1,12}", value):
        return int(value)
    try:
        return int(datetime.fromisoformat(value).timestamp())
    except (ValueError, OverflowError, OSError):
        raise InvalidSelection(
            f"{text.display_path(value)} is not a time",
            "write 2026-11-22T05:58:31, unix seconds, or -10m for ten minutes before the end of the log",
        ) from None
