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
from aofdoctor.aof.discovery import AOF, AofPart
from aofdoctor.aof.reader import read_tiles
from aofdoctor.aof.records import Preamble, RecordBatch
from aofdoctor.edit.plan import Drop, Plan, merge_adjacent
from aofdoctor.edit.planners.script_definitions import ScriptDefinitions, evalsha_ids
from aofdoctor.edit.planners.strip import Survey, damage_note
from aofdoctor.edit.salvage.rdb_keys import HINTS, UNWANTED, SalvageCounts, salvage_rdb
from aofdoctor.edit.salvage.rdb_splice import SplicedRdb, splice_rdb
from aofdoctor.edit.transactions import drops, structure_ids
from aofdoctor.errors import InvalidSelection, RefusedEdit
from aofdoctor.log.base_keys import BaseKeySelection
from aofdoctor.log.position import Position
from aofdoctor.log.selection import Selection
from aofdoctor.rdb.items import EOF, ItemReader
from aofdoctor.rdb.items import ItemBatch as RdbBatch
from aofdoctor.rdb.preamble import is_rdb
from aofdoctor.server.command_table import table
from aofdoctor.server.context.tracker import ContextTracker
from aofdoctor.source import FileSource
from aofdoctor.span import Span

_DATABASES = frozenset(b"%d" % number for number in range(16))  # of a server that nobody has told otherwise
_FUNCTIONS = (245, 246)  # opcodes of an RDB
DEFINITIONS = frozenset({"function", "script"})


def plan_slice(aof: AOF, found: Survey, selection: Selection) -> Plan:
    """Drop what is not selected; `found` is a survey of the same AOF."""
    stays = structure_ids() | table().ids(DEFINITIONS)
    by_hash = any(found.counts[number] for number in evalsha_ids())
    scripts = ScriptDefinitions.needed(aof, selection) if by_hash else ScriptDefinitions()

    selected = False

    def choose(part: int, batch: RecordBatch, tracker: ContextTracker, before: int) -> list[int]:
        nonlocal selected
        wanted = set(after.matches(part, batch, tracker, before))
        selected = selected or bool(wanted)
        if scripts.wanted:
            wanted |= scripts.in_batch(batch)
        dropped = [i for i in range(batch.count)
                   if i not in wanted and batch.ids[i] != ANNOTATION and batch.ids[i] not in stays]  # fmt: skip
        return sorted([*dropped, *_useless(batch, tracker, set(dropped))])

    bases = {index: base for index, part in enumerate(aof.parts) if (base := _base(index, part, selection))}
    splices = {index: base.splice for index, base in bases.items() if base.splice}
    copied = replace(aof, parts=[
        replace(part, source=splices[i].source) if i in splices else part for i, part in enumerate(aof.parts)
    ])  # fmt: skip
    grown = {i: (bases[i].end, head.end - bases[i].end) for i, head in splices.items()}
    after = replace(selection, start=_shifted(selection.start, grown), end=_shifted(selection.end, grown))

    def everything() -> Iterator[Drop]:
        scripts.begin()
        pending = dict(bases)
        for drop in merge_adjacent(drops(copied, choose, UNWANTED, whole=True)):
            yield from _heads(pending, drop.part)
            yield drop
        yield from _heads(pending, len(aof.parts))

    reconstructions = [mend for head in splices.values() for mend in head.reconstructions]
    plan = Plan(copied, "slice", everything, found.commands, found.size + sum(mend.size for mend in reconstructions))
    plan.add_reconstructions(reconstructions, 0)
    gone = {i: base for i, base in bases.items() if not base.splice}
    plan.omitted_parts = frozenset(
        i for i, base in gone.items() if len(aof.parts) > 1 and base.end == aof.parts[i].size
    )
    plan.notes += [_note(text.display_path(aof.parts[i].name), base) for i, base in bases.items()]
    plan.notes += damage_note(plan, found)
    plan.compute_totals()
    if not selected and not any(base.keys for base in bases.values()):
        raise InvalidSelection("nothing is selected: no command, and no key of an RDB")
    if scripts.undefined and not any(found.counts[number] for number in table().ids(frozenset({"script"}))):
        plan.notes.append(
            f"{text.format_count(scripts.undefined, 'script')} that an EVALSHA runs stand nowhere: those will fail"
        )
    return plan


