"""A cursor over the lengths, strings and numbers of an RDB value.

It reads through a window that is small after a jump and grows while it goes
on.  A string of LARGE bytes and more is not held: it is a Large, that is read
when somebody asks.  What a length claims is compared with the bytes there are
before anything is made of it.  Source: rdb.c (rdbLoadLen, rdbGenericLoadStringObject).
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
    """Bytes that are no value; the callers of this room's public functions get a Corrupt for it."""

    def __init__(self, offset: int, note: str) -> None:
        super().__init__(note)
        self.offset, self.note = offset, note


class CorruptValue(NamedTuple):
    """A value that is not what its bytes promise: where that was seen, and what."""

    offset: int
    note: str


@dataclass(frozen=True, slots=True)
class LargeString:
    """A string too large to hold: `size` bytes, stored at `offset`, as LZF in `packed` bytes if that is not 0.

    One inside another that is LZF begins at `start` of the `whole` bytes of that.
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
        """Its bytes in order, in pieces of no more than LARGE."""
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
        """All of it, or its first `most` bytes, in memory."""
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


String = bytes | LargeString


class Cursor:
    """A place in a source, and the bytes from there on; one reader at a time."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self._base, self._at, self._data = 0, 0, b""
        self._window = _FIRST

    @property
    def offset(self) -> int:
        """Where it stands, in bytes from the start of the source."""
        return self._base + self._at

    def seek(self, offset: int) -> None:
        """Stand at `offset`."""
        at = offset - self._base
        if 0 <= at <= len(self._data):
            self._at = at
            return
        self._base, self._at, self._data, self._window = offset, 0, b"", _FIRST

    def byte(self) -> int:
        """The next byte."""
        if self._at >= len(self._data):
            self._load(1)
        self._at += 1
        return self._data[self._at - 1]

    def take(self, size: int) -> bytes:
        """The next `size` bytes; no more than LARGE."""
        end = self._at + size
        if end > len(self._data):
            self._load(size)
            end = size
        piece = self._data[self._at : end]
        self._at = end
        return piece

    def number(self, size: int = 8, signed: bool = False) -> int:
        """A little endian integer."""
        return int.from_bytes(self.take(size), "little", signed=signed)

    def length(self) -> int:
        """An RDB length."""
        size, encoding = self._length_or_encoding()
        if encoding is not None:
            raise DecodeError(self.offset, f"string encoding {encoding} where a length should be")
        return size

    def string(self) -> String:
        """An RDB string: its bytes, an integer as its digits, or where a large one is."""
        run, at = strings_run(self._data, self._at, 1, False, LARGE_STRING_SIZE, 1)
        if run and run[0] is not None:
            self._at = at
            return cast(bytes, run[0])
        return self._slow_string()

    def _slow_string(self) -> String:
        """The same where the window ends, for a large one, and to say what is wrong."""
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
        """An RDB string in memory, however large, up to `most` bytes."""
        at, value = self.offset, self.string()
        if isinstance(value, bytes):
            return value
        if value.size > limit:
            raise DecodeError(at, f"{value.size} bytes in one piece are more than are read at once")
        return value.read()

    def strings(self, count: int, width: int = 1, has_tail: bool = False) -> Iterator[list[Any]]:
        """`count` elements of `each` strings, and eight bytes if `tail`, as flat lists of whole elements."""
        parts = width + has_tail
        while count > 0:
            at, max_items = self._at, min(MAX_RUN_ITEMS, count * parts)
            run, self._at = strings_run(self._data, at, width, has_tail, LARGE_STRING_SIZE, max_items)
            if None in run:  # as far as LZF does not lie; the next turn says where it does
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
        """Step over it; LZF is tried, so that who reads it later is not surprised."""
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
        """Drop what has been passed and read on; at least `need` bytes."""
        rest = self._data[self._at :]
        self._base, self._at = self._base + self._at, 0
        size = max(self._window, need)
        self._window = min(_WINDOW, self._window * 4)
        self._data = rest + pread(self.source, size, self._base + len(rest))
        if len(self._data) < need:
            raise DecodeError(self._base + len(self._data), "the file ends inside a value")
