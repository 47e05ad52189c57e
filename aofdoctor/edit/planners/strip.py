"""Plan strip: drop one group of flushes, all flushes, or a selection of commands."""

from array import array
from dataclasses import dataclass, field
from itertools import dropwhile, takewhile
from typing import Any

from aofdoctor import text
from aofdoctor.aof.model import AOF
from aofdoctor.aof.reader import read_tiles
from aofdoctor.aof.records import RecordBatch
from aofdoctor.check.findings.unknown_commands import kept_unknown_commands
from aofdoctor.check.unknown_commands import UnknownName, UnknownNames
from aofdoctor.damage import Damage
from aofdoctor.edit.drops import Drop, merge_adjacent
from aofdoctor.edit.edit import OpenProgress
from aofdoctor.edit.plan import Plan
from aofdoctor.edit.planners.dependents import describe_dependents, find_dependent_commands
from aofdoctor.edit.planners.mixed_commands import MixedCommands
from aofdoctor.edit.planners.returning_keys import describe_returning_keys, find_returning_keys
from aofdoctor.edit.planners.rewind import cut_before_position, plan_rewind
from aofdoctor.edit.set_totals import KeyTotals, readable_keys
from aofdoctor.edit.transactions import iter_drops, structure_ids
from aofdoctor.errors import AmbiguousRequest, InvalidSelection, NothingToDo, RefusedEdit
from aofdoctor.log.arguments import build_log_selection
from aofdoctor.log.entries import LogEntry, LogItem, read_tail
from aofdoctor.log.flushes import FlushCollector, FlushGroup, describe_group, describe_scope
from aofdoctor.log.position import Position, parse_position
from aofdoctor.log.selection import Selection
from aofdoctor.server.command_table import command_table
from aofdoctor.server.context.fields import ContextField
from aofdoctor.server.context.tracker import ContextTracker
from aofdoctor.server.versions import DEFAULT_VERSIONS, VERSIONS

_FLUSHES_SHOWN = 3
_DROP_UNKNOWN = "aofdoctor repair on the result, with --salvage --drop-unknown,"
_TAIL_READ_SIZES = (256, 4096, 65536)  # commands read back from the end, in turn, to find the start of one group


class AmbiguousFlushGroup(AmbiguousRequest):
    """Raised if the AOF has several groups of flushes and the user has not chosen one."""

    def __init__(self, flush_survey: "FlushSurvey") -> None:
        super().__init__(f"{flush_survey.flushes.group_count:,} groups of flushes stand in it")
        self.survey = flush_survey


@dataclass(slots=True)
class FlushSurvey:
    """The flush commands (FLUSHALL, FLUSHDB) of an AOF, and the AOF's size in commands and bytes.

    `first_damage` maps a part, by index in load order, to the offset of its first damage.  `counts` has the number of
    commands by command id.  `rdb_keys` maps a part to the number of keys of its RDB, None if it is unknown.
    `unknown_commands` are the commands that no server version has, by name.
    """

    flushes: FlushCollector
    commands: int
    size: int
    first_damage: dict[int, int] = field(default_factory=dict)
    counts: "array[int]" = field(default_factory=lambda: array("Q"))
    rdb_keys: dict[int, int | None] = field(default_factory=dict)
    unknown_commands: list[UnknownName] = field(default_factory=list)

    @property
    def is_damaged(self) -> bool:
        """Whether any file of the surveyed AOF is damaged."""
        return bool(self.first_damage)


