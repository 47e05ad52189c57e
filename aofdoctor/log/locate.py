"""What stands at a position, with its neighbours and its context; the chain from the start of the part proves it."""

from collections import deque
from dataclasses import dataclass, field

from aofdoctor import text
from aofdoctor.aof.constants import ANNOTATION
from aofdoctor.aof.discovery import AOF, AofPart
from aofdoctor.aof.reader import read_tiles
from aofdoctor.aof.records import Preamble, RecordBatch
from aofdoctor.damage import Damage
from aofdoctor.errors import InvalidSelection
from aofdoctor.log.base_keys import BaseKey, creation_time, rdb_batches
from aofdoctor.log.entries import LogEntry, detach_entry
from aofdoctor.log.ordinals import command_number, index_at_position, none_if_unknown
from aofdoctor.log.position import Position
from aofdoctor.rdb.compressed.source import decompressed
from aofdoctor.rdb.encoding.cursor import Cursor
from aofdoctor.rdb.header import MAGIC_SIZE as MAGIC_SIZE
from aofdoctor.rdb.items import KeyItem, OpcodeItem
from aofdoctor.server.command_table import command_table
from aofdoctor.server.context.fields import ContextField
from aofdoctor.server.context.tracker import ContextTracker
from aofdoctor.source import PipeSource


@dataclass(slots=True)
class PositionContent:
    """`entry` is the record (an annotation too); or `damage`, or `preamble`.

    `base_key` owns the byte, or `item` does, where it stands in an RDB.  `before`
    and `after` are neighbouring records; `multi_start` is where the transaction
    around it begins.
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
    """The record, damage or preamble at a position."""
    search, count = _PositionSearch(position, neighbour_count), 0
    for part in _candidate_parts(aof, position):
        content = search.search_part(part, count)
        if content:
            return content
        count += search.commands
    if not position.number:
        raise InvalidSelection(f"there is nothing at {position.offset}")
    raise InvalidSelection(f"there is no command #{position.number}: it has {count:,}")


def _candidate_parts(aof: AOF, position: Position) -> list[AofPart]:
    if position.number:
        return aof.existing_parts
    return [part for part in aof.find_parts(position.part) if part.exists][:1]


class _PositionSearch:
    def __init__(self, position: Position, neighbour_count: int) -> None:
        self.position, self.neighbour_count = position, neighbour_count
        self.commands = 0

    def search_part(self, part: AofPart, commands_before: int) -> PositionContent | None:
        """What is looked for, if it is in this part; `before` commands came before it."""
        assert part.source is not None
        tracker = ContextTracker(columns=True)
        previous: deque[LogEntry] = deque(maxlen=self.neighbour_count)
        content: PositionContent | None = None
        for tile in read_tiles(part.source, command_table().names):
            if isinstance(tile, RecordBatch):
                content = self._search_batch(part, tile, tracker, commands_before, previous, content)
            elif content is None:
                content = self._search_tile(part, tile, tracker)
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
        tracker.track(batch)
        at = -1 if content else self._index_in_batch(batch, batch_start)
        if content is None and at < 0:
            first = max(0, batch.count - self.neighbour_count)
            previous.extend(
                detach_entry(_make_entry(part, batch, i, tracker, batch_start)) for i in range(first, batch.count)
            )
            return None
        if content is None:
            first = max(0, at - self.neighbour_count)
            previous.extend(detach_entry(_make_entry(part, batch, i, tracker, batch_start)) for i in range(first, at))
            entry = detach_entry(_make_entry(part, batch, at, tracker, batch_start))
            start = tracker.state[ContextField.MULTI_START] if entry.tx else None
            start = start if start is not None and start <= batch.record_span(at).start else None
            content = PositionContent(part, entry, previous_entries=list(previous), multi_start=start)
        room = self.neighbour_count - len(content.next_entries)
        following = range(at + 1, min(batch.count, at + 1 + room))
        content.next_entries += [detach_entry(_make_entry(part, batch, i, tracker, batch_start)) for i in following]
        return content

    def _index_in_batch(self, batch: RecordBatch, commands_before: int) -> int:
        """Which record of the batch is looked for, or -1."""
        at = index_at_position(batch, self.position, self.position.part_index, commands_before)
        return at if at < batch.count else -1

    def _search_tile(self, part: AofPart, tile: Damage | Preamble, tracker: ContextTracker) -> PositionContent | None:
        tracker.mark_unknown() if isinstance(tile, Damage) else tracker.begin_after_preamble(tile.span.end)
        if self.position.number or not tile.span.start <= self.position.offset < _tile_end(part, tile):
            return None
        if isinstance(tile, Damage):
            return PositionContent(part, damage=tile)
        return self._search_rdb(part, tile)

    def _search_rdb(self, part: AofPart, rdb: Preamble) -> PositionContent:
        """The key, or what stands between keys, or damage; the magic is the RDB as a whole."""
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
                key = BaseKey(part.name, Cursor(source), item, rdb.dialect, creation_time(rdb), guess)
                return PositionContent(part, preamble=rdb, base_key=key)
            return PositionContent(part, preamble=rdb, item=item)
        if offset >= rdb.span.end:
            raise InvalidSelection(f"nothing comes out of the RDB of {text.display_path(part.name)} at {offset}")
        return PositionContent(part, preamble=rdb)


def _tile_end(part: AofPart, tile: Damage | Preamble) -> int:
    """Up to where a place is one in the tile: more comes out of a compressed RDB than it has bytes."""
    endless = isinstance(tile, Preamble) and tile.codec and tile.span.end == part.size
    return 1 << 62 if endless else tile.span.end


def _make_entry(part: AofPart, batch: RecordBatch, i: int, tracker: ContextTracker, commands_before: int) -> LogEntry:
    number = None if batch.ids[i] == ANNOTATION else commands_before + command_number(batch, i)
    return LogEntry(
        part.name,
        batch,
        i,
        number,
        none_if_unknown(tracker.db[i]),
        none_if_unknown(tracker.tx[i]) or None,
        none_if_unknown(tracker.time[i]),
    )
