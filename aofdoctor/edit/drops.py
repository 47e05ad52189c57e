"""The byte ranges that an edit changes: those that it drops, and those that it replaces with reconstructed bytes.

A selection can drop billions of commands, so drops are passed around as a factory that finds them again, not as a list.
Why a range is dropped is decided by the planners.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

from aofdoctor import text
from aofdoctor.aof.model import AOF
from aofdoctor.aof.patched_source import PatchedSource
from aofdoctor.errors import RefusedEdit
from aofdoctor.span import Span


class Drop(NamedTuple):
    """A byte range of one file of the AOF that the output leaves out.

    `part` is the index of the file in load order, and `commands` the number of whole commands in the range.
    """

    part: int
    span: Span
    commands: int
    reason: str


class Reconstruction(NamedTuple):
    """A byte range of one file of the AOF that is replaced by `size` reconstructed bytes.

    `part` is the index of the file in load order.  An empty `span` is a place where bytes are inserted.
    """

    part: int
    span: Span
    size: int
    reason: str


DropFactory = Callable[[], Iterator[Drop]]  # finds the drops again, in load order and disjoint


def joined(first: Drop, second: Drop) -> Drop | None:
    """Join two dropped byte ranges into one; None unless the second directly follows the first, for the same reason."""
    if (first.part, first.reason, first.span.end) != (second.part, second.reason, second.span.start):
        return None
    return Drop(first.part, Span(first.span.start, second.span.end), first.commands + second.commands, first.reason)


def merge_adjacent(drops: Iterator[Drop]) -> Iterator[Drop]:
    """Yield drops (byte ranges that the output leaves out) with adjacent ones joined if they have the same reason."""
    held: Drop | None = None
    for drop in drops:
        merged = joined(held, drop) if held else None
        if held and not merged:
            yield held
        held = merged or drop
    if held:
        yield held


def validated(drops: Iterator[Drop], aof: AOF) -> Iterator[Drop]:
    """Yield dropped byte ranges unchanged; raise RefusedEdit for one that overlaps, is out of order or too long."""
    part, at = 0, 0
    for drop in drops:
        if drop.part != part:
            at = 0
        is_known_part = part <= drop.part < len(aof.parts)
        size = (aof.parts[drop.part].size or 0) if is_known_part else 0
        if not (is_known_part and at <= drop.span.start < drop.span.end <= size):
            name = text.display_path(aof.parts[drop.part].name) if is_known_part else f"part {drop.part}"
            raise RefusedEdit(
                f"the plan is invalid: the bytes {drop.span.start} to {drop.span.end} of {name} ({drop.reason}) "
                f"overlap earlier ones, or are not in the file. Nothing was written.",
                "this is an error of aofdoctor: please report it",
            )
        part, at = drop.part, drop.span.end
        yield drop


def remaining_spans(drops: Iterator[Drop], part: int, size: int) -> Iterator[Span]:
    """Return the byte ranges of one file that an edit keeps.

    `drops` are the dropped byte ranges of this file only, in order; `size` is the size of the file.
    """
    at = 0
    for drop in drops:
        assert drop.part == part, "drops are of this part"
        assert drop.span.start >= at, "drops are in order and disjoint"
        if drop.span.start > at:
            yield Span(at, drop.span.start)
        at = drop.span.end
    if at < size:
        yield Span(at, size)


def span_in_file(aof: AOF, drop: Drop) -> Span:
    """The byte range of a drop in the file on disk.

    It differs from the drop's own range if earlier bytes of the file were reconstructed with another size.
    """
    source = aof.parts[drop.part].source
    return source.file_span(drop.span) if isinstance(source, PatchedSource) else drop.span