def plan_from_recipe(aof: AOF, recipe: dict[str, Any], open_progress: OpenProgress) -> Plan:
    """Plan strip from a recipe (the user's request as JSON).

    The recipe has a selection, or one of position, last and all, with and_after.
    """
    selection = build_log_selection(aof, **recipe["selection"])
    position, last, all_, and_after = (recipe[name] for name in ("position", "last", "all", "and_after"))
    if sum((position is not None, last, all_, not selection.selects_all)) > 1:
        raise InvalidSelection("POSITION, --last, --all and a selection exclude each other")
    if and_after and (all_ or not selection.selects_all):
        raise InvalidSelection("--and-after goes with one group of flushes", "aofdoctor rewind --before cuts anywhere")
    target = parse_position(position, aof) if position is not None else None
    flush_survey = survey_flushes(aof, target)
    if not selection.selects_all:
        return plan_selection(aof, flush_survey, selection)
    if not flush_survey.flushes.count:
        message = f"no FLUSHALL or FLUSHDB found in {text.display_path(aof.path)}"
        hint = f"aofdoctor check {text.shell_quote(aof.path)} names other evidence"
        if target is not None:
            raise InvalidSelection(message, hint)
        raise NothingToDo(f"{message}: nothing to strip, nothing was written", hint)
    if all_:
        plan = plan_group(aof, flush_survey, None)
        plan.notes += kept_unknown_commands(flush_survey.unknown_commands, _DROP_UNKNOWN)
        return plan
    if target is None and flush_survey.flushes.group_count > 1 and not last:
        raise AmbiguousFlushGroup(flush_survey)
    group = group_at(flush_survey, target) if target else flush_survey.flushes.groups[-1]
    if and_after:
        return _plan_before_group(aof, group)
    plan = plan_group(aof, flush_survey, group)
    plan.notes += kept_unknown_commands(flush_survey.unknown_commands, _DROP_UNKNOWN)
    return plan


def _plan_before_group(aof: AOF, group: FlushGroup) -> Plan:
    first = group.first
    return plan_rewind(aof, cut_before_position(Position(first.part, first.part_index, first.span.start)), verb="strip")


def survey_flushes(aof: AOF, target: Position | None = None) -> FlushSurvey:
    """Read all files of an AOF once and collect the flush commands.

    The survey also has the group of flushes that contains the position `target`.
    """
    flushes, before, size = FlushCollector(target=target), 0, 0
    damage: dict[int, int] = {}
    rdb_keys: dict[int, int | None] = {}
    tracker = ContextTracker(columns=True)
    tracker.flag("survey", command_table().with_effect("flush"))
    unknown = UnknownNames([VERSIONS[name] for name in DEFAULT_VERSIONS], tracker)
    for index, part in enumerate(aof.parts):
        if part.source is None:
            continue
        tracker.begin_part()
        for tile in read_tiles(part.source, command_table().names):
            if isinstance(tile, RecordBatch):
                commands = before + tracker.state[ContextField.COMMANDS]
                flagged = tracker.track(tile)
                flushes.add_batch(index, part.name, tile, flagged, tracker, commands)
                for i in flagged:
                    unknown.add(part.name, tile, i)
            elif isinstance(tile, Damage):
                damage.setdefault(index, tile.span.start)
                flushes.add_damage(index)
                tracker.mark_unknown()
            else:
                rdb_keys[index] = readable_keys(tile)
                if not tile.is_intact:
                    damage.setdefault(index, 0)
                tracker.begin_after_preamble(tile.span.end)
        before += tracker.state[ContextField.COMMANDS]
        size += part.size or 0
    unknown_commands = [name for name in unknown.commands.values() if name.is_in_no_table]
    return FlushSurvey(flushes, before, size, damage, tracker.counts, rdb_keys, unknown_commands)


def group_at(survey: FlushSurvey, position: Position) -> FlushGroup:
    """The group of flushes that contains the position `target` for which survey_flushes was called.

    Raises InvalidSelection if no group has a flush there.
    """
    if survey.flushes.target_group is None:
        raise InvalidSelection(
            "no flush stands at that position",
            "`aofdoctor log --effect flush` lists them; to strip another command, select it with --from and --to",
        )
    return survey.flushes.target_group


def plan_group(aof: AOF, survey: FlushSurvey, group: FlushGroup | None) -> Plan:
    """Plan to drop the flushes of one group, or all flushes if the group is None."""
    flush_ids = command_table().with_effect("flush")
    selection = Selection(
        ids=flush_ids, start=_group_position(group, first=True), end=_group_position(group, first=False)
    )
    plan = _plan(aof, survey, selection, "flush")
    after = survey.commands - (group.last.number if group else 0)
    if group:
        plan.notes.append(f"{text.format_count(after, 'command')} after the flush stay")
        plan.notes += describe_dependents(find_dependent_commands(aof, group))
        plan.notes += describe_remaining_flushes(aof, survey, group)
    return plan


