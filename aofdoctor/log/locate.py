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
from aofdoctor.log.base_keys import BaseKey, batches, creation_time
from aofdoctor.log.entries import Entry, keep
from aofdoctor.log.ordinals import command_number, index_of, none_if_unknown
from aofdoctor.log.position import Position
from aofdoctor.rdb.compressed.source import decompressed
from aofdoctor.rdb.encoding.cursor import Cursor
from aofdoctor.rdb.header import SIZE as MAGIC_SIZE
from aofdoctor.rdb.items import Item, Key
from aofdoctor.server.command_table import table
from aofdoctor.server.context._pytracker import ContextField
from aofdoctor.server.context.tracker import ContextTracker
from aofdoctor.source import PipeSource


@dataclass(slots=True)
class Located:
    """`entry` is the record (an annotation too); or `damage`, or `preamble`.

    `base_key` owns the byte, or `item` does, where it stands in an RDB.  `before`
    and `after` are neighbouring records; `multi_start` is where the transaction
    around it begins.
    """

    part: AofPart
    entry: Entry | None = None
    damage: Damage | None = None
    preamble: Preamble | None = None
    before: list[Entry] = field(default_factory=list)
    after: list[Entry] = field(default_factory=list)
    multi_start: int | None = None
    base_key: BaseKey | None = None
    item: Item | None = None


def locate(aof: AOF, position: Position, around: int = 3) -> Located:
    """The record, damage or preamble at a position."""
    search, count = _Search(position, around), 0
    for part in _places(aof, position):
        found = search.part(part, count)
        if found:
            return found
        count += search.commands
    if not position.number:
        raise InvalidSelection(f"there is nothing at {position.offset}")
    raise InvalidSelection(f"there is no command #{position.number}: it has {count:,}")


def _places(aof: AOF, position: Position) -> list[AofPart]:
    if position.number:
        return aof.existing_parts
    return [part for part in aof.find_parts(position.part) if part.exists][:1]


class _Search:
    def __init__(self, position: Position, around: int) -> None:
        self.position, self.around = position, around
        self.commands = 0

    def part(self, part: AofPart, before: int) -> Located | None:
        """What is looked for, if it is in this part; `before` commands came before it."""
        assert part.source is not None
        tracker = ContextTracker(columns=True)
        previous: deque[Entry] = deque(maxlen=self.around)
        found: Located | None = None
        for tile in read_tiles(part.source, table().names):
            if isinstance(tile, RecordBatch):
                found = self._batch(part, tile, tracker, before, previous, found)
            elif found is None:
                found = self._other(part, tile, tracker)
            if found and (found.entry is None or len(found.after) >= self.around):
                break
        self.commands = tracker.state[ContextField.COMMANDS]
        return found

    def _batch(
        self,
        part: AofPart,
        batch: RecordBatch,
        tracker: ContextTracker,
        before: int,
        previous: deque[Entry],
        found: Located | None,
    ) -> Located | None:
        commands = before + tracker.state[ContextField.COMMANDS]
        tracker.run(batch)
        at = -1 if found else self._index(batch, commands)
        if found is None and at < 0:
            first = max(0, batch.count - self.around)
            previous.extend(keep(_entry(part, batch, i, tracker, commands)) for i in range(first, batch.count))
            return None
        if found is None:
            first = max(0, at - self.around)
            previous.extend(keep(_entry(part, batch, i, tracker, commands)) for i in range(first, at))
            entry = keep(_entry(part, batch, at, tracker, commands))
            start = tracker.state[ContextField.MULTI_START] if entry.tx else None
            start = start if start is not None and start <= batch.record_span(at).start else None
            found = Located(part, entry, before=list(previous), multi_start=start)
        room = self.around - len(found.after)
        following = range(at + 1, min(batch.count, at + 1 + room))
        found.after += [keep(_entry(part, batch, i, tracker, commands)) for i in following]
        return found

    def _index(self, batch: RecordBatch, commands: int) -> int:
        """Which record of the batch is looked for, or -1."""
        at = index_of(batch, self.position, self.position.index, commands)
        return at if at < batch.count else -1

    def _other(self, part: AofPart, tile: Damage | Preamble, tracker: ContextTracker) -> Located | None:
        tracker.mark_unknown() if isinstance(tile, Damage) else tracker.preamble(tile.span.end)
        if self.position.number or not tile.span.start <= self.position.offset < _reach(part, tile):
            return None
        if isinstance(tile, Damage):
            return Located(part, damage=tile)
        return self._in_rdb(part, tile)

    def _in_rdb(self, part: AofPart, rdb: Preamble) -> Located:
        """The key, or what stands between keys, or damage; the magic is the RDB as a whole."""
        assert part.source is not None
        offset = self.position.offset
        if offset < MAGIC_SIZE or isinstance(part.source, PipeSource):
            return Located(part, preamble=rdb)
        guess, source = False, decompressed(part.source)
        for batch in batches(source, rdb):
            guess = guess or (isinstance(batch, Damage) and batch.end_is_guess)
            if not batch.span.start <= offset < batch.span.end:
                continue
            if isinstance(batch, Damage):
                return Located(part, damage=batch, preamble=rdb)
            item = next(item for item in batch if item.span.start <= offset < item.span.end)
            if isinstance(item, Key):
                key = BaseKey(part.name, Cursor(source), item, rdb.dialect, creation_time(rdb), guess)
                return Located(part, preamble=rdb, base_key=key)
            return Located(part, preamble=rdb, item=item)
        if offset >= rdb.span.end:
            raise InvalidSelection(f"nothing comes out of the RDB of {text.display_path(part.name)} at {offset}")
        return Located(part, preamble=rdb)


def _reach(part: AofPart, tile: Damage | Preamble) -> int:
    """Up to where a place is one in the tile: more comes out of a compressed RDB than it has bytes."""
    endless = isinstance(tile, Preamble) and tile.codec and tile.span.end == part.size
    return 1 << 62 if endless else tile.span.end


def _entry(part: AofPart, batch: RecordBatch, i: int, tracker: ContextTracker, commands: int) -> Entry:
    number = None if batch.ids[i] == ANNOTATION else commands + command_number(batch, i)
    return Entry(
        part.name,
        batch,
        i,
        number,
        none_if_unknown(tracker.db[i]),
        none_if_unknown(tracker.tx[i]) or None,
        none_if_unknown(tracker.time[i]),
    )
