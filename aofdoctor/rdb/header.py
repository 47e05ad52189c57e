"""How an RDB begins."""

import re

from aofdoctor.source import Source, pread

MAGIC_SIZE = 9
MAGIC_PATTERN = re.compile(rb"REDIS[0-9]{4}|VALKEY[0-9]{3}")
CAN_FOLLOW_RDB = re.compile(rb"\Z|\*[0-9]{1,18}\r\n\$|#[A-Z]+:")  # what may follow an RDB
_WRITER = re.compile(rb".{9}\xfa.{1,2}(redis|valkey)-ver", re.DOTALL)

# Valkey's compressed stream: VCS, its version, codec, a reserved byte and what is in it (an RDB), then a frame of the
# codec (compression_stream.h of valkey-io/valkey, pull request 3531; that Zstd is 2 is of 3798, which is still open).
# One of either, the envelope or the frame's own magic, may be damaged.
FRAME_OFFSET = 7
_FRAMES = {b"\x04\x22\x4d\x18": "LZ4", b"\x28\xb5\x2f\xfd": "Zstd"}
_ENVELOPES = {b"VCS\x01\x01\0\x01": "LZ4", b"VCS\x01\x02\0\x01": "Zstd"}


def compression_codec(source: Source) -> str:
    """The codec, if a compressed stream of Valkey stands at the head: LZ4 or Zstd; else empty."""
    data = pread(source, FRAME_OFFSET + 4, 0)
    by_frame = _FRAMES.get(data[FRAME_OFFSET:], "") if data.startswith(b"VCS\x01") else ""
    return by_frame or _ENVELOPES.get(data[:FRAME_OFFSET], "")


def is_rdb(source: Source) -> bool:
    """True if the head is an RDB's, be it torn, compressed, or one whose magic was damaged."""
    head = pread(source, 64, 0)
    if compression_codec(source):
        return True
    is_truncated = len(head) < MAGIC_SIZE and head[:5] in (b"REDIS", b"VALKE")
    return is_truncated or bool(MAGIC_PATTERN.match(head) or _WRITER.match(head)) or head[:6] in (b"REDIS0", b"VALKEY")


def version_of(magic: bytes) -> int:
    """The format's version; 0 where the magic is none."""
    return int(magic[-3:]) if MAGIC_PATTERN.fullmatch(magic) else 0


def has_checksum(magic: bytes) -> bool:
    """Versions from 5 on end in one (rdb.c of Redis 2.6)."""
    return not magic.startswith(b"REDIS") or not 0 < version_of(magic) < 5


# The newest type that each version writes (rdb.h of Redis 2.6 to 8.8 and Valkey 9.0); none older than 6 is told apart.
_NEWEST_TYPE = {"redis": ((6, 13), (7, 14), (8, 14), (9, 15), (10, 19), (11, 21), (12, 25), (13, 26), (14, 28)),
                "valkey": ((11, 21), (80, 22))}  # fmt: skip


def has_type(magic: bytes, kind: int) -> bool:
    """False of a type that servers of this version do not write yet."""
    return kind <= newest_type("valkey" if magic.startswith(b"VALKE") else "redis", version_of(magic))


def newest_type(dialect: str, version: int) -> int:
    """Return the highest value type number that an RDB of this version can contain; 255 if unknown."""
    return next((newest for known, newest in _NEWEST_TYPE[dialect] if version <= known), 255)


def read_dialect(source: Source) -> str:
    """Who gives the bytes of an RDB their meaning."""
    return "valkey" if pread(source, 5, 0) == b"VALKE" else "redis"
