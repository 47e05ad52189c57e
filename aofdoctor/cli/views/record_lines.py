"""Write one command of an AOF as a line of text, as input for redis-cli, as RESP or as JSON.

A record with a large argument is written piece by piece while it is read, so that it never has to fit into memory.
"""

import base64
import functools
import json
from collections import Counter
from collections.abc import Callable, Iterator
from typing import BinaryIO

from aofdoctor import text
from aofdoctor.aof.constants import UNKNOWN
from aofdoctor.aof.model import AOF
from aofdoctor.aof.records import Arg, LargeArgument
from aofdoctor.cli.console import Paint, bytes_to_json
from aofdoctor.cli.views import base_keys
from aofdoctor.log.base_keys import BaseKey
from aofdoctor.log.entries import LogEntry
from aofdoctor.server.command_table import CommandSpec, command_table, key_indexes
from aofdoctor.source import pread

_KEY_SEARCH_MAX = 1 << 16  # keys are found only among this many first arguments of an oversized command
_BASE64_CHUNK = 3 * (1 << 18)  # a multiple of three bytes: the base64 texts of such chunks can be concatenated


def short_part_names(aof: AOF) -> dict[str, str]:
    """Map the name of each file of an AOF to a short one such as "7.incr", or to itself where that is ambiguous.

    The only file of an AOF gets an empty name, because a position in it needs none.
    """
    if len(aof.parts) == 1:
        return {aof.parts[0].name: ""}
    names = {part.name: f"{part.seq}.{part.type}" for part in aof.parts}
    uses = Counter(names.values())
    unique = {name: short for name, short in names.items() if uses[short] == 1}
    return {name: (unique.get(name) or text.display_path(name)) for name in names}


def position_text(part: str, offset: int) -> str:
    """Format a position in an AOF as POSITION arguments accept it: "7.incr@104", or "104" without a file name.

    `part` is the short name of the file, or empty; `offset` is the byte offset in it.
    """
    return f"{part}@{offset}" if part else str(offset)


# -- as text --


