"""Count the keys at the head of a converted file by reading the file back: RDB keys, or keys that commands create.

The commands that a conversion writes for one key are consecutive, so a new key begins where the name or the database
changes.
"""

from collections import Counter
from collections.abc import Iterator
from itertools import islice

from aofdoctor.aof.reader import read_tiles
from aofdoctor.aof.records import LargeArgument, RecordBatch
from aofdoctor.rdb.compressed.source import decompressed
from aofdoctor.rdb.header import read_dialect
from aofdoctor.rdb.items import ItemReader
from aofdoctor.rdb.preamble import is_rdb
from aofdoctor.rdb.values.decoders import ValueRef, type_name
from aofdoctor.server.command_table import command_table
from aofdoctor.source import FileSource

KeyTypeCounts = Counter[tuple[int, str]]
# For each command that creates a key: the type of the key, and the index of the argument that is its name.
_KEY_CREATORS = {
    "set": ("string", 1), "rpush": ("list", 1), "sadd": ("set", 1), "zadd": ("zset", 1), "hmset": ("hash", 1),
    "xadd": ("stream", 1), "xsetid": ("stream", 1), "xclaim": ("stream", 1), "xtrim": ("stream", 1),
    "xdel": ("stream", 1), "xgroup": ("stream", 2), "xgroup|create": ("stream", 2),
    "xgroup|createconsumer": ("stream", 2),
}  # fmt: skip


def count_head_keys(source: FileSource, end: int) -> KeyTypeCounts:
    """Count keys, by database and type, in the commands at the head of a file, up to the file offset `end`."""
    return count_rdb_keys(source) if is_rdb(source) else _count_command_keys(source, end)


def count_rdb_keys(source: FileSource) -> KeyTypeCounts:
    """Count the keys of an RDB by database and type."""
    found: Counter[tuple[int, int]] = Counter()
    rdb = decompressed(source)
    for batch in ItemReader(rdb, verify=False):
        columns = batch.columns
        found.update((columns.db[i], columns.kind[i]) for i in range(len(batch)) if columns.name[i] >= 0)
    dialect, keys = read_dialect(rdb), KeyTypeCounts()
    for (db, kind), count in found.items():
        keys[max(db, 0), type_name(ValueRef(0, kind, dialect)) or f"type {kind}"] += count
    return keys


def _count_command_keys(source: FileSource, end: int) -> KeyTypeCounts:
    creators = {c.id: _KEY_CREATORS[c.name] for c in command_table().commands if c.name in _KEY_CREATORS}
    select = command_table().names.ids[b"select"]
    keys, db, last = KeyTypeCounts(), 0, (-1, b"")
    for batch, i in _records(source, end):
        number = batch.ids[i]
        if number == select:
            db = int(_argument(batch, i, 1))
        elif number in creators:
            kind, position = creators[number]
            name = _argument(batch, i, position)
            if (db, name) != last:
                keys[db, kind] += 1
                last = (db, name)
    return keys


def _records(source: FileSource, end: int) -> Iterator[tuple[RecordBatch, int]]:
    for tile in read_tiles(source, command_table().names):
        if not isinstance(tile, RecordBatch) or tile.span.start >= end:
            return
        for i in range(tile.count):
            if tile.record_span(i).start < end:
                yield tile, i


def _argument(batch: RecordBatch, i: int, position: int) -> bytes:
    """One argument of a command; for an argument too large to hold, its size and its first 64 KiB."""
    if not batch.oversized:
        return batch.argv(i, position + 1)[position]
    found = next(islice(batch.args(i), position, None))
    return b"%d %b" % (found.size, found.head(1 << 16)) if isinstance(found, LargeArgument) else found
