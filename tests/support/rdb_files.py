"""RDB files: the fixtures, small RDBs built from encoded keys, compressed RDBs, and the keys of any RDB.

Compressed RDBs are wrapped as Valkey 9.2 does, with the published envelope and a
frame from the codec's own library; no installed server writes one.
"""

import sys
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import lz4.frame
import pytest

from aofdoctor.rdb.encoding.crc64 import crc64
from aofdoctor.rdb.items import ItemReader, KeyItem
from aofdoctor.rdb.values.decoders import ValueRef
from aofdoctor.source import Source, pread
from tests.conftest import FIXTURES
from tests.support.rdb_value_writer import length, string

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

MODULE = 7


def make_rdb(*keys: bytes, aux: Iterable[tuple[bytes, bytes]] = (), magic: bytes = b"REDIS0011") -> bytes:
    """Return an RDB with its checksum; `aux` are its AUX fields."""
    head = magic + b"".join(b"\xfa" + string(name) + string(value) for name, value in aux)
    data = head + b"".join(keys) + b"\xff"
    return data + crc64(data).to_bytes(8, "little")


def select_db(db: int) -> bytes:
    return b"\xfe" + length(db)


def string_key(key: bytes, value: bytes, expire_ms: int | None = None) -> bytes:
    """Encode a key with a string value."""
    expiry = b"" if expire_ms is None else b"\xfc" + expire_ms.to_bytes(8, "little")
    return expiry + b"\x00" + string(key) + string(value)


def collection_key(key: bytes, *values: bytes, kind: int = 2) -> bytes:
    """Encode a key with a set, or a list if `kind` is 1."""
    return bytes([kind]) + string(key) + length(len(values)) + b"".join(map(string, values))


def module_key(key: bytes, value: bytes) -> bytes:
    """Encode a key with a value of the module type `unknown-t`, which only that module can read."""
    letters = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    packed = 0
    for letter in b"unknown-t":
        packed = packed << 6 | letters.index(letter)
    return bytes([MODULE]) + string(key) + length(packed << 10 | 1) + b"\x05" + string(value) + b"\x00"


RDB_FIXTURES = sorted((FIXTURES / "rdb").glob("*.rdb"))


each_rdb_fixture = pytest.mark.parametrize("path", RDB_FIXTURES, ids=lambda path: path.stem)


_FUNCTION = 245


class Key(NamedTuple):
    """A key, and the position of its value."""

    db: int
    name: bytes
    expire_ms: int | None
    value: ValueRef
    end: int


class Function(NamedTuple):
    """The offset of the code of a function library."""

    offset: int


def iter_keys(source: Source) -> Iterator[Key | Function]:
    """Yield every key and function library, in file order."""
    dialect = "valkey" if pread(source, 6, 0) == b"VALKEY" else "redis"
    for batch in ItemReader(source):
        for item in list(batch):
            if isinstance(item, KeyItem):
                expire = None if item.expire_ms < 0 else item.expire_ms
                value = ValueRef(item.value_offset, item.type, dialect)
                yield Key(item.db, item.name(source), expire, value, item.end)
            elif item.kind == _FUNCTION:
                yield Function(item.body_offset)


CODECS = ("LZ4", "Zstd")


def without_checksum(rdb: bytes) -> bytes:
    """Return an RDB with a checksum of 0, as in a compressed stream, where the frame has its own checksum."""
    return rdb[:-8] + bytes(8)


def compress_frame(data: bytes, codec: str, with_checksum: bool = True, **options: Any) -> bytes:
    """Return one frame as Valkey writes it: linked blocks of 64 KiB for LZ4, a stream for Zstd."""
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
    """Return the whole stream: VCS, version 1, the codec, 0, 1 for an RDB, the frame (compression_stream.h)."""
    return (
        b"VCS\x01"
        + bytes([1 + CODECS.index(codec), 0, 1])
        + compress_frame(without_checksum(rdb), codec, with_checksum, **options)
    )
