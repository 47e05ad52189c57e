"""Read bytes at any offset of an input: a file, a pipe, or bytes in memory.

A file that grows is read up to the size that it had when it was opened; a file
that shrinks raises SourceChanged.  A pipe is read once, forwards.  Its bytes are
kept in temporary files until they are released with forget(), so that a reader
can go back.
"""

import errno
import os
import stat
import tempfile
from bisect import bisect_left
from typing import BinaryIO, Protocol
from weakref import ReferenceType, ref

from aofdoctor.errors import SourceChanged
from aofdoctor.span import Span

PAGE_SIZE = 4096  # the smallest unit of a disk read that succeeds or fails


class Source(Protocol):
    """An input that can be read at any offset: a file, a pipe or bytes in memory."""

    @property
    def size(self) -> int | None:
        """The size of the input in bytes; None for a pipe that has not been read to its end."""

    def readinto(self, view: memoryview, offset: int) -> int:
        """Read bytes at `offset` of the input into `view` and return their number: 1 or more, or 0 at the end."""

    def forget(self, offset: int) -> None:
        """Allow the input to discard all bytes before `offset`; the caller will not read them again."""


def pread(source: Source, size: int, offset: int) -> bytes:
    """Read `size` bytes at `offset` of an input, or fewer at its end; `size` bytes are allocated at once."""
    buffer = bytearray(size)
    view, done = memoryview(buffer), 0
    while done < size and (got := source.readinto(view[done:], offset + done)):
        done += got
    return bytes(view[:done])


def pread_exactly(fd: int, size: int, offset: int) -> bytes:
    """Read exactly `size` bytes at `offset` of an open file; raises SourceChanged if the file ends before them."""
    data = os.pread(fd, size, offset)
    while len(data) < size:
        more = os.pread(fd, size - len(data), offset + len(data))
        if not more:
            raise SourceChanged(f"a file ends at {offset + len(data)} that was longer when it was opened")
        data += more
    return data


class BytesSource:
    """A Source that reads from bytes in memory; `read_size` limits what one readinto() returns, for tests."""

    def __init__(self, data: bytes, read_size: int = 1 << 20) -> None:
        self.size = len(data)
        self._data = data
        self._read_size = read_size

    def readinto(self, view: memoryview, offset: int) -> int:
        piece = self._data[offset : offset + min(len(view), self._read_size)]
        view[: len(piece)] = piece
        return len(piece)

    def forget(self, offset: int) -> None:
        pass


class _OpenFiles:
    """Limits the open file descriptors of all FileSources to LIMIT.

    Beyond LIMIT, the FileSource that was opened first is closed; its next read opens the file again.
    """

    LIMIT = 256  # below the usual limit of 1,024 descriptors

    def __init__(self) -> None:
        self._files: dict[int, ReferenceType[FileSource]] = {}

    def add(self, source: "FileSource") -> None:
        self._files[id(source)] = ref(source)
        while len(self._files) > self.LIMIT:
            oldest = self._files.pop(next(iter(self._files)))()
            if oldest is not None:
                oldest.suspend()

    def remove(self, source: "FileSource") -> None:
        self._files.pop(id(source), None)


_open_files = _OpenFiles()


