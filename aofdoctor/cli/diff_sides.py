"""PATH, PATH@POSITION or PATH@TIME: an AOF, or what stands in it before a position, or was written up to a time."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from aofdoctor import text
from aofdoctor.aof.discovery import AOF
from aofdoctor.cli.options import loaded_position, open_path
from aofdoctor.errors import InvalidSelection
from aofdoctor.log.locate import locate
from aofdoctor.log.position import Position, is_position, parse_time
from aofdoctor.log.time_lookup import first_command_after
from aofdoctor.log.timestamps import last_time
from aofdoctor.source import PipeSource

End = tuple[int, int]
_HOW = "write PATH@1234, PATH@PART@1234, PATH@#17, PATH@2026-11-22T05:58:31, PATH@-10m or PATH@TS:1795334311"
_SECONDS = "TS:"  # before unix seconds, as in an annotation: a bare number is an offset


@contextmanager
def side(given: str) -> Iterator[tuple[AOF, End | None]]:
    """The AOF that is meant, and where in it the side ends: (part, offset), or None for its own end."""
    path, end = _split(given)
    with open_path(path) as aof:
        if not end:
            yield aof, None
        elif is_position(end):
            yield aof, _before(aof, loaded_position(end, aof))
        else:
            yield aof, _at_time(aof, end)


def _split(given: str) -> tuple[str, str]:
    """The path, and what follows it; a path that has an @ is taken as a path where it is one."""
    if given == "-" or os.path.lexists(given):
        return given, ""
    at = len(given)
    while (at := given.rfind("@", 0, at)) > 0:
        if os.path.lexists(given[:at]) or given[:at] == "-":
            if not given[at + 1 :]:
                raise InvalidSelection(f"nothing follows the @ of {text.display_path(given)}", _HOW)
            return given[:at], given[at + 1 :]
    return given, ""


def _before(aof: AOF, position: Position) -> End:
    """Where the record at a position begins; the side is what stands before it."""
    found = locate(aof, position, around=0)
    index = aof.parts.index(found.part)
    if found.entry is not None:
        return index, found.entry.batch.record_span(found.entry.i).start
    if found.damage is not None:
        return index, found.damage.span.start
    raise InvalidSelection(
        f"{text.display_path(found.part.name)}@{position.offset} is inside of an RDB", "name a position of a command"
    )


def _at_time(aof: AOF, given: str) -> End | None:
    """Where the first command of a later second begins; the side is what was written up to and with a second."""
    if any(isinstance(part.source, PipeSource) for part in aof.parts):
        raise InvalidSelection("a pipe has gone by when it is known where in it a time is", "save it to a file first")
    said = given.removeprefix("#").removeprefix(_SECONDS)
    try:
        seconds = parse_time(said, 0)  # whether it is a time at all is asked before an AOF is read for its end
    except InvalidSelection:
        raise InvalidSelection(f"{text.display_path(given)} is neither a position nor a time", _HOW) from None
    end = last_time(aof)
    if end is None:
        raise InvalidSelection(
            "this AOF has no #TS annotations, so nothing in it has a time (aof-timestamp-enabled was off)",
            "end the side at a position: PATH@1234 or PATH@#17",
        )
    return first_command_after(aof, parse_time(said, end) if said.startswith("-") else seconds)
