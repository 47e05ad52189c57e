"""Only the selected commands, made to stand alone.

Each command runs in its own database; of SELECTs in a row only the last stays.
Of a transaction with a selected command everything stays; so does what defines
scripts and functions, an EVAL that a selected EVALSHA needs among them.  Of an
RDB at the head the selected keys stay, byte for byte, with its functions and its
databases; without any it goes.
"""

from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from typing import NamedTuple

from aofdoctor import text
from aofdoctor.aof.constants import ANNOTATION
from aofdoctor.aof.model import AOF, AofPart
from aofdoctor.aof.reader import read_tiles
from aofdoctor.aof.records import Preamble, RecordBatch
from aofdoctor.edit.plan import Drop, Plan, merge_adjacent
from aofdoctor.edit.planners.script_definitions import ScriptDefinitions, evalsha_ids
from aofdoctor.edit.planners.strip import FlushSurvey, note_remaining_damage
from aofdoctor.edit.salvage.rdb_keys import HINT_OPCODES, NOT_SELECTED_REASON, SalvageCounts, salvage_rdb
from aofdoctor.edit.salvage.rdb_splice import SplicedRdb, splice_rdb
from aofdoctor.edit.transactions import iter_drops, structure_ids
from aofdoctor.errors import InvalidSelection, RefusedEdit
from aofdoctor.log.base_keys import BaseKeySelection
from aofdoctor.log.position import Position
from aofdoctor.log.selection import Selection
from aofdoctor.rdb.items import ItemBatch as RdbBatch
from aofdoctor.rdb.items import ItemReader
from aofdoctor.rdb.opcodes import Opcode
from aofdoctor.rdb.preamble import is_rdb
from aofdoctor.server.command_table import command_table
from aofdoctor.server.context.tracker import ContextTracker
from aofdoctor.source import FileSource
from aofdoctor.span import Span

_DEFAULT_DATABASE_NAMES = frozenset(
    b"%d" % number for number in range(16)
)  # of a server that nobody has told otherwise
_FUNCTION_OPCODES = (Opcode.FUNCTION2, Opcode.FUNCTION_PRE_GA)
DEFINING_COMMANDS = frozenset({"function", "script"})


def plan_slice(aof: AOF, survey: FlushSurvey, selection: Selection) -> Plan:
    """Drop what is not selected; `found` is a survey of the same AOF."""
    always_kept_ids = structure_ids() | command_table().ids_of(DEFINING_COMMANDS)
    by_hash = any(survey.counts[number] for number in evalsha_ids())
    scripts = ScriptDefinitions.for_selection(aof, selection) if by_hash else ScriptDefinitions()

    selected = False

    def choose(part: int, batch: RecordBatch, tracker: ContextTracker, before: int) -> list[int]:
        nonlocal selected
        keep = set(shifted_selection.matches(part, batch, tracker, before))
        selected = selected or bool(keep)
        if scripts.required_hashes:
            keep |= scripts.in_batch(batch)
        dropped = [i for i in range(batch.count)
                   if i not in keep and batch.ids[i] != ANNOTATION and batch.ids[i] not in always_kept_ids]  # fmt: skip
        return sorted([*dropped, *_redundant_selects(batch, tracker, set(dropped))])

    bases = {index: base for index, part in enumerate(aof.parts) if (base := _slice_base(index, part, selection))}
    splices = {index: base.splice for index, base in bases.items() if base.splice}
    spliced_aof = replace(aof, parts=[
        replace(part, source=splices[i].source) if i in splices else part for i, part in enumerate(aof.parts)
    ])  # fmt: skip
    shifts = {i: (bases[i].end, head.end - bases[i].end) for i, head in splices.items()}
    shifted_selection = replace(
        selection, start=_shift_position(selection.start, shifts), end=_shift_position(selection.end, shifts)
    )

    def iter_all_drops() -> Iterator[Drop]:
        scripts.restart()
        pending = dict(bases)
        for drop in merge_adjacent(iter_drops(spliced_aof, choose, NOT_SELECTED_REASON, whole_transactions=True)):
            yield from _drops_of_bases(pending, drop.part)
            yield drop
        yield from _drops_of_bases(pending, len(aof.parts))

    reconstructions = [mend for head in splices.values() for mend in head.reconstructions]
    plan = Plan(
        spliced_aof, "slice", iter_all_drops, survey.commands, survey.size + sum(mend.size for mend in reconstructions)
    )
    plan.add_reconstructions(reconstructions, 0)
    dropped_bases = {i: base for i, base in bases.items() if not base.splice}
    plan.omitted_parts = frozenset(
        i for i, base in dropped_bases.items() if len(aof.parts) > 1 and base.end == aof.parts[i].size
    )
    plan.notes += [_base_note(text.display_path(aof.parts[i].name), base) for i, base in bases.items()]
    plan.notes += note_remaining_damage(plan, survey)
    plan.compute_totals()
    if not selected and not any(base.keys for base in bases.values()):
        raise InvalidSelection("nothing is selected: no command, and no key of an RDB")
    if scripts.undefined_count and not any(
        survey.counts[number] for number in command_table().ids_of(frozenset({"script"}))
    ):
        plan.notes.append(
            f"{text.format_count(scripts.undefined_count, 'script')} that an EVALSHA runs stand nowhere: those will fail"
        )
    return plan


def _redundant_selects(batch: RecordBatch, tracker: ContextTracker, dropped: set[int]) -> list[int]:
    """The SELECTs outside of transactions that another follows before anything that stays."""
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
    """True of a SELECT of a database that every server has: one that it has not selects nothing."""
    argv = batch.argv(i, 2) if batch.argc[i] == 2 and not batch.oversized else []
    return len(argv) == 2 and argv[1] in _DEFAULT_DATABASE_NAMES


def _shift_position(place: Position | None, shifts: dict[int, tuple[int, int]]) -> Position | None:
    """A place in a part whose commands stand further on, behind an RDB's new end."""
    if place is None or place.part_index not in shifts or place.offset < shifts[place.part_index][0]:
        return place
    return replace(place, offset=place.offset + shifts[place.part_index][1])


class _RdbBase(NamedTuple):
    """An RDB at the head of a part: `head` is what stays of it, None if it goes, and `end` where it ends.

    `damage` says what is wrong with it, where that is so.
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
            f"the RDB of {text.display_path(part.name)} is compressed by {rdb.codec}: no key of it can be copied by itself",
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
            kept += len(places)
            for i in range(batch.first, batch.stop):
                functions += batch.columns.name[i] < 0 and batch.columns.kind[i] in _FUNCTION_OPCODES
                yield batch.span_of(i), "" if i in places or _is_kept_non_key(batch, i) else NOT_SELECTED_REASON

    head = splice_rdb(index, source, rdb.span.end, item_verdicts)
    return _RdbBase(rdb.span.end, kept, head if kept or functions else None, functions)


def _is_kept_non_key(batch: RdbBatch, i: int) -> bool:
    """True of what is no key and stays: all but the end, which is made anew, and hints."""
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
    """What goes of the RDBs of the parts up to one, which have not gone yet."""
    for index in sorted(pending):
        if index <= part:
            base = pending.pop(index)
            yield from base.splice.drops() if base.splice else (Drop(index, Span(0, base.end), 0, "RDB"),)
