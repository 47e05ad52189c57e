"""The type bytes and opcodes of an RDB, with the names of rdb.h, and for each type how its value is laid out.

The first byte of every item is a value type (then a key follows) or an opcode.  Redis and Valkey share the numbers in
SHARED_BYTES and give some of the others different meanings: `RdbType` and `Opcode` hold the shared numbers and those
of Redis, `ValkeyRdbType` and `ValkeyOpcode` the numbers that Valkey defines for itself.  The magic decides which
applies (header.dialect_of).  Members are ints, so they compare with the bytes of a file directly; code that runs once
per key binds them to module constants first.

Sources: rdb.h of Redis 2.6 to 8.8 and Valkey 9.1; for the hash templates the documents of Redis 8.10.  How to find the
end of a value of each shape is in walk/layouts.py, and what it means in values/decoders.py.
"""

from enum import Enum, IntEnum, auto
from typing import Self


class ValueShape(Enum):
    """The sequence of strings and numbers that makes up a value in an RDB, after the key's name.

    Types with different meanings can have the same shape: a list and a set are both a count and that number of strings.
    """

    STRING = auto()  # one string; a listpack, ziplist, intset or zipmap is one string too
    STRINGS = auto()  # a count, then one string each
    STRING_PAIRS = auto()  # a count, then two strings each
    TEXT_SCORES = auto()  # a count, then a member and its score as text
    BINARY_SCORES = auto()  # a count, then a member and its score as a double
    MODULE = auto()  # a module's type id, then parts that begin with their kind; kind 0 (RDB_MODULE_OPCODE_EOF) ends
    CONTAINERS = auto()  # a count, then the kind of each quicklist node and its string
    STREAM_1 = auto()
    STREAM_2 = auto()
    STREAM_3 = auto()
    STREAM_4 = auto()
    STREAM_5 = auto()
    EXPIRIES_AND_PAIRS = auto()  # a count, then expiry, field and value
    MIN_EXPIRY_AND_PAIRS = auto()  # the earliest expiry, then as EXPIRIES_AND_PAIRS
    MIN_EXPIRY_AND_STRING = auto()  # the earliest expiry, then one string
    PAIRS_AND_EXPIRIES = auto()  # a count, then field, value and expiry
    ARRAY = auto()  # a count, an optional insert index, then index, tag and value
    TEMPLATE_VALUES = auto()  # the id of a hash template (field names stored once), then one string for each field


class _ShapedType(IntEnum):
    """A type byte of an RDB with the shape of its values; the shape is None if this package cannot read the type."""

    shape: ValueShape | None

    def __new__(cls, number: int, shape: ValueShape | None) -> Self:
        """Create the enum member for a type byte: an int with the shape of the type's values as an attribute."""
        member = int.__new__(cls, number)
        member._value_, member.shape = number, shape
        return member


class RdbType(_ShapedType):
    """RDB_TYPE_* of rdb.h: the types that Redis and Valkey share, and those of Redis only (from 22 on)."""

    STRING = 0, ValueShape.STRING
    LIST = 1, ValueShape.STRINGS
    SET = 2, ValueShape.STRINGS
    ZSET = 3, ValueShape.TEXT_SCORES
    HASH = 4, ValueShape.STRING_PAIRS
    ZSET_2 = 5, ValueShape.BINARY_SCORES
    MODULE_PRE_GA = 6, None  # only the module knows the length of such a value
    MODULE_2 = 7, ValueShape.MODULE
    HASH_ZIPMAP = 9, ValueShape.STRING
    LIST_ZIPLIST = 10, ValueShape.STRING
    SET_INTSET = 11, ValueShape.STRING
    ZSET_ZIPLIST = 12, ValueShape.STRING
    HASH_ZIPLIST = 13, ValueShape.STRING
    LIST_QUICKLIST = 14, ValueShape.STRINGS
    STREAM_LISTPACKS = 15, ValueShape.STREAM_1
    HASH_LISTPACK = 16, ValueShape.STRING
    ZSET_LISTPACK = 17, ValueShape.STRING
    LIST_QUICKLIST_2 = 18, ValueShape.CONTAINERS
    STREAM_LISTPACKS_2 = 19, ValueShape.STREAM_2
    SET_LISTPACK = 20, ValueShape.STRING
    STREAM_LISTPACKS_3 = 21, ValueShape.STREAM_3
    HASH_METADATA_PRE_GA = 22, ValueShape.EXPIRIES_AND_PAIRS  # release candidates of 7.4
    HASH_LISTPACK_EX_PRE_GA = 23, ValueShape.STRING  # release candidates of 7.4
    HASH_METADATA = 24, ValueShape.MIN_EXPIRY_AND_PAIRS  # 7.4
    HASH_LISTPACK_EX = 25, ValueShape.MIN_EXPIRY_AND_STRING  # 7.4
    STREAM_LISTPACKS_4 = 26, ValueShape.STREAM_4  # 8.6
    STREAM_LISTPACKS_5 = 27, ValueShape.STREAM_5  # 8.8
    ARRAY = 28, ValueShape.ARRAY  # 8.8
    HASH_TMPL_LP = 29, None  # 8.10: written by DUMP only, and published with two different layouts
    HASH_TMPL_LP_REF = 30, ValueShape.STRING  # 8.10: a listpack that begins with the id of a hash template
    HASH_TMPL_ARRAY = 31, None  # as 29
    HASH_TMPL_ARRAY_REF = 32, ValueShape.TEMPLATE_VALUES  # 8.10
    GCRA = 33, None  # behind a build flag of 8.10; announced as another type for 8.12


class ValkeyRdbType(_ShapedType):
    """RDB_TYPE_* numbers that Valkey defines for itself.  Its 23 (9.2, path hash) has no complete published layout."""

    HASH_2 = 22, ValueShape.PAIRS_AND_EXPIRIES  # 9.0


class Opcode(IntEnum):
    """RDB_OPCODE_* of rdb.h: the opcodes that Redis and Valkey share, and those of Redis only (242 and 243)."""

    HASH_TEMPLATE = 242  # 8.10: field names that are stored once and that later hashes refer to by an id
    KEY_META = 243  # 8.6: metadata of the key that follows
    SLOT_INFO = 244
    FUNCTION2 = 245
    FUNCTION_PRE_GA = 246  # release candidates of 7.0
    MODULE_AUX = 247
    IDLE = 248
    FREQ = 249
    AUX = 250
    RESIZEDB = 251
    EXPIRETIME_MS = 252
    EXPIRETIME = 253  # in seconds
    SELECTDB = 254
    EOF = 255


class ValkeyOpcode(IntEnum):
    """RDB_OPCODE_* numbers that Valkey defines for itself."""

    UPDATE = 242  # 9.2: a RESP command between the keys
    SLOT_IMPORT = 243  # 9.0


# Types grow upwards from 0 and opcodes downwards from 255; no server uses a number near this border yet.
FIRST_OPCODE = 240
# The bytes that have the same meaning in both dialects.
SHARED_BYTES = frozenset((*range(RdbType.STREAM_LISTPACKS_3 + 1), *range(Opcode.SLOT_INFO, Opcode.EOF + 1)))
