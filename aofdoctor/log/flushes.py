"""Collect the FLUSHALL and FLUSHDB commands of an AOF in groups, and describe a group in words.

A group is a series of FLUSHALL and FLUSHDB commands, inside or outside of transactions, with nothing between them but
SELECT, MULTI, EXEC and annotations.  Flushes inside scripts are the subject of `script_flushes`.
"""

import functools
from collections.abc import Iterable
from dataclasses import dataclass, field

from aofdoctor.aof.constants import ANNOTATION
from aofdoctor.aof.records import RecordBatch
from aofdoctor.log.command_numbers import command_numbers
from aofdoctor.log.context_walk import none_if_unknown
from aofdoctor.log.position import Position
from aofdoctor.server.command_table import command_table
from aofdoctor.server.context.tracker import ContextTracker
from aofdoctor.span import Span

STRUCTURE_COMMANDS = frozenset({"select", "multi", "exec"})


@dataclass(frozen=True, slots=True)
class Flush:
    """A FLUSHALL or FLUSHDB command in an AOF file.

    `part` and `part_index` are the name and the place in load order of the file, `span` the byte range in it; `number`
    is that of the command in the AOF, counted from 1.  `command` is the lower-case name.  `time` is that of the last
    #TS annotation before it, in unix seconds, or None.  `guess` is True if the file is damaged before this place: the
    bytes could be part of a value.
    """

    part_index: int
    part: str
    span: Span
    command: str
    db: int | None
    tx: int | None
    time: int | None
    number: int
    guess: bool = False


@dataclass(slots=True)
class FlushGroup:
    """A group of `count` FLUSHALL and FLUSHDB commands without data commands between them.

    Only the first and the last of them are kept.
    """

    first: Flush
    last: Flush
    count: int = 1

    @property
    def flushes_all(self) -> bool:
        """Whether the first or the last command of the group is FLUSHALL."""
        return "flushall" in (self.first.command, self.last.command)


@dataclass(slots=True)
class FlushCollector:
    """Collects the FLUSHALL and FLUSHDB commands during a pass over an AOF: `count` commands in `group_count` groups.

    To limit memory, only the first `KEEP` and the last `KEEP` groups are kept.  `target` is a position that the user
    named, and `target_group` the group with a flush at that position, or None.
    """

    target: Position | None = None
    target_group: FlushGroup | None = None
    count: int = 0
    group_count: int = 0
    first_groups: list[FlushGroup] = field(default_factory=list)
    last_groups: list[FlushGroup] = field(default_factory=list)
    _is_open: bool = False
    _damaged_part: int = -1  # The index of the last file with damage.

    KEEP = 1000

    @property
    def groups(self) -> list[FlushGroup]:
        """The groups of flushes that were kept, in load order."""
        return self.first_groups + self.last_groups

    def add_batch(
        self,
        part_index: int,
        part: str,
        batch: RecordBatch,
        flagged: Iterable[int],
        tracker: ContextTracker,
        commands_before: int,
    ) -> None:
        """Add the FLUSHALL and FLUSHDB commands of a batch of AOF records to the groups.

        `flagged` are indexes in the batch, among them those of all flushes.  `tracker` is the ContextTracker after the
        batch, with the database, transaction and time of each record.  `commands_before` is the number of commands
        before the batch, in all files.
        """
        flush_ids, structure_ids = _flush_and_structure_ids()
        at = 0
        indexes = [i for i in flagged if batch.ids[i] in flush_ids and _is_effective(batch, i)]
        for i, number in zip(indexes, command_numbers(batch, indexes), strict=True):
            self._close_unless_structure(batch, at, i, structure_ids)
            self._add(
                _make_flush(
                    part_index, part, batch, i, tracker, commands_before + number, part_index == self._damaged_part
                )
            )
            at = i + 1
        self._close_unless_structure(batch, at, batch.count, structure_ids)

    def add_damage(self, part_index: int) -> None:
        """Note damage in an AOF file: it ends the current group, and later flushes in that file are guesses."""
        self._is_open, self._damaged_part = False, part_index

    def _close_unless_structure(self, batch: RecordBatch, start: int, end: int, structure_ids: frozenset[int]) -> None:
        """End the current group of flushes if a record in [start, end) is not SELECT, MULTI, EXEC or an annotation."""
        at = start
        while self._is_open and at < end:
            self._is_open = batch.ids[at] in structure_ids
            at += 1

    def _add(self, flush: Flush) -> None:
        self.count += 1
        if self._is_open:
            group = (self.last_groups or self.first_groups)[-1]
            group.last, group.count = flush, group.count + 1
        else:
            group = FlushGroup(flush, flush)
            self._is_open = True
            self.group_count += 1
            group_list = self.first_groups if len(self.first_groups) < self.KEEP else self.last_groups
            group_list.append(group)
            if len(self.last_groups) > self.KEEP:
                del self.last_groups[0]
        if self.target and _is_at(flush, self.target):
            self.target_group = group


def _is_at(flush: Flush, position: Position) -> bool:
    if position.number:
        return flush.number == position.number
    return flush.part_index == position.part_index and flush.span.start <= position.offset < flush.span.end


def _is_effective(batch: RecordBatch, i: int) -> bool:
    """Whether a server accepts the arguments of a FLUSHALL or FLUSHDB: none, ASYNC or SYNC.

    A flush that it rejects changes nothing.
    """
    if batch.argc[i] == 1:
        return True
    return batch.argc[i] == 2 and not batch.oversized and batch.argv(i)[1].lower() in (b"async", b"sync")


@functools.cache
def _flush_and_structure_ids() -> tuple[frozenset[int], frozenset[int]]:
    return command_table().with_effect("flush"), command_table().ids_of(STRUCTURE_COMMANDS) | {ANNOTATION}


def _make_flush(
    part_index: int, part: str, batch: RecordBatch, i: int, tracker: ContextTracker, number: int, guess: bool
) -> Flush:
    command = command_table().get(batch.ids[i])
    return Flush(
        part_index,
        part,
        batch.record_span(i),
        command.name if command else "",
        none_if_unknown(tracker.db[i]),
        none_if_unknown(tracker.tx[i]) or None,
        none_if_unknown(tracker.time[i]),
        number,
        guess,
    )


# -- in words --


def describe_group(group: FlushGroup) -> str:
    """Return the words for a group of flushes in a sentence: `FLUSHALL`, or `3 flushes from FLUSHDB`."""
    first = group.first.command.upper()
    return first if group.count == 1 else f"{group.count:,} flushes from {first}"


def describe_scope(group: FlushGroup) -> str:
    """Return which databases a group of flushes emptied, in words: `every database`, `database 3`."""
    if group.flushes_all:
        return "every database"
    if group.count > 1:
        return "databases"
    return "an unknown database" if group.first.db is None else f"database {group.first.db}"
