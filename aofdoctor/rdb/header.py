"""Recognize an RDB by its first bytes: magic, format version, dialect, and the envelope of a compressed RDB.

The dialect, redis or valkey, decides what type bytes and opcodes mean.  Only the first 64 bytes are read, and damaged
beginnings are recognized where possible.  The module also knows the newest type that each format version can contain.
"""

import re

from aofdoctor.rdb.opcodes import RdbType, ValkeyRdbType
from aofdoctor.source import Source, pread

MAGIC_SIZE = 9
MAGIC_PATTERN = re.compile(rb"REDIS[0-9]{4}|VALKEY[0-9]{3}")
CAN_FOLLOW_RDB = re.compile(rb"\Z|\*[0-9]{1,18}\r\n\$|#[A-Z]+:")  # the end of the file, a command or an annotation
# The first AUX field, redis-ver or valkey-ver, by which an RDB with a damaged magic is recognized.
_WRITER = re.compile(rb".{9}\xfa.{1,2}(redis|valkey)-ver", re.DOTALL)

# A compressed stream of Valkey is an envelope of seven bytes and a frame of the codec.  The envelope holds "VCS", the
# version, the codec, a reserved byte and the kind of content, an RDB (compression_stream.h of valkey-io/valkey, pull
# request 3531; the number 2 for Zstd is from pull request 3798, which is still open).  A stream is recognized by either
# the envelope or the magic of the frame, so that one of them may be damaged.
FRAME_OFFSET = 7
_FRAMES = {b"\x04\x22\x4d\x18": "LZ4", b"\x28\xb5\x2f\xfd": "Zstd"}
_ENVELOPES = {b"VCS\x01\x01\0\x01": "LZ4", b"VCS\x01\x02\0\x01": "Zstd"}


def compression_codec(source: Source) -> str:
    """Return the codec of a Valkey-compressed RDB at the start of `source`, LZ4 or Zstd; empty for a plain RDB.

    This is compression of the whole RDB as a stream, not of single strings with LZF.
    """
    data = pread(source, FRAME_OFFSET + 4, 0)
    by_frame = _FRAMES.get(data[FRAME_OFFSET:], "") if data.startswith(b"VCS\x01") else ""
    return by_frame or _ENVELOPES.get(data[:FRAME_OFFSET], "")


def is_rdb(source: Source) -> bool:
    """Return whether `source` begins with an RDB, even if it is truncated, compressed, or has a damaged magic."""
    head = pread(source, 64, 0)
    if compression_codec(source):
        return True
    is_truncated = len(head) < MAGIC_SIZE and head[:5] in (b"REDIS", b"VALKE")
    return is_truncated or bool(MAGIC_PATTERN.match(head) or _WRITER.match(head)) or head[:6] in (b"REDIS0", b"VALKEY")


def version_of(magic: bytes) -> int:
    """Return the RDB version in a magic such as REDIS0011 (11) or VALKEY080 (80); 0 if it is no valid magic."""
    return int(magic[-3:]) if MAGIC_PATTERN.fullmatch(magic) else 0


def dialect_of(magic: bytes) -> str:
    """Return whether the type bytes and opcodes after an RDB's magic are numbered as in redis or as in valkey."""
    return "valkey" if magic.startswith(b"VALKE") else "redis"


def read_dialect(source: Source) -> str:
    """Return the dialect, redis or valkey, of the RDB at the start of `source`."""
    return dialect_of(pread(source, MAGIC_SIZE, 0))


def has_checksum(magic: bytes) -> bool:
    """Return whether an RDB with this magic ends with a CRC-64: all from RDB version 5 on do (rdb.c of Redis 2.6)."""
    return not magic.startswith(b"REDIS") or not 0 < version_of(magic) < 5


# By dialect: pairs of (RDB version, highest type byte that it writes), from rdb.h of Redis 2.6 to 8.10 and Valkey 9.0.
# RDB versions before 6 count as 6.
_NEWEST_TYPE: dict[str, tuple[tuple[int, int], ...]] = {
    "redis": (
        (6, RdbType.HASH_ZIPLIST),
        (7, RdbType.LIST_QUICKLIST),
        (8, RdbType.LIST_QUICKLIST),
        (9, RdbType.STREAM_LISTPACKS),
        (10, RdbType.STREAM_LISTPACKS_2),
        (11, RdbType.STREAM_LISTPACKS_3),
        (12, RdbType.HASH_LISTPACK_EX),
        (13, RdbType.STREAM_LISTPACKS_4),
        (14, RdbType.ARRAY),
        (15, RdbType.HASH_TMPL_ARRAY_REF),
    ),
    "valkey": ((11, RdbType.STREAM_LISTPACKS_3), (80, ValkeyRdbType.HASH_2)),
}


def has_type(magic: bytes, kind: int) -> bool:
    """Return whether an RDB with this magic can contain the type byte `kind`; False if the type is newer."""
    return kind <= newest_type(dialect_of(magic), version_of(magic))


def newest_type(dialect: str, version: int) -> int:
    """Return the highest type byte that an RDB of this dialect and version can contain; 255 for an unknown version."""
    return next((newest for known, newest in _NEWEST_TYPE[dialect] if version <= known), 255)
