"""The tiles that the reader yields: batches of complete records, and the RDB preamble.

The third kind of tile is Damage (damage.py).  Records travel as RecordBatch:
columns of offsets next to the buffer that they point into, valid until the next
batch is requested.  Arguments are bytes, and are decoded only for display.

An argument can be larger than memory.  A record that does not fit in the
reader's window becomes an `oversized` batch of one record, and its large
arguments are LargeArgument objects, which read the source on demand.
"""

from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from aofdoctor.aof.constants import ARGC_MAX
from aofdoctor.aof.scan import arguments
from aofdoctor.damage import Damage, DamageKind
from aofdoctor.rdb.header import dialect_of
from aofdoctor.rdb.key_counts import KeyCounts
from aofdoctor.source import Source, pread
from aofdoctor.span import Span


@dataclass(frozen=True, slots=True)
class LargeArgument:
    """An argument that is too large to hold in memory; `span` is its payload in the source."""

    source: Source
    span: Span

    @property
    def size(self) -> int:
        """The length of the payload in bytes."""
        return self.span.size

    def head(self, size: int) -> bytes:
        """Return the first `size` bytes, or all if it is shorter."""
        return pread(self.source, min(size, self.span.size), self.span.start)

    def pieces(self, size: int = 1 << 20) -> Iterator[bytes]:
        """Yield all bytes in pieces of at most `size` bytes."""
        for at in range(self.span.start, self.span.end, size):
            yield pread(self.source, min(size, self.span.end - at), at)


Arg = bytes | LargeArgument


@dataclass(slots=True)
class RecordBatch:
    """`count` adjacent complete records, as columns.

    Record i is buffer[origin + edges[i] : origin + edges[i + 1]] and begins at
    offset `base + edges[i]` of the file.  argc[i] is its number of arguments (0
    for an annotation), ids[i] its command id (command_table.py).  The columns can
    be longer than `count`.  An `oversized` batch holds one record, and its buffer
    only the beginning of it.
    """

    source: Source
    base: int
    count: int
    buffer: bytearray
    origin: int
    edges: Sequence[int]
    argc: Sequence[int]
    ids: Sequence[int]
    oversized: bool = False

    @property
    def span(self) -> Span:
        """The byte range in the file from the first record to the last."""
        return Span(self.base + self.edges[0], self.base + self.edges[self.count])

    def isascii(self) -> bool:
        """True if all bytes of the records are ASCII."""
        if not self.oversized:
            return bytes(self.buffer[self.origin + self.edges[0] : self.origin + self.edges[self.count]]).isascii()
        pieces = range(self.span.start, self.span.end, 1 << 20)
        return all(pread(self.source, min(1 << 20, self.span.end - at), at).isascii() for at in pieces)

    def record_span(self, i: int) -> Span:
        """Return the byte range of record i in the file."""
        return Span(self.base + self.edges[i], self.base + self.edges[i + 1])

    def raw(self, i: int) -> memoryview:
        """Return the bytes of record i; not for an oversized batch."""
        return memoryview(self.buffer)[self.origin + self.edges[i] : self.origin + self.edges[i + 1]]

    def argv(self, i: int, limit: int = ARGC_MAX) -> list[bytes]:
        """Return the first `limit` arguments of record i; not for an oversized batch."""
        start = self.origin + self.edges[i]
        return arguments(self.buffer, start, start + self.edges[i + 1] - self.edges[i], limit)

    def args(self, i: int) -> Iterator[Arg]:
        """Yield the arguments of record i; those of an oversized record are read one after the other."""
        if not self.oversized:
            yield from self.argv(i)
        else:
            yield from iter_large_arguments(self.source, self.record_span(i), self.argc[i])

    def annotation(self, i: int) -> bytes:
        """Return annotation i with its line end, cut to 4,096 bytes."""
        if self.oversized:
            return pread(self.source, 4096, self.record_span(i).start)
        return bytes(self.raw(i)[:4096])


INLINE_MAX = 1 << 16  # bytes up to which an argument of an oversized record is returned as bytes


def iter_large_arguments(source: Source, record: Span, argc: int) -> Iterator[Arg]:
    """Yield the arguments of a complete record, read through a window of INLINE_MAX bytes."""
    window, base = b"", record.start

    def at(offset: int, size: int) -> bytes:
        nonlocal window, base
        if not base <= offset <= offset + size <= base + len(window):
            base, window = offset, pread(source, max(size, INLINE_MAX), offset)
        return window[offset - base : offset - base + size]

    offset = record.start + at(record.start, 24).index(b"\n") + 1
    for _ in range(argc):
        line = at(offset, 24)
        lf = line.index(b"\n")
        span = Span(offset + lf + 1, offset + lf + 1 + int(line[1 : lf - 1]))
        yield at(span.start, span.size) if span.size <= INLINE_MAX else LargeArgument(source, span)
        offset = span.end + 2


@dataclass(frozen=True, slots=True)
class Preamble:
    """The RDB at the beginning of a part: one tile.

    `checksum` is ok, off (the writer computed none), bad or unknown (the end was
    not reached).  `complete`: the end was found.  `keys` is None if an unknown
    type prevented the count.  `aux` holds the AUX fields (redis-ver, valkey-ver,
    ctime, aof-base ...).  `key_counts` counts the keys by database and type, up to
    the first damage.  `codec` names the compression (LZ4, Zstd) or is empty; in a
    compressed RDB, offsets count decompressed bytes (rdb/compressed).
    """

    span: Span
    magic: bytes
    version: int
    keys: int | None
    checksum: str
    complete: bool
    aux: dict[bytes, bytes]
    note: str = ""
    key_counts: KeyCounts | None = None
    codec: str = ""

    @property
    def dialect(self) -> str:
        """The format that defines the types: redis or valkey."""
        return dialect_of(self.magic)

    @property
    def is_intact(self) -> bool:
        """True if it could be read to its end and the checksum is not wrong."""
        return self.complete and self.checksum != "bad"

    def damage(self, size: int | None) -> Damage | None:
        """Return the damage of the RDB as one span, or None; `size` is the size of its part."""
        if self.is_intact:
            return None
        torn = not self.complete and self.span.end == size and self.note.startswith("the file ends")
        kind = DamageKind.TRUNCATED_PREAMBLE if torn else DamageKind.CORRUPT_PREAMBLE
        return Damage(self.span, kind, self.note, end_is_guess=not self.complete)


def oversized_batch(source: Source, base: int, size: int, argc: int, command_id: int, buffer: bytearray) -> RecordBatch:
    """Build an oversized batch of one record; `buffer` holds the beginning of it."""
    return RecordBatch(
        source, base, 1, buffer, 0, array("q", [0, size]), array("I", [argc]), array("H", [command_id]), oversized=True
    )
