"""LZF, the compression of RDB strings: the compiled decompressor, or its plain twin.

What a header claims is believed only as far as the packed bytes can give it:
no byte of LZF gives more than 88 (three give at most 264).  Source: lzf_d.c as
every server carries it.
"""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

HISTORY = 8192
MOST = 264  # bytes out of one instruction
_LONGEST = 33  # and the most that one takes


def _py_decompress_prefix(data: bytes, before: bytes, room: int) -> tuple[bytes, int] | None:
    """(what the whole instructions of `data` give, at most `room` bytes; how many bytes they are); None if they lie."""
    out, i, start = bytearray(before), 0, len(before)
    while i < len(data):
        if (first := data[i]) < 32:
            head, length, back = 1, first + 1, 0
            if i + 1 + length > len(data):
                break
        else:
            head = 3 if first >= 0xE0 else 2
            if i + head > len(data):
                break
            length = (7 + data[i + 1] if head == 3 else first >> 5) + 2
            back = ((first & 31) << 8) + data[i + head - 1] + 1
        if len(out) - start + length > room:
            break
        if back > len(out):
            return None
        if back:
            piece = bytes(out[len(out) - back : len(out) - back + length])
            out += (piece * (length // len(piece) + 1))[:length]
        else:
            out += data[i + 1 : i + 1 + length]
        i += head if back else 1 + length
    return bytes(out[start:]), i


if TYPE_CHECKING:
    unpack = _py_decompress_prefix
else:
    try:
        from aofdoctor.rdb.encoding._lzf import unpack
    except ImportError:
        unpack = _py_decompress_prefix


def possible(packed: int, size: int) -> bool:
    """True if so many packed bytes can be so many: an instruction of 2 gives at least 1, one of 3 at most 264."""
    return packed <= 2 * size and size <= packed * (MOST // 3)


def decompress(data: bytes, size: int) -> bytes | None:
    """The `size` bytes that `data` stands for; None if it does not, and then nothing of that size was allocated."""
    if not possible(len(data), size):
        return None
    done = unpack(data, b"", size)
    return done[0] if done and done[1] == len(data) and len(done[0]) == size else None


def stream(pieces: Iterable[bytes], size: int, room: int = 1 << 17) -> Iterator[bytes | None]:
    """The same in pieces of at most `room` bytes, for what is too large to hold; a last None if it lies."""
    past, rest = b"", b""
    for piece in pieces:
        rest += piece
        while done := unpack(rest, past, min(room, size)):
            out, took = done
            if not took:
                break
            size, rest, past = size - len(out), rest[took:], (past + out)[-HISTORY:]
            yield out
        if done is None or len(rest) > _LONGEST:
            yield None
            return
    if size or rest:
        yield None
