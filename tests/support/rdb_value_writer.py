"""Write RDB values by hand, for types that no installed server writes.

Each layout is written in its simplest form (rdb.c, ziplist.c, zipmap.c, intset.c,
listpack.c, lzf_c.c).
"""

import struct
from collections.abc import Sequence

LISTPACK_NUMBERS = ((0xF1, 2), (0xF2, 3), (0xF3, 4), (0xF4, 8))
ZIPLIST_NUMBERS = ((0xFE, 1), (0xC0, 2), (0xF0, 3), (0xD0, 4), (0xE0, 8))


def length(value: int) -> bytes:
    """Encode a length."""
    if value < 64:
        return bytes([value])
    if value < 1 << 14:
        return (value | 0x4000).to_bytes(2, "big")
    return b"\x80" + value.to_bytes(4, "big") if value < 1 << 32 else b"\x81" + value.to_bytes(8, "big")


def string(data: bytes) -> bytes:
    """Encode an uncompressed string."""
    return length(len(data)) + data


def lzf_string(packed: bytes, size: int) -> bytes:
    """Encode an LZF string that claims the given size."""
    return b"\xc3" + length(len(packed)) + length(size) + packed


def lzf(data: bytes) -> bytes:
    """Compress with LZF: runs of one byte become copies, other bytes stay literal."""
    out, at = b"", 0
    while at < len(data):
        near = data[at : at + 265]
        run = len(near) - len(near.lstrip(near[:1]))
        if run > 4:
            copy = min(run - 1, 264)
            out += b"\x00" + data[at : at + 1]
            out += bytes([0xE0, copy - 9, 0]) if copy > 8 else bytes([(copy - 2) << 5, 0])
            at += 1 + copy
        else:
            out += b"\x00" + data[at : at + 1]
            at += 1
    return out


def number(item: bytes) -> int | None:
    """Return the 64-bit integer that has these bytes as its canonical text, or None."""
    text = item.decode("latin-1")
    digits = text.removeprefix("-")
    if not digits.isascii() or not digits.isdigit() or len(digits) > 19 or str(int(text)) != text:
        return None
    return int(text) if -(1 << 63) <= int(text) < 1 << 63 else None


def listpack(items: Sequence[bytes]) -> bytes:
    """Encode a listpack, with its items encoded as servers do."""
    body = b""
    for item in items:
        entry = _listpack_entry(item)
        back = [
            len(entry) >> 7 * i & 127 | 128
            for i in range(1 + sum(len(entry) >= n for n in (128, 16383, 2097151, 268435455)))
        ]
        back[-1] &= 127
        body += entry + bytes(reversed(back))
    return struct.pack("<IH", 7 + len(body), min(len(items), 65535)) + body + b"\xff"


def _listpack_entry(item: bytes) -> bytes:
    value = number(item)
    if value is not None and 0 <= value < 128:
        return bytes([value])
    if value is not None and -4096 <= value < 4096:
        return (0xC000 | value & 0x1FFF).to_bytes(2, "big")
    if value is not None:
        mark, size = next((m, s) for m, s in LISTPACK_NUMBERS if -(1 << 8 * s - 1) <= value < 1 << 8 * s - 1)
        return bytes([mark]) + value.to_bytes(size, "little", signed=True)
    if len(item) < 64:
        return bytes([0x80 | len(item)]) + item
    return (
        (0xE000 | len(item)).to_bytes(2, "big") + item
        if len(item) < 4096
        else b"\xf0" + len(item).to_bytes(4, "little") + item
    )


def ziplist(items: Sequence[bytes]) -> bytes:
    """Encode a ziplist, with its items encoded as servers do."""
    body, before = b"", 0
    for item in items:
        entry = (bytes([before]) if before < 254 else b"\xfe" + before.to_bytes(4, "little")) + _ziplist_entry(item)
        body, before = body + entry, len(entry)
    return struct.pack("<IIH", 11 + len(body), 10 + len(body) - before, min(len(items), 65535)) + body + b"\xff"


def _ziplist_entry(item: bytes) -> bytes:
    value = number(item)
    if value is not None and 0 <= value <= 12:
        return bytes([0xF1 + value])
    if value is not None:
        mark, size = next((m, s) for m, s in ZIPLIST_NUMBERS if -(1 << 8 * s - 1) <= value < 1 << 8 * s - 1)
        return bytes([mark]) + value.to_bytes(size, "little", signed=True)
    if len(item) < 64:
        return bytes([len(item)]) + item
    return (
        (0x4000 | len(item)).to_bytes(2, "big") + item
        if len(item) < 1 << 14
        else b"\x80" + len(item).to_bytes(4, "big") + item
    )


def zipmap(pairs: Sequence[tuple[bytes, bytes]], free: int = 0) -> bytes:
    """Encode a zipmap, with free bytes after each value."""

    def size(data: bytes) -> bytes:
        return bytes([len(data)]) if len(data) < 254 else b"\xfe" + len(data).to_bytes(4, "little")

    body = b"".join(size(f) + f + size(v) + bytes([free]) + v + bytes(free) for f, v in pairs)
    return bytes([min(len(pairs), 254)]) + body + b"\xff"


def intset(members: Sequence[int], width: int) -> bytes:
    """Encode an intset."""
    return struct.pack("<II", width, len(members)) + b"".join(m.to_bytes(width, "little", signed=True) for m in members)


def old_zset(scores: Sequence[tuple[bytes, float]]) -> bytes:
    """Encode a sorted set of type 3, which has scores as text."""
    special = {"nan": 253, "inf": 254, "-inf": 255}
    out = length(len(scores))
    for member, score in scores:
        text = f"{score:.17g}"
        out += string(member) + (bytes([special[text]]) if text in special else bytes([len(text)]) + text.encode())
    return out


def raw_id(ms: int, seq: int) -> bytes:
    """Encode a stream ID as 16 raw bytes."""
    return struct.pack(">QQ", ms, seq)


def stream(version: int, groups: bytes, rest: bytes = b"") -> bytes:
    """Encode a stream with one entry 5-1 {a: b}; `groups` starts with the number of groups, `rest` follows them."""
    node = listpack([b"1", b"0", b"1", b"a", b"0", b"2", b"0", b"0", b"b", b"4"])
    counters = b"".join(map(length, (5, 1, 0, 0, 1))) if version > 1 else b""
    return (
        length(1) + string(raw_id(5, 1)) + string(node) + length(1) + length(5) + length(1) + counters + groups + rest
    )
