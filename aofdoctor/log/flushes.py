"""The flushes of a history, in groups.

A group is a run of FLUSHALL and FLUSHDB, however they are spelled, in or out
of MULTI, with nothing between them but SELECT, MULTI, EXEC and annotations.
"""

import functools
from collections.abc import Iterable
from dataclasses import dataclass, field

from aofdoctor.aof.constants import ANNOTATION
from aofdoctor.aof.records import RecordBatch
from aofdoctor.log.ordinals import command_numbers, none_if_unknown
from aofdoctor.log.position import Position
from aofdoctor.server.command_table import table
from aofdoctor.server.context.tracker import ContextTracker
from aofdoctor.span import Span

STRUCTURE = frozenset({"select", "multi", "exec"})


@dataclass(frozen=True, slots=True)
class Flush:
    """One flush: `index` is its part's place in load order, `number` counts commands from 1 in that order.

    `time` is that of the last #TS before it, or None.  `guess`: damage stands
    before it in its part, so that it could be a piece of a value.
    """

    index: int
    part: str
    span: Span
    command: str
    db: int | None
    tx: int | None
    time: int | None
    number: int
    guess: bool = False


@dataclass(slots=True)
class Group:
    """Flushes of one run; `count` is their number, of which the first and the last are kept."""

    first: Flush
    last: Flush
    count: int = 1

    @property
    def everything(self) -> bool:
        """True if one of those kept emptied every database."""
        return "flushall" in (self.first.command, self.last.command)


@dataclass(slots=True)
class Flushes:
    """Collects flushes on a walk; `seen` flushes in all, in `group_count` groups.

    Of more than twice `KEEP` groups only the first and the last KEEP are kept,
    and `found`: the group that has a flush at `target`.
    """

    target: Position | None = None
    found: Group | None = None
    seen: int = 0
    group_count: int = 0
    head: list[Group] = field(default_factory=list)
    tail: list[Group] = field(default_factory=list)
    _open: bool = False
    _damaged: int = -1  # the last part that had damage

    KEEP = 1000

    @property
    def groups(self) -> list[Group]:
        """The groups that are kept, in order."""
        return self.head + self.tail

    def batch(
        self, index: int, part: str, batch: RecordBatch, flagged: Iterable[int], tracker: ContextTracker, before: int
    ) -> None:
        """A batch of a part, of which `notes` are the records of interest; `before` commands came before it."""
        flushes, structure = _ids()
        at = 0
        found = [i for i in flagged if batch.ids[i] in flushes and _works(batch, i)]
        for i, number in zip(found, command_numbers(batch, found), strict=True):
            self._close_if_other(batch, at, i, structure)
            self._add(_flush(index, part, batch, i, tracker, before + number, index == self._damaged))
            at = i + 1
        self._close_if_other(batch, at, batch.count, structure)

    def interrupted(self, index: int) -> None:
        """Damage in a part: what follows there is another run, and a guess."""
        self._open, self._damaged = False, index

    def _close_if_other(self, batch: RecordBatch, start: int, end: int, structure: frozenset[int]) -> None:
        at = start
        while self._open and at < end:
            self._open = batch.ids[at] in structure
            at += 1

    def _add(self, flush: Flush) -> None:
        self.seen += 1
        if self._open:
            group = (self.tail or self.head)[-1]
            group.last, group.count = flush, group.count + 1
        else:
            group = Group(flush, flush)
            self._open = True
            self.group_count += 1
            kept = self.head if len(self.head) < self.KEEP else self.tail
            kept.append(group)
            if len(self.tail) > self.KEEP:
                del self.tail[0]
        if self.target and _is_at(flush, self.target):
            self.found = group


def _is_at(flush: Flush, position: Position) -> bool:
    if position.number:
        return flush.number == position.number
    return flush.index == position.index and flush.span.start <= position.offset < flush.span.end


def _works(batch: RecordBatch, i: int) -> bool:
    """True of a flush whose arguments a server takes; another one changes nothing."""
    if batch.argc[i] == 1:
        return True
    return batch.argc[i] == 2 and not batch.oversized and batch.argv(i)[1].lower() in (b"async", b"sync")


@functools.cache
def _ids() -> tuple[frozenset[int], frozenset[int]]:
    return table().with_effect("flush"), table().ids(STRUCTURE) | {ANNOTATION}


def _flush(
    index: int, part: str, batch: RecordBatch, i: int, tracker: ContextTracker, number: int, guess: bool
) -> Flush:
    command = table().get(batch.ids[i])
    return Flush(
        index, part, batch.record_span(i), command.name if command else "",
        none_if_unknown(tracker.db[i]), none_if_unknown(tracker.tx[i]) or None, none_if_unknown(tracker.time[i]), number, guess,
    )  # fmt: skip