class FileSource:
    """A Source that reads a regular file, up to the size that the file had when it was opened.

    Bytes that the disk cannot read (EIO) are replaced with NULs and recorded in
    `unreadable`, as sorted spans, until raise_on_read_errors() is called.
    `read_payloads` asks callers to read large arguments that they could skip, so that
    unreadable sectors in them are found too.
    """

    def __init__(self, path: str | bytes | os.PathLike[str]) -> None:
        self.path = os.fsdecode(path)
        self._absolute_path = os.path.abspath(os.fsdecode(path))
        self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self._is_closed = False
        try:
            self.stat = os.fstat(self._fd)
            if stat.S_ISDIR(self.stat.st_mode):
                raise IsADirectoryError(21, os.strerror(21), self.path)
        except BaseException:
            self.close()
            raise
        _open_files.add(self)
        self.size = self.stat.st_size
        self.unreadable: list[Span] | None = []
        self.read_payloads = False

    def raise_on_read_errors(self) -> None:
        """Raise OSError for bytes that the disk cannot read from now on, and at once if some are known already."""
        holes, self.unreadable = self.unreadable, None
        for hole in holes or ():
            self._record_unreadable(hole, OSError(errno.EIO, os.strerror(errno.EIO)))

    def readinto(self, view: memoryview, offset: int) -> int:
        length = min(len(view), self.size - offset)
        if length <= 0:
            return 0
        try:
            got = os.preadv(self.fd, [view[:length]], offset)
        except OSError as problem:
            if problem.errno != errno.EIO:
                raise
            return self._read_by_page(view[:length], offset)
        if got == 0:
            raise SourceChanged(
                f"{self.path} shrank while it was read: {self.size} bytes at open, {os.fstat(self.fd).st_size} now",
                "stop whatever writes to it, or work on a copy",
            )
        # A short read: the next bytes are unreadable, or the file was truncated.
        return got if got == length else got + self.readinto(view[got:length], offset + got)

    def _read_by_page(self, view: memoryview, offset: int) -> int:
        """Fill `view` from `offset` of the file in pages of 4 KiB, after a larger read failed; return the bytes filled.

        A page that the disk cannot read is recorded and filled with NULs, or raises OSError.
        """
        at = 0
        while at < len(view):
            size = min(PAGE_SIZE - (offset + at) % PAGE_SIZE, len(view) - at)
            try:
                view[at : at + size] = self._read_page(Span(offset + at, offset + at + size))
            except OSError as problem:
                self._record_unreadable(Span(offset + at, offset + at + size), problem)
                view[at : at + size] = bytes(size)
            at += size
        return at

    def _read_page(self, span: Span) -> bytes:
        """Read a disk page or a part of one; raises OSError without reading if it failed before, to spare the disk."""
        if self.first_unreadable(span):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return pread_exactly(self.fd, span.size, span.start)

    def _record_unreadable(self, span: Span, problem: OSError) -> None:
        if problem.errno != errno.EIO or self.unreadable is None:
            problem.filename = self.path
            problem.add_note(f"the disk does not give the bytes from {span.start} to {span.end}: copy what it gives "
                             "(ddrescue), or aofdoctor repair --salvage, which goes on with the rest")  # fmt: skip
            raise problem
        holes = self.unreadable
        first = bisect_left(holes, span)
        first -= first > 0 and holes[first - 1].end >= span.start
        last = first
        while last < len(holes) and holes[last].start <= span.end:
            span = Span(min(span.start, holes[last].start), max(span.end, holes[last].end))
            last += 1
        holes[first:last] = [span]

    def first_unreadable(self, span: Span) -> Span | None:
        """Return the first byte range that the disk could not read and that overlaps `span`, or None."""
        holes = self.unreadable or ()
        at = max(0, bisect_left(holes, span) - 1)
        return next((hole for hole in holes[at : at + 2] if hole.start < span.end and span.start < hole.end), None)

    def forget(self, offset: int) -> None:
        pass

    def has_grown(self) -> bool:
        """Whether the file is larger now than when it was opened."""
        return os.fstat(self.fd).st_size > self.size

    @property
    def fd(self) -> int:
        """The file descriptor, opened again if necessary; opening other files can close it.  -1 after close()."""
        if self._fd < 0 and not self._is_closed:
            self._open_again()
        return self._fd

    def suspend(self) -> None:
        """Close the file descriptor; the next read opens the file again."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _open_again(self) -> None:
        """Open the file again by its path; raises SourceChanged if another file has that path now."""
        self._fd = os.open(self._absolute_path, os.O_RDONLY | os.O_CLOEXEC)
        now = os.fstat(self._fd)
        if (now.st_dev, now.st_ino) != (self.stat.st_dev, self.stat.st_ino):
            self.suspend()
            raise SourceChanged(f"{self.path} was replaced while it was read", "run it again, or work on a copy")
        _open_files.add(self)

    def close(self) -> None:
        """Close the file; closing it again does nothing."""
        self._is_closed = True
        _open_files.remove(self)
        self.suspend()

    def __del__(self) -> None:
        if hasattr(self, "_is_closed"):
            self.close()


class PipeSource:
    """A Source that reads a pipe on demand, and keeps its bytes in temporary files of SEGMENT bytes until forget()."""

    SEGMENT = 64 << 20

    def __init__(self, stream: BinaryIO) -> None:
        self.size: int | None = None
        self._fd = stream.fileno()
        self._stream = stream
        self._read = 0
        self._segments: dict[int, BinaryIO] = {}

    def readinto(self, view: memoryview, offset: int) -> int:
        while self.size is None and self._read <= offset:
            self._read_more()
        length = min(len(view), self._read - offset)
        if length <= 0:
            return 0
        number, at = divmod(offset, self.SEGMENT)
        if number not in self._segments:
            raise SourceChanged("a pipe cannot be read twice", "save it to a file first")
        length = min(length, self.SEGMENT - at)
        return os.preadv(self._segments[number].fileno(), [view[:length]], at)

    def forget(self, offset: int) -> None:
        for number in [n for n in self._segments if (n + 1) * self.SEGMENT <= offset]:
            self._segments.pop(number).close()

    def _read_more(self) -> None:
        number, at = divmod(self._read, self.SEGMENT)
        data = os.read(self._fd, min(1 << 20, self.SEGMENT - at))
        if not data:
            self.size = self._read
            return
        if number not in self._segments:
            self._segments[number] = tempfile.TemporaryFile(prefix="aofdoctor-")  # noqa: SIM115 (closed by forget)
        spool = self._segments[number].fileno()
        view = memoryview(data)
        while view:
            at += (put := os.pwrite(spool, view, at))
            view = view[put:]
        self._read += len(data)
