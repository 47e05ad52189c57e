"""Summarise each file of an AOF in one pass: where its commands begin, their number, and the last selected database.

A damaged file is refused: a conversion makes new bytes, and damage among them would look like intact data.
"""

from typing import NamedTuple

from aofdoctor import text
from aofdoctor.aof.model import AOF, AofPart
from aofdoctor.aof.reader import read_tiles
from aofdoctor.aof.records import Preamble, RecordBatch
from aofdoctor.damage import DAMAGE_MEANINGS, Damage
from aofdoctor.errors import RefusedEdit
from aofdoctor.server.command_table import command_table
from aofdoctor.server.context.fields import ContextField
from aofdoctor.server.context.tracker import ContextTracker
from aofdoctor.span import Span


class PartSummary(NamedTuple):
    """The summary of one intact file of an AOF: its RDB, its commands, and the last selected database.

    `rdb` is the RDB that the file begins with, if any; `tail` is the byte range after it, with the number of commands
    and annotations; `db` is the database selected at the end.
    """

    rdb: Preamble | None
    tail: Span
    commands: int
    annotations: int
    db: int


def summarize_part(aof: AOF, part: AofPart) -> PartSummary:
    """Read a file of an AOF once; raise RefusedEdit if it is damaged or ends inside a transaction."""
    tracker, rdb, source = ContextTracker(), None, AOF.require_file(part)
    for tile in read_tiles(source, command_table().names):
        if isinstance(tile, RecordBatch):
            tracker.track(tile)
        elif isinstance(tile, Preamble):
            rdb = tile
            _require_sound_rdb(aof, part, rdb)
        else:
            _refuse(aof, part, tile)
    if tracker.state[ContextField.TX]:
        raise RefusedEdit(
            f"{text.display_path(part.name)} ends inside a MULTI, "
            f"at {text.format_offset(tracker.state[ContextField.MULTI_START])}: "
            "what is put behind it would be swallowed",
            f"aofdoctor repair {text.shell_quote(aof.path)} first",
        )
    start = rdb.span.end if rdb else 0
    state = tracker.state
    return PartSummary(
        rdb,
        Span(start, source.size),
        state[ContextField.COMMANDS],
        state[ContextField.ANNOTATIONS],
        state[ContextField.DB],
    )


def _require_sound_rdb(aof: AOF, part: AofPart, rdb: Preamble) -> None:
    if not rdb.is_intact:
        raise RefusedEdit(
            f"the RDB at the head of {text.display_path(part.name)} is damaged: {text.display_path(rdb.note)}",
            f"aofdoctor repair {text.shell_quote(aof.path)} --salvage keeps the keys that are whole; do that first",
        )


def _refuse(aof: AOF, part: AofPart, damage: Damage) -> None:
    raise RefusedEdit(
        f"{text.display_path(part.name)} is damaged at {text.format_offset(damage.span.start)}: "
        f"{DAMAGE_MEANINGS[damage.kind]}",
        f"aofdoctor repair {text.shell_quote(aof.path)} first, with --salvage if what follows is to stay",
    )
