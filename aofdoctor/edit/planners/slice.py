"""Plan slice: keep only the selected commands, so that they load on their own.

- Each command keeps its database; of consecutive SELECTs only the last is kept.
- A transaction with a selected command is kept whole.
- Commands that define scripts and functions are kept, and the EVAL that a selected EVALSHA needs; a transaction with
  no selected command is dropped around them.
- The selected keys of an RDB at the head are kept byte for byte, with its functions and databases.  Without any
  selected key or function the RDB is dropped.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from typing import Any, NamedTuple

from aofdoctor import text
from aofdoctor.aof.constants import ANNOTATION
from aofdoctor.aof.model import AOF, AofPart
from aofdoctor.aof.reader import read_tiles
from aofdoctor.aof.records import Preamble, RecordBatch
from aofdoctor.check.rdb_examination import HINT_OPCODES, NOT_SELECTED_REASON, SalvageCounts
from aofdoctor.damage import DamageKind
from aofdoctor.edit.drops import Drop, merge_adjacent
from aofdoctor.edit.edit import OpenProgress
from aofdoctor.edit.plan import Plan
from aofdoctor.edit.planners.mixed_commands import MixedCommands
from aofdoctor.edit.planners.script_definitions import ScriptDefinitions, evalsha_ids
from aofdoctor.edit.planners.strip import FlushSurvey, note_remaining_damage, survey_flushes
from aofdoctor.edit.salvage.rdb_keys import salvage_rdb
from aofdoctor.edit.salvage.rdb_splice import SplicedRdb, splice_rdb
from aofdoctor.edit.set_totals import RdbKeys
from aofdoctor.edit.transactions import iter_drops, structure_ids
from aofdoctor.errors import InvalidSelection, RefusedEdit
from aofdoctor.log.arguments import build_log_selection
from aofdoctor.log.base_keys import BaseKeySelection
from aofdoctor.log.position import Position
from aofdoctor.log.selection import Selection
from aofdoctor.rdb.items import ItemBatch as RdbBatch
from aofdoctor.rdb.items import ItemReader
from aofdoctor.rdb.opcodes import Opcode
from aofdoctor.rdb.preamble import is_rdb
from aofdoctor.rdb.recovery.loader_rules import value_defect
from aofdoctor.server.command_table import command_table
from aofdoctor.server.context.tracker import ContextTracker
from aofdoctor.source import FileSource
from aofdoctor.span import Span

# The arguments of SELECT for the databases that every server has by default.
_DEFAULT_DATABASE_NAMES = frozenset(b"%d" % number for number in range(16))
_FUNCTION_OPCODES = (Opcode.FUNCTION2, Opcode.FUNCTION_PRE_GA)
DEFINING_COMMANDS = frozenset({"function", "script"})


def plan_from_recipe(aof: AOF, recipe: dict[str, Any], open_progress: OpenProgress) -> Plan:
    """Plan slice from a recipe (the user's request as JSON), which has a selection."""
    selection = build_log_selection(aof, **recipe["selection"])
    if selection.selects_all:
        raise InvalidSelection("nothing is selected: name what is to stay", "--key, --cmd, --db and the others select")
    return plan_slice(aof, survey_flushes(aof), selection)


def plan_slice(aof: AOF, survey: FlushSurvey, selection: Selection) -> Plan:
    """Plan to drop everything that is not selected; `survey` counts the commands and flushes of the same AOF."""
    defining_ids = command_table().ids_of(DEFINING_COMMANDS)
    always_kept_ids = structure_ids() | defining_ids
    by_hash = any(survey.counts[number] for number in evalsha_ids())
    scripts = ScriptDefinitions.for_selection(aof, selection) if by_hash else ScriptDefinitions()

    selected, mixed = False, MixedCommands(aof, selection)
    unselected_definitions: set[int] = set()  # of the current batch

    def choose(part: int, batch: RecordBatch, tracker: ContextTracker, before: int) -> list[int]:
        nonlocal selected, unselected_definitions
        matching = shifted_selection.matches(part, batch, tracker, before)
        keep = set(matching)
        mixed.add_selected(part, batch, tracker, before, matching)
        selected = selected or bool(keep)
        unselected_definitions = {i for i in range(batch.count) if batch.ids[i] in defining_ids} - keep
        if scripts.required_hashes:
            scripts_defined = scripts.in_batch(batch)
            unselected_definitions |= scripts_defined - keep
            keep |= scripts_defined
        dropped = [i for i in range(batch.count)
                   if i not in keep and batch.ids[i] != ANNOTATION and batch.ids[i] not in always_kept_ids]  # fmt: skip
        return sorted([*dropped, *_redundant_selects(batch, tracker, set(dropped))])

    bases = {index: base for index, part in enumerate(aof.parts) if (base := _slice_base(index, part, selection))}
    spliced_aof, shifted_selection = _splice_bases(aof, bases, selection)

    def iter_all_drops() -> Iterator[Drop]:
        scripts.restart()
        pending = dict(bases)
        drops = iter_drops(
            spliced_aof, choose, NOT_SELECTED_REASON, whole_transactions=True,
            is_passive=lambda _, i: i in unselected_definitions,
        )  # fmt: skip
        for drop in merge_adjacent(drops):
            yield from _drops_of_bases(pending, drop.part)
            yield drop
        yield from _drops_of_bases(pending, len(aof.parts))

    plan = _plan(aof, spliced_aof, survey, bases, iter_all_drops)
    plan.compute_totals()
    mixed.add_to_plan(plan, keeps=not selection.invert)
    if not selected and not any(base.keys for base in bases.values()):
        raise InvalidSelection("nothing is selected: no command, and no key of an RDB")
    plan.notes += _undefined_script_notes(scripts, survey)
    return plan


def _undefined_script_notes(scripts: ScriptDefinitions, survey: FlushSurvey) -> list[str]:
    loads_scripts = any(survey.counts[number] for number in command_table().ids_of(frozenset({"script"})))
    if not scripts.undefined_count or loads_scripts:
        return []
    count = text.format_count(scripts.undefined_count, "script")
    return [f"{count} that an EVALSHA runs stand nowhere: those will fail"]


def _splice_bases(aof: AOF, bases: "dict[int, _RdbBase]", selection: Selection) -> tuple[AOF, Selection]:
    """Reduce each RDB to its selected items.

    Returns (the AOF with the reduced RDBs, the selection with positions that fit this AOF).
    """
    splices = {index: base.splice for index, base in bases.items() if base.splice}
    spliced_aof = replace(aof, parts=[
        replace(part, source=splices[i].source) if i in splices else part for i, part in enumerate(aof.parts)
    ])  # fmt: skip
    shifts = {i: (bases[i].end, splice.end - bases[i].end) for i, splice in splices.items()}
    start, end = _shift_position(selection.start, shifts), _shift_position(selection.end, shifts)
    return spliced_aof, replace(selection, start=start, end=end)


def _plan(
    aof: AOF, spliced_aof: AOF, survey: FlushSurvey, bases: "dict[int, _RdbBase]", drops: Callable[[], Iterator[Drop]]
) -> Plan:
    """Create the plan of slice with the kept RDB items and the notes, before its totals are computed."""
    splices = [base.splice for base in bases.values() if base.splice]
    reconstructions = [change for splice in splices for change in splice.reconstructions]
    size = survey.size + sum(change.size for change in reconstructions)
    plan = Plan(spliced_aof, "slice", drops, survey.commands, size)
    plan.add_reconstructions(reconstructions, 0)
    plan.keys.by_part = {i: RdbKeys(survey.rdb_keys.get(i), base.keys) for i, base in bases.items()}
    dropped_bases = {i: base for i, base in bases.items() if not base.splice}
    plan.omitted_parts = frozenset(
        i for i, base in dropped_bases.items() if len(aof.parts) > 1 and base.end == aof.parts[i].size
    )
    plan.notes += [_base_note(text.display_path(aof.parts[i].name), base) for i, base in bases.items()]
    plan.notes += note_remaining_damage(plan, survey)
    return plan


def _redundant_selects(batch: RecordBatch, tracker: ContextTracker, dropped: set[int]) -> list[int]:
    """The indexes of SELECTs outside of transactions that are followed by another SELECT before any kept command."""
    redundant, last = list[int](), -1
    for i in range(batch.count):
        if i in dropped or batch.ids[i] == ANNOTATION:
            continue
        selects = batch.ids[i] == _select_id() and tracker.tx[i] == 0 and _selects_default_database(batch, i)
        if selects and last >= 0:
            redundant.append(last)
        last = i if selects else -1
    return redundant


@cache
def _select_id() -> int:
    return command_table().names.ids[b"select"]


def _selects_default_database(batch: RecordBatch, i: int) -> bool:
    """Whether a SELECT names a database of a server with a default configuration (0 to 15).

    On a server without the database, SELECT changes nothing.
    """
    argv = batch.argv(i, 2) if batch.argc[i] == 2 and not batch.oversized else []
    return len(argv) == 2 and argv[1] in _DEFAULT_DATABASE_NAMES


def _shift_position(position: Position | None, shifts: dict[int, tuple[int, int]]) -> Position | None:
    """A position moved by the change in size of the RDB before it.

    `shifts` maps a file's index to (RDB end, change in bytes).
    """
    if position is None or position.part_index not in shifts or position.offset < shifts[position.part_index][0]:
        return position
    return replace(position, offset=position.offset + shifts[position.part_index][1])


class _RdbBase(NamedTuple):
    """An RDB at the start of a file of the AOF, and the items of it that slice keeps.

    `end` is the offset where the RDB ends, `keys` and `functions` are the numbers of kept ones.  `splice` is the RDB
    that is kept, or None if it is dropped.  `damage` describes its damage, or is "".
    """

    end: int
    keys: int
    splice: SplicedRdb | None
    functions: int = 0
    damage: str = ""


def _slice_base(index: int, part: AofPart, selection: Selection) -> _RdbBase | None:
    source = part.source
    if source is None or not is_rdb(source):
        return None
    rdb = next(tile for tile in read_tiles(source, command_table().names) if isinstance(tile, Preamble))
    if rdb.codec:
        raise RefusedEdit(
            f"the RDB of {text.display_path(part.name)} is compressed by {rdb.codec}: "
            "no key of it can be copied by itself",
            "aofdoctor convert --base resp, or --base rdb, makes one that can be sliced",
        )
    if not isinstance(source, FileSource):
        return _RdbBase(rdb.span.end, 0, None)
    if not rdb.is_intact or rdb.keys is None:
        saved = salvage_rdb(index, source, rdb, key_filter=BaseKeySelection(selection, index, 0, source, rdb).matches)
        head, counts = saved or (None, SalvageCounts())
        return _RdbBase(rdb.span.end, counts.keys, head, counts.functions, rdb.note or "it is damaged")
    kept = functions = 0

    def item_verdicts() -> Iterator[tuple[Span, str]]:
        nonlocal kept, functions
        kept, functions, chosen = 0, 0, BaseKeySelection(selection, index, 0, source, rdb)
        items = ItemReader(source, verify=False, stop_at_window_end=True)
        for batch in items:
            places = set(chosen.filter(batch, items.window))
            unloadable = {i for i in places if value_defect(source, batch.key_at(i), rdb.magic)}
            kept += len(places) - len(unloadable)
            for i in range(batch.first, batch.stop):
                functions += batch.columns.name[i] < 0 and batch.columns.kind[i] in _FUNCTION_OPCODES
                if i in unloadable:
                    yield batch.span_of(i), DamageKind.CORRUPT_VALUE.value
                    continue
                yield batch.span_of(i), "" if i in places or _is_kept_non_key(batch, i) else NOT_SELECTED_REASON

    head = splice_rdb(index, source, rdb.span.end, item_verdicts)
    return _RdbBase(rdb.span.end, kept, head if kept or functions else None, functions)


def _is_kept_non_key(batch: RdbBatch, i: int) -> bool:
    """Whether an RDB item is not a key and is kept: all but size hints and the EOF opcode, which is written again."""
    return batch.columns.name[i] < 0 and batch.columns.kind[i] not in (*HINT_OPCODES, Opcode.EOF)


def _base_note(name: str, base: _RdbBase) -> str:
    if base.splice:
        sentence = f"{text.format_count(base.keys, 'key')} of the RDB of {name} {'stay' if base.keys != 1 else 'stays'}"
        sentence += (
            f", and {text.format_count(base.functions, 'library', 'libraries')} of functions" if base.functions else ""
        )
    else:
        sentence = f"the RDB of {name} goes: none of its keys {'that can be read ' if base.damage else ''}is selected"
    return sentence + (
        f"; it is damaged, and what cannot be read of it goes too ({base.damage})" if base.damage else ""
    )


def _drops_of_bases(pending: dict[int, _RdbBase], part: int) -> Iterator[Drop]:
    """Yield the dropped items of the RDBs in all files up to index `part`, if not yielded yet.

    `pending` has those that are not yielded yet.
    """
    for index in sorted(pending):
        if index <= part:
            base = pending.pop(index)
            yield from base.splice.drops() if base.splice else (Drop(index, Span(0, base.end), 0, "RDB"),)
