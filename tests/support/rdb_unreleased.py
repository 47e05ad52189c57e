"""Write RDB values that no installed server writes, from their published layouts."""

import struct
from dataclasses import dataclass

from aofdoctor.rdb.encoding.crc64 import crc64
from tests.support.rdb_value_writer import listpack


def length(value: int) -> bytes:
    """Encode a length as rdb.c does."""
    if value < 64:
        return bytes((value,))
    if value < 1 << 14:
        return (0x4000 | value).to_bytes(2, "big")
    return b"\x80" + value.to_bytes(4, "big") if value < 1 << 32 else b"\x81" + value.to_bytes(8, "big")


def string(data: bytes) -> bytes:
    """Encode an uncompressed string."""
    return length(len(data)) + data


@dataclass(frozen=True)
class UnreleasedRdb:
    """The bytes after the magic, and the names of the keys in them."""

    magic: bytes
    body: bytes
    names: list[bytes]


def with_checksum(rdb: UnreleasedRdb) -> bytes:
    """Return the whole RDB with its end mark and checksum."""
    data = rdb.magic + rdb.body + b"\xff"
    return data + crc64(data).to_bytes(8, "little")


def _stream(version: int) -> bytes:
    nodes = length(1) + string(bytes(16)) + string(b"listpack" * 9)
    counters = b"".join(map(length, (2, 5, 1, 1, 0, 0, 0, 2)))
    pending = length(1) + bytes(24) + length(3)
    consumer = string(b"me") + bytes(16) + length(1) + bytes(16)
    group = string(b"group") + length(5) + length(1) + length(2) + pending + length(1) + consumer
    group += length(2) + bytes(32) if version >= 5 else b""
    producer = string(b"pid") + length(2) + (string(b"iid") + length(7) + length(0)) * 2
    sent = length(3600) + length(100) + length(1) + producer + length(2) + length(0)
    return nodes + counters + length(1) + group + sent


_PLAIN = b"\x00" + string(b"plain") + string(b"value")
# The number of elements, a flag for the insert index, that index; then index, tag and value of each element.
_ARRAY = length(5) + length(1) + length(9)
_ARRAY += length(0) + length(0) + string(b"text") + length(2) + length(1) + struct.pack("<q", -42)
_ARRAY += length(500) + length(2) + struct.pack("<d", 1.5) + length(70000) + length(3) + string(b"small")
_ARRAY += length((1 << 64) - 2) + length(0) + string(b"last")
ARRAY: list[tuple[int, bytes | int | float]] = [
    (0, b"text"),
    (2, -42),
    (500, 1.5),
    (70000, b"small"),
    ((1 << 64) - 2, b"last"),
]
_META = b"\xf3" + length(1) + b"ABCD" + b"\x02\x07\x05" + string(b"meta") + b"\x04" + bytes(8) + b"\x00"
_TEMPLATE = b"\xf2" + length(70) + length(2) + string(b"name") + string(b"email")
_TEMPLATE += b"\xf2" + length(7) + length(1) + string(b"age")
TEMPLATE_HASHES = {
    b"lp": [(b"name", b"Bob"), (b"email", b"b@c")], b"arr": [(b"name", b"Ann"), (b"email", b"a@b")], b"old": [(b"age", b"77")],
}  # fmt: skip
_FIELDS = length(2) + (length(5) + string(b"field") + string(b"value")) * 2

UNRELEASED = {
    "stream4": UnreleasedRdb(b"REDIS0013", b"\x1a" + string(b"s4") + _stream(4) + _PLAIN, [b"s4", b"plain"]),
    "stream5": UnreleasedRdb(b"REDIS0014", b"\x1b" + string(b"s5") + _stream(5) + _PLAIN, [b"s5", b"plain"]),
    "array": UnreleasedRdb(b"REDIS0014", b"\x1c" + string(b"array") + _ARRAY + _PLAIN, [b"array", b"plain"]),
    "array-empty": UnreleasedRdb(b"REDIS0014", b"\x1c" + string(b"array") + length(0) * 2 + _PLAIN, [b"array", b"plain"]),
    "key-meta": UnreleasedRdb(b"REDIS0013", _META + _PLAIN, [b"plain"]),
    "templates": UnreleasedRdb(
        b"REDIS0015",
        _TEMPLATE + b"\x1e" + string(b"lp") + string(listpack([b"70", b"Bob", b"b@c"]))
        + b"\x20" + string(b"arr") + length(70) + string(b"Ann") + string(b"a@b")
        + b"\x1e" + string(b"old") + string(listpack([b"7", b"77"])) + _PLAIN, [b"lp", b"arr", b"old", b"plain"]),
    "hash-pre-ga": UnreleasedRdb(b"REDIS0012", b"\x16" + string(b"h") + _FIELDS + _PLAIN, [b"h", b"plain"]),
    "hash-listpack-pre-ga": UnreleasedRdb(b"REDIS0012", b"\x17" + string(b"h") + string(b"lp") + _PLAIN, [b"h", b"plain"]),
    "function-rc": UnreleasedRdb(
        b"REDIS0010", (b"\xf6" + string(b"lib") + string(b"LUA") + b"\x01" + string(b"about") + string(b"code"))
        + (b"\xf6" + string(b"lib") + string(b"LUA") + b"\x00" + string(b"code")) + _PLAIN, [b"plain"]),
    "valkey-hash": UnreleasedRdb(
        b"VALKEY080", b"\x16" + string(b"h") + length(2) + (string(b"f") + string(b"v") + bytes(8)) * 2 + _PLAIN,
        [b"h", b"plain"]),
    "slot-import": UnreleasedRdb(
        b"VALKEY080", b"\xf3" + string(b"j" * 40) + length(2) + length(0) + length(9) + length(100) + length(16383) + _PLAIN,
        [b"plain"]),
    "update": UnreleasedRdb(
        b"VALKEY081", _PLAIN + b"\xf2*3\r\n$3\r\nSET\r\n$1\r\na\r\n$300\r\n" + b"x" * 300 + b"\r\n" + _PLAIN,
        [b"plain", b"plain"]),
}  # fmt: skip


def template(number: int, *fields: bytes) -> bytes:
    return b"\xf2" + length(number) + length(len(fields)) + b"".join(map(string, fields))
