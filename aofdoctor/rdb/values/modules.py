"""Decode values of module types: numbers and strings, each with its kind, that only the module can interpret.

Source: rdb.c (rdbLoadCheckModuleValue) and module.c (moduleTypeNameByID) of Redis 4.0 on.
"""

import struct
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from aofdoctor.rdb.encoding.cursor import Cursor, DecodeError, String

_CHARACTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


class ModuleType(NamedTuple):
    """The module type of a value: the nine-character name and the encoding version that the module has registered."""

    name: str
    version: int


class ModulePart(NamedTuple):
    """One number or string of a module's value; `kind` is signed, unsigned, float, double or string."""

    kind: str
    value: int | float | String


def decode_module(c: Cursor) -> Iterator[list[Any]]:
    """Yield the ModuleType of a module's value, then its parts, each in a list of its own.

    The type id holds nine characters of six bits and a version of ten.  RDB_MODULE_OPCODE_EOF (0) ends the parts.
    """
    packed_name = c.length()
    name = "".join(_CHARACTERS[packed_name >> 10 + 6 * at & 63] for at in range(8, -1, -1))
    yield [ModuleType(name, packed_name & 1023)]
    while opcode := c.length():
        if opcode not in _MODULE_OPCODES:
            raise DecodeError(c.offset, f"opcode {opcode} in a module's value")
        kind, read = _MODULE_OPCODES[opcode]
        yield [ModulePart(kind, read(c))]


def _signed(c: Cursor) -> int:
    value = c.length()
    return value - (1 << 64) if value >> 63 else value


_MODULE_OPCODES: dict[int, tuple[str, Callable[[Cursor], int | float | String]]] = {
    1: ("signed", _signed),
    2: ("unsigned", Cursor.length),
    3: ("float", lambda c: float(struct.unpack("<f", c.take(4))[0])),
    4: ("double", lambda c: float(struct.unpack("<d", c.take(8))[0])),
    5: ("string", Cursor.string),
}
