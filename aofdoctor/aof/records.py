"""What the AOF reader yields: batches of complete records (commands and # annotations), and the RDB preamble.

Damage, which it yields too, is in damage.py.  A RecordBatch is arrays of offsets
with the buffer that they point into, valid until the next batch is requested.
Arguments are bytes, and are decoded only for display.

An argument can be larger than memory.  A record that does not fit in the
reader's buffer becomes an `oversized` batch of one record, and its large
arguments are LargeArgument objects, which read the file on demand.
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
    """A command argument that is too large to hold in memory; `span` is the range of its bytes in `source`."""

    source: Source
    span: Span

    @property
    def size(self) -> int:
        """The length of the argument in bytes."""
        return self.span.size

    def head(self, size: int) -> bytes:
        """Return the first `size` bytes of the argument, or all if it is shorter."""
        return pread(self.source, min(size, self.span.size), self.span.start)

    def pieces(self, size: int = 1 << 20) -> Iterator[bytes]:
        """Yield all bytes of the argument in pieces of at most `size` bytes."""
        for at in range(self.span.start, self.span.end, size):
            yield pread(self.source, min(size, self.span.end - at), at)


Arg = bytes | LargeArgument


@dataclass(slots=True)
class RecordBatch:
    """`count` adjacent complete records (commands and # annotations) of an AOF file, described by arrays.

    Record i is buffer[origin + edges[i] : origin + edges[i + 1]] and begins at
    offset `base + edges[i]` of the file.  argc[i] is its number of arguments (0
    for an annotation), ids[i] its command id (command_table.py).  The arrays can
    be longer than `count`.  An `oversized` batch is one record of which `buffer`
    holds only the beginning.
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
        """The byte range in the file from the start of the first record to the end of the last."""
        return Span(self.base + self.edges[0], self.base + self.edges[self.count])

    def isascii(self) -> bool:
        """Whether all bytes of all records are ASCII."""
        if not self.oversized:
            return bytes(self.buffer[self.origin + self.edges[0] : self.origin + self.edges[self.count]]).isascii()
        pieces = range(self.span.start, self.span.end, 1 << 20)
        return all(pread(self.source, min(1 << 20, self.span.end - at), at).isascii() for at in pieces)

    def record_span(self, i: int) -> Span:
        """Return the byte range of record `i` of this batch in the file."""
        return Span(self.base + self.edges[i], self.base + self.edges[i + 1])

    def raw(self, i: int) -> memoryview:
        """Return the bytes of record `i` of this batch; not for an oversized batch."""
        return memoryview(self.buffer)[self.origin + self.edges[i] : self.origin + self.edges[i + 1]]

    def argv(self, i: int, limit: int = ARGC_MAX) -> list[bytes]:
        """Return the first `limit` arguments of record `i` of this batch; not for an oversized batch."""
        start = self.origin + self.edges[i]
        return arguments(self.buffer, start, start + self.edges[i + 1] - self.edges[i], limit)

    def args(self, i: int) -> Iterator[Arg]:
        """Yield the arguments of record `i`: bytes, or LargeArgument for large arguments of an oversized record."""
        if not self.oversized:
            yield from self.argv(i)
        else:
            yield from iter_large_arguments(self.source, self.record_span(i), self.argc[i])

    def annotation(self, i: int) -> bytes:
        """Return record `i`, which is a # annotation, with its line end, cut to 4,096 bytes."""
        if self.oversized:
            return pread(self.source, 4096, self.record_span(i).start)
        return bytes(self.raw(i)[:4096])


INLINE_MAX = 1 << 16  # an argument of an oversized record with at most this many bytes is returned as bytes


def iter_large_arguments(source: Source, record: Span, argc: int) -> Iterator[Arg]:
    """Yield the `argc` arguments of a complete command at `record` in an AOF file, without loading the whole command.

    Arguments of more than INLINE_MAX bytes are LargeArgument objects.
    """
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
    """The RDB at the beginning of an AOF file, or the whole of an RDB base file, as the reader yields it.

    `checksum` is ok, off (the writer computed none), bad or unknown (the end was
    not reached).  `complete`: the EOF opcode was found.  `keys` is None if an
    unknown type prevented the count.  `aux` holds the AUX fields (redis-ver,
    valkey-ver, ctime, aof-base ...).  `key_counts` counts the keys by database and
    type, up to the first damage.  `codec` names the compression of the whole RDB
    (LZ4, Zstd) or is empty; offsets in a compressed RDB count decompressed bytes
    (rdb/compressed).
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
        """The project that defines the value types of this RDB, from its magic: redis or valkey."""
        return dialect_of(self.magic)

    @property
    def is_intact(self) -> bool:
        """Whether the RDB could be read to its EOF opcode and its checksum is not wrong."""
        return self.complete and self.checksum != "bad"

    def damage(self, size: int | None) -> Damage | None:
        """Return one Damage for the whole RDB, or None if it is intact; `size` is the size of its file in bytes."""
        if self.is_intact:
            return None
        torn = not self.complete and self.span.end == size and self.note.startswith("the file ends")
        kind = DamageKind.TRUNCATED_PREAMBLE if torn else DamageKind.CORRUPT_PREAMBLE
        return Damage(self.span, kind, self.note, end_is_guess=not self.complete)


def oversized_batch(source: Source, base: int, size: int, argc: int, command_id: int, buffer: bytearray) -> RecordBatch:
    """Build a RecordBatch of one record too large for the reader's buffer; `buffer` holds its beginning.

    The record has `size` bytes and `argc` arguments, and begins at offset `base` of `source`.
    """
    return RecordBatch(
        source, base, 1, buffer, 0, array("q", [0, size]), array("I", [argc]), array("H", [command_id]), oversized=True
    )
