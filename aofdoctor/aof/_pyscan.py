"""Split AOF bytes into complete records (commands and # annotations): the pure-Python fallback of scan.h.

It accepts the same bytes and fills the same columns as the compiled scanner, and
the tests compare the two.  It runs where no C compiler was available.  Like
scan.h it stops at the first byte that does not belong to a complete record, and
does not diagnose why.
"""

from array import array
from collections.abc import Mapping, Sequence

from aofdoctor.aof.constants import ANNOTATION, ARGC_MAX, DIGITS_MAX, FIRST_ID, NAME_MAX, RENAMED_NAME_MAX, UNKNOWN

SLACK = 64


class ScanNames:
    """The command names that the scanner knows, and their numeric ids: names[i] has the id i + 2, in any letter case.

    b"a|b" is the subcommand b of the command a; a must come earlier in `names`.  `aliases` maps further names, in lower
    case, to ids of commands without subcommands (rename-command).
    """

    def __init__(self, names: Sequence[bytes], aliases: Mapping[bytes, int] | None = None) -> None:
        self.ids: dict[bytes, int] = {}
        self.subs: dict[bytes, dict[bytes, int]] = {}
        for i, name in enumerate(names):
            command, _, sub = name.lower().partition(b"|")
            if not 0 < len(command) <= NAME_MAX or len(sub) > NAME_MAX or (sub and command not in self.ids):
                raise ValueError(name)
            (self.subs.setdefault(command, {}) if sub else self.ids)[sub or command] = i + FIRST_ID
        self.ids.update(aliases or {})


class ScanColumns:
    """The arrays that scan() fills for up to `room` records of an AOF.

    Record i is between edges[i] and edges[i + 1] (int64), has argc[i] arguments (uint32) and the command id ids[i]
    (uint16).
    """

    def __init__(self, room: int) -> None:
        self.room = room
        self.edges = array("q", bytes(8 * (room + 1)))
        self.argc = array("I", bytes(4 * room))
        self.ids = array("H", bytes(2 * room))


def _header(data: bytes, at: int, prefix: int) -> tuple[int, int] | None:
    """Parse a RESP header such as "*3\\r\\n" at offset `at` of `data`; return (offset after it, number), or None."""
    if data[at] != prefix:
        return None
    end = data.find(b"\r\n", at, at + DIGITS_MAX + 3)
    digits = data[at + 1 : end] if end > 0 else b""
    return (end + 2, int(digits)) if digits.isdigit() else None


def _skip_args(data: bytes, at: int, end: int, count: int) -> tuple[int, int]:
    """Skip up to `count` complete RESP arguments in data[at:end]; return (number skipped, offset after them)."""
    for done in range(count):
        header = _header(data, at, 0x24)
        if header is None:
            return done, at
        payload, size = header
        if payload > end or size > end - payload - 2 or data[payload + size : payload + size + 2] != b"\r\n":
            return done, at
        at = payload + size + 2
    return count, at


def scan(buffer: bytes | bytearray | memoryview, start: int, end: int, names: ScanNames, columns: ScanColumns) -> int:
    """Find the complete records at the start of buffer[start:end], describe them in `columns`, and return their number.

    Stops at the first byte that does not belong to a complete record, or when the columns are full.  Offsets in
    `columns` are relative to `start`; at least SLACK zero bytes must follow `end` in the buffer.
    """
    data = _slice(buffer, start, end)
    stop, at, n = end - start, 0, 0
    edges, argc, ids = columns.edges, columns.argc, columns.ids
    edges[0] = 0
    while n < columns.room and at < stop:
        if data[at] == 0x23:
            lf = data.find(b"\n", at, stop)
            if lf < 0:
                break
            argc[n], ids[n], at = 0, ANNOTATION, lf + 1
        else:
            header = _header(data, at, 0x2A)
            if header is None or not 1 <= header[1] <= ARGC_MAX:
                break
            first, count = header
            done, after = _skip_args(data, first, stop, count)
            if done < count:
                break
            argc[n] = count
            ids[n] = _command_id(data, first, count, names)
            at = after
        n += 1
        edges[n] = at
    return n


def _command_id(data: bytes, at: int, count: int, names: ScanNames) -> int:
    name, at = _short_argument(data, at)
    number = names.ids.get(name, UNKNOWN)
    if count < 2 or name not in names.subs:
        return number
    return names.subs[name].get(_short_argument(data, at)[0], number)


def _short_argument(data: bytes, at: int) -> tuple[bytes, int]:
    """Return (the RESP argument at offset `at` in lower case, or b"" if too long for a name; the offset after it)."""
    payload, size = _header(data, at, 0x24) or (at, 0)
    return data[payload : payload + size].lower() if size <= RENAMED_NAME_MAX else b"", payload + size + 2


def skip_args(buffer: bytes | bytearray | memoryview, start: int, end: int, count: int) -> tuple[int, int]:
    """Skip up to `count` complete RESP arguments in buffer[start:end]; return (number skipped, offset after them)."""
    done, at = _skip_args(_slice(buffer, start, end), 0, end - start, count)
    return done, start + at


def arguments(buffer: bytes | bytearray | memoryview, start: int, end: int, limit: int) -> list[bytes]:
    """Return the first `limit` arguments of the command in buffer[start:end]; raises ValueError if it is incomplete."""
    data = _slice(buffer, start, end)
    header = _header(data, 0, 0x2A)
    args: list[bytes] = []
    while header and len(args) < min(header[1], limit):
        argument = _header(data, header[0], 0x24)
        if argument is None or argument[0] + argument[1] + 2 > end - start:
            raise ValueError("not a whole record")
        after = argument[0] + argument[1]
        args.append(data[argument[0] : after])
        header = (after + 2, header[1])
    return args


def _slice(buffer: bytes | bytearray | memoryview, start: int, end: int) -> bytes:
    if not 0 <= start <= end <= len(buffer) - SLACK:
        raise ValueError("the buffer is too short")
    return bytes(memoryview(buffer)[start:end]) + bytes(SLACK)
