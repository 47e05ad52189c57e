"""Plan repair --salvage: keep every intact command before and after every damage, and transactions whole or not at all.

part_walk.py finds the drops of one part.  Where damage may have destroyed a SELECT, the database of the commands
after it is a guess: the plan counts these commands, and a strict salvage drops them.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace

from aofdoctor import text
from aofdoctor.aof.model import AOF
from aofdoctor.aof.patched_source import PatchedSource
from aofdoctor.aof.records import Preamble
from aofdoctor.check.report import Report
from aofdoctor.damage import Damage, DamageKind
from aofdoctor.edit.drops import Drop, merge_adjacent
from aofdoctor.edit.plan import Plan
from aofdoctor.edit.preconditions import require_parts
from aofdoctor.edit.reconstruction.reconstruct import reconstruct
from aofdoctor.edit.salvage.fileset import rebuild_manifest, restore_part_order
from aofdoctor.edit.salvage.part_walk import GuessedCommands, PartSalvager
from aofdoctor.edit.salvage.rdb_keys import SalvageCounts, describe_salvaged_rdb, read_salvageable, salvage_rdb
from aofdoctor.edit.salvage.rdb_splice import SplicedRdb
from aofdoctor.log.flushes import describe_group
from aofdoctor.source import FileSource, Source

ExamineAof = Callable[[AOF], Report]


def plan_salvage(
    aof: AOF, examine: ExamineAof, strict: bool = False, keep_unknown: bool = False
) -> tuple[Plan, Report]:
    """Plan a salvage: rebuild the manifest, undo swapped files, reconstruct damage, then drop what is left of it.

    Also returns the report of the file set before the reconstruction.  `examine` is called again after every step
    that changed something.  With `strict`, commands and keys in a guessed database are dropped as well; with
    `keep_unknown`, commands that no server version knows are kept.  Raises RefusedEdit if no part exists.
    """
    aof.read_all_payloads()
    listed, manifest_notes = rebuild_manifest(aof)
    report = examine(listed)
    ordered, order_notes = restore_part_order(report)
    report = examine(ordered) if order_notes else report
    reconstructed, reconstructions = (
        reconstruct(ordered) if any(part.damage for part in report.parts) else (ordered, [])
    )
    final_report = examine(reconstructed) if reconstructions else report
    plan = plan_salvage_drops(final_report, strict, keep_unknown)
    plan.add_reconstructions([*reconstructions, *plan.reconstructions], final_report.commands - report.commands)
    plan.notes[:0] = manifest_notes + order_notes
    plan.manifest_rebuilt = bool(manifest_notes or order_notes)
    return plan, report


def plan_salvage_drops(report: Report, strict: bool = False, keep_unknown: bool = False) -> Plan:
    """Plan to drop the damaged bytes of a report, and keep everything else."""
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
                spliced = spliced_rdbs[index][0] if index in spliced_rdbs else None
                salvager = PartSalvager(index, part.source, strict, keep_unknown, guessed_commands)
                yield from merge_adjacent(salvager.drops(spliced, not spliced or _has_complete_rdb(report, index)))

    reconstructions = [change for spliced, _ in spliced_rdbs.values() for change in spliced.reconstructions]
    size = report.size + sum(change.size - change.span.size for change in reconstructions)
    plan = Plan(aof, "salvage", drops, report.commands, size, keep_dropped=True)
    plan.add_reconstructions(reconstructions, 0)
    missing = {i for i, part in enumerate(report.aof.parts) if not part.exists}
    plan.omitted_parts = frozenset(missing)
    plan.compute_totals()
    plan.notes += _notes(report, guessed_commands, strict, {i: kept for i, (_, kept) in spliced_rdbs.items()})
    return plan


def _splice_damaged_rdbs(report: Report, strict: bool) -> dict[int, tuple[SplicedRdb, SalvageCounts]]:
    """The readable items of each damaged RDB, by index of the part in load order."""
    spliced_rdbs = {}
    for index, part in enumerate(report.parts):
        source = part.part.source
        rdb = part.preamble
        if (
            rdb
            and isinstance(source, FileSource | PatchedSource)
            and (not rdb.is_intact or _has_undecodable_value(source, rdb))
        ):
            salvaged = salvage_rdb(index, source, rdb, strict)
            if salvaged:
                spliced_rdbs[index] = salvaged
    return spliced_rdbs


def _has_undecodable_value(source: Source, rdb: Preamble) -> bool:
    """Whether an RDB without a checksum contains a value that cannot be decoded."""
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
        if report.aof.layout == "rdb" and part.commands:
            yield (
                f"{text.format_count(part.commands, 'command')} follow the RDB: a server reads them only if "
                "it loads the result as its AOF (appendonly yes), not as dump.rdb"
            )
        if any(d.kind is DamageKind.IN_FLIGHT for d in part.damage):
            yield f"a server is still writing {name}: stop it first"
    for group in report.flushes.groups:
        if group.first.guess:
            place = f"{text.display_path(group.first.part)}@{group.first.span.start}"
            yield (
                f"{describe_group(group)} at {place} stands after damage, and stays: that it is a command, and no "
                "piece of a value, is a guess; aofdoctor strip on the copy takes it out"
            )
    if guessed_commands.count and not strict:
        part_index, start = guessed_commands.first_place
        place = f"{text.display_path(report.aof.parts[part_index].name)}@{start}"
        yield (
            f"{text.format_count(guessed_commands.count, 'command')} after damage, from {place}, run in a guessed "
            "database: a SELECT may be lost there (--strict leaves them out)"
        )
