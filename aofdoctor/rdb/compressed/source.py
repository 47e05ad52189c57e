"""Make the RDB inside a Valkey-compressed file readable at any offset, as a source of its decompressed bytes.

A frame can only be read forwards.  Up to three readers therefore follow it at different offsets, and each keeps the
last few MiB that it produced: a walk and the decoding of values behind it have one reader each, and nothing is
decompressed again for every key.  An access before all of them starts another reader at the beginning.  Offsets are
those of the decompressed bytes.  Source: the specification of Valkey's compressed stream, version 1 (valkey-io/valkey,
pull request 3531).
"""

from collections import deque

from aofdoctor.rdb import header
from aofdoctor.rdb.compressed.frames import Frame
from aofdoctor.source import Source

MAX_BATCH_SPAN = 1 << 20  # bytes after which a walk delivers its items, so that values are read while still kept
_KEPT_BYTES = 1 << 21  # decompressed bytes that a reader keeps
_PREFIX_SIZE = 1 << 16  # bytes at the start of the RDB that are always kept
_MAX_READERS = 3


def decompressed(source: Source) -> Source:
    """Return a source of the plain RDB bytes: `source` itself, or a DecompressedSource if it is compressed."""
    codec = header.compression_codec(source)
    return DecompressedSource(source, codec) if codec else source


class _FrameReader:
    """One pass of decompression over a frame, which keeps its latest output.

    `pieces` are the last bytes that it produced; the first of them is at decompressed offset `start`.
    """

    def __init__(self, frame: Frame) -> None:
        self.frame, self.start = frame, 0
        self.pieces: deque[bytes] = deque()

    def reach(self, offset: int) -> bool:
        """Decompress until this reader keeps the byte at `offset` of the RDB; return False if the RDB is shorter."""
        while self.frame.bytes_out <= offset:
            if not (piece := self.frame.read_piece()):
                return False
            self.pieces.append(piece)
            while self.frame.bytes_out - self.start - len(self.pieces[0]) >= _KEPT_BYTES:
                self.start += len(self.pieces.popleft())
        return True

    def copy(self, view: memoryview, offset: int) -> int:
        """Copy bytes that this reader still keeps, from `offset` of the decompressed RDB on, into `view`.

        Returns the number of bytes copied.
        """
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
    """The bytes inside a compressed RDB file, readable at any offset; `size` is None until the end has been reached."""

    def __init__(self, source: Source, codec: str) -> None:
        self.source, self.codec = source, codec
        self.size: int | None = None
        self._readers: list[_FrameReader] = []
        self._prefix = b""

    def readinto(self, view: memoryview, offset: int) -> int:
        """Fill `view` with decompressed bytes from `offset` of the RDB on; return how many, 0 at the end.

        Fewer bytes than requested are copied if the chosen reader does not have all of them.
        """
        if self.size is not None and offset >= self.size:
            return 0
        if offset + len(view) <= len(self._prefix):  # The magic is read very often.
            view[:] = self._prefix[offset : offset + len(view)]
            return len(view)
        reader = self._reader_for(offset)
        if not reader.reach(offset):
            self.size = reader.frame.bytes_out
            return 0
        return reader.copy(view, offset)

    def forget(self, offset: int) -> None:
        """Do nothing: only the last few MiB of decompressed bytes are kept in any case."""

    def drain(self) -> Frame:
        """Decompress the compressed RDB to its end or to a defect, and return its Frame; `size` is then known."""
        reader = max(self._readers, key=_bytes_out, default=None) or self._start_reader()
        while reader.reach(reader.frame.bytes_out):
            pass
        self.size = reader.frame.bytes_out
        return reader.frame

    def _reader_for(self, offset: int) -> _FrameReader:
        """Return the decompressing reader that keeps `offset` of the RDB or is closest before it; else a new one."""
        for reader in self._readers:
            if reader.start <= offset < reader.frame.bytes_out:
                return reader
        behind = [reader for reader in self._readers if reader.frame.bytes_out <= offset]
        return max(behind, key=_bytes_out) if behind else self._start_reader()

    def _start_reader(self) -> _FrameReader:
        """Start another decompression of the RDB from its beginning.

        If three readers exist already, the new one replaces the one that has read the least.
        """
        if len(self._readers) == _MAX_READERS:
            self._readers.remove(min(self._readers, key=_bytes_out))
        reader = _FrameReader(Frame(self.source, header.FRAME_OFFSET, self.codec))
        reader.reach(_PREFIX_SIZE - 1)
        self._prefix = b"".join(reader.pieces)[:_PREFIX_SIZE]
        self._readers.append(reader)
        return reader


def _bytes_out(reader: _FrameReader) -> int:
    return reader.frame.bytes_out
