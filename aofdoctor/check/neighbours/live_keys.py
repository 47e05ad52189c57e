"""Count the keys that exist after loading some AOF and RDB files, without a server.

The keys of the base are counted first, then the effects of commands.  A command that writes a key adds its name; DEL,
UNLINK, RENAME and flushes remove names.  Keys that expire, or that disappear with their last element, are still
counted, so the number is an upper estimate.  Memory and time are limited: beyond the limits the names are not compared,
and the numbers of keys and commands are added up.
"""

from collections import defaultdict
from collections.abc import Iterable

from aofdoctor.aof.records import Preamble, RecordBatch
from aofdoctor.damage import Damage
from aofdoctor.log.context_walk import walk_part
from aofdoctor.rdb.encoding.cursor import Cursor
from aofdoctor.rdb.items import KeyItem
from aofdoctor.server.command_table import command_table, key_uses
from aofdoctor.server.context.tracker import ContextTracker
from aofdoctor.source import Source

NAMES_MAX = 1 << 20
BYTES_MAX = 32 << 20
_DAMAGES_MAX = 100  # in one file: a search for keys in unknown bytes is slow


class LiveKeys:
    """The names of the keys that exist after some AOF or RDB files were read in load order.

    `names` holds hashes of the names by database (-1: unknown).
    """

    def __init__(self) -> None:
        table = command_table()
        self.names: defaultdict[int, set[int]] = defaultdict(set)
        self.deletes = table.ids_of(frozenset({"del", "unlink"}))
        self.flush_all, self.flush_db = table.names.ids[b"flushall"], table.names.ids[b"flushdb"]
        self.renames = table.ids_of(frozenset({"rename", "renamenx"}))
        self.writes = table.with_effect("write")

    @property
    def count(self) -> int:
        """The number of keys that exist, in all databases."""
        return sum(map(len, self.names.values()))

    def add_file(self, source: Source) -> bool:
        """Apply the keys and commands of one file; return False if there are too many key names, or too much damage."""
        tracker, damages = ContextTracker(columns=True), 0
        for tile in walk_part(source, tracker):
            if isinstance(tile, RecordBatch):
                tracker.track(tile)
                self._add_batch(tile, tracker)
            elif isinstance(tile, Preamble):
                self._add_rdb(source, tile)
            else:
                damages += 1
            if self.count > NAMES_MAX or damages > _DAMAGES_MAX:
                return False
        return True

    def _add_rdb(self, source: Source, rdb: Preamble) -> None:
        # Imported late: most AOFs have no second generation and no temporary file, so check starts without these.
        from aofdoctor.log.base_keys import key_name
        from aofdoctor.rdb.recovery.loader_rules import value_defect
        from aofdoctor.rdb.recovery.salvage import salvage_items

        if rdb.codec:
            return
        cursor, damages = Cursor(source), 0
        for tile in salvage_items(source, rdb.span.end, lambda source, key: value_defect(source, key, rdb.magic)):
            if isinstance(tile, Damage):
                damages += 1
                if damages > _DAMAGES_MAX:
                    return
                continue
            for item in tile:
                if isinstance(item, KeyItem):
                    self.names[item.db].add(hash(key_name(cursor, item)))
            if self.count > NAMES_MAX:
                return

    def _add_batch(self, batch: RecordBatch, tracker: ContextTracker) -> None:
        if batch.oversized:
            first = next(iter(list(batch.args(0))[1:2]), b"")
            self.names[tracker.db[0]].add(hash(first if isinstance(first, bytes) else first.head(64)))
            return
        for i in range(batch.count):
            if batch.ids[i] in self.writes:
                self._add_command(batch.ids[i], batch.argv(i), tracker.db[i])

    def _add_command(self, number: int, argv: list[bytes], db: int) -> None:
        names = self.names[db]
        if number == self.flush_all:
            self.names.clear()
        elif number == self.flush_db:
            names.clear()
        elif number in self.deletes:
            names.difference_update(map(hash, argv[1:]))
        elif number in self.renames and len(argv) == 3:
            names.discard(hash(argv[1]))
            names.add(hash(argv[2]))
        elif command := command_table().get(number):
            names.update(hash(argv[at]) for at, access in key_uses(command, argv) if access != "RO")


def count_live_keys(sources: Iterable[Source]) -> int | None:
    """Return the number of keys that exist after loading some AOF or RDB files in this order.

    None if they are too large.
    """
    keys, size = LiveKeys(), 0
    for source in sources:
        size += source.size or 0
        if size > BYTES_MAX or not keys.add_file(source):
            return None
    return keys.count
