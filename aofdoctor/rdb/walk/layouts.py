"""Describe how each RDB item is laid out, and compile these descriptions to small programs for the walker.

A layout is the sequence of lengths, strings and loops that lead from the start of an item to its end.  All layouts of a
dialect (redis or valkey) are assembled into one program for a small virtual machine, which the compiled walker and its
Python fallback both execute.  A type byte or opcode without a layout cannot be read.

Sources: rdb.c and rdb.h of Redis 2.8 to 7.4 and Valkey 9.1; keymeta.c of Redis 8.6 (KEY_META); for the stream types of
8.6 and 8.8, the array and the hash templates, published documents and readers of Redis 8.6 to 8.10 that agree.

What the values mean is not known here.
"""

from array import array
from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum

from aofdoctor.rdb.header import dialect_of
from aofdoctor.rdb.opcodes import SHARED_BYTES, Opcode, RdbType, ValkeyOpcode, ValkeyRdbType, ValueShape


class LayoutOp(IntEnum):
    """The instructions of the programs that find the end of an RDB item; walker.h has the same numbers.

    The "register" is a number that one instruction reads and the next one uses.
    """

    END = 0  # end the item
    LEN = 1  # pass an RDB length
    STR = 2  # pass an RDB string
    SKIP = 3  # pass a fixed number of bytes, the operand
    KEY = 4  # pass a string and record it as the key's name
    SCORE = 5  # pass a score as text; the sizes 253 to 255 mean nan and the infinities and have no text
    COUNT = 6  # read a length into the register
    LOOP = 7  # repeat the body as often as the register says; operand: the address after the body
    NEXT = 8  # end a loop's body
    CASE = 9  # read a length and jump; operands: the number of arms, the default's address, the arms' addresses
    JUMP = 10  # operand: the address
    DB = 11  # read the database number
    EXPIRE_S = 12  # read an expiry in unix seconds
    EXPIRE_MS = 13  # read an expiry in unix milliseconds
    IDLE = 14  # read the idle time
    FREQ = 15  # read the LFU counter
    MORE = 16  # the item continues with another opcode or a type
    TEMPLATE_ID = 17  # read the id of a hash template that is being defined
    DEFINE_TEMPLATE = 18  # remember the hash template; the register holds the number of its fields
    USE_TEMPLATE = 19  # read the id of a hash template; set the register to the number of its fields
    RESP_NUMBER = 20  # read a RESP header into the register: a mark (the operand), digits, CRLF
    PAYLOAD = 21  # pass as many bytes as the register says
    EOF = 22  # stop at the EOF opcode


MAX_LOOP_DEPTH = 4  # nested loops; the walker's stack has this size
LayoutBody = tuple["int | bytes | Loop | Case", ...]


@dataclass(frozen=True, slots=True)
class Loop:
    """A part of an RDB layout that is repeated as often as the count read before says."""

    body: LayoutBody


@dataclass(frozen=True, slots=True)
class Case:
    """A part of an RDB layout that begins with a number, which selects one of `arms` as the rest.

    A number above the arms selects `default`, and is unreadable if there is none.  With `repeats`, another number
    follows after every arm but the first, as in a list that the number 0 ends.
    """

    arms: tuple[LayoutBody, ...]
    default: LayoutBody | None = None
    repeats: bool = False


END, LEN, STR, KEY, SCORE, COUNT = (
    LayoutOp.END,
    LayoutOp.LEN,
    LayoutOp.STR,
    LayoutOp.KEY,
    LayoutOp.SCORE,
    LayoutOp.COUNT,
)


def _skip(size: int) -> bytes:
    return bytes((LayoutOp.SKIP, size))


def _counted_loop(*body: "int | bytes | Loop | Case") -> LayoutBody:
    return (COUNT, Loop(body))


def _resp(mark: bytes) -> bytes:
    return bytes((LayoutOp.RESP_NUMBER, mark[0]))


