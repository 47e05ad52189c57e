"""Only the selected commands, made to stand alone.

Each command runs in its own database; of SELECTs in a row only the last stays.
Of a transaction with a selected command everything stays; so does what defines
scripts and functions, an EVAL that a selected EVALSHA needs among them.  An RDB
at the head goes: it is no selected command.
"""

from collections.abc import Iterator
from functools import cache

from aofdoctor import text
from aofdoctor.analysis.where import Where
from aofdoctor.aof.aof import AOF
from aofdoctor.aof.limits import ANNOTATION
from aofdoctor.aof.record import Batch
from aofdoctor.edit.definitions import Definitions, calls
from aofdoctor.edit.plan import Drop, Plan, coalesced
from aofdoctor.edit.strip import Survey, damage_note
from aofdoctor.edit.transactions import drops, structure_ids
from aofdoctor.rdb.preamble import is_rdb, walk
from aofdoctor.server.commands import table
from aofdoctor.server.steps import Steps
from aofdoctor.source import Source
from aofdoctor.span import Span

REASON = "not selected"
_DATABASES = frozenset(b"%d" % number for number in range(16))  # of a server that nobody has told otherwise
DEFINITIONS = frozenset({"function", "script"})


def plan_slice(aof: AOF, found: Survey, where: Where) -> Plan:
    """Drop what is not selected; `found` is a survey of the same AOF."""
    stays = structure_ids() | table().ids(DEFINITIONS)
    by_hash = any(found.counts[number] for number in calls())
    scripts = Definitions.needed(aof, where) if by_hash else Definitions()

    def choose(part: int, batch: Batch, steps: Steps, before: int) -> list[int]:
        wanted = set(where.matches(part, batch, steps, before))
        if scripts.wanted:
            wanted |= scripts.of(batch)
        dropped = [i for i in range(batch.count)
                   if i not in wanted and batch.ids[i] != ANNOTATION and batch.ids[i] not in stays]  # fmt: skip
        return sorted([*dropped, *_useless(batch, steps, set(dropped))])

    heads = {index: span for index, part in enumerate(aof.parts) if part.source and (span := _rdb(part.source))}

    def everything() -> Iterator[Drop]:
        scripts.begin()
        pending = dict(heads)
        for drop in coalesced(drops(aof, choose, REASON, whole=True)):
            yield from _heads(pending, drop.part)
            yield drop
        yield from _heads(pending, len(aof.parts))

    plan = Plan(aof, "slice", everything, found.commands, found.size)
    plan.lost_parts = frozenset(i for i, span in heads.items() if len(aof.parts) > 1 and span.end == aof.parts[i].size)
    plan.notes += [f"the RDB of {text.name(aof.parts[i].name)} goes: its keys are no commands" for i in heads]
    plan.notes += damage_note(plan, found)
    plan.add_up()
    if scripts.undefined and not any(found.counts[number] for number in table().ids(frozenset({"script"}))):
        plan.notes.append(
            f"{text.count(scripts.undefined, 'script')} that an EVALSHA runs stand nowhere: those will fail"
        )
    return plan


def _useless(batch: Batch, steps: Steps, dropped: set[int]) -> list[int]:
    """The SELECTs outside of transactions that another follows before anything that stays."""
    found, last = list[int](), -1
    for i in range(batch.count):
        if i in dropped or batch.ids[i] == ANNOTATION:
            continue
        selects = batch.ids[i] == _select() and steps.tx[i] == 0 and _known(batch, i)
        if selects and last >= 0:
            found.append(last)
        last = i if selects else -1
    return found


@cache
def _select() -> int:
    return table().words.ids[b"select"]


def _known(batch: Batch, i: int) -> bool:
    """True of a SELECT of a database that every server has: one that it has not selects nothing."""
    argv = batch.argv(i, 2) if batch.argc[i] == 2 and not batch.far else []
    return len(argv) == 2 and argv[1] in _DATABASES


def _rdb(source: Source) -> Span | None:
    return Span(0, walk(source).end) if is_rdb(source) else None


def _heads(pending: dict[int, Span], part: int) -> Iterator[Drop]:
    """The RDBs of the parts up to one, which have not gone yet."""
    for index in sorted(pending):
        if index <= part:
            yield Drop(index, pending.pop(index), 0, "RDB")