def _useless(batch: RecordBatch, tracker: ContextTracker, dropped: set[int]) -> list[int]:
    """The SELECTs outside of transactions that another follows before anything that stays."""
    found, last = list[int](), -1
    for i in range(batch.count):
        if i in dropped or batch.ids[i] == ANNOTATION:
            continue
        selects = batch.ids[i] == _select() and tracker.tx[i] == 0 and _known(batch, i)
        if selects and last >= 0:
            found.append(last)
        last = i if selects else -1
    return found


@cache
def _select() -> int:
    return table().names.ids[b"select"]


def _known(batch: RecordBatch, i: int) -> bool:
    """True of a SELECT of a database that every server has: one that it has not selects nothing."""
    argv = batch.argv(i, 2) if batch.argc[i] == 2 and not batch.oversized else []
    return len(argv) == 2 and argv[1] in _DATABASES


def _shifted(place: Position | None, grown: dict[int, tuple[int, int]]) -> Position | None:
    """A place in a part whose commands stand further on, behind an RDB's new end."""
    if place is None or place.index not in grown or place.offset < grown[place.index][0]:
        return place
    return replace(place, offset=place.offset + grown[place.index][1])


class _Base(NamedTuple):
    """An RDB at the head of a part: `head` is what stays of it, None if it goes, and `end` where it ends.

    `damage` says what is wrong with it, where that is so.
    """

    end: int
    keys: int
    splice: SplicedRdb | None
    functions: int = 0
    damage: str = ""


def _base(index: int, part: AofPart, selection: Selection) -> _Base | None:
    source = part.source
    if source is None or not is_rdb(source):
        return None
    rdb = next(tile for tile in read_tiles(source, table().names) if isinstance(tile, Preamble))
    if rdb.codec:
        raise RefusedEdit(
            f"the RDB of {text.display_path(part.name)} is compressed by {rdb.codec}: no key of it can be copied by itself",
            "aofdoctor convert --base resp, or --base rdb, makes one that can be sliced",
        )
    if not isinstance(source, FileSource):
        return _Base(rdb.span.end, 0, None)
    if not rdb.is_intact or rdb.keys is None:
        saved = salvage_rdb(index, source, rdb, wanted=BaseKeySelection(selection, index, 0, source, rdb).matches)
        head, found = saved or (None, SalvageCounts())
        return _Base(rdb.span.end, found.keys, head, found.functions, rdb.note or "it is damaged")
    kept = functions = 0

    def item_verdicts() -> Iterator[tuple[Span, str]]:
        nonlocal kept, functions
        kept, functions, chosen = 0, 0, BaseKeySelection(selection, index, 0, source, rdb)
        items = ItemReader(source, verify=False, by_window=True)
        for batch in items:
            places = set(chosen.filter(batch, items.window))
            kept += len(places)
            for i in range(batch.first, batch.stop):
                functions += batch.columns.name[i] < 0 and batch.columns.kind[i] in _FUNCTIONS
                yield batch.span_of(i), "" if i in places or _stays(batch, i) else UNWANTED

    head = splice_rdb(index, source, rdb.span.end, item_verdicts)
    return _Base(rdb.span.end, kept, head if kept or functions else None, functions)


def _stays(batch: RdbBatch, i: int) -> bool:
    """True of what is no key and stays: all but the end, which is made anew, and hints."""
    return batch.columns.name[i] < 0 and batch.columns.kind[i] not in (*HINTS, EOF)


def _note(name: str, base: _Base) -> str:
    if base.splice:
        said = f"{text.format_count(base.keys, 'key')} of the RDB of {name} {'stay' if base.keys != 1 else 'stays'}"
        said += (
            f", and {text.format_count(base.functions, 'library', 'libraries')} of functions" if base.functions else ""
        )
    else:
        said = f"the RDB of {name} goes: none of its keys {'that can be read ' if base.damage else ''}is selected"
    return said + (f"; it is damaged, and what cannot be read of it goes too ({base.damage})" if base.damage else "")


def _heads(pending: dict[int, _Base], part: int) -> Iterator[Drop]:
    """What goes of the RDBs of the parts up to one, which have not gone yet."""
    for index in sorted(pending):
        if index <= part:
            base = pending.pop(index)
            yield from base.splice.drops() if base.splice else (Drop(index, Span(0, base.end), 0, "RDB"),)
