"""RDBs as Valkey 9.2 compresses them: the envelope as published, the frame by the codecs' own libraries.

No server at hand writes one; what is inside was written by real servers.
"""

import sys
from typing import Any

import lz4.frame

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

CODECS = ("LZ4", "Zstd")


def without_checksum(rdb: bytes) -> bytes:
    """An RDB with a checksum of 0, as inside a stream: the frame has its own."""
    return rdb[:-8] + bytes(8)


def compress_frame(data: bytes, codec: str, with_checksum: bool = True, **options: Any) -> bytes:
    """One frame, written as Valkey does: linked blocks of 64 KiB for LZ4, in a stream for Zstd."""
    if codec == "LZ4":
        lz4_options = {"block_linked": True, "block_size": lz4.frame.BLOCKSIZE_MAX64KB} | options
        return bytes(
            lz4.frame.compress(
                data, content_checksum=with_checksum, block_checksum=with_checksum, store_size=False, **lz4_options
            )
        )
    parameter = zstd.CompressionParameter
    compressor = zstd.ZstdCompressor(options={parameter.checksum_flag: int(with_checksum)})
    return bytes(compressor.compress(data) + compressor.flush())


def compress_rdb(rdb: bytes, codec: str, with_checksum: bool = True, **options: Any) -> bytes:
    """The whole stream: VCS, version 1, the codec, 0, 1 for an RDB, the frame (compression_stream.h)."""
    return (
        b"VCS\x01"
        + bytes([1 + CODECS.index(codec), 0, 1])
        + compress_frame(without_checksum(rdb), codec, with_checksum, **options)
    )
