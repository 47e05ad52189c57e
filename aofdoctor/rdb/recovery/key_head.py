"""Read the head of an RDB key (expiry and other opcodes, type, name), even if the value after it is damaged."""

from typing import NamedTuple

from aofdoctor.rdb.encoding.cursor import Cursor, DecodeError
from aofdoctor.rdb.opcodes import FIRST_OPCODE, Opcode
from aofdoctor.source import Source

_NAME_MAX = 1 << 16
_OPCODES_MAX = 8  # opcodes before one type


class KeyHead(NamedTuple):
    """The head of an RDB key: its type byte, name, file offset of its value, and expiry (unix ms; -1: none)."""

    type: int
    name: bytes
    value_offset: int
    expire_ms: int


def read_key_head(source: Source, start: int) -> KeyHead | None:
    """Read the head of the RDB key that begins, with its opcodes, at file offset `start`; None if no key does."""
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
