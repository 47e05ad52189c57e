"""Read the head of a key, its opcodes, type and name, where the value after it may be damaged."""

from typing import NamedTuple

from aofdoctor.rdb.encoding.cursor import Cursor, DecodeError
from aofdoctor.rdb.opcodes import FIRST_OPCODE, Opcode
from aofdoctor.source import Source

_NAME_MAX = 1 << 16
_OPCODES_MAX = 8  # opcodes before one type


class KeyHead(NamedTuple):
    """The head of a key: its type, its name, where its value begins, and its expiry (unix milliseconds; -1: none)."""

    type: int
    name: bytes
    value_offset: int
    expire_ms: int


def read_key_head(source: Source, start: int) -> KeyHead | None:
    """Return the head of the key that begins with its first opcode at `start`; None if no key with a name does."""
    cursor, expire = Cursor(source), -1
    cursor.seek(start)
    try:
        for _ in range(_OPCODES_MAX):
            byte = cursor.byte()
            if byte == Opcode.EXPIRETIME_MS:
                expire = cursor.number(signed=True)
            elif byte == Opcode.EXPIRETIME:
                expire = 1000 * cursor.number(4)
            elif byte == Opcode.IDLE:
                cursor.length()
            elif byte == Opcode.FREQ:
                cursor.byte()
            elif byte >= FIRST_OPCODE:
                return None
            else:
                name = cursor.string_in_memory(_NAME_MAX)
                return KeyHead(byte, name, cursor.offset, expire)
    except DecodeError:
        pass
    return None