# A module's value is a list of parts, each preceded by its kind: 1 signed, 2 unsigned, 3 float, 4 double, 5 string.
# Kind 0 ends the list.
_MODULE = Case(((), (LEN,), (LEN,), (_skip(4),), (_skip(8),), (STR,)), repeats=True)


def _stream(version: int) -> LayoutBody:
    """Return the layout of a stream value in RDB stream format `version`: its listpacks, counters and groups.

    Versions 2 and 3 added counters and times, 4 the ids of idempotent producers, and 5 the ids of pending entries that
    were given back (NACKed) and have no consumer.
    """
    counters = (LEN,) * (3 if version == 1 else 8)
    pending = _counted_loop(_skip(16 + 8), LEN)
    consumers = _counted_loop(STR, _skip(8 if version < 3 else 16), *_counted_loop(_skip(16)))
    nacked = _counted_loop(_skip(16)) if version >= 5 else ()
    group = (STR, *(LEN,) * (2 if version == 1 else 3), *pending, *consumers, *nacked)
    producers = (LEN, LEN, *_counted_loop(STR, *_counted_loop(STR, LEN, LEN)), LEN, LEN) if version >= 4 else ()
    return (KEY, *_counted_loop(STR, STR), *counters, *_counted_loop(*group), *producers)


# The layout of each shape, from the key's name on.
_SHAPES: dict[ValueShape, LayoutBody] = {
    ValueShape.STRING: (KEY, STR),
    ValueShape.STRINGS: (KEY, *_counted_loop(STR)),
    ValueShape.STRING_PAIRS: (KEY, *_counted_loop(STR, STR)),
    ValueShape.TEXT_SCORES: (KEY, *_counted_loop(STR, SCORE)),
    ValueShape.BINARY_SCORES: (KEY, *_counted_loop(STR, _skip(8))),
    ValueShape.MODULE: (KEY, LEN, _MODULE),
    ValueShape.CONTAINERS: (KEY, *_counted_loop(LEN, STR)),
    ValueShape.STREAM_1: _stream(1),
    ValueShape.STREAM_2: _stream(2),
    ValueShape.STREAM_3: _stream(3),
    ValueShape.STREAM_4: _stream(4),
    ValueShape.STREAM_5: _stream(5),
    ValueShape.EXPIRIES_AND_PAIRS: (KEY, *_counted_loop(LEN, STR, STR)),
    ValueShape.MIN_EXPIRY_AND_PAIRS: (KEY, _skip(8), *_counted_loop(LEN, STR, STR)),
    ValueShape.MIN_EXPIRY_AND_STRING: (KEY, _skip(8), STR),
    ValueShape.PAIRS_AND_EXPIRIES: (KEY, *_counted_loop(STR, STR, _skip(8))),
    ValueShape.ARRAY: (
        KEY,
        COUNT,
        Case(((), (LEN,))),  # whether an insert index follows
        Loop((LEN, Case(((STR,), (_skip(8),), (_skip(8),), (STR,))))),  # index, tag, then a string or 8 bytes by tag
    ),
    ValueShape.TEMPLATE_VALUES: (KEY, LayoutOp.USE_TEMPLATE, Loop((STR,))),
}

_OPCODES: dict[int, LayoutBody] = {
    Opcode.HASH_TEMPLATE: (LayoutOp.TEMPLATE_ID, COUNT, LayoutOp.DEFINE_TEMPLATE, Loop((STR,))),
    Opcode.KEY_META: (*_counted_loop(_skip(4), _MODULE), LayoutOp.MORE),  # for each class its id, then its values
    Opcode.SLOT_INFO: (LEN, LEN, LEN),
    Opcode.FUNCTION2: (STR,),
    Opcode.FUNCTION_PRE_GA: (STR, STR, Case(((),), default=(STR,)), STR),  # name, engine, optional description, code
    Opcode.MODULE_AUX: (LEN, _MODULE),
    Opcode.IDLE: (LayoutOp.IDLE, LayoutOp.MORE),
    Opcode.FREQ: (LayoutOp.FREQ, LayoutOp.MORE),
    Opcode.AUX: (STR, STR),
    Opcode.RESIZEDB: (LEN, LEN),
    Opcode.EXPIRETIME_MS: (LayoutOp.EXPIRE_MS, LayoutOp.MORE),
    Opcode.EXPIRETIME: (LayoutOp.EXPIRE_S, LayoutOp.MORE),
    Opcode.SELECTDB: (LayoutOp.DB,),
    Opcode.EOF: (LayoutOp.EOF,),
}

