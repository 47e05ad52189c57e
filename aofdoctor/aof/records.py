"""The tiles of an AOF: whole records in batches, the RDB preamble, damage.

Gigabytes travel as Batch: columns beside the buffer that they point into,
valid until the next batch is asked for.  A Command is a view of one record,
made for what is shown or matched.

Arguments are bytes here and stay bytes until they are rendered.  One argument
may have more bytes than there is memory: a record that is larger than the
reader's window is a batch of one that is `far`: its arguments are places in
the source (Far), to be looked at through a window.
"""

from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from aofdoctor.aof.constants import ARGC_MAX
from aofdoctor.aof.scan import arguments
from aofdoctor.damage import Damage, DamageKind
from aofdoctor.rdb.key_counts import KeyCounts
from aofdoctor.source import Source, pread
from aofdoctor.span import Span


@dataclass(frozen=True, slots=True)
class LargeArgument:
    """An argument too large to hold: `span` in the source, without its header and CRLF."""

    source: Source
    span: Span

    @property
    def size(self) -> int:
        """Its length in bytes."""
        return self.span.size

    def head(self, size: int) -> bytes:
        """Its first bytes, at most `size`."""
        return pread(self.source, min(size, self.span.size), self.span.start)

    def pieces(self, size: int = 1 << 20) -> Iterator[bytes]:
        """All its bytes, at most `size` at a time."""
        for at in range(self.span.start, self.span.end, size):
            yield pread(self.source, min(size, self.span.end - at), at)


Arg = bytes | LargeArgument


@dataclass(slots=True)
class RecordBatch:
    """`count` adjacent whole records.

    Record i is buffer[origin + edges[i] : origin + edges[i + 1]], which stands
    at `base + edges[i]` in the file; argc[i] is its number of arguments (0: an
    annotation), ids[i] its command.  The columns may be longer than `count`.
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
        """Where its records stand, from the first to the last."""
        return Span(self.base + self.edges[0], self.base + self.edges[self.count])

    def isascii(self) -> bool:
        """True if no byte of it is past 0x7f."""
        if not self.oversized:
            return bytes(self.buffer[self.origin + self.edges[0] : self.origin + self.edges[self.count]]).isascii()
        pieces = range(self.span.start, self.span.end, 1 << 20)
        return all(pread(self.source, min(1 << 20, self.span.end - at), at).isascii() for at in pieces)

    def record_span(self, i: int) -> Span:
        """Where record i stands."""
        return Span(self.base + self.edges[i], self.base + self.edges[i + 1])

    def raw(self, i: int) -> memoryview:
        """The bytes of record i; only of a batch that is not far."""
        return memoryview(self.buffer)[self.origin + self.edges[i] : self.origin + self.edges[i + 1]]

    def argv(self, i: int, limit: int = ARGC_MAX) -> list[bytes]:
        """The first `most` arguments of record i; only of a batch that is not far."""
        start = self.origin + self.edges[i]
        return arguments(self.buffer, start, start + self.edges[i + 1] - self.edges[i], limit)

    def args(self, i: int) -> Iterator[Arg]:
        """The arguments of record i, those of a far record as they come by."""
        if not self.oversized:
            yield from self.argv(i)
        else:
            yield from iter_large_arguments(self.source, self.record_span(i), self.argc[i])

    def annotation(self, i: int) -> bytes:
        """The line of annotation i with its line end, at most its first 4096 bytes."""
        if self.oversized:
            return pread(self.source, 4096, self.record_span(i).start)
        return bytes(self.raw(i)[:4096])


INLINE_MAX = 1 << 16  # an argument of a far record up to this size is given as bytes


def iter_large_arguments(source: Source, record: Span, argc: int) -> Iterator[Arg]:
    """The arguments of a whole record, read through a small window."""
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
    """An RDB at the head of a part: one tile.

    `checksum` is ok, off (the writer computed none), bad or unknown (the end
    was not reached); `keys` is None where a type kept them from being counted;
    `complete` says that its end was found.  `aux` holds the writer's own words
    (redis-ver, valkey-ver, ctime, aof-base ...); `census` counts the keys, those
    before damage if there is any.  `codec` is what it is compressed by, empty if
    it is not: places inside it are then those of the bytes that come out (rdb_in).
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
        """Who gives the bytes their meaning: redis or valkey."""
        return "valkey" if self.magic.startswith(b"VALKEY") else "redis"

    @property
    def is_intact(self) -> bool:
        """True if it reads to its end and its checksum holds."""
        return self.complete and self.checksum != "bad"

    def damage(self, size: int | None) -> Damage | None:
        """What is wrong with it as a whole; `size` is that of its part."""
        if self.is_intact:
            return None
        torn = not self.complete and self.span.end == size and self.note.startswith("the file ends")
        kind = DamageKind.TRUNCATED_PREAMBLE if torn else DamageKind.CORRUPT_PREAMBLE
        return Damage(self.span, kind, self.note, end_is_guess=not self.complete)


def oversized_batch(source: Source, base: int, size: int, argc: int, command_id: int, buffer: bytearray) -> RecordBatch:
    """A far batch of one record."""
    return RecordBatch(
        source, base, 1, buffer, 0, array("q", [0, size]), array("I", [argc]), array("H", [command_id]), oversized=True
    )
