"""The keys of an RDB with their values' boundaries, by a plain walk of the layouts."""

from collections.abc import Iterator
from typing import NamedTuple

from aofdoctor.rdb.elements import Value
from aofdoctor.rdb.preamble import Rdb, _Walker
from aofdoctor.rdb.types import LAYOUTS, OPCODES
from aofdoctor.source import Source, pread


def _pre_release_hash(c: "_Cursor") -> None:
    """22 of the 7.4 release candidates: expiry, field, value."""
    for _ in range(c.length()):
        c.length()
        c.string()
        c.string()


_LAYOUTS = {"valkey": LAYOUTS["valkey"], "redis": LAYOUTS["redis"] | {22: _pre_release_hash, 23: lambda c: c.string()}}


class Key(NamedTuple):
    """A key, and where its value stands."""

    db: int
    name: bytes
    expire_ms: int | None
    value: Value
    end: int


class Function(NamedTuple):
    """Where the code of a library of functions begins."""

    offset: int


class _Cursor(_Walker):
    @property
    def offset(self) -> int:
        return self.base + self.at


def keys(source: Source) -> Iterator[Key | Function]:
    """Every key, in order, up to the end mark."""
    rdb = Rdb(pread(source, 9, 0), 0)
    dialect = "valkey" if rdb.magic.startswith(b"VALKEY") else "redis"
    c = _Cursor(source, rdb)
    c.skip(9)
    db, expire = 0, None
    while (kind := c.byte()) != 255:
        if kind == 254:
            db = c.length()
        elif kind in (252, 253):
            expire = (
                int.from_bytes(c._take(8), "little") if kind == 252 else 1000 * int.from_bytes(c._take(4), "little")
            )
        elif kind == 250:
            c.aux()
        elif kind == 245:
            yield Function(c.offset)
            c.string()
        elif kind in OPCODES:
            OPCODES[kind](c)
        else:
            name = _name(c)
            value = Value(c.offset, kind, dialect)
            _LAYOUTS[dialect][kind](c)
            yield Key(db, name, expire, value, c.offset)
            expire = None


def _name(c: _Cursor) -> bytes:
    from aofdoctor.rdb.codec import Cursor

    cursor = Cursor(c.source)
    cursor.seek(c.offset)
    name = cursor.string()
    c.string()
    assert isinstance(name, bytes)
    return name