_VALKEY_OPCODES: dict[int, LayoutBody] = {
    ValkeyOpcode.UPDATE: (_resp(b"*"), Loop((_resp(b"$"), LayoutOp.PAYLOAD, _skip(2)))),
    ValkeyOpcode.SLOT_IMPORT: (STR, *_counted_loop(LEN, LEN)),  # the job's name, then its slot ranges
}


@dataclass(frozen=True, slots=True)
class Layout:
    """The walker's program for one dialect of RDB, and an index into it.

    `entry` has for each type byte or opcode the address where its program begins in `code`; 0 if it cannot be read.
    """

    code: bytes
    entry: "array[int]"


def _encode_address(at: int) -> bytes:
    return at.to_bytes(2, "little")


def _assemble(body: LayoutBody, at: int, depth: int = 0) -> bytes:
    """Return the walker's program for the layout `body`, to be placed at address `at`, inside `depth` loops."""
    code = b""
    for step in body:
        here = at + len(code)
        if isinstance(step, Loop):
            assert depth < MAX_LOOP_DEPTH
            inner = _assemble(step.body, here + 3, depth + 1)
            code += (
                bytes((LayoutOp.LOOP,)) + _encode_address(here + 3 + len(inner) + 1) + inner + bytes((LayoutOp.NEXT,))
            )
        elif isinstance(step, Case):
            code += _assemble_case(step, here, depth)
        else:
            code += step if isinstance(step, bytes) else bytes((step,))
    return code


def _assemble_case(case: Case, at: int, depth: int) -> bytes:
    """Return the walker's program for a Case: a jump table, then its arms.

    Each arm ends in a jump to the step after the Case, or back to its start.
    """
    bodies = [*case.arms, *([case.default] if case.default is not None else [])]
    first = at + 4 + 2 * len(case.arms)
    sizes = [len(_assemble(body, 0, depth)) + 3 for body in bodies]
    end = first + sum(sizes)
    places = [first + sum(sizes[:i]) for i in range(len(bodies))]
    default = places.pop() if case.default is not None else 0
    code = bytes((LayoutOp.CASE, len(case.arms))) + _encode_address(default) + b"".join(map(_encode_address, places))
    for i, body in enumerate(bodies):
        back = at if case.repeats and i else end
        code += _assemble(body, at + len(code), depth) + bytes((LayoutOp.JUMP,)) + _encode_address(back)
    return code


def _layout(rows: dict[int, LayoutBody]) -> Layout:
    code, entry = b"\0", array("H", bytes(512))
    for byte, body in rows.items():
        entry[byte] = len(code)
        code += _assemble((*body, END), len(code))
    return Layout(code, entry)


def _typed(types: Iterable[RdbType | ValkeyRdbType]) -> dict[int, LayoutBody]:
    """Return the layout of every RDB type that has a known value shape, by type byte."""
    return {type_: _SHAPES[type_.shape] for type_ in types if type_.shape}


_REDIS = _typed(RdbType) | _OPCODES
_SHARED = {byte: body for byte, body in _REDIS.items() if byte in SHARED_BYTES}
LAYOUTS = {"redis": _layout(_REDIS), "valkey": _layout(_SHARED | _typed(ValkeyRdbType) | _VALKEY_OPCODES)}


def layout_of(magic: bytes) -> Layout:
    """Return the compiled layouts of all RDB items, for the dialect (redis or valkey) that a magic states."""
    return LAYOUTS[dialect_of(magic)]
