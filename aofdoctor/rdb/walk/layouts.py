"""How each RDB item is laid out: one row a type byte or opcode, and what a row is made of.

A row is a tuple of steps, only what is needed to find the item's end; they
are assembled into a small program, which the compiled walker and its plain
twin both run.  Sources: rdb.c and rdb.h of Redis 2.8 to 7.4 and Valkey 9.1;
keymeta.c of Redis 8.6 (243); for 26 to 28, 30, 32 and 242 the documents and
readers of Redis 8.6 to 8.10 that were published and agree.

A byte that has no row is a type that this version does not read: 6 (its
length is the module's secret), 29 and 31 (written by DUMP only, and published
in two ways), 33 (held out of every release), and Valkey's 23 (9.2, of which no
whole layout was to be had).  What the values are is not known here.
"""

from array import array
from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum

from aofdoctor.rdb.header import dialect_of
from aofdoctor.rdb.opcodes import SHARED_BYTES, Opcode, RdbType, ValkeyOpcode, ValkeyRdbType, ValueShape


class LayoutOp(IntEnum):
    """What a program is made of; walk.h has the same numbers."""

    END = 0  # the item ends
    LEN = 1  # a length
    STR = 2  # a string
    SKIP = 3  # operand: so many bytes
    KEY = 4  # a string that is the key's name
    SCORE = 5  # a double as text; 253 to 255 stand for nan and the infinities
    COUNT = 6  # a length, held
    LOOP = 7  # the body as often as what is held says; operand: where it ends
    NEXT = 8
    CASE = 9  # a length, and where to go on; operands: how many arms, the place of all others, the arms' places
    JUMP = 10
    DB = 11
    EXPIRE_S = 12
    EXPIRE_MS = 13
    IDLE = 14
    FREQ = 15
    MORE = 16  # the item goes on with another opcode or type
    TEMPLATE_ID = 17  # a hash template's number
    DEFINE_TEMPLATE = 18  # what is held is the number of its fields
    USE_TEMPLATE = 19  # a hash template's number; held: the number of its fields
    RESP_NUMBER = 20  # RESP: a mark (the operand), digits, CRLF; held
    PAYLOAD = 21  # so many bytes as held
    EOF = 22


MAX_LOOP_DEPTH = 4  # loops within loops
LayoutBody = tuple["int | bytes | Loop | Case", ...]


@dataclass(frozen=True, slots=True)
class Loop:
    """`body` as often as what is held says."""

    body: LayoutBody


@dataclass(frozen=True, slots=True)
class Case:
    """A length chooses the arm, or `other` (None: unreadable); with `again`, all but the first arm come back to it."""

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


# A module's values say what they are, up to opcode 0: signed, unsigned, float, double, string.
_MODULE = Case(((), (LEN,), (LEN,), (_skip(4),), (_skip(8),), (STR,)), repeats=True)


def _stream(version: int) -> LayoutBody:
    """Listpacks, counters, groups; 2 and 3 added counters and times, 4 what idempotent producers sent, 5 nacked ids."""
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
        Loop((LEN, Case(((STR,), (_skip(8),), (_skip(8),), (STR,))))),  # index; the tag chooses the value's form
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
    """The rows of one dialect: a program, and where in it each byte's row begins (0: no row)."""

    code: bytes
    entry: "array[int]"


def _encode_address(at: int) -> bytes:
    return at.to_bytes(2, "little")


def _assemble(body: LayoutBody, at: int, depth: int = 0) -> bytes:
    """The program of a body that will stand at `at`."""
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
    """The arms one after the other, each ending in a jump to what follows or back."""
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
    """Return the layout of every type that has a known shape."""
    return {type_: _SHAPES[type_.shape] for type_ in types if type_.shape}


_REDIS = _typed(RdbType) | _OPCODES
_SHARED = {byte: body for byte, body in _REDIS.items() if byte in SHARED_BYTES}
LAYOUTS = {"redis": _layout(_REDIS), "valkey": _layout(_SHARED | _typed(ValkeyRdbType) | _VALKEY_OPCODES)}


def layout_of(magic: bytes) -> Layout:
    """The meaning of the bytes after that magic."""
    return LAYOUTS[dialect_of(magic)]
