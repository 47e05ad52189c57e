"""Plan rewind: keep everything in the AOF before a cut at a position or a time, and drop the rest.

The cut is never inside a transaction, and never leaves a SELECT or an annotation at the end that belongs to dropped
commands. Files after the cut are removed from the manifest.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from aofdoctor import text
from aofdoctor.aof.constants import ANNOTATION
from aofdoctor.aof.model import AOF
from aofdoctor.aof.reader import read_tiles
from aofdoctor.aof.records import Preamble, RecordBatch
from aofdoctor.damage import Damage
from aofdoctor.edit.drops import Drop
from aofdoctor.edit.edit import OpenProgress
from aofdoctor.edit.plan import Plan
from aofdoctor.edit.set_totals import KeyTotals, readable_keys
from aofdoctor.errors import InvalidSelection, NothingToDo, RefusedEdit
from aofdoctor.log.arguments import end_of_log, parse_loaded_position
from aofdoctor.log.command_numbers import index_at_position
from aofdoctor.log.position import Position, parse_time
from aofdoctor.log.transaction_start import transaction_before_batch, transaction_start
from aofdoctor.rdb.preamble import creation_time
from aofdoctor.server.command_table import command_table
from aofdoctor.server.context.fields import ContextField
from aofdoctor.server.context.tracker import ContextTracker
from aofdoctor.span import Span

# Finds the cut in a batch: (part by index in load order, batch, tracker after the batch, number of commands before the
# batch) -> the index of the first record to drop, or the record count if the cut is not in this batch.
CutFinder = Callable[[int, RecordBatch, ContextTracker, int], int]
AFTER_CUT_REASON = "after the moment"


def plan_from_recipe(aof: AOF, recipe: dict[str, Any], open_progress: OpenProgress) -> Plan:
    """Plan rewind from a recipe (the user's request as JSON), which has either to (a time) or before (a position)."""
    to, before = recipe["to"], recipe["before"]
    if (to is None) == (before is None):
        raise InvalidSelection("--to TIME or --before POSITION, one of them")
    if before is not None:
        return plan_rewind(aof, cut_before_position(parse_loaded_position(before, aof)))
    seconds = parse_time(to, end_of_log(aof, [to]))
    return plan_rewind(aof, cut_after_time(seconds), seconds)


def cut_before_position(position: Position) -> CutFinder:
    """Return a function for _CutScanner that finds the cut before the command at a position (file and offset)."""

    def find_cut(part: int, batch: RecordBatch, tracker: ContextTracker, before: int) -> int:
        return max(0, index_at_position(batch, position, part, before))

    return find_cut


def cut_after_time(seconds: int) -> CutFinder:
    """Return a function for _CutScanner that finds the cut before the first command written after a unix time."""

    def find_cut(part: int, batch: RecordBatch, tracker: ContextTracker, before: int) -> int:
        times = memoryview(tracker.time)[: batch.count]
        if max(times) <= seconds:
            return batch.count
        return next(i for i in range(batch.count) if times[i] > seconds)

    return find_cut


@dataclass(slots=True)
class _Cut:
    """Where rewind cuts the AOF: a file, by index in load order, an offset in it, and how many commands come before."""

    part: int
    offset: int
    commands: int


def plan_rewind(aof: AOF, find_cut: CutFinder, seconds: int | None = None, verb: str = "rewind") -> Plan:
    """Plan to drop everything from a cut on; `seconds` is the unix time if the user gave a time.

    Raises NothingToDo if nothing follows the cut, and RefusedEdit if the RDB base was written after `seconds`:
    the state at that time is not in this AOF.
    """
    scanner = _CutScanner(aof, find_cut, seconds)
    scanner.run()
    cut = scanner.cut
    if cut is None:
        raise NothingToDo(
            f"nothing in {text.display_path(aof.path)} is past that moment: nothing was written",
            f"aofdoctor log {text.shell_quote(aof.path)} shows what it holds",
        )
    sizes = [part.size or 0 for part in aof.parts]

    def drops() -> Iterator[Drop]:
        if cut.offset < sizes[cut.part]:
            yield Drop(
                cut.part, Span(cut.offset, sizes[cut.part]), scanner.counts[cut.part] - cut.commands, AFTER_CUT_REASON
            )
        for later in range(cut.part + 1, len(sizes)):
            if sizes[later]:
                yield Drop(later, Span(0, sizes[later]), scanner.counts[later], AFTER_CUT_REASON)

    plan = Plan(aof, verb, drops, sum(scanner.counts), sum(sizes))
    plan.keys = KeyTotals.unchanged(scanner.rdb_keys)
    plan.omitted_parts = frozenset(range(cut.part + 1, len(sizes)))
    plan.remaining_damage = {part: at for part, at in scanner.damage.items() if (part, at) < (cut.part, cut.offset)}
    if plan.remaining_damage:
        plan.notes.append("the AOF is damaged before that moment, and the damage stays: repair the result")
    plan.notes.append(f"the last command that stays ends at {text.display_path(aof.parts[cut.part].name)}@{cut.offset}")
    return plan.compute_totals()


class _CutScanner:
    """Reads all files of an AOF to find the cut, and the number of commands and the first damage of each file.

    `keep_end` is the end of the last record of the current file that a cut may follow: a command that is not SELECT,
    outside of an open transaction, or damage.  `keep_commands` is the number of commands up to it.
    """

    def __init__(self, aof: AOF, find_cut: CutFinder, seconds: int | None) -> None:
        self.aof, self.find_cut, self.seconds = aof, find_cut, seconds
        self.cut: _Cut | None = None
        self.counts = [0] * len(aof.parts)
        self.rdb_keys: dict[int, int | None] = {}
        self.damage: dict[int, int] = {}
        self.tracker = ContextTracker(columns=True)
        self.skippable_ids = {command_table().names.ids[b"select"], ANNOTATION}

    def run(self) -> None:
        before = 0
        for index, part in enumerate(self.aof.parts):
            if part.source is None:
                continue
            self.tracker.begin_part()
            self.keep_end = self.keep_commands = 0
            for tile in read_tiles(part.source, command_table().names):
                if isinstance(tile, RecordBatch):
                    self._scan_batch(index, tile, before)
                elif isinstance(tile, Damage):
                    self.damage.setdefault(index, tile.span.start)
                    self.tracker.mark_unknown()
                    self.keep_end, self.keep_commands = tile.span.end, self.tracker.state[ContextField.COMMANDS]
                else:
                    self._scan_preamble(index, tile)
            self.counts[index] = self.tracker.state[ContextField.COMMANDS]
            before += self.counts[index]

    def _scan_preamble(self, index: int, rdb: Preamble) -> None:
        self.tracker.begin_after_preamble(rdb.span.end)
        self.rdb_keys[index] = readable_keys(rdb)
        self.keep_end = rdb.span.end
        created = creation_time(rdb.aux)
        if self.seconds is not None and created is not None and created > self.seconds:
            raise RefusedEdit(
                f"the RDB of {text.display_path(self.aof.parts[index].name)} was written "
                f"at {text.format_time(created)}: what was before that is not in this AOF",
                "look for a history file, a backup or an older base",
            )

    def _scan_batch(self, index: int, batch: RecordBatch, before: int) -> None:
        state = self.tracker.state
        done = state[ContextField.COMMANDS]
        open_before = transaction_before_batch(self.tracker)
        self.tracker.track(batch)
        if self.cut is not None:
            return
        at = self.find_cut(index, batch, self.tracker, before + done)
        if at < batch.count:
            at = transaction_start(self.tracker.tx, at, open_before)
            if at < 0:  # The transaction began before this batch.
                self.cut = _Cut(index, self.keep_end, self.keep_commands)
                return
        self._advance_keep_end(batch, at, done)
        if at < batch.count:
            self.cut = _Cut(index, self.keep_end, self.keep_commands)

    def _advance_keep_end(self, batch: RecordBatch, at: int, done: int) -> None:
        """Move `keep_end` to the last command before index `at` of the batch that a cut may follow.

        `done` is the number of commands of the file before this batch.
        """
        open_tx = self.tracker.state[ContextField.TX] if at == batch.count else 0
        for i in range(at - 1, -1, -1):
            if batch.ids[i] in self.skippable_ids or (open_tx > 0 and self.tracker.tx[i] == open_tx):
                continue
            self.keep_end = batch.record_span(i).end
            self.keep_commands = done + i + 1 - batch.ids[: i + 1].count(ANNOTATION)
            return
