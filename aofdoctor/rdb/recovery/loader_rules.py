"""The rules by which a server's loader accepts a key or a function library; whatever breaks one is damage.

A server loads an RDB as a whole: one value that fails its checks makes it refuse all keys.  The checks here are those
of rdb.c (rdbLoadObject), listpack.c, intset.c, t_stream.c and functions.c of Redis 6.2 to 8.10 and Valkey 9.1 with
`sanitize-dump-payload yes`, which healthy files never fail.  That a value loads does not prove that it is unchanged.
"""

import math
import re
from collections.abc import Callable, Iterator
from itertools import pairwise

from aofdoctor.rdb.encoding.cursor import CorruptValue, Cursor, DecodeError
from aofdoctor.rdb.header import dialect_of, has_type, version_of
from aofdoctor.rdb.items import KeyItem
from aofdoctor.rdb.opcodes import RdbType
from aofdoctor.rdb.recovery.lua_syntax import lua_defect
from aofdoctor.rdb.recovery.repeats import has_repeats
from aofdoctor.rdb.values.decoders import ArrayElement, HashField, SortedSetMember, ValueRef, elements, type_name
from aofdoctor.rdb.values.hash_templates import hash_templates
from aofdoctor.rdb.values.modules import ModulePart, ModuleType, decode_module, module_type_defect
from aofdoctor.rdb.values.streams import Consumer, ConsumerGroup, ProducerSummary, StreamEntry, StreamMeta
from aofdoctor.rdb.values.vector_sets import VECTOR_SET, vector_set_defect
from aofdoctor.source import Source, pread

_STRING, _INTSET, _ZIPMAP = int(RdbType.STRING), int(RdbType.SET_INTSET), int(RdbType.HASH_ZIPMAP)
_LZF_ENCODING = b"\xc3"  # the first byte of a compressed string
_NUL_KEY_SIZE = 3  # bytes of a string key with an empty name and an empty value; all are NUL
_STREAM_COUNTERS_VERSION = 15  # RDB version of Redis 8.10, which compares the counters of streams at load
_ARRAY_INDEX_END = (1 << 64) - 1  # no index of an array is as large
_FIELD_EXPIRY_MAX = (1 << 48) - 2  # unix milliseconds; Redis stores the expiry of a field in 48 bits
# Seconds and ids that a stream remembers of idempotent producers (XCFGSET of Redis 8.10.2 takes 1 to these).
_DURATION_MAX, _PRODUCER_IDS_MAX = 86_400, 10_000
_LIBRARY_MAX = 1 << 26  # bytes of a library that are read
_HEAD_LINE = re.compile(rb"#![^\S\r\n]*(\S+)([^\r\n]*)(?:\r?\n|\Z)")
_HEAD_NAME = re.compile(rb"\s+name=([A-Za-z0-9_]+)\s*")


def value_defect(source: Source, key: KeyItem, magic: bytes) -> str:
    """Return why no server loads the value of a key; empty if nothing speaks against it.

    `magic` is that of the RDB.  A value of a type without a decoder is not judged.
    """
    value = ValueRef(key.value_offset, key.type, dialect_of(magic))
    if not has_type(magic, key.type):
        return f"type {key.type} is newer than the RDB"
    if key.type == _STRING and key.span.size == _NUL_KEY_SIZE and _is_in_nul_run(source, key):
        return "NUL bytes in place of keys"
    kind = type_name(value)
    if not kind or (key.type == _STRING and pread(source, 1, key.value_offset) < _LZF_ENCODING):
        return ""  # The walk has found the end of an uncompressed string; it holds nothing else to decode.
    cursor = Cursor(source)
    defect = _DEFECTS.get(kind, _undecodable)(cursor, value, version_of(magic))
    if not defect and cursor.offset != key.end:
        return f"a value that ends at {cursor.offset}, and the next key begins at {key.end}"
    return defect


def _is_in_nul_run(source: Source, key: KeyItem) -> bool:
    """Return whether an empty key has another one directly before or after it: NUL bytes have replaced other data."""
    around = pread(source, 3 * _NUL_KEY_SIZE, key.start - _NUL_KEY_SIZE)
    return b"\0" * 2 * _NUL_KEY_SIZE in around


def _undecodable(cursor: Cursor, value: ValueRef, version: int) -> str:
    return next((_note(e) for e in elements(cursor, value) if isinstance(e, CorruptValue)), "")


def _note(problem: CorruptValue) -> str:
    return f"{problem.note}, at {problem.offset}"


def _collection_defect(cursor: Cursor, value: ValueRef, version: int) -> str:
    """Return why no server keeps a set, sorted set or hash: equal members, or a score that is nan; "" if one does."""
    problem = ""

    def members() -> Iterator[bytes]:
        nonlocal problem
        for element in elements(cursor, value):
            if isinstance(element, CorruptValue):
                problem = _note(element)
            elif isinstance(element, SortedSetMember) and math.isnan(element.score):
                problem = "a score that is not a number"
            elif isinstance(element, HashField) and value.dialect == "redis" and _is_too_late(element.expire_ms):
                problem = f"a field that expires at {element.expire_ms}, which is later than any server stores"
            else:
                member = element[0] if isinstance(element, tuple) else element
                if isinstance(member, bytes):
                    yield member

    if value.type in (_INTSET, _ZIPMAP) and next(members(), None) is None:
        return problem or "no elements in a form that must have some"
    if value.type == _INTSET:
        in_order = all(low < high for low, high in pairwise(map(int, members())))
        return problem or ("" if in_order else "integer members that are not in order")
    repeats = has_repeats(members)
    if problem or not repeats:
        return problem
    return "a member that is stored twice"


def _is_too_late(expire_ms: int | None) -> bool:
    return expire_ms is not None and expire_ms > _FIELD_EXPIRY_MAX


