"""Where an RDB at the head of a file ends, and whether its checksum is right.

A thin user of keys.py, which finds the items: here they are only counted, by who asks for it.
"""

from aofdoctor.rdb import magic as head
from aofdoctor.rdb.census import Census
from aofdoctor.rdb.kernel import MAGIC
from aofdoctor.rdb.keys import AUX, Items, Rdb
from aofdoctor.source import BytesSource, Source, pread

__all__ = ["Rdb", "is_rdb", "read_aux", "walk"]

_HEAD = 1 << 16  # the writer's own words are in it

is_rdb = head.begins


def walk(source: Source, census: Census | None = None) -> Rdb:
    """Walk an RDB from the start of `source`; a census counts what it passes."""
    items = Items(source)
    for batch in items:
        if census:
            census.add(batch.columns)
    return items.rdb


def read_aux(source: Source) -> dict[bytes, bytes]:
    """The writer's own words at the head of an RDB, without walking it."""
    items = Items(BytesSource(pread(source, _HEAD, 0)), room=2)
    for batch in items:
        if any(batch.columns.kind[i] not in (MAGIC, AUX) for i in range(len(batch))):
            break
    return items.rdb.aux
