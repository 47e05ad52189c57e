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
from dataclasses import dataclass
from enum import IntEnum


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
    TEMPLATE = 17  # a hash template's number
    KEEP = 18  # what is held is the number of its fields
    RECALL = 19  # a hash template's number; held: the number of its fields
    NUMBER = 20  # RESP: a mark (the operand), digits, CRLF; held
    PAYLOAD = 21  # so many bytes as held
    EOF = 22


DEPTH = 4  # loops within loops
Body = tuple["int | bytes | Loop | Case", ...]


@dataclass(frozen=True, slots=True)
class Loop:
    """`body` as often as what is held says."""

    body: Body


@dataclass(frozen=True, slots=True)
class Case:
    """A length chooses the arm, or `other` (None: unreadable); with `again`, all but the first arm come back to it."""

    arms: tuple[Body, ...]
    other: Body | None = None
    again: bool = False


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


def _many(*body: "int | bytes | Loop | Case") -> Body:
    return (COUNT, Loop(body))


def _resp(mark: bytes) -> bytes:
    return bytes((LayoutOp.NUMBER, mark[0]))


# A module's values say what they are, up to opcode 0: signed, unsigned, float, double, string.
_MODULE = Case(((), (LEN,), (LEN,), (_skip(4),), (_skip(8),), (STR,)), again=True)


def _stream(version: int) -> Body:
    """Listpacks, counters, groups; 2 and 3 added counters and times, 4 what idempotent producers sent, 5 nacked ids."""
    counters = (LEN,) * (3 if version == 1 else 8)
    pending = _many(_skip(16 + 8), LEN)
    consumers = _many(STR, _skip(8 if version < 3 else 16), *_many(_skip(16)))
    nacked = _many(_skip(16)) if version >= 5 else ()
    group = (STR, *(LEN,) * (2 if version == 1 else 3), *pending, *consumers, *nacked)
    sent = (LEN, LEN, *_many(STR, *_many(STR, LEN, LEN)), LEN, LEN) if version >= 4 else ()
    return (KEY, *_many(STR, STR), *counters, *_many(*group), *sent)


_STRING: Body = (KEY, STR)
_STRINGS: Body = (KEY, *_many(STR))
# How many, where the next insert goes if anywhere, then index, tag and value of each.
_ARRAY: Body = (KEY, COUNT, Case(((), (LEN,))), Loop((LEN, Case(((STR,), (_skip(8),), (_skip(8),), (STR,))))))

_COMMON: dict[int, Body] = {
    0: _STRING,
    1: _STRINGS,
    2: _STRINGS,
    3: (KEY, *_many(STR, SCORE)),
    4: (KEY, *_many(STR, STR)),
    5: (KEY, *_many(STR, _skip(8))),
    7: (KEY, LEN, _MODULE),
    9: _STRING,
    10: _STRING,
    11: _STRING,
    12: _STRING,
    13: _STRING,
    14: _STRINGS,
    15: _stream(1),
    16: _STRING,
    17: _STRING,
    18: (KEY, *_many(LEN, STR)),
    19: _stream(2),
    20: _STRING,
    21: _stream(3),
    244: (LEN, LEN, LEN),  # SLOT_INFO
    245: (STR,),  # FUNCTION2
    246: (
        STR,
        STR,
        Case(((),), other=(STR,)),
        STR,
    ),  # 7.0-rc: name, engine, description if any, code
    247: (LEN, _MODULE),  # MODULE_AUX
    248: (LayoutOp.IDLE, LayoutOp.MORE),
    249: (LayoutOp.FREQ, LayoutOp.MORE),
    250: (STR, STR),  # AUX
    251: (LEN, LEN),  # RESIZEDB
    252: (LayoutOp.EXPIRE_MS, LayoutOp.MORE),
    253: (LayoutOp.EXPIRE_S, LayoutOp.MORE),
    254: (LayoutOp.DB,),  # SELECTDB
    255: (LayoutOp.EOF,),
}

_REDIS: dict[int, Body] = {
    22: (KEY, *_many(LEN, STR, STR)),  # 7.4 before its release: expiry, field, value
    23: _STRING,
    24: (KEY, _skip(8), *_many(LEN, STR, STR)),  # 7.4: the soonest expiry first
    25: (KEY, _skip(8), STR),
    26: _stream(4),
    27: _stream(5),
    28: _ARRAY,
    30: _STRING,  # a listpack that begins with its template's number
    32: (KEY, LayoutOp.RECALL, Loop((STR,))),
    242: (LayoutOp.TEMPLATE, COUNT, LayoutOp.KEEP, Loop((STR,))),  # HASH_TEMPLATE
    243: (*_many(_skip(4), _MODULE), LayoutOp.MORE),  # KEY_META: a class, then its values
}

_VALKEY: dict[int, Body] = {
    22: (KEY, *_many(STR, STR, _skip(8))),  # 9.0: field, value, expiry in ms
    242: (_resp(b"*"), Loop((_resp(b"$"), LayoutOp.PAYLOAD, _skip(2)))),  # UPDATE: a command
    243: (STR, *_many(LEN, LEN)),  # SLOT_IMPORT: the job, its ranges of slots
}


@dataclass(frozen=True, slots=True)
class Layout:
    """The rows of one dialect: a program, and where in it each byte's row begins (0: no row)."""

    code: bytes
    entry: "array[int]"


def _place(at: int) -> bytes:
    return at.to_bytes(2, "little")


def _assembled(body: Body, at: int, depth: int = 0) -> bytes:
    """The program of a body that will stand at `at`."""
    code = b""
    for step in body:
        here = at + len(code)
        if isinstance(step, Loop):
            assert depth < DEPTH
            inner = _assembled(step.body, here + 3, depth + 1)
            code += bytes((LayoutOp.LOOP,)) + _place(here + 3 + len(inner) + 1) + inner + bytes((LayoutOp.NEXT,))
        elif isinstance(step, Case):
            code += _assembled_case(step, here, depth)
        else:
            code += step if isinstance(step, bytes) else bytes((step,))
    return code


def _assembled_case(case: Case, at: int, depth: int) -> bytes:
    """The arms one after the other, each ending in a jump to what follows or back."""
    bodies = [*case.arms, *([case.other] if case.other is not None else [])]
    first = at + 4 + 2 * len(case.arms)
    sizes = [len(_assembled(body, 0, depth)) + 3 for body in bodies]
    end = first + sum(sizes)
    places = [first + sum(sizes[:i]) for i in range(len(bodies))]
    other = places.pop() if case.other is not None else 0
    code = bytes((LayoutOp.CASE, len(case.arms))) + _place(other) + b"".join(map(_place, places))
    for i, body in enumerate(bodies):
        back = at if case.again and i else end
        code += _assembled(body, at + len(code), depth) + bytes((LayoutOp.JUMP,)) + _place(back)
    return code


def _layout(rows: dict[int, Body]) -> Layout:
    code, entry = b"\0", array("H", bytes(512))
    for byte, body in rows.items():
        entry[byte] = len(code)
        code += _assembled((*body, END), len(code))
    return Layout(code, entry)


LAYOUTS = {"redis": _layout(_COMMON | _REDIS), "valkey": _layout(_COMMON | _VALKEY)}


def layout_of(magic: bytes) -> Layout:
    """The meaning of the bytes after that magic."""
    return LAYOUTS["valkey" if magic.startswith(b"VALKE") else "redis"]
