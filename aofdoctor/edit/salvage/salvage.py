"""What a salvage keeps: every whole command before and after every damage, transactions whole or not at all.

What goes of each part, salvage_walk.py knows.  Where a SELECT may be lost, in a
hole, the database is a guess: the plan counts the commands that run in one, and
a strict salvage drops them too.
"""

from collections.abc import Iterator
from dataclasses import replace

from aofdoctor import text
from aofdoctor.aof.patched_source import PatchedSource
from aofdoctor.aof.records import Preamble
from aofdoctor.check.report import Report
from aofdoctor.damage import Damage, DamageKind
from aofdoctor.edit.plan import Drop, Plan, merge_adjacent
from aofdoctor.edit.planners.repair import require_parts
from aofdoctor.edit.salvage.part_walk import GuessedCommands, PartSalvager
from aofdoctor.edit.salvage.rdb_keys import SalvageCounts, describe_salvaged_rdb, read_salvageable, salvage_rdb
from aofdoctor.edit.salvage.rdb_splice import SplicedRdb
from aofdoctor.log.flushes import describe_group
from aofdoctor.source import FileSource, Source


def plan_salvage_drops(report: Report, strict: bool = False, keep_unknown: bool = False) -> Plan:
    """Drop what is damaged, and nothing else.

    `strict`: commands whose database is a guess go too.  `keep_unknown`: commands
    that no server line knows stay.  Raises Refused where no part is left.
    """
    require_parts(report)
    guessed_commands, spliced_rdbs = GuessedCommands(), _splice_damaged_rdbs(report, strict)
    aof = replace(
        report.aof,
        parts=[
            replace(part, source=spliced_rdbs[i][0].source) if i in spliced_rdbs else part
            for i, part in enumerate(report.aof.parts)
        ],
    )

    def drops() -> Iterator[Drop]:
        guessed_commands.count = 0
        for index, part in enumerate(aof.parts):
            if part.source is not None:
                head = spliced_rdbs[index][0] if index in spliced_rdbs else None
                salvager = PartSalvager(index, part.source, strict, keep_unknown, guessed_commands)
                yield from merge_adjacent(salvager.drops(head, not head or _has_complete_rdb(report, index)))

    reconstructions = [mend for head, _ in spliced_rdbs.values() for mend in head.reconstructions]
    size = report.size + sum(mend.size - mend.span.size for mend in reconstructions)
    plan = Plan(aof, "salvage", drops, report.commands, size, keep_dropped=True)
    plan.add_reconstructions(reconstructions, 0)
    missing = {i for i, part in enumerate(report.aof.parts) if not part.exists}
    plan.omitted_parts = frozenset(missing)
    plan.compute_totals()
    plan.notes += _notes(report, guessed_commands, strict, {i: kept for i, (_, kept) in spliced_rdbs.items()})
    return plan


def _splice_damaged_rdbs(report: Report, strict: bool) -> dict[int, tuple[SplicedRdb, SalvageCounts]]:
    """What can be read of the damaged RDBs, by the place of the part."""
    spliced_rdbs = {}
    for index, part in enumerate(report.parts):
        source = part.part.source
        rdb = part.preamble
        if (
            rdb
            and isinstance(source, FileSource | PatchedSource)
            and (not rdb.is_intact or _has_undecodable_value(source, rdb))
        ):
            head = salvage_rdb(index, source, rdb, strict)
            if head:
                spliced_rdbs[index] = head
    return spliced_rdbs


def _has_undecodable_value(source: Source, rdb: Preamble) -> bool:
    """True of an RDB without a checksum that reads to its end, and has a value that cannot be decoded."""
    return (
        rdb.checksum == "off"
        and not rdb.codec
        and any(isinstance(tile, Damage) for tile in read_salvageable(source, rdb))
    )


def _has_complete_rdb(report: Report, index: int) -> bool:
    rdb = report.parts[index].preamble
    return rdb is not None and rdb.complete


def _notes(
    report: Report, guessed_commands: GuessedCommands, strict: bool, salvage_counts: dict[int, SalvageCounts]
) -> Iterator[str]:
    for index, part in enumerate(report.parts):
        name = text.display_path(part.part.name)
        if not part.part.exists:
            yield f"{name} is missing: its commands are lost, and the manifest goes on without it"
        if part.preamble and index in salvage_counts:
            yield describe_salvaged_rdb(part.part.name, part.preamble, salvage_counts[index])
        elif part.preamble and not part.preamble.is_intact:
            yield f"the RDB of {name} is damaged ({part.preamble.note}): every key in it is lost to the copy"
        if any(d.kind is DamageKind.IN_FLIGHT for d in part.damage):
            yield f"a server is still writing {name}: stop it first"
    for group in report.flushes.groups:
        if group.first.guess:
            place = f"{text.display_path(group.first.part)}@{group.first.span.start}"
            yield (
                f"{describe_group(group)} at {place} stands after damage, and stays: that it is a command, and no piece of a "
                "value, is a guess; aofdoctor strip on the copy takes it out"
            )
    if guessed_commands.count and not strict:
        part_index, start = guessed_commands.first_place
        place = f"{text.display_path(report.aof.parts[part_index].name)}@{start}"
        yield (
            f"{text.format_count(guessed_commands.count, 'command')} after damage, from {place}, run in a guessed database: a SELECT "
            "may be lost there (--strict leaves them out)"
        )
