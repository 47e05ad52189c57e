"""Decompress LZF, which RDB files use for single strings; uses the compiled decompressor if it was built.

A declared size is believed only as far as the compressed bytes can produce it:
an instruction of three bytes produces at most 264 bytes, 88 per compressed byte.
Source: lzf_d.c, as every server carries it.
"""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

HISTORY_SIZE = 8192  # bytes of earlier output that a copy instruction can refer to
MAX_COPY_SIZE = 264  # bytes that one instruction produces at most
_MAX_INSTRUCTION_SIZE = 33  # bytes that one instruction occupies at most


def _py_decompress_prefix(data: bytes, history: bytes, max_size: int) -> tuple[bytes, int] | None:
    """Decompress the complete LZF instructions at the start of `data` into at most `max_size` bytes.

    `history` is earlier output that copy instructions may refer to.  Returns (the output, how many bytes of `data` were
    read), or None if a copy refers to bytes before `history`.
    """
    out, i, start = bytearray(history), 0, len(history)
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
        if len(out) - start + length > max_size:
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
    decompress_prefix = _py_decompress_prefix
else:
    try:
        from aofdoctor.rdb.encoding._lzf import decompress_prefix
    except ImportError:
        decompress_prefix = _py_decompress_prefix


def is_possible_size(packed: int, size: int) -> bool:
    """Return whether `packed` bytes of LZF can decompress to `size` bytes.

    An instruction of two bytes produces at least one byte, one of three bytes at most 264.
    """
    return packed <= 2 * size and size <= packed * (MAX_COPY_SIZE // 3)


def decompress(data: bytes, size: int) -> bytes | None:
    """Decompress LZF data to exactly `size` bytes; None if that fails.

    Memory is not allocated for a `size` that the data cannot produce.
    """
    if not is_possible_size(len(data), size):
        return None
    result = decompress_prefix(data, b"", size)
    return result[0] if result and result[1] == len(data) and len(result[0]) == size else None


def decompress_stream(pieces: Iterable[bytes], size: int, max_piece: int = 1 << 17) -> Iterator[bytes | None]:
    """Decompress an LZF string that is too large for memory: yield pieces of at most `max_piece` bytes.

    `pieces` is the compressed data.  The last item is None if it is corrupt or does not decompress to `size` bytes.
    """
    history, rest = b"", b""
    for piece in pieces:
        rest += piece
        while result := decompress_prefix(rest, history, min(max_piece, size)):
            out, consumed = result
            if not consumed:
                break
            size, rest, history = size - len(out), rest[consumed:], (history + out)[-HISTORY_SIZE:]
            yield out
        if result is None or len(rest) > _MAX_INSTRUCTION_SIZE:
            yield None
            return
    if size or rest:
        yield None
