"""Where an RDB at the head of a file ends, and whether its checksum is right.

A thin user of keys.py, which finds the items: here they are only counted, by who asks for it.
"""

from aofdoctor.rdb import header as head
from aofdoctor.rdb.compressed.source import DecompressedSource, decompressed
from aofdoctor.rdb.items import AUX, ItemReader, RdbInfo
from aofdoctor.rdb.key_counts import KeyCounts
from aofdoctor.rdb.walk.walker import MAGIC
from aofdoctor.source import BytesSource, Source, pread

__all__ = ["RdbInfo", "is_rdb", "read_aux", "walk"]

_HEAD = 1 << 16  # the writer's own words are in it

is_rdb = head.begins


def walk(source: Source, key_counts: KeyCounts | None = None) -> RdbInfo:
    """Walk an RDB from the start of `source`; a census counts what it passes.

    Its `end` is a place in `source`, of a compressed one too.
    """
    stream = decompressed(source)
    items = ItemReader(stream)
    for batch in items:
        if key_counts:
            key_counts.add(batch.columns)
    if isinstance(stream, DecompressedSource):
        _settle(items.rdb, stream)
    return items.rdb


def _settle(rdb: RdbInfo, stream: DecompressedSource) -> None:
    """What the frame around an RDB says of it: where it ends, whether all of it came out, its checksum."""
    frame = stream.drain()
    more = frame.bytes_out - rdb.end
    rdb.codec, rdb.bounded = stream.codec, frame.end is not None
    rdb.end = frame.sound if frame.end is None else frame.end
    if frame.note:
        rdb.complete, rdb.note = False, frame.note
    elif rdb.complete and more:
        rdb.complete, rdb.note = False, f"{more} bytes follow the RDB's end inside the {stream.codec} frame"
    elif rdb.checksum == "off" and frame.checked:
        rdb.checksum = "ok"
    elif rdb.unread and frame.checked:  # as the RDB's own checksum would say it
        rdb.complete, rdb.keys, rdb.checksum = True, None, "ok"


def read_aux(source: Source) -> dict[bytes, bytes]:
    """The writer's own words at the head of an RDB, without walking it."""
    items = ItemReader(BytesSource(pread(decompressed(source), _HEAD, 0)), room=2)
    for batch in items:
        if any(batch.columns.kind[i] not in (MAGIC, AUX) for i in range(len(batch))):
            break
    return items.rdb.aux
