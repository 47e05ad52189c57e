"""Which commands strip takes out: one group of flushes, or a selection."""

from array import array
from dataclasses import dataclass, field
from itertools import dropwhile, takewhile

from aofdoctor import text
from aofdoctor.aof.model import AOF
from aofdoctor.aof.reader import read_tiles
from aofdoctor.aof.records import RecordBatch
from aofdoctor.damage import Damage
from aofdoctor.edit.plan import Drop, Plan, merge_adjacent
from aofdoctor.edit.planners.dependents import describe_dependents, find_dependent_commands
from aofdoctor.edit.transactions import Chooser, iter_drops, structure_ids
from aofdoctor.errors import InvalidSelection, RefusedEdit
from aofdoctor.log.entries import LogEntry, LogItem, read_tail
from aofdoctor.log.flushes import FlushCollector, FlushGroup
from aofdoctor.log.position import Position
from aofdoctor.log.selection import Selection
from aofdoctor.server.command_table import command_table
from aofdoctor.server.context.fields import ContextField
from aofdoctor.server.context.tracker import ContextTracker

_TAIL_READ_SIZES = (256, 4096, 65536)  # commands read back for one group, where only the end is read


@dataclass(slots=True)
class FlushSurvey:
    """The flushes of an AOF, and how large it is; `damage`: where the first one of a part is, by load order.

    `counts` are the commands by id.
    """

    flushes: FlushCollector
    commands: int
    size: int
    first_damage: dict[int, int] = field(default_factory=dict)
    counts: "array[int]" = field(default_factory=lambda: array("Q"))

    @property
    def is_damaged(self) -> bool:
        """True if any part is damaged."""
        return bool(self.first_damage)


def survey_flushes(aof: AOF, target: Position | None = None) -> FlushSurvey:
    """One walk over all parts; `target` is a position whose group is to be found."""
    flushes, before, size = FlushCollector(target=target), 0, 0
    damage: dict[int, int] = {}
    tracker = ContextTracker(columns=True)
    tracker.flag("survey", command_table().with_effect("flush"))
    for index, part in enumerate(aof.parts):
        if part.source is None:
            continue
        tracker.begin_part()
        for tile in read_tiles(part.source, command_table().names):
            if isinstance(tile, RecordBatch):
                commands = before + tracker.state[ContextField.COMMANDS]
                flushes.add_batch(index, part.name, tile, tracker.track(tile), tracker, commands)
            elif isinstance(tile, Damage):
                damage.setdefault(index, tile.span.start)
                flushes.add_damage(index)
                tracker.mark_unknown()
            else:
                if not tile.is_intact:
                    damage.setdefault(index, 0)
                tracker.begin_after_preamble(tile.span.end)
        before += tracker.state[ContextField.COMMANDS]
        size += part.size or 0
    return FlushSurvey(flushes, before, size, damage, tracker.counts)


def group_at(survey: FlushSurvey, position: Position) -> FlushGroup:
    """The group that a position names."""
    if survey.flushes.target_group is None:
        raise InvalidSelection(
            "no flush stands at that position",
            "`aofdoctor log --effect flush` lists them; to strip another command, select it with --from and --to",
        )
    return survey.flushes.target_group


def plan_group(aof: AOF, survey: FlushSurvey, group: FlushGroup | None) -> Plan:
    """Strip the flushes of one group, or of all where it is None."""
    flush_ids = command_table().with_effect("flush")
    selection = Selection(
        ids=flush_ids, start=_group_position(group, first=True), end=_group_position(group, first=False)
    )
    plan = _plan(aof, survey, selection, "flush")
    after = survey.commands - (group.last.number if group else 0)
    if group:
        plan.notes.append(f"{text.format_count(after, 'command')} after the flush stay")
        plan.notes += describe_dependents(find_dependent_commands(aof, group))
    return plan


def plan_tail(aof: AOF) -> Plan:
    """Strip the last group of flushes as the end of the AOF alone shows it.

    Nothing proves that it is no part of a value: only for one who says so.
    How many commands there are is not known.
    """
    found = _tail_group(aof)
    size = sum(part.size or 0 for part in aof.existing_parts)
    plan = Plan(aof, "strip", lambda: iter(found), None, size)
    plan.notes.append("found from the end alone (--trust-tail): nothing proves that it is no part of a value")
    return plan.compute_totals()


def _tail_group(aof: AOF) -> list[Drop]:
    """The flushes of the last group, oldest first."""
    flush_ids = command_table().with_effect("flush")
    last = read_tail(aof, Selection(ids=flush_ids), 1)
    entry = next((item for item in last if isinstance(item, LogEntry)), None)
    if entry is None:
        raise InvalidSelection("no FLUSHALL or FLUSHDB stands in it as a command")
    places = {part.name: index for index, part in enumerate(aof.parts)}
    end = Position(entry.part, places[entry.part], entry.batch.record_span(entry.i).start)
    for reach in _TAIL_READ_SIZES:
        items = read_tail(aof, Selection(end=end), reach)
        group = list(
            takewhile(_is_in_flush_group, dropwhile(_is_damage, reversed(items)))
        )  # damage after it is none of it
        if len(group) < reach:  # something else stands before it, or nothing
            flushes = [
                item for item in reversed(group) if isinstance(item, LogEntry) and item.batch.ids[item.i] in flush_ids
            ]
            return [Drop(places[item.part], item.batch.record_span(item.i), 1, "flush") for item in flushes]
    raise RefusedEdit(
        f"the last run of flushes has more than {_TAIL_READ_SIZES[-1]:,} commands", "strip it without --trust-tail"
    )


def _is_damage(item: LogItem) -> bool:
    return not isinstance(item, LogEntry)


def _is_in_flush_group(item: LogItem) -> bool:
    return (
        isinstance(item, LogEntry) and item.batch.ids[item.i] in command_table().with_effect("flush") | structure_ids()
    )


def plan_selection(aof: AOF, survey: FlushSurvey, selection: Selection) -> Plan:
    """Strip the selected commands; SELECT, MULTI and EXEC are never selected."""
    return _plan(aof, survey, selection, "selected")


def _plan(aof: AOF, survey: FlushSurvey, selection: Selection, reason: str) -> Plan:
    structure = structure_ids()
    choose: Chooser = lambda part, batch, steps, before: [  # noqa: E731
        i for i in selection.matches(part, batch, steps, before) if batch.ids[i] not in structure
    ]
    plan = Plan(aof, "strip", lambda: merge_adjacent(iter_drops(aof, choose, reason)), survey.commands, survey.size)
    plan.notes += note_remaining_damage(plan, survey)
    return plan.compute_totals()


def note_remaining_damage(plan: Plan, survey: FlushSurvey) -> list[str]:
    """Hand the damage on to a plan that leaves it where it is; what to say of it."""
    plan.remaining_damage = survey.first_damage
    return (
        ["the AOF is damaged, and the damage stays: repair the result, or a server may refuse it"]
        if survey.is_damaged
        else []
    )


def _group_position(group: FlushGroup | None, first: bool) -> Position | None:
    if group is None:
        return None
    flush = group.first if first else group.last
    return Position(flush.part, flush.part_index, flush.span.start)