class LineWriter:
    """Writes commands of an AOF and keys of its RDB base as lines of text: position, time, database, words.

    Lines are truncated to `columns` characters if that is not None.  `has_times`: the lines have a column for times.
    """

    def __init__(self, aof: AOF, paint: Paint, columns: int | None, has_times: bool) -> None:
        self.names, self.paint, self.columns, self.has_times = short_part_names(aof), paint, columns, has_times
        self.has_color = paint("x", "dim") != "x"
        largest = max((part.size or 0 for part in aof.parts), default=0)
        self.place_width = max(len(name) for name in self.names.values()) + 1 + len(str(largest)) if self.names else 0
        self._second: tuple[int | None, str] = (None, "-")

    def __call__(self, entry: LogEntry, out: BinaryIO) -> None:
        """Write one command or annotation of the AOF as a line of text to `out`."""
        head = self._prefix(entry.part, entry.batch.record_span(entry.i).start, entry.time, entry.db)
        style, note = _style_and_note(entry.batch.ids[entry.i])
        if self.columns is None and not entry.batch.oversized:
            words = " ".join(map(text.quote, entry.batch.argv(entry.i)))
        elif self.columns is None:
            out.write(head.encode())
            out.writelines(piece.encode() for piece in _word_pieces(entry.batch.args(entry.i)))
            head = words = ""
        else:
            words = self._truncate_entry(entry, self.columns - len(head) - len(note) - 1)
        if self.has_color:
            head, words = self.paint(head, "dim"), self.paint(words, style) if style else words
        out.write(f"{head}{words}{note}\n".encode())

    def write_key(self, key: BaseKey, out: BinaryIO) -> None:
        """Write one key of an RDB base as a line of text to `out`."""
        head = self._prefix(key.part, key.key.start, key.time, None if key.key.db < 0 else key.key.db)
        words, note = base_keys.key_summary(key), base_keys.key_note(key)
        if self.columns is not None and len(words) > (room := max(20, self.columns - len(head) - len(note) - 1)):
            words = words[: room - 3] + "..."
        if self.has_color:
            head, note = self.paint(head, "dim"), self.paint(note, "dim")
        out.write(f"{head}{words}{note}\n".encode())

    def _prefix(self, part: str, offset: int, time: int | None, db_number: int | None) -> str:
        place = position_text(self.names[part], offset)
        when = f"{self._time_text(time):<19}  " if self.has_times or time is not None else ""
        db = "db?" if db_number is None else f"db{db_number}"
        return f"{place:<{self.place_width}}  {when}{db:<4} "

    def _time_text(self, time: int | None) -> str:
        if time is None:
            return "-"
        if self._second[0] != time:
            self._second = (time, text.format_time(time))
        return self._second[1]

    def _truncate_entry(self, entry: LogEntry, room: int) -> str:
        """Return the words of a command, truncated to `room` characters, and its size if it has more bytes."""
        words: list[str] = []
        used = 0
        for number, arg in enumerate(entry.batch.args(entry.i)):
            if used > room:
                break
            words.append(_truncate(arg, max(16, room // 2) if number else 64))
            used += len(words[-1]) + 1
        line = " ".join(words)
        size = entry.batch.record_span(entry.i).size
        tail = f"  ({text.format_size(size)})" if size > room else ""
        room = max(20, room - len(tail))
        return (line if len(line) <= room else line[: room - 3] + "...") + tail


def _truncate(arg: Arg, limit: int) -> str:
    """Quote an argument of a command for display; only the first bytes are shown if it is longer than `limit`."""
    head = arg.head(limit + 1) if isinstance(arg, LargeArgument) else arg[: limit + 1]
    size = arg.size if isinstance(arg, LargeArgument) else len(arg)
    shown = text.quote(head[:limit])
    return shown if size <= limit else f'"{text.escape(head[: limit - 3])}..."'


def _word_pieces(args: Iterator[Arg]) -> Iterator[str]:
    """Yield the quoted arguments of a command in pieces, so that a large argument is never in memory as a whole."""
    for number, arg in enumerate(args):
        if number:
            yield " "
        if isinstance(arg, bytes):
            yield text.quote(arg)
        else:
            yield '"'
            for piece in arg.pieces():
                yield text.escape(piece)
            yield '"'


_EFFECT_STYLES = (
    ("flush", "gone"),
    ("delete", "changed"),
    ("rename", "changed"),
    ("expire", "expire"),
    ("tx", "dim"),
    ("select", "dim"),
)


@functools.cache
def _style_and_note(number: int) -> tuple[str, str]:
    """Return (style name for its colour, remark after the line) of a command by its id in the command table.

    `UNKNOWN` is the id of a command that no server has.
    """
    command = command_table().get(number)
    if command is None:
        return ("warning", "  <- in no command table") if number == UNKNOWN else ("", "")
    style = next((style for effect, style in _EFFECT_STYLES if effect in command.effects), "")
    return style, f"  <- {flush_note(command)}" if "flush" in command.effects else ""


def flush_note(command: CommandSpec) -> str:
    """Describe which databases a FLUSHALL or FLUSHDB command empties."""
    return "empties every database" if command.name == "flushall" else "empties this database"


# -- as input for redis-cli, and as RESP --


def write_cli(entry: LogEntry, out: BinaryIO) -> None:
    """Write a command of an AOF to `out` as a line that redis-cli accepts on its standard input."""
    if entry.batch.oversized:
        out.writelines(piece.encode() for piece in _word_pieces(entry.batch.args(entry.i)))
        out.write(b"\n")
    else:
        out.write(" ".join(map(text.quote, entry.batch.argv(entry.i))).encode() + b"\n")


def write_resp(entry: LogEntry, out: BinaryIO) -> None:
    """Write the bytes of a command or annotation, as they are in the AOF, to `out`."""
    if not entry.batch.oversized:
        out.write(entry.batch.raw(entry.i))
        return
    span, step = entry.batch.record_span(entry.i), 1 << 20
    out.writelines(pread(entry.batch.source, min(step, span.end - at), at) for at in range(span.start, span.end, step))


# -- as JSON --


def write_json(entry: LogEntry, out: BinaryIO) -> None:
    """Write a command of an AOF to `out` as one JSON object; scripts depend on the names of its fields.

    In a command that is too large to be held in memory, an argument of more than 64 KiB is always base64, because
    whether it is UTF-8 is known only at its end.
    """
    if entry.batch.oversized:
        _write_large_json(entry, out)
        return
    argv = entry.batch.argv(entry.i)
    fields = _fields(entry, argv[0])
    fields["args"] = [bytes_to_json(arg) for arg in argv[1:]]
    fields["keys"] = [bytes_to_json(argv[at]) for at in _key_indexes(entry, argv)]
    out.write(json.dumps(fields).encode() + b"\n")


def _fields(entry: LogEntry, name: bytes) -> dict[str, object]:
    record = entry.batch.record_span(entry.i)
    return {
        "part": entry.part, "offset": record.start, "size": record.size, "n": entry.number, "db": entry.db,
        "time": entry.time, "time_kind": None if entry.time is None else "annotation", "tx": entry.tx,
        "cmd": bytes_to_json(name),
    }  # fmt: skip


def _key_indexes(entry: LogEntry, argv: list[bytes]) -> Iterator[int]:
    command = command_table().get(entry.batch.ids[entry.i])
    return key_indexes(command, argv) if command else iter(())


def _write_large_json(entry: LogEntry, out: BinaryIO) -> None:
    """Write a command that is too large to be held in memory as one JSON object to `out`, piece by piece."""
    args = entry.batch.args(entry.i)
    name = next(args)
    heads = [name if isinstance(name, bytes) else name.head(64)]
    out.write(json.dumps(_fields(entry, heads[0])).encode()[:-1] + b', "args": [')
    for number, arg in enumerate(args):
        if number:
            out.write(b", ")
        if isinstance(arg, bytes):
            out.write(json.dumps(bytes_to_json(arg)).encode())
        else:
            _write_base64(arg, out)
        if len(heads) < _KEY_SEARCH_MAX:
            heads.append(arg if isinstance(arg, bytes) else arg.head(1 << 12))
    keys = [bytes_to_json(heads[at]) for at in _key_indexes(entry, heads)]
    out.write(b'], "keys": ' + json.dumps(keys).encode() + b"}\n")


def _write_base64(arg: LargeArgument, out: BinaryIO) -> None:
    out.write(b'{"base64": "')
    out.writelines(base64.b64encode(piece) for piece in arg.pieces(_BASE64_CHUNK))
    out.write(b'"}')


EntryWriter = Callable[[LogEntry, BinaryIO], None]