def _stream_defect(cursor: Cursor, value: ValueRef, version: int) -> str:
    """Return why no server loads a stream: equal names of groups or consumers, wrong counters; "" if it loads.

    The counters are compared from RDB version 15 on.
    """
    live, groups, consumers = 0, set[object](), set[object]()
    meta: StreamMeta | None = None
    is_strict = dialect_is_strict(value.dialect, version)
    for part in elements(cursor, value):
        if isinstance(part, CorruptValue):
            return _note(part)
        if isinstance(part, StreamEntry):
            live += 1
        elif isinstance(part, StreamMeta):
            meta = part
            if defect := _counter_defect(part, live) if is_strict else "":
                return defect
            if part.length and not live:
                return f"a stream of {part.length} entries that has none"
        elif isinstance(part, ConsumerGroup):
            if part.name in groups:
                return "a group of a stream that is stored twice"
            groups.add(part.name)
            consumers.clear()
            added = meta.entries_added if meta else None
            if is_strict and part.entries_read is not None and added is not None and part.entries_read > added:
                return f"a group that has read {part.entries_read} of {added} entries of its stream"
        elif isinstance(part, ProducerSummary):
            if not (0 < part.duration <= _DURATION_MAX and 0 < part.max_size <= _PRODUCER_IDS_MAX):
                return f"a stream that remembers {part.max_size} ids of producers for {part.duration} seconds"
        elif isinstance(part, Consumer):
            if part.name in consumers:
                return "a consumer of a stream that is stored twice"
            consumers.add(part.name)
    return ""


def _array_defect(cursor: Cursor, value: ValueRef, version: int) -> str:
    """Return why no server loads an array (Redis 8.8): its indexes do not increase; "" if it loads."""
    last = -1
    for element in elements(cursor, value):
        if isinstance(element, CorruptValue):
            return _note(element)
        if isinstance(element, ArrayElement):
            if not last < element.array_index < _ARRAY_INDEX_END:
                return f"index {element.array_index} of an array after {last}"
            last = element.array_index
    return "" if last >= 0 else "an array without elements"


def dialect_is_strict(dialect: str, version: int) -> bool:
    """Whether servers that read this RDB version refuse a stream with counters that do not match its entries."""
    return dialect == "redis" and version >= _STREAM_COUNTERS_VERSION


def _counter_defect(meta: StreamMeta, live: int) -> str:
    if meta.length != live:
        return f"a stream that counts {meta.length} entries and has {live}"
    if meta.entries_added is not None and meta.entries_added < live:
        return f"a stream of {live} entries of which {meta.entries_added} were added"
    return ""


def _module_defect(cursor: Cursor, value: ValueRef, version: int) -> str:
    """Return why no server loads the value of a module type, as far as it is known here; "" if one may load it.

    A vector set is checked by the rules of its module.
    """
    parts = elements(cursor, value)
    first = next(parts, None)
    if isinstance(first, CorruptValue):
        return _note(first)
    problem = module_type_defect(first.name) if isinstance(first, ModuleType) else ""
    if problem:
        return problem

    def whole_parts() -> Iterator[ModulePart]:
        nonlocal problem
        for part in parts:
            if isinstance(part, CorruptValue):
                problem = _note(part)
            elif isinstance(part, ModulePart):
                yield part

    checked = whole_parts()
    is_vector_set = isinstance(first, ModuleType) and first.name == VECTOR_SET
    defect = vector_set_defect(first.version, checked) if is_vector_set and isinstance(first, ModuleType) else ""
    for _ in checked if not defect else ():
        pass
    return problem or defect


_DEFECTS: dict[str, Callable[[Cursor, ValueRef, int], str]] = {
    "set": _collection_defect,
    "zset": _collection_defect,
    "hash": _collection_defect,
    "stream": _stream_defect,
    "array": _array_defect,
    "module": _module_defect,
}


# -- items that are not keys --


def template_defect(cursor: Cursor, offset: int) -> str:
    """Return why no server loads the hash template with its id at `offset`; empty if it loads."""
    cursor.seek(offset)
    try:
        _, names = hash_templates(cursor.source).fields(cursor.source, cursor.length())
        for _ in names:
            pass
    except DecodeError as problem:
        return problem.note
    return ""


def module_aux_defect(cursor: Cursor, offset: int) -> str:
    """Return why no server loads the data of a module with its id at `offset`; empty if one may."""
    cursor.seek(offset)
    try:
        parts = decode_module(cursor)
        [name] = next(parts)
        for _ in parts:
            pass
    except DecodeError as problem:
        return problem.note
    return module_type_defect(name.name)


def library_defect(cursor: Cursor, offset: int, end: int) -> tuple[bytes, str]:
    """Return (name, why no server loads it) of the function library with its code at `offset`; empty if it may load.

    Of the Lua code only the tokens are examined.
    """
    cursor.seek(offset)
    try:
        code = cursor.string_in_memory(_LIBRARY_MAX)
    except DecodeError as problem:
        return b"", f"{problem.note}, at {problem.offset}"
    if cursor.offset != end:
        return b"", f"a library that ends at {cursor.offset}, not at {end}"
    head = _HEAD_LINE.match(code)
    name = head and _HEAD_NAME.fullmatch(head[2])
    if not head or head[1].lower() != b"lua" or not name:
        return b"", "a library whose first line does not name its engine and itself"
    if b"\0" in code:
        return name[1], "a library with a NUL byte in its code"
    if not code.isascii() and not _is_utf8(code):
        return name[1], "a library whose code is not text"
    return name[1], lua_defect(code[head.end() :])


def _is_utf8(code: bytes) -> bool:
    try:
        code.decode()
    except UnicodeDecodeError:
        return False
    return True