def describe_remaining_flushes(aof: AOF, survey: FlushSurvey, dropped: FlushGroup | None) -> list[str]:
    """Notes for the user about flushes that remain in the output after the group of flushes `dropped` is dropped.

    Without a group no flush is dropped. No notes if no flush remains.
    """
    remaining = survey.flushes.count - (dropped.count if dropped else 0)
    if remaining <= 0:
        return []
    groups = [group for group in survey.flushes.groups if not dropped or group.first.number != dropped.first.number]
    places = [
        f"{describe_group(group)} at {text.display_path(group.first.part)}@{group.first.span.start} "
        f"({describe_scope(group)})"
        for group in groups[:_FLUSHES_SHOWN]
    ]
    verb = "remains" if remaining == 1 else "remain"
    more = ", ..." if len(groups) > len(places) else ""
    command = f"aofdoctor strip {text.shell_quote(aof.path)} --all"
    flushes = text.format_count(remaining, "flush", "flushes")
    return [f"{flushes} {verb}: {', '.join(places)}{more}; {command} drops all flushes"]


def plan_tail(aof: AOF) -> Plan:
    """Plan to drop the last group of flushes, found by reading the end of the AOF only.

    That the flushes are commands, and not bytes of a value, is not proven, so the user has to ask for this.  The
    commands are not counted.
    """
    found = _tail_group(aof)
    size = sum(part.size or 0 for part in aof.existing_parts)
    plan = Plan(aof, "strip", lambda: iter(found), None, size)
    plan.keys.is_counted = False
    plan.notes.append("found from the end alone (--trust-tail): nothing proves that it is no part of a value")
    return plan.compute_totals()


def _tail_group(aof: AOF) -> list[Drop]:
    """The byte ranges of the last group of flushes in an AOF, in file order, found by reading from the end."""
    flush_ids = command_table().with_effect("flush")
    last = read_tail(aof, Selection(ids=flush_ids), 1)
    entry = next((item for item in last if isinstance(item, LogEntry)), None)
    if entry is None:
        raise NothingToDo(
            f"no FLUSHALL or FLUSHDB found in {text.display_path(aof.path)}: nothing to strip, nothing was written"
        )
    places = {part.name: index for index, part in enumerate(aof.parts)}
    end = Position(entry.part, places[entry.part], entry.batch.record_span(entry.i).start)
    for reach in _TAIL_READ_SIZES:
        items = read_tail(aof, Selection(end=end), reach)
        # Damage after the last flush does not belong to the group.
        group = list(takewhile(_is_in_flush_group, dropwhile(_is_damage, reversed(items))))
        if len(group) < reach:  # The start of the group has been read.
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
    """Plan to drop the selected commands; SELECT, MULTI and EXEC are never selected."""
    plan = _plan(aof, survey, selection, "selected")
    if selection.ids is not None and not selection.invert and not selection.ids & command_table().with_effect("flush"):
        plan.notes += describe_remaining_flushes(aof, survey, None)
    return plan


def _plan(aof: AOF, survey: FlushSurvey, selection: Selection, reason: str) -> Plan:
    structure, mixed = structure_ids(), MixedCommands(aof, selection)

    def choose(part: int, batch: RecordBatch, tracker: ContextTracker, before: int) -> list[int]:
        selected = selection.matches(part, batch, tracker, before)
        mixed.add_selected(part, batch, tracker, before, selected)
        return [i for i in selected if batch.ids[i] not in structure]

    plan = Plan(aof, "strip", lambda: merge_adjacent(iter_drops(aof, choose, reason)), survey.commands, survey.size)
    plan.keys = KeyTotals.unchanged(survey.rdb_keys)
    plan.notes += note_remaining_damage(plan, survey)
    plan.compute_totals()
    mixed.add_to_plan(plan, keeps=selection.invert)
    if plan.has_changes:
        returning_keys = find_returning_keys(aof, plan.drops, survey.counts, plan.keys.before)
        plan.json_fields["returning_keys"] = returning_keys.as_json
        plan.notes.append(describe_returning_keys(returning_keys))
    return plan


def note_remaining_damage(plan: Plan, survey: FlushSurvey) -> list[str]:
    """Record in a plan the damage that remains in its output; returns the notes about this damage."""
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
