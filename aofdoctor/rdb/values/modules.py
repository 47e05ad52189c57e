"""Decode values of module types: numbers and strings, each with its kind, that only the module can interpret.

Source: rdb.c (rdbLoadCheckModuleValue) and module.c (moduleTypeNameByID) of Redis 4.0 on.
"""

import struct
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from aofdoctor.rdb.encoding.cursor import Cursor, DecodeError, String

# The types of modules that are bundled with a server, or common.
_KNOWN_TYPES = (
    "vectorset", "ReJSON-RL", "TSDB-TYPE", "MBbloom--", "MBbloomCF", "CMSk-TYPE", "TopK-TYPE", "TDIS-TYPE",
    "ft_index0", "ft_invidx", "graphdata", "graphmeta",
)  # fmt: skip
_NAME_BITS = 54  # of a module type's name: nine characters of six bits
_RESEMBLING_BITS = 18  # the first or last three characters
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
    yield [read_module_type(c)]
    while opcode := c.length():
        if opcode not in _MODULE_OPCODES:
            raise DecodeError(c.offset, f"opcode {opcode} in a module's value")
        kind, read = _MODULE_OPCODES[opcode]
        yield [ModulePart(kind, read(c))]


def read_module_type(c: Cursor) -> ModuleType:
    """Read the module type that begins a module's value and its auxiliary data."""
    packed_name = c.length()
    name = "".join(_CHARACTERS[packed_name >> 10 + 6 * at & 63] for at in range(8, -1, -1))
    return ModuleType(name, packed_name & 1023)


def _signed(c: Cursor) -> int:
    value = c.length()
    return value - (1 << 64) if value >> 63 else value


def _type_bits(name: str) -> int:
    bits = 0
    for character in name:
        bits = bits << 6 | _CHARACTERS.index(character)
    return bits


_KNOWN_BITS = frozenset(map(_type_bits, _KNOWN_TYPES))


def is_known_module(type_id: int) -> bool:
    """Return whether a module type id, of any encoding version, is that of a known module."""
    return type_id >> 10 in _KNOWN_BITS


def resembles_known_module(type_id: int) -> bool:
    """Return whether a module type id begins or ends like that of a known module, and is that of another.

    In a damaged RDB it is probably the id of the known module, of which some bytes were overwritten.
    """
    bits = type_id >> 10
    changes = [bits ^ known for known in _KNOWN_BITS]
    return 0 not in changes and any(
        change >> _NAME_BITS - _RESEMBLING_BITS == 0 or change & (1 << _RESEMBLING_BITS) - 1 == 0 for change in changes
    )


def module_type_defect(name: str) -> str:
    """Return why no module has a type of this name; empty if one may.

    A name that differs in one bit from a known one is that name, damaged.
    """
    bits = _type_bits(name)
    if not bits:
        return "a module value without the name of a module"
    if bits not in _KNOWN_BITS and any((bits ^ known).bit_count() == 1 for known in _KNOWN_BITS):
        return f"module type {name}, a known one with one changed bit"
    return ""


_MODULE_OPCODES: dict[int, tuple[str, Callable[[Cursor], int | float | String]]] = {
    1: ("signed", _signed),
    2: ("unsigned", Cursor.length),
    3: ("float", lambda c: float(struct.unpack("<f", c.take(4))[0])),
    4: ("double", lambda c: float(struct.unpack("<d", c.take(8))[0])),
    5: ("string", Cursor.string),
}
