"""Whole RDBs of a few keys, for tests of what does not need a server: a head, keys as they are encoded, an end."""

from collections.abc import Iterable

from aofdoctor.rdb.encoding.crc64 import crc64
from tests.support.rdb_value_writer import length, string

MODULE = 7


def make_rdb(*keys: bytes, aux: Iterable[tuple[bytes, bytes]] = (), magic: bytes = b"REDIS0011") -> bytes:
    """An RDB with its checksum; `aux` are the writer's own words."""
    head = magic + b"".join(b"\xfa" + string(name) + string(value) for name, value in aux)
    data = head + b"".join(keys) + b"\xff"
    return data + crc64(data).to_bytes(8, "little")


def select_db(db: int) -> bytes:
    return b"\xfe" + length(db)


def string_key(key: bytes, value: bytes, expire_ms: int | None = None) -> bytes:
    """A string."""
    expiry = b"" if expire_ms is None else b"\xfc" + expire_ms.to_bytes(8, "little")
    return expiry + b"\x00" + string(key) + string(value)


def collection_key(key: bytes, *values: bytes, kind: int = 2) -> bytes:
    """A set, or a list with `kind` 1."""
    return bytes([kind]) + string(key) + length(len(values)) + b"".join(map(string, values))


def module_key(key: bytes, value: bytes) -> bytes:
    """A value that only its module can make: a string of the type `unknown-t`."""
    letters = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    packed = 0
    for letter in b"unknown-t":
        packed = packed << 6 | letters.index(letter)
    return bytes([MODULE]) + string(key) + length(packed << 10 | 1) + b"\x05" + string(value) + b"\x00"
