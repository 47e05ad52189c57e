"""CRC-64 of RDB files (Jones, reflected, no inversion): the compiled one, or its plain twin.

Check value: crc64(b"123456789") == 0xe9c6d914c4b8d9ca (crc64.c, every server).
"""

from typing import TYPE_CHECKING


def _table() -> list[int]:
    table = []
    for crc in range(256):
        for _ in range(8):
            crc = (crc >> 1) ^ (0x95AC9329AC4BC9B5 if crc & 1 else 0)
        table.append(crc)
    return table


_TABLE = _table()


def _py_crc64(data: bytes | bytearray | memoryview, crc: int = 0) -> int:
    """The CRC of `data`, going on from `crc`."""
    table = _TABLE
    for byte in data:
        crc = table[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    return crc


def _py_find_end_by_crc(data: bytes | bytearray | memoryview, crc: int) -> tuple[int, int]:
    """(i, crc): data[i] is 0xff and the CRC up to and with it follows; i = len(data) - 8 if nowhere."""
    last = max(0, len(data) - 8)
    for i in range(last):
        crc = _TABLE[(crc ^ data[i]) & 0xFF] ^ (crc >> 8)
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
