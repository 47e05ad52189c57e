"""Decompress the LZ4 or Zstd frame of a compressed RDB, in order, and find where it ends or is damaged.

The codecs come from optional libraries.  A hostile frame must not choose how much memory or time it costs, so the
window of the codec, the size of one output piece, and the output per input byte are limited.  Sources: the LZ4 frame
format 1.6 and RFC 8878, of which only the descriptor byte is interpreted here.
"""

from collections.abc import Callable
from importlib import import_module
from typing import Any, Protocol

from aofdoctor.source import Source, pread

PIECE_SIZE = 1 << 18  # bytes of one output piece, at most
_INPUT = 1 << 16  # bytes of one read of the compressed file
_WINDOW_LOG = 23  # 8 MiB, the window of Zstd's level 19; LZ4 has 64 KiB
# The output limit: 1 GiB, and 512 bytes for each input byte.  LZ4 cannot exceed 255 for each byte.
_OUTPUT_FREE, _OUTPUT_PER_BYTE = 1 << 30, 512
_DESCRIPTOR_OFFSET, _HAS_CHECKSUM = 4, 4  # offset of the descriptor byte and the checksum bit in it, in both formats
INSTALL_COMMAND = "pip install 'aofdoctor[compressed]'"


class FrameDecoder(Protocol):
    """The interface that the decompressors of the LZ4 and the Zstd library have in common."""

    eof: bool
    needs_input: bool
    unused_data: bytes | None

    def decompress(self, data: bytes, max_length: int = -1) -> bytes: ...


class MissingCodec(Exception):
    """The optional library for LZ4 or Zstd is not installed."""


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
    """One LZ4 or Zstd frame of a file, from offset `start` on, decompressed once from front to back.

    `bytes_out` counts the decompressed bytes.  `end` is the file offset after the frame, once it has been reached.
    `note` says why the frame cannot be read further; the defect is at `last_good_offset` or up to _INPUT bytes after
    it.
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
        """Whether the LZ4 or Zstd frame ends with a checksum of its decompressed bytes."""
        return bool(pread(self.source, 1, self.start + _DESCRIPTOR_OFFSET)[0] & _HAS_CHECKSUM)

    def read_piece(self) -> bytes:
        """Decompress the next bytes of the frame, at most PIECE_SIZE; empty at the end of the frame and at a defect."""
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
        except Exception as problem:  # Each library raises its own types; any failure here is a defect of the frame.
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
