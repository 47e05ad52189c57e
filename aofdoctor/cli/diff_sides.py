"""PATH, PATH@POSITION or PATH@TIME: an AOF, or what stands in it before a position, or was written up to a time."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from aofdoctor import text
from aofdoctor.aof.discovery import AOF
from aofdoctor.cli.options import open_path
from aofdoctor.errors import InvalidSelection
from aofdoctor.log.arguments import parse_loaded_position
from aofdoctor.log.locate import locate
from aofdoctor.log.position import Position, is_position, parse_time
from aofdoctor.log.time_lookup import first_command_after
from aofdoctor.log.timestamps import last_time
from aofdoctor.source import PipeSource

SideEnd = tuple[int, int]
_SYNTAX_HINT = "write PATH@1234, PATH@PART@1234, PATH@#17, PATH@2026-11-22T05:58:31, PATH@-10m or PATH@TS:1795334311"
_UNIX_SECONDS_PREFIX = "TS:"  # before unix seconds, as in an annotation: a bare number is an offset


@contextmanager
def open_side(argument: str) -> Iterator[tuple[AOF, SideEnd | None]]:
    """The AOF that is meant, and where in it the side ends: (part, offset), or None for its own end."""
    path, end = _split_argument(argument)
    with open_path(path) as aof:
        if not end:
            yield aof, None
        elif is_position(end):
            yield aof, _end_at_position(aof, parse_loaded_position(end, aof))
        else:
            yield aof, _end_at_time(aof, end)


def _split_argument(argument: str) -> tuple[str, str]:
    """The path, and what follows it; a path that has an @ is taken as a path where it is one."""
    if argument == "-" or os.path.lexists(argument):
        return argument, ""
    at = len(argument)
    while (at := argument.rfind("@", 0, at)) > 0:
        if os.path.lexists(argument[:at]) or argument[:at] == "-":
            if not argument[at + 1 :]:
                raise InvalidSelection(f"nothing follows the @ of {text.display_path(argument)}", _SYNTAX_HINT)
            return argument[:at], argument[at + 1 :]
    return argument, ""


def _end_at_position(aof: AOF, position: Position) -> SideEnd:
    """Where the record at a position begins; the side is what stands before it."""
    located = locate(aof, position, neighbour_count=0)
    index = aof.parts.index(located.part)
    if located.entry is not None:
        return index, located.entry.batch.record_span(located.entry.i).start
    if located.damage is not None:
        return index, located.damage.span.start
    raise InvalidSelection(
        f"{text.display_path(located.part.name)}@{position.offset} is inside of an RDB", "name a position of a command"
    )


def _end_at_time(aof: AOF, end_text: str) -> SideEnd | None:
    """Where the first command of a later second begins; the side is what was written up to and with a second."""
    if any(isinstance(part.source, PipeSource) for part in aof.parts):
        raise InvalidSelection("a pipe has gone by when it is known where in it a time is", "save it to a file first")
    time_text = end_text.removeprefix("#").removeprefix(_UNIX_SECONDS_PREFIX)
    try:
        seconds = parse_time(time_text, 0)  # whether it is a time at all is asked before an AOF is read for its end
    except InvalidSelection:
        raise InvalidSelection(
            f"{text.display_path(end_text)} is neither a position nor a time", _SYNTAX_HINT
        ) from None
    end = last_time(aof)
    if end is None:
        raise InvalidSelection(
            "this AOF has no #TS annotations, so nothing in it has a time (aof-timestamp-enabled was off)",
            "end the side at a position: PATH@1234 or PATH@#17",
        )
    return first_command_after(aof, parse_time(time_text, end) if time_text.startswith("-") else seconds)
