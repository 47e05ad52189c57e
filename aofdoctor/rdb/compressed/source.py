"""The RDB inside a compressed stream of Valkey: a source of the bytes that come out of it.

A frame can be read forwards only.  So a few readers go along it, each with the
bytes that it gave last: whoever walks ahead and whoever looks at values behind
have one each, and nothing is decoded again for every key.  Who goes back
further than all of them has one begin anew.  Offsets are those of the unpacked
bytes.  Source: the document of Valkey's
compressed stream, version 1 (valkey-io/valkey, pull request 3531).
"""

from collections import deque

from aofdoctor.rdb import header
from aofdoctor.rdb.compressed.frames import Frame
from aofdoctor.source import Source

MAX_BATCH_SPAN = 1 << 20  # who walks ahead gives its items at least so often
_KEPT_BYTES = 1 << 21  # bytes that a reader keeps of what it gave
_PREFIX_SIZE = 1 << 16
_MAX_READERS = 3


def decompressed(source: Source) -> Source:
    """Where the bytes of an RDB are that stands at the head of a source: itself, or what comes out of it."""
    codec = header.compression_codec(source)
    return DecompressedSource(source, codec) if codec else source


class _FrameReader:
    """One way along the frame: `pieces` end where it is, `start` is the offset of the first."""

    def __init__(self, frame: Frame) -> None:
        self.frame, self.start = frame, 0
        self.pieces: deque[bytes] = deque()

    def reach(self, offset: int) -> bool:
        """Go on until an offset is among the pieces; False if there is no such byte."""
        while self.frame.bytes_out <= offset:
            if not (piece := self.frame.read_piece()):
                return False
            self.pieces.append(piece)
            while self.frame.bytes_out - self.start - len(self.pieces[0]) >= _KEPT_BYTES:
                self.start += len(self.pieces.popleft())
        return True

    def copy(self, view: memoryview, offset: int) -> int:
        """The bytes from an offset that is among the pieces, up to the end of them."""
        at, done = self.start, 0
        for piece in self.pieces:
            if offset + done < at + len(piece):
                part = piece[offset + done - at : offset - at + len(view)]
                view[done : done + len(part)] = part
                done += len(part)
                if done == len(view):
                    break
            at += len(piece)
        return done


class DecompressedSource:
    """The bytes that come out of a compressed stream; a Source.  `size` is None until its end has been seen."""

    def __init__(self, source: Source, codec: str) -> None:
        self.source, self.codec = source, codec
        self.size: int | None = None
        self._readers: list[_FrameReader] = []
        self._prefix = b""

    def readinto(self, view: memoryview, offset: int) -> int:
        """Fill `view` from `offset`, as far as one reader has it."""
        if self.size is not None and offset >= self.size:
            return 0
        if offset + len(view) <= len(self._prefix):  # the magic is asked for again and again
            view[:] = self._prefix[offset : offset + len(view)]
            return len(view)
        reader = self._reader_for(offset)
        if not reader.reach(offset):
            self.size = reader.frame.bytes_out
            return 0
        return reader.copy(view, offset)

    def forget(self, offset: int) -> None:
        """Nothing is kept for going back."""

    def drain(self) -> Frame:
        """The frame as it is at its end, or where it goes no further; `size` is known then."""
        reader = max(self._readers, key=_bytes_out, default=None) or self._start_reader()
        while reader.reach(reader.frame.bytes_out):
            pass
        self.size = reader.frame.bytes_out
        return reader.frame

    def _reader_for(self, offset: int) -> _FrameReader:
        """The one that has the offset, or comes to it soonest; else one that begins anew."""
        for reader in self._readers:
            if reader.start <= offset < reader.frame.bytes_out:
                return reader
        behind = [reader for reader in self._readers if reader.frame.bytes_out <= offset]
        return max(behind, key=_bytes_out) if behind else self._start_reader()

    def _start_reader(self) -> _FrameReader:
        """Another one, in place of the one that has come least far if there are too many."""
        if len(self._readers) == _MAX_READERS:
            self._readers.remove(min(self._readers, key=_bytes_out))
        reader = _FrameReader(Frame(self.source, header.FRAME_OFFSET, self.codec))
        reader.reach(_PREFIX_SIZE - 1)
        self._prefix = b"".join(reader.pieces)[:_PREFIX_SIZE]
        self._readers.append(reader)
        return reader


def _bytes_out(reader: _FrameReader) -> int:
    return reader.frame.bytes_out
