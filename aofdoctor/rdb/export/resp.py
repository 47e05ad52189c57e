"""Encode commands as RESP in pieces of bounded size, however large the values are.

Uses the compiled encoder if it was built.  Items that are not commands
(Unsupported, CorruptValue) are passed on in their place, so that the writer can
stop or report them.
"""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from aofdoctor.rdb.encoding.cursor import CorruptValue
from aofdoctor.rdb.export.command_args import CommandArgs, Unsupported
from aofdoctor.resp import encode_command

_PIECE = 1 << 18


def _py_encode(command: list[Any]) -> bytes | None:
    """Encode a command as RESP; None if an argument is a LargeString, which is not in memory."""
    if not all(type(word) is bytes for word in command):
        return None
    return encode_command(command)


if TYPE_CHECKING:
    encode_if_bytes = _py_encode
else:
    try:
        from aofdoctor.rdb.export._resp import encode_if_bytes
    except ImportError:
        encode_if_bytes = _py_encode


def encode_commands(
    commands: Iterable[CommandArgs | Unsupported | CorruptValue],
) -> Iterator[bytes | Unsupported | CorruptValue]:
    """Encode commands as RESP, many per piece; items that are no commands are yielded unchanged in their place."""
    out: list[bytes] = []
    size = 0
    for item in commands:
        record = encode_if_bytes(item) if isinstance(item, list) else None
        if record is not None:
            out.append(record)
            size += len(record)
            if size < _PIECE:
                continue
        yield b"".join(out)
        out, size = [], 0
        if record is None:
            yield from _large_command_pieces(item) if isinstance(item, list) else (item,)
    yield b"".join(out)


def _large_command_pieces(command: CommandArgs) -> Iterator[bytes]:
    """Yield the RESP encoding of a command with a large argument in several pieces."""
    yield b"*%d\r\n" % len(command)
    for word in command:
        yield b"$%d\r\n" % len(word)
        yield from (word,) if isinstance(word, bytes) else word.pieces()
        yield b"\r\n"
