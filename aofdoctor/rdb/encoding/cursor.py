"""Read lengths, strings and numbers of RDB values one after the other: the Cursor, and strings too large for memory.

The Cursor reads the file through a window that is small after a jump and grows during sequential reading.  Strings of
LARGE_STRING_SIZE and more are not held in memory: they become a LargeString, which is read on request.  A claimed
length is checked against the bytes that exist before memory is allocated for it.  Source: rdb.c (rdbLoadLenByRef,
rdbGenericLoadStringObject).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

from aofdoctor.rdb.encoding import lzf
from aofdoctor.rdb.encoding.lengths import decode_length, length_size
from aofdoctor.rdb.encoding.runs import MAX_RUN_ITEMS, strings_run
from aofdoctor.source import Source, pread

LARGE_STRING_SIZE = 1 << 17
_PIECE = 1 << 16
_FIRST, _WINDOW = 1 << 12, 1 << 18
_LZF = 3


class DecodeError(Exception):
    """RDB bytes that are not a valid value; `offset` is the place in the file where the decoder noticed it.

    Raised inside rdb.  The public functions of the package turn it into a CorruptValue.
    """

    def __init__(self, offset: int, note: str) -> None:
        super().__init__(note)
        self.offset, self.note = offset, note


class CorruptValue(NamedTuple):
    """A value or part of an RDB that cannot be decoded: the file offset where this was noticed, and why."""

    offset: int
    note: str


@dataclass(frozen=True, slots=True)
class LargeString:
    """A string of an RDB that is too large to hold in memory: `size` bytes, stored at `offset` of `source`.

    If `lzf_size` is not 0, the string is stored as that many bytes of LZF.  `container_size` is not 0 for a part of a
    compressed string: the part begins at `container_offset` of the `container_size` bytes that decompression yields.
    """

    source: Source
    offset: int
    size: int
    lzf_size: int = 0
    container_offset: int = 0
    container_size: int = 0

    def __len__(self) -> int:
        return self.size

    def pieces(self) -> Iterator[bytes]:
        """Yield the bytes of the string in order, decompressed, in pieces much smaller than the string."""
        if not self.lzf_size:
            yield from self._stored()
            return
        passed_size, end = 0, self.container_offset + self.size
        for piece in lzf.decompress_stream(self._stored(), self.container_size or self.size):
            if piece is None:
                raise DecodeError(self.offset, "LZF that does not give what it claims")
            if part := piece[max(0, self.container_offset - passed_size) : max(0, end - passed_size)]:
                yield part
            passed_size += len(piece)
            if passed_size >= end and self.container_size:
                return

    def read(self, limit: int | None = None) -> bytes:
        """Read all bytes of the large string into memory, or the first `limit`."""
        out, size = [], 0
        for piece in self.pieces():
            out.append(piece)
            size += len(piece)
            if limit is not None and size >= limit:
                break
        return b"".join(out)[:limit]

    def _stored(self) -> Iterator[bytes]:
        at, end = self.offset, self.offset + (self.lzf_size or self.size)
        while at < end:
            piece = pread(self.source, min(_PIECE, end - at), at)
            if not piece:
                raise DecodeError(at, "the file ends inside a string")
            at += len(piece)
            yield piece


String = bytes | LargeString  # an RDB string, in memory or too large for it


class Cursor:
    """A reading position in an RDB file, with methods that decode what follows; for a single reader."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self._base, self._at, self._data = 0, 0, b""
        self._window = _FIRST

    @property
    def offset(self) -> int:
        """The reading position: an offset in the file."""
        return self._base + self._at

    def seek(self, offset: int) -> None:
        """Move the reading position to `offset` of the file."""
        at = offset - self._base
        if 0 <= at <= len(self._data):
            self._at = at
            return
        self._base, self._at, self._data, self._window = offset, 0, b"", _FIRST

    def byte(self) -> int:
        """Read the next byte of the file as a number."""
        if self._at >= len(self._data):
            self._load(1)
        self._at += 1
        return self._data[self._at - 1]

    def take(self, size: int) -> bytes:
        """Read the next `size` bytes of the file; callers ask for no more than LARGE_STRING_SIZE."""
        end = self._at + size
        if end > len(self._data):
            self._load(size)
            end = size
        piece = self._data[self._at : end]
        self._at = end
        return piece

    def number(self, size: int = 8, signed: bool = False) -> int:
        """Read the next `size` bytes of the file as a little-endian integer."""
        return int.from_bytes(self.take(size), "little", signed=signed)

    def length(self) -> int:
        """Read an RDB length, the variable-length integer of counts and sizes; raises DecodeError for anything else."""
        size, encoding = self._length_or_encoding()
        if encoding is not None:
            raise DecodeError(self.offset, f"string encoding {encoding} where a length should be")
        return size

    def string(self) -> String:
        """Read an RDB string, decompressing LZF; a stored integer becomes its digits, a large string a LargeString."""
        run, at = strings_run(self._data, self._at, 1, False, LARGE_STRING_SIZE, 1)
        if run and run[0] is not None:
            self._at = at
            return cast(bytes, run[0])
        return self._slow_string()

    def _slow_string(self) -> String:
        """Read an RDB string that crosses the window's end, is large, or is invalid; raises DecodeError if invalid."""
        size, encoding = self._length_or_encoding()
        if encoding is None:
            return self.take(size) if size < LARGE_STRING_SIZE else self._skip_large(size, 0)
        if encoding < _LZF:
            return b"%d" % self.number(1 << encoding, signed=True)
        if encoding != _LZF:
            raise DecodeError(self.offset, f"string encoding {encoding}")
        packed, size = self.length(), self.length()
        if not lzf.is_possible_size(packed, size):
            raise DecodeError(self.offset, f"{packed} bytes of LZF cannot be {size} bytes")
        if size >= LARGE_STRING_SIZE:
            return self._skip_large(size, packed)
        at = self.offset
        value = lzf.decompress(self.take(packed), size)
        if value is None:
            raise DecodeError(at, f"LZF that does not give the {size} bytes that it claims")
        return value

    def string_in_memory(self, limit: int) -> bytes:
        """Read an RDB string as bytes; raises DecodeError if it is large and has more than `limit` bytes."""
        at, value = self.offset, self.string()
        if isinstance(value, bytes):
            return value
        if value.size > limit:
            raise DecodeError(at, f"{value.size} bytes in one piece are more than are read at once")
        return value.read()

    def strings(self, count: int, width: int = 1, has_tail: bool = False) -> Iterator[list[Any]]:
        """Yield `count` elements of a value as flat lists, each with one or more whole elements.

        An element is `width` RDB strings and, with `has_tail`, eight raw bytes.
        """
        parts = width + has_tail
        while count > 0:
            at, max_items = self._at, min(MAX_RUN_ITEMS, count * parts)
            run, self._at = strings_run(self._data, at, width, has_tail, LARGE_STRING_SIZE, max_items)
            if None in run:  # Keep the elements before the invalid LZF data; the next iteration raises the error.
                run, self._at = strings_run(
                    self._data, at, width, has_tail, LARGE_STRING_SIZE, run.index(None) // parts * parts
                )
            if not run:
                run = [self._slow_string() for _ in range(width)] + ([self.take(8)] if has_tail else [])
            count -= len(run) // parts
            yield run

    def _length_or_encoding(self) -> tuple[int, int | None]:
        first = self.byte()
        if first < 0x40:
            return first, None
        if first >= 0xC0:
            return 0, first & 63
        size = length_size(first)
        if not size:
            raise DecodeError(self.offset - 1, f"length encoding {first:#x}")
        self._at -= 1
        return decode_length(self.take(size), 0)[0], None

    def _skip_large(self, size: int, packed: int) -> LargeString:
        """Move past a large string and return it; LZF is decompressed once, so that a later read cannot fail."""
        stored = packed or size
        value = LargeString(self.source, self.offset, size, packed)
        self._require_bytes_until(value.offset + stored)
        if packed:
            for _ in value.pieces():
                pass
        self.seek(value.offset + stored)
        return value

    def _require_bytes_until(self, end: int) -> None:
        size = self.source.size
        is_present = end <= size if size is not None else bool(pread(self.source, 1, end - 1))
        if not is_present:
            raise DecodeError(self.offset, "the file ends inside a string")

    def _load(self, need: int) -> None:
        """Refill the bytes in memory from the file, so that at least `need` bytes follow the reading position."""
        rest = self._data[self._at :]
        self._base, self._at = self._base + self._at, 0
        size = max(self._window, need)
        self._window = min(_WINDOW, self._window * 4)
        self._data = rest + pread(self.source, size, self._base + len(rest))
        if len(self._data) < need:
            raise DecodeError(self._base + len(self._data), "the file ends inside a value")
