"""How each RDB value is laid out: one row a type byte.

A layout is a list of steps that a Cursor takes (reader.py): only what it needs
to find the value's end.  Source: rdb.c and rdb.h of Redis 2.8 to 7.4 and
Valkey 9.1.  A byte that has no row is a type that this version does not read.
"""

from collections.abc import Callable
from typing import Protocol


class Cursor(Protocol):
    """What a layout needs of the reader."""

    def length(self) -> int: ...
    def string(self) -> None: ...
    def skip(self, size: int) -> None: ...
    def byte(self) -> int: ...


class Unreadable(Exception):
    """A byte whose meaning this version does not know."""


Layout = Callable[[Cursor], None]


def _strings(each: int) -> Layout:
    """A length, then so many times `each` strings."""

    def layout(c: Cursor) -> None:
        for _ in range(c.length() * each):
            c.string()

    return layout


def _length(c: Cursor) -> None:
    c.length()


def _string(c: Cursor) -> None:
    c.string()


def _zset(c: Cursor) -> None:
    """Members with scores as text; 253 to 255 stand for nan and the infinities."""
    for _ in range(c.length()):
        c.string()
        size = c.byte()
        c.skip(size if size < 253 else 0)


def _zset2(c: Cursor) -> None:
    """Members with scores as 8-byte doubles."""
    for _ in range(c.length()):
        c.string()
        c.skip(8)


def _quicklist2(c: Cursor) -> None:
    for _ in range(c.length()):
        c.length()
        c.string()


def _module2(c: Cursor) -> None:
    """A module's id, then values that say what they are, up to opcode 0."""
    c.length()
    while opcode := c.length():
        if opcode not in _MODULE_OPCODES:
            raise Unreadable(f"module opcode {opcode}")
        _MODULE_OPCODES[opcode](c)


def _stream(version: int) -> Layout:
    """Listpacks, counters, consumer groups; 2 and 3 added counters and times."""

    def layout(c: Cursor) -> None:
        for _ in range(c.length()):
            c.string()
            c.string()
        for _ in range(3 if version == 1 else 8):
            c.length()
        for _ in range(c.length()):
            _group(c, version)

    return layout


def _group(c: Cursor, version: int) -> None:
    c.string()
    for _ in range(2 if version == 1 else 3):
        c.length()
    for _ in range(c.length()):
        c.skip(16 + 8)
        c.length()
    for _ in range(c.length()):
        c.string()
        c.skip(8 if version < 3 else 16)
        c.skip(16 * c.length())


def _hash_metadata(c: Cursor) -> None:
    """Redis 7.4: the soonest expiry, then expiry, field, value."""
    c.skip(8)
    for _ in range(c.length()):
        c.length()
        c.string()
        c.string()


def _hash_listpack_ex(c: Cursor) -> None:
    c.skip(8)
    c.string()


def _hash2(c: Cursor) -> None:
    """Valkey 9.0: field, value, expiry in ms."""
    for _ in range(c.length()):
        c.string()
        c.string()
        c.skip(8)


_MODULE_OPCODES: dict[int, Layout] = {
    1: _length,
    2: _length,
    3: lambda c: c.skip(4),
    4: lambda c: c.skip(8),
    5: _string,
}

_COMMON: dict[int, Layout] = {
    0: _string,
    1: _strings(1),
    2: _strings(1),
    3: _zset,
    4: _strings(2),
    5: _zset2,
    7: _module2,
    9: _string,
    10: _string,
    11: _string,
    12: _string,
    13: _string,
    14: _strings(1),
    15: _stream(1),
    16: _string,
    17: _string,
    18: _quicklist2,
    19: _stream(2),
    20: _string,
    21: _stream(3),
}

LAYOUTS: dict[str, dict[int, Layout]] = {
    "redis": _COMMON | {24: _hash_metadata, 25: _hash_listpack_ex},
    "valkey": _COMMON | {22: _hash2},
}


def _function(c: Cursor) -> None:
    """246, of 7.0 before its release: name, engine, description if there is one, code."""
    c.string()
    c.string()
    if c.length():
        c.string()
    c.string()


def _slot_info(c: Cursor) -> None:
    for _ in range(3):
        c.length()


def _resizedb(c: Cursor) -> None:
    c.length()
    c.length()


# What stands between keys; 255 (the end) and 250 (the writer's own words) are the reader's.
OPCODES: dict[int, Layout] = {
    244: _slot_info,
    245: _string,
    246: _function,
    247: _module2,
    248: _length,
    249: lambda c: c.skip(1),
    251: _resizedb,
    252: lambda c: c.skip(8),
    253: lambda c: c.skip(4),
    254: _length,
}
