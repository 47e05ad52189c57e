"""Recognise the RDB keys that every server skips at load: lists, sets, sorted sets and hashes without an element.

The loader counts such a key as read, discards it and goes on (rdb.c: RDB_LOAD_ERR_EMPTY_KEY of Redis 7.0 on, and the
patch releases of 6.2).  An empty string and an empty stream are values of their own, and are loaded.  An empty intset,
zipmap or array stops the load, which loader_rules.py decides.
"""

from aofdoctor.rdb.encoding.cursor import Cursor
from aofdoctor.rdb.header import dialect_of
from aofdoctor.rdb.items import KeyItem
from aofdoctor.rdb.opcodes import RdbType
from aofdoctor.rdb.values.decoders import ValueRef, elements, type_name
from aofdoctor.source import Source

_COLLECTIONS = frozenset({"list", "set", "zset", "hash"})
_NODE_LISTS = frozenset({int(RdbType.LIST_QUICKLIST), int(RdbType.LIST_QUICKLIST_2)})
_EMPTY_MAX = 32  # bytes of any other empty value: an expiry, and a number or an empty listpack or ziplist


def empty_collection(source: Source, key: KeyItem, magic: bytes) -> str:
    """Return the type name of a value without elements that servers skip; empty for any other value."""
    if not key.type or (key.end - key.value_offset > _EMPTY_MAX and key.type not in _NODE_LISTS):
        return ""
    value = ValueRef(key.value_offset, key.type, dialect_of(magic))
    kind = type_name(value)
    if kind not in _COLLECTIONS:
        return ""
    return "" if any(True for _ in elements(Cursor(source), value)) else kind
