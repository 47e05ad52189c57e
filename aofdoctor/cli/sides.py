"""PATH or PATH@POSITION: an AOF, or what stands in it before a position."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from aofdoctor import text
from aofdoctor.analysis.locate import locate
from aofdoctor.analysis.position import Position
from aofdoctor.aof.aof import AOF
from aofdoctor.cli.options import loaded_position, opened
from aofdoctor.errors import BadSelection

End = tuple[int, int]


@contextmanager
def side(given: str) -> Iterator[tuple[AOF, End | None]]:
    """The AOF that is meant, and where in it the side ends: (part, offset), or None for its own end."""
    path, position = _split(given)
    with opened(path) as aof:
        yield aof, _end(aof, loaded_position(position, aof)) if position else None


def _split(given: str) -> tuple[str, str]:
    """The path, and the position that follows it; a path that has an @ is taken as a path where it is one."""
    if given == "-" or os.path.lexists(given):
        return given, ""
    at = len(given)
    while (at := given.rfind("@", 0, at)) > 0:
        if os.path.lexists(given[:at]) or given[:at] == "-":
            return given[:at], given[at + 1 :]
    return given, ""


def _end(aof: AOF, position: Position) -> End:
    """Where the record at a position begins; the side is what stands before it."""
    found = locate(aof, position, around=0)
    index = aof.parts.index(found.part)
    if found.entry is not None:
        return index, found.entry.batch.record(found.entry.i).start
    if found.damage is not None:
        return index, found.damage.span.start
    raise BadSelection(
        f"{text.name(found.part.name)}@{position.offset} is inside of an RDB", "name a position of a command"
    )
