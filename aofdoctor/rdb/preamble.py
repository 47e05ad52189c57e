"""Walk an RDB at the start of a file to its end, and read its AUX fields.

Items are only counted here, and values are not decoded.  For an RDB that Valkey compressed as a whole, the end is an
offset in the compressed file, and the frame's checksum is used where the RDB has none of its own.
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

_HEAD = 1 << 16  # bytes that hold all AUX fields of any server

_CTIME_DIGITS_MAX = 11  # up to the year 5138

is_rdb = header.is_rdb


def walk_rdb(source: Source, key_counts: KeyCounts | None = None) -> RdbInfo:
    """Read all items of the RDB at the start of `source`; return its end, checksum state, AUX fields and damage.

    `key_counts`, if given, counts the keys on the way.  The `end` of the result is an offset in `source`, also if the
    RDB is compressed.
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
    """Update `rdb` from the LZ4 or Zstd frame that holds it: its end in the file, completeness and checksum."""
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
    elif rdb.has_unknown_type and frame.has_checksum:  # the frame's checksum covers the unknown bytes too
        rdb.complete, rdb.key_count, rdb.checksum = True, None, "ok"


def read_aux(source: Source) -> dict[bytes, bytes]:
    """Return the AUX fields (name to value) of an RDB, reading only its first 64 KiB."""
    items = ItemReader(BytesSource(pread(decompressed(source), _HEAD, 0)), batch_items=2)
    for batch in items:
        if any(batch.columns.kind[i] not in (KIND_MAGIC, Opcode.AUX) for i in range(len(batch))):
            break
    return items.rdb.aux


def creation_time(aux: Mapping[bytes, bytes]) -> int | None:
    """Return when an RDB was written, in unix seconds, by its AUX field `ctime`; None if that is missing or absurd."""
    value = aux.get(b"ctime", b"")
    return int(value) if value.isdigit() and len(value) <= _CTIME_DIGITS_MAX else None
