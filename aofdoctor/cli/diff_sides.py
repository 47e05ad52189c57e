"""Parse the arguments A and B of `aofdoctor diff`: each is PATH, PATH@POSITION or PATH@TIME.

PATH alone is the whole AOF.  With @POSITION only what precedes the record at that position is compared, with @TIME
only what was written up to that second.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from aofdoctor import text
from aofdoctor.aof.model import AOF
from aofdoctor.cli.options import open_path
from aofdoctor.errors import InvalidSelection
from aofdoctor.log.arguments import parse_loaded_position
from aofdoctor.log.locate import record_start
from aofdoctor.log.position import is_position, parse_time
from aofdoctor.log.timestamps import first_command_after, last_time
from aofdoctor.source import PipeSource

SideEnd = tuple[int, int]  # where the comparison ends: (index of the file in load order, offset in that file)
_SYNTAX_HINT = "write PATH@1234, PATH@PART@1234, PATH@#17, PATH@2026-11-22T05:58:31, PATH@-10m or PATH@TS:1795334311"
_UNIX_SECONDS_PREFIX = "TS:"  # precedes unix seconds, as in an annotation, because a number alone is an offset


@contextmanager
def open_side(argument: str) -> Iterator[tuple[AOF, SideEnd | None]]:
    """Open the AOF that an argument PATH[@WHERE] of `diff` names; yields (AOF, where the comparison ends).

    The end is None if the whole AOF is compared.
    """
    path, end = _split_argument(argument)
    with open_path(path) as aof:
        if not end:
            yield aof, None
        elif is_position(end):
            yield aof, record_start(aof, parse_loaded_position(end, aof))
        else:
            yield aof, _end_at_time(aof, end)


def _split_argument(argument: str) -> tuple[str, str]:
    """Split PATH@WHERE into (PATH, WHERE) at the last @ that follows an existing path; WHERE is empty without one.

    An argument that is the name of an existing file is a path, even if it contains an @.
    """
    if argument == "-" or os.path.lexists(argument):
        return argument, ""
    at = len(argument)
    while (at := argument.rfind("@", 0, at)) > 0:
        if os.path.lexists(argument[:at]) or argument[:at] == "-":
            if not argument[at + 1 :]:
                raise InvalidSelection(f"nothing follows the @ of {text.display_path(argument)}", _SYNTAX_HINT)
            return argument[:at], argument[at + 1 :]
    return argument, ""


def _end_at_time(aof: AOF, end_text: str) -> SideEnd | None:
    """Find the first command written after a time such as "-10m"; return (index of the file, offset in it), or None."""
    if any(isinstance(part.source, PipeSource) for part in aof.parts):
        raise InvalidSelection("a pipe has gone by when it is known where in it a time is", "save it to a file first")
    time_text = end_text.removeprefix("#").removeprefix(_UNIX_SECONDS_PREFIX)
    try:
        # Reject what is not a time before the AOF is read to find its last time.
        seconds = parse_time(time_text, 0)
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
