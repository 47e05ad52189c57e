"""The keys of an RDB and where their values stand, for tests of values."""

from collections.abc import Iterator
from typing import NamedTuple

from aofdoctor.rdb.items import ItemReader
from aofdoctor.rdb.items import KeyItem as Place
from aofdoctor.rdb.values.decoders import ValueRef
from aofdoctor.source import Source, pread

_FUNCTION = 245


class Key(NamedTuple):
    """A key, and where its value stands."""

    db: int
    name: bytes
    expire_ms: int | None
    value: ValueRef
    end: int


class Function(NamedTuple):
    """Where the code of a library of functions begins."""

    offset: int


def iter_keys(source: Source) -> Iterator[Key | Function]:
    """Every key, in order, up to the end mark."""
    dialect = "valkey" if pread(source, 6, 0) == b"VALKEY" else "redis"
    for batch in ItemReader(source):
        for item in list(batch):
            if isinstance(item, Place):
                expire = None if item.expire_ms < 0 else item.expire_ms
                value = ValueRef(item.value_offset, item.type, dialect)
                yield Key(item.db, item.name(source), expire, value, item.end)
            elif item.kind == _FUNCTION:
                yield Function(item.body_offset)
