"""CRC-64 of RDB files (the Jones polynomial, reflected, without inversion); uses the compiled function if it was built.

Check value: crc64(b"123456789") == 0xe9c6d914c4b8d9ca (crc64.c, every server).
"""

import functools
from typing import TYPE_CHECKING


@functools.cache
def _table() -> list[int]:
    table = []
    for crc in range(256):
        for _ in range(8):
            crc = (crc >> 1) ^ (0x95AC9329AC4BC9B5 if crc & 1 else 0)
        table.append(crc)
    return table


def _py_crc64(data: bytes | bytearray | memoryview, crc: int = 0) -> int:
    """Continue the CRC-64 `crc` with the bytes of `data`; return the new value."""
    table = _table()
    for byte in data:
        crc = table[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    return crc


def _py_find_end_by_crc(data: bytes | bytearray | memoryview, crc: int) -> tuple[int, int]:
    """Find the first EOF opcode (0xff) that is followed by the CRC-64 of all bytes up to and including it.

    `crc` is the CRC of the bytes before `data`.  Returns (the index of the 0xff, the CRC up to it), or (len(data) - 8,
    the CRC of the bytes before that index) if there is none.
    """
    last, table = max(0, len(data) - 8), _table()
    for i in range(last):
        crc = table[(crc ^ data[i]) & 0xFF] ^ (crc >> 8)
        if data[i] == 0xFF and int.from_bytes(data[i + 1 : i + 9], "little") == crc:
            return i, crc
    return last, crc


if TYPE_CHECKING:
    crc64, find_end_by_crc = _py_crc64, _py_find_end_by_crc
else:
    try:
        from aofdoctor.rdb.encoding._crc64 import crc64, find_end_by_crc
    except ImportError:
        crc64, find_end_by_crc = _py_crc64, _py_find_end_by_crc

__all__ = ["_py_crc64", "_py_find_end_by_crc", "crc64", "find_end_by_crc"]
