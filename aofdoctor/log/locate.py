"""Find what is at a position of an AOF (a record, damage, or an item of an RDB), with the records around it.

A position is a file offset or the number of a command.  The file is read from its start, so the record boundaries are
certain and the database, transaction and time are known.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from aofdoctor import text
from aofdoctor.aof.constants import ANNOTATION
from aofdoctor.aof.model import AOF, AofPart
from aofdoctor.aof.records import Preamble, RecordBatch
from aofdoctor.damage import Damage
from aofdoctor.errors import InvalidSelection
from aofdoctor.log.base_keys import BaseKey, rdb_batches
from aofdoctor.log.command_numbers import index_at_position
from aofdoctor.log.context_walk import walk_part
from aofdoctor.log.entries import LogEntry, detach_entry, entries_at
from aofdoctor.log.position import Position
from aofdoctor.log.transaction_start import multi_offset, transaction_before_batch
from aofdoctor.rdb.compressed.source import decompressed
from aofdoctor.rdb.encoding.cursor import Cursor
from aofdoctor.rdb.header import MAGIC_SIZE
from aofdoctor.rdb.items import KeyItem, OpcodeItem
from aofdoctor.rdb.preamble import creation_time
from aofdoctor.server.context.fields import ContextField
from aofdoctor.server.context.tracker import ContextTracker
from aofdoctor.source import PipeSource


@dataclass(slots=True)
class PositionContent:
    """What is at a position of an AOF: a command or annotation (`entry`), `damage`, or an RDB (`preamble`).

    Inside an RDB, the byte belongs to a key (`base_key`), to an opcode (`item`), or to damage.  `multi_start` is the
    offset in the file of the MULTI of the entry's transaction.  `previous_entries` and `next_entries` are the
    neighbouring records.
    """

    part: AofPart
    entry: LogEntry | None = None
    damage: Damage | None = None
    preamble: Preamble | None = None
    previous_entries: list[LogEntry] = field(default_factory=list)
    next_entries: list[LogEntry] = field(default_factory=list)
    multi_start: int | None = None
    base_key: BaseKey | None = None
    item: OpcodeItem | None = None


def locate(aof: AOF, position: Position, neighbour_count: int = 3) -> PositionContent:
    """Find what is at a position of an AOF, and `neighbour_count` records before and after it.

    Raises InvalidSelection if the AOF has no such position.
    """
    search, count = _PositionSearch(position, neighbour_count), 0
    for part in _candidate_parts(aof, position):
        content = search.search_part(part, count)
        if content:
            return content
        count += search.commands
    if not position.number:
        raise InvalidSelection(f"there is nothing at {position.offset}")
    raise InvalidSelection(f"there is no command #{position.number}: it has {count:,}")


def record_start(aof: AOF, position: Position) -> tuple[int, int]:
    """Return (index of the file in load order, offset in it) of the start of the record or damage at a position.

    Raises InvalidSelection for a position inside an RDB.
    """
    located = locate(aof, position, neighbour_count=0)
    index = aof.parts.index(located.part)
    if located.entry is not None:
        return index, located.entry.batch.record_span(located.entry.i).start
    if located.damage is not None:
        return index, located.damage.span.start
    raise InvalidSelection(
        f"{text.display_path(located.part.name)}@{position.offset} is inside of an RDB", "name a position of a command"
    )


def _candidate_parts(aof: AOF, position: Position) -> list[AofPart]:
    """Return the files that can contain a position: all for a command number, else the one that the position names."""
    if position.number:
        return aof.existing_parts
    return [part for part in aof.find_parts(position.part) if part.exists][:1]


class _PositionSearch:
    """Searches the files of an AOF in load order for a position.

    `commands` is the number of commands in the file that was searched last.
    """

    def __init__(self, position: Position, neighbour_count: int) -> None:
        self.position, self.neighbour_count = position, neighbour_count
        self.commands = 0

    def search_part(self, part: AofPart, commands_before: int) -> PositionContent | None:
        """Return what is at the position if it is in this file, or None.

        `commands_before` is the number of earlier commands.
        """
        assert part.source is not None
        tracker = ContextTracker(columns=True)
        previous: deque[LogEntry] = deque(maxlen=self.neighbour_count)
        content: PositionContent | None = None
        for tile in walk_part(part.source, tracker):
            if isinstance(tile, RecordBatch):
                content = self._search_batch(part, tile, tracker, commands_before, previous, content)
            elif content is None:
                content = self._search_tile(part, tile)
            if content and (content.entry is None or len(content.next_entries) >= self.neighbour_count):
                break
        self.commands = tracker.state[ContextField.COMMANDS]
        return content

    def _search_batch(
        self,
        part: AofPart,
        batch: RecordBatch,
        tracker: ContextTracker,
        commands_before: int,
        previous: deque[LogEntry],
        content: PositionContent | None,
    ) -> PositionContent | None:
        batch_start = commands_before + tracker.state[ContextField.COMMANDS]
        open_before = transaction_before_batch(tracker)
        tracker.track(batch)
        at = -1 if content else self._index_in_batch(batch, batch_start)
        if content is None and at < 0:
            first = max(0, batch.count - self.neighbour_count)
            previous.extend(_detached_entries(part, batch, range(first, batch.count), tracker, batch_start))
            return None
        if content is None:
            first = max(0, at - self.neighbour_count)
            *neighbours, entry = _detached_entries(part, batch, range(first, at + 1), tracker, batch_start)
            previous.extend(neighbours)
            start = multi_offset(batch, tracker.tx, at, open_before) if entry.tx else None
            content = PositionContent(part, entry, previous_entries=list(previous), multi_start=start)
        room = self.neighbour_count - len(content.next_entries)
        following = range(at + 1, min(batch.count, at + 1 + room))
        content.next_entries += _detached_entries(part, batch, following, tracker, batch_start)
        return content

    def _index_in_batch(self, batch: RecordBatch, commands_before: int) -> int:
        """Return the index in the batch of the record at the searched position, or -1 if it is outside the batch."""
        at = index_at_position(batch, self.position, self.position.part_index, commands_before)
        return at if at < batch.count else -1

    def _search_tile(self, part: AofPart, tile: Damage | Preamble) -> PositionContent | None:
        if self.position.number or not tile.span.start <= self.position.offset < _tile_end(part, tile):
            return None
        if isinstance(tile, Damage):
            return PositionContent(part, damage=tile)
        return self._search_rdb(part, tile)

    def _search_rdb(self, part: AofPart, rdb: Preamble) -> PositionContent:
        """Return the key, opcode or damage of an RDB at the position.

        The offset of its magic (REDIS0011) means all of it.
        """
        assert part.source is not None
        offset = self.position.offset
        if offset < MAGIC_SIZE or isinstance(part.source, PipeSource):
            return PositionContent(part, preamble=rdb)
        guess, source = False, decompressed(part.source)
        for batch in rdb_batches(source, rdb):
            guess = guess or (isinstance(batch, Damage) and batch.end_is_guess)
            if not batch.span.start <= offset < batch.span.end:
                continue
            if isinstance(batch, Damage):
                return PositionContent(part, damage=batch, preamble=rdb)
            item = next(item for item in batch if item.span.start <= offset < item.span.end)
            if isinstance(item, KeyItem):
                key = BaseKey(part.name, Cursor(source), item, rdb.dialect, creation_time(rdb.aux), guess)
                return PositionContent(part, preamble=rdb, base_key=key)
            return PositionContent(part, preamble=rdb, item=item)
        if offset >= rdb.span.end:
            raise InvalidSelection(f"nothing comes out of the RDB of {text.display_path(part.name)} at {offset}")
        return PositionContent(part, preamble=rdb)


def _tile_end(part: AofPart, tile: Damage | Preamble) -> int:
    """Return the first offset of an AOF file that no longer belongs to this damage or RDB.

    Offsets in a compressed RDB are those of its decompressed bytes, which can exceed the size of the file.
    """
    is_compressed_file = isinstance(tile, Preamble) and tile.codec and tile.span.end == part.size
    return 1 << 62 if is_compressed_file else tile.span.end


def _detached_entries(
    part: AofPart, batch: RecordBatch, indexes: range, tracker: ContextTracker, commands_before: int
) -> Iterator[LogEntry]:
    """Yield records of a batch as log entries that stay valid when the next batch is read; #TS lines get no number."""
    for entry in entries_at(part.name, batch, tracker, commands_before, indexes):
        is_annotation = batch.ids[entry.i] == ANNOTATION
        yield detach_entry(entry._replace(number=None) if is_annotation else entry)
