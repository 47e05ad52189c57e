"""Read an AOF piece by piece while a `ContextTracker` follows the database, the transaction and the time.

The pieces ("tiles") are adjacent and cover every byte: batches of commands, the RDB preamble, and damage.  Every
question about a whole AOF is a walk of this kind: the files in load order, and the same bookkeeping for each tile.
This module holds the bookkeeping.  It does not know what a caller counts, selects or reports.
"""

from collections.abc import Iterator
from typing import NamedTuple

from aofdoctor.aof.model import AOF, AofPart
from aofdoctor.aof.reader import BATCH_RECORDS, WINDOW, Tile, read_tiles
from aofdoctor.aof.records import Preamble
from aofdoctor.damage import Damage
from aofdoctor.server.command_table import command_table
from aofdoctor.server.context.fields import ContextField
from aofdoctor.server.context.tracker import ContextTracker
from aofdoctor.source import Source


class PartTile(NamedTuple):
    """A tile (a batch of commands, an RDB preamble, or damage) with the file that it belongs to.

    `part_index` is the place of the file in load order; `commands_before` is the number of commands in all earlier
    tiles.
    """

    part_index: int
    part: AofPart
    tile: Tile
    commands_before: int


def walk_aof(aof: AOF, tracker: ContextTracker) -> Iterator[PartTile]:
    """Yield the tiles (batches of commands, RDB preambles, damage) of all files of an AOF in load order.

    Missing files are skipped.  The caller passes each batch to `tracker.track`, which follows the database, the
    transaction and the time.
    """
    commands_before = 0
    for index, part in enumerate(aof.parts):
        if part.source is None:
            continue
        for tile in walk_part(part.source, tracker):
            yield PartTile(index, part, tile, commands_before + tracker.state[ContextField.COMMANDS])
        commands_before += tracker.state[ContextField.COMMANDS]


def walk_part(
    source: Source,
    tracker: ContextTracker,
    start: int = 0,
    window: int = WINDOW,
    room: int = BATCH_RECORDS,
    now_ms: int = 0,
) -> Iterator[Tile]:
    """Yield the tiles (batches of commands, the RDB preamble, damage) of one AOF file, and update a ContextTracker.

    The tracker follows the database, the transaction and the time.  It is reset at the start of the file, and set to
    "unknown" after damage.  The caller passes each batch to `tracker.track`, so that it can read the state before the
    batch first.  A walk that starts inside the file, at offset `start` > 0, knows neither the database nor the
    transaction until a SELECT or an EXEC.  `window` is the read size in bytes and `room` the number of records in a
    batch.  Keys of a preamble count as expired at `now_ms`, in unix milliseconds.
    """
    tracker.begin_part()
    if start:
        tracker.mark_unknown()
    for tile in read_tiles(source, command_table().names, start, window, room, now_ms):
        yield tile
        if isinstance(tile, Damage):
            tracker.mark_unknown()
        elif isinstance(tile, Preamble):
            tracker.begin_after_preamble(tile.span.end)


def none_if_unknown(value: int) -> int | None:
    """Return a value of a ContextTracker (database, transaction number or time), or None for -1, meaning unknown."""
    return None if value == -1 else value
