"""Where an RDB at the head of a file ends, and whether its checksum is right.

A thin user of keys.py, which finds the items: here they are only counted, by who asks for it.
"""

from collections.abc import Mapping

from aofdoctor.rdb import header
from aofdoctor.rdb.compressed.source import DecompressedSource, decompressed
from aofdoctor.rdb.items import ItemReader, RdbInfo
from aofdoctor.rdb.key_counts import KeyCounts
from aofdoctor.rdb.opcodes import Opcode
from aofdoctor.rdb.walk.walker import KIND_MAGIC
from aofdoctor.source import BytesSource, Source, pread

__all__ = ["RdbInfo", "creation_time", "is_rdb", "read_aux", "walk_rdb"]

_HEAD = 1 << 16  # the writer's own words are in it

_CTIME_DIGITS_MAX = 11  # up to the year 5138

is_rdb = header.is_rdb


def walk_rdb(source: Source, key_counts: KeyCounts | None = None) -> RdbInfo:
    """Walk an RDB from the start of `source`; a census counts what it passes.

    Its `end` is a place in `source`, of a compressed one too.
    """
    stream = decompressed(source)
    items = ItemReader(stream)
    for batch in items:
        if key_counts:
            key_counts.add(batch.columns)
    if isinstance(stream, DecompressedSource):
        _apply_frame_result(items.rdb, stream)
    return items.rdb


def _apply_frame_result(rdb: RdbInfo, stream: DecompressedSource) -> None:
    """What the frame around an RDB says of it: where it ends, whether all of it came out, its checksum."""
    frame = stream.drain()
    extra = frame.bytes_out - rdb.end
    rdb.codec, rdb.end_is_known = stream.codec, frame.end is not None
    rdb.end = frame.last_good_offset if frame.end is None else frame.end
    if frame.note:
        rdb.complete, rdb.note = False, frame.note
    elif rdb.complete and extra:
        rdb.complete, rdb.note = False, f"{extra} bytes follow the RDB's end inside the {stream.codec} frame"
    elif rdb.checksum == "off" and frame.has_checksum:
        rdb.checksum = "ok"
    elif rdb.has_unknown_type and frame.has_checksum:  # as the RDB's own checksum would say it
        rdb.complete, rdb.key_count, rdb.checksum = True, None, "ok"


def read_aux(source: Source) -> dict[bytes, bytes]:
    """The writer's own words at the head of an RDB, without walking it."""
    items = ItemReader(BytesSource(pread(decompressed(source), _HEAD, 0)), batch_items=2)
    for batch in items:
        if any(batch.columns.kind[i] not in (KIND_MAGIC, Opcode.AUX) for i in range(len(batch))):
            break
    return items.rdb.aux


def creation_time(aux: Mapping[bytes, bytes]) -> int | None:
    """Return when an RDB was written, in unix seconds, by its AUX field `ctime`; None if that is missing or absurd."""
    value = aux.get(b"ctime", b"")
    return int(value) if value.isdigit() and len(value) <= _CTIME_DIGITS_MAX else None
