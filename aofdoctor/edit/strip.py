"""Which commands strip takes out: one group of flushes, or a selection."""

from dataclasses import dataclass

from aofdoctor import text
from aofdoctor.analysis.flush import Flushes, Group
from aofdoctor.analysis.history import Entry, from_tail
from aofdoctor.analysis.position import Position
from aofdoctor.analysis.where import Where
from aofdoctor.aof.aof import AOF
from aofdoctor.aof.reader import read
from aofdoctor.aof.record import Batch
from aofdoctor.damage import Damage
from aofdoctor.edit.plan import Drop, Plan, coalesced
from aofdoctor.edit.transactions import Chooser, drops, structure_ids
from aofdoctor.errors import BadSelection
from aofdoctor.server.commands import table
from aofdoctor.server.plain import State
from aofdoctor.server.steps import Steps
from aofdoctor.span import Span

_GROUP_MAX = 256  # records of one group, where only the end is read


@dataclass(slots=True)
class Survey:
    """The flushes of an AOF, and how large it is; `damaged` if any part is."""

    flushes: Flushes
    commands: int
    size: int
    damaged: bool


def survey(aof: AOF, target: Position | None = None) -> Survey:
    """One walk over all parts; `target` is a position whose group is to be found."""
    flushes, before, size, damaged = Flushes(target=target), 0, 0, False
    steps = Steps(columns=True)
    steps.watch("survey", table().with_effect("flush"))
    for index, part in enumerate(aof.parts):
        if part.source is None:
            continue
        steps.begin()
        for tile in read(part.source, table().words):
            if isinstance(tile, Batch):
                commands = before + steps.state[State.COMMANDS]
                flushes.batch(index, part.name, tile, steps.run(tile), steps, commands)
            elif isinstance(tile, Damage):
                damaged = True
                flushes.interrupted()
                steps.lost()
            else:
                damaged |= not tile.complete or tile.checksum == "bad"
                steps.preamble(tile.span.end)
        before += steps.state[State.COMMANDS]
        size += part.size or 0
    return Survey(flushes, before, size, damaged)


def group_at(found: Survey, position: Position) -> Group:
    """The group that a position names."""
    if found.flushes.found is None:
        raise BadSelection(
            "no flush stands at that position",
            "`aofdoctor log --effect flush` lists them; to strip another command, select it with --from and --to",
        )
    return found.flushes.found


def plan_group(aof: AOF, found: Survey, group: Group | None) -> Plan:
    """Strip the flushes of one group, or of all where it is None."""
    flush_ids = table().with_effect("flush")
    where = Where(ids=flush_ids, start=_place(group, first=True), end=_place(group, first=False))
    plan = _plan(aof, found, where, "flush")
    after = found.commands - (group.last.number if group else 0)
    if group:
        plan.notes.append(f"{text.count(after, 'command')} after the flush stay")
    return plan


def plan_tail(aof: AOF) -> Plan:
    """Strip the last group of flushes as the end of the AOF alone shows it.

    Nothing proves that it is no part of a value: only for one who says so.
    Numbers of commands are not known, and are 0.
    """
    spans = _tail_group(aof)
    index = next(i for i, part in enumerate(aof.parts) if part.name == spans[0][0])
    found = [Drop(index, span, 1, "flush") for name, span in spans if name == spans[0][0]]
    size = sum(part.size or 0 for part in aof.present)
    plan = Plan(aof, "strip", lambda: iter(found), 0, size)
    plan.notes.append("found from the end alone (--trust-tail): nothing proves that it is no part of a value")
    return plan.add_up()


def _tail_group(aof: AOF) -> list[tuple[str, Span]]:
    """The flushes of the last group, oldest first, each with its part's name."""
    flush_ids, structure = table().with_effect("flush"), structure_ids()
    last = from_tail(aof, Where(ids=flush_ids), 1)
    entry = next((item for item in last if isinstance(item, Entry)), None)
    if entry is None:
        raise BadSelection("no FLUSHALL or FLUSHDB stands in it as a command")
    index = next(i for i, part in enumerate(aof.parts) if part.name == entry.part)
    end = Position(entry.part, index, entry.batch.record(entry.i).start)
    spans: list[tuple[str, Span]] = []
    for item in reversed(from_tail(aof, Where(end=end), _GROUP_MAX)):
        if not isinstance(item, Entry) or item.batch.ids[item.i] not in flush_ids | structure:
            break
        if item.batch.ids[item.i] in flush_ids:
            spans.insert(0, (item.part, item.batch.record(item.i)))
    return spans


def plan_selection(aof: AOF, found: Survey, where: Where) -> Plan:
    """Strip the selected commands; SELECT, MULTI and EXEC are never selected."""
    return _plan(aof, found, where, "selected")


def _plan(aof: AOF, found: Survey, where: Where, reason: str) -> Plan:
    structure = structure_ids()
    choose: Chooser = lambda part, batch, steps, before: [  # noqa: E731
        i for i in where.matches(part, batch, steps, before) if batch.ids[i] not in structure
    ]
    plan = Plan(aof, "strip", lambda: coalesced(drops(aof, choose, reason)), found.commands, found.size)
    if found.damaged:
        plan.damaged = True
        plan.notes.append("the AOF is damaged, and the damage stays: repair the result, or a server may refuse it")
    return plan.add_up()


def _place(group: Group | None, first: bool) -> Position | None:
    if group is None:
        return None
    flush = group.first if first else group.last
    return Position(flush.part, flush.index, flush.span.start)
