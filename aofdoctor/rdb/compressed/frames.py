"""The bytes inside a frame of LZ4 or Zstd, in order: what they decode to, where the frame ends, why it goes no further.

Decoded by libraries that are an extra of the package.  Of a hostile frame
neither memory nor time is its own choice: a window is bounded, what comes out
at once is, and what comes out for each byte that goes in.  Sources: the LZ4
frame format 1.6 and RFC 8878 (only the descriptor byte is read here).
"""

from collections.abc import Callable
from importlib import import_module
from typing import Any, Protocol

from aofdoctor.source import Source, pread

PIECE_SIZE = 1 << 18  # bytes that come out at once
_INPUT = 1 << 16
_WINDOW_LOG = 23  # 8 MiB, what level 19 of Zstd takes; LZ4 has 64 KiB
_OUTPUT_FREE, _OUTPUT_PER_BYTE = (
    1 << 30,
    512,
)  # so many come out, and so many more for each byte that went in; LZ4 gives 255 at most
_DESCRIPTOR_OFFSET, _HAS_CHECKSUM = 4, 4  # where it stands, and the bit in it; the same in both
INSTALL_COMMAND = "pip install 'aofdoctor[compressed]'"


class FrameDecoder(Protocol):
    """What the decoders of both libraries have in common."""

    eof: bool
    needs_input: bool
    unused_data: bytes | None

    def decompress(self, data: bytes, max_length: int = -1) -> bytes: ...


class MissingCodec(Exception):
    """The library of a codec is not installed."""


def _lz4() -> FrameDecoder:
    decoder: FrameDecoder = _module("lz4.frame").LZ4FrameDecompressor()
    return decoder


def _zstd() -> FrameDecoder:
    module = _module("compression.zstd", "backports.zstd")
    options = {module.DecompressionParameter.window_log_max: _WINDOW_LOG}
    decoder: FrameDecoder = module.ZstdDecompressor(options=options)
    return decoder


def _module(*names: str) -> Any:
    for name in names:
        try:
            return import_module(name)
        except ImportError:
            continue
    raise MissingCodec


_DECODERS: dict[str, Callable[[], FrameDecoder]] = {"LZ4": _lz4, "Zstd": _zstd}


class Frame:
    """One frame of `codec` that begins at `start`, read forwards once.

    `given`: so many bytes have come out.  `end`: the byte after it, once that is
    reached.  `note`: why it goes no further; that is at `at` or up to _INPUT before.
    """

    def __init__(self, source: Source, start: int, codec: str) -> None:
        self.source, self.start, self.codec = source, start, codec
        self.input_offset, self.last_good_offset, self.bytes_out = start, start, 0
        self.end: int | None = None
        self.note = ""
        self._decoder: FrameDecoder | None = None
        try:
            self._decoder = _DECODERS[codec]()
        except MissingCodec:
            self.note = f"a stream that {codec} compresses, and the library for it is not here: {INSTALL_COMMAND}"

    @property
    def has_checksum(self) -> bool:
        """True if it ends in a checksum of all that comes out."""
        return bool(pread(self.source, 1, self.start + _DESCRIPTOR_OFFSET)[0] & _HAS_CHECKSUM)

    def read_piece(self) -> bytes:
        """The bytes that follow, at most PIECE; none at its end, and where it goes no further."""
        while self.end is None and not self.note:
            if out := self._decompress_some():
                return out
        return b""

    def _decompress_some(self) -> bytes:
        decoder, data = self._decoder, b""
        assert decoder is not None
        if decoder.needs_input:
            data = pread(self.source, _INPUT, self.input_offset)
            if not data:
                self.note = f"the file ends inside the {self.codec} frame"
                return b""
            self.last_good_offset, self.input_offset = self.input_offset, self.input_offset + len(data)
        try:
            out = decoder.decompress(data, PIECE_SIZE)
        except Exception as problem:  # each library has its own; what the bytes say is all that was asked
            self.note = f"the {self.codec} frame is damaged before {self.input_offset}: {_one_line(problem)}"
            return b""
        self.bytes_out += len(out)
        if self.bytes_out > _OUTPUT_FREE + _OUTPUT_PER_BYTE * (self.input_offset - self.start):
            into = self.input_offset - self.start
            self.note = (
                f"{self.bytes_out} bytes come out of {into} of the {self.codec} frame: it is not read any further"
            )
        elif decoder.eof:
            self.end = self.input_offset - len(decoder.unused_data or b"")
        elif not (data or out or decoder.needs_input):
            self.note = f"the {self.codec} frame does not go on before {self.input_offset}"
        return out


def _one_line(problem: Exception) -> str:
    return " ".join(str(problem).split())[:100] or type(problem).__name__
