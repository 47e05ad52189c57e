"""Only the selected commands, made to stand alone.

SELECT is never dropped, so each command runs in its own database; of a
transaction with a selected command everything stays; so does what defines
scripts and functions.  An RDB at the head goes: it is no selected command.
"""

from collections.abc import Iterator

from aofdoctor import text
from aofdoctor.analysis.where import Where
from aofdoctor.aof.aof import AOF
from aofdoctor.aof.limits import ANNOTATION
from aofdoctor.aof.record import Batch
from aofdoctor.edit.plan import Drop, Plan, coalesced
from aofdoctor.edit.strip import Survey, damage_note
from aofdoctor.edit.transactions import drops, structure_ids
from aofdoctor.rdb.preamble import is_rdb, walk
from aofdoctor.server.commands import table
from aofdoctor.server.steps import Steps
from aofdoctor.source import Source
from aofdoctor.span import Span

REASON = "not selected"
DEFINITIONS = frozenset({"function", "script"})


def plan_slice(aof: AOF, found: Survey, where: Where) -> Plan:
    """Drop what is not selected; `found` is a survey of the same AOF."""
    stays = structure_ids() | table().ids(DEFINITIONS)

    def choose(part: int, batch: Batch, steps: Steps, before: int) -> list[int]:
        wanted = set(where.matches(part, batch, steps, before))
        return [i for i in range(batch.count)
                if i not in wanted and batch.ids[i] != ANNOTATION and batch.ids[i] not in stays]  # fmt: skip

    heads = {index: span for index, part in enumerate(aof.parts) if part.source and (span := _rdb(part.source))}

    def everything() -> Iterator[Drop]:
        pending = dict(heads)
        for drop in coalesced(drops(aof, choose, REASON, whole=True)):
            yield from _heads(pending, drop.part)
            yield drop
        yield from _heads(pending, len(aof.parts))

    plan = Plan(aof, "slice", everything, found.commands, found.size)
    plan.lost_parts = frozenset(i for i, span in heads.items() if len(aof.parts) > 1 and span.end == aof.parts[i].size)
    plan.notes += [f"the RDB of {text.name(aof.parts[i].name)} goes: its keys are no commands" for i in heads]
    plan.notes += damage_note(plan, found)
    return plan.add_up()


def _rdb(source: Source) -> Span | None:
    return Span(0, walk(source).end) if is_rdb(source) else None


def _heads(pending: dict[int, Span], part: int) -> Iterator[Drop]:
    """The RDBs of the parts up to one, which have not gone yet."""
    for index in sorted(pending):
        if index <= part:
            yield Drop(index, pending.pop(index), 0, "RDB")
