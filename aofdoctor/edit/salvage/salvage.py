"""Plan `repair --salvage`: keep every intact command before and after damage, and transactions whole or not at all.

part_walk.py finds the bytes to drop in one file. Where damage may have destroyed a SELECT, the database of the
commands after it is a guess: the plan counts these commands, and a strict salvage drops them.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace

from aofdoctor import text
from aofdoctor.aof.model import AOF
from aofdoctor.aof.patched_source import PatchedSource
from aofdoctor.check.findings.rdb_notes import describe_empty_keys, kept_module_data
from aofdoctor.check.rdb_examination import SalvageCounts
from aofdoctor.check.report import PartReport, Report
from aofdoctor.damage import DamageKind
from aofdoctor.edit.drops import Drop, merge_adjacent
from aofdoctor.edit.plan import Plan
from aofdoctor.edit.preconditions import require_parts
from aofdoctor.edit.reconstruction.continued_parts import join_continued_parts
from aofdoctor.edit.reconstruction.reconstruct import reconstruct
from aofdoctor.edit.salvage.fileset import rebuild_manifest, restore_part_order, with_parts
from aofdoctor.edit.salvage.generations import choose_generation
from aofdoctor.edit.salvage.part_walk import GuessedCommands, PartSalvager
from aofdoctor.edit.salvage.rdb_keys import describe_damaged_keys, describe_salvaged_rdb, salvage_rdb
from aofdoctor.edit.salvage.rdb_splice import SplicedRdb
from aofdoctor.edit.set_totals import RdbKeys, readable_keys, unused_files
from aofdoctor.errors import NothingReadable
from aofdoctor.log.flushes import describe_group
from aofdoctor.source import FileSource

ExamineAof = Callable[[AOF], Report]


def plan_salvage(
    aof: AOF, examine: ExamineAof, strict: bool = False, drop_unknown: bool = False, partial_values: bool = False
) -> tuple[Plan, Report]:
    """Plan `repair --salvage`: find the best file set, undo swapped files, reconstruct damage, then drop the rest.

    A manifest that cannot be used is rebuilt, and another generation is chosen if it gives more than the listed files.
    Also returns the report of the file set before the reconstruction.  `examine` is called again after every step
    that changed something.  With `strict`, commands and keys in a guessed database are dropped as well; with
    `drop_unknown`, commands that no server version knows are dropped; with `partial_values`, the readable elements of
    damaged collections of an RDB.  Raises RefusedEdit if no part exists,
    and NothingReadable if nothing would be kept.
    """
    aof.read_all_payloads()
    listed, manifest_notes = rebuild_manifest(aof)
    report = examine(listed)
    if better := choose_generation(aof, report):
        listed, manifest_notes = with_parts(aof, better[0]), better[1]
        report = examine(listed)
    ordered, order_notes = restore_part_order(report)
    report = examine(ordered) if order_notes else report
    has_damage = any(part.damage for part in report.parts)
    joined, moves = join_continued_parts(report) if has_damage else (ordered, [])
    reconstructed, reconstructions = reconstruct(joined) if has_damage else (joined, [])
    reconstructions = sorted([*moves, *reconstructions])
    final_report = examine(reconstructed) if reconstructions else report
    plan = plan_salvage_drops(final_report, strict, drop_unknown, partial_values)
    plan.add_reconstructions([*reconstructions, *plan.reconstructions], final_report.commands - report.commands)
    plan.notes[:0] = manifest_notes + order_notes
    if plan.changes_output or manifest_notes or order_notes:
        plan.unused_files = list(unused_files(plan.aof))
    plan.manifest_rebuilt = bool(manifest_notes or order_notes)
    return plan, report


def plan_salvage_drops(
    report: Report, strict: bool = False, drop_unknown: bool = False, partial_values: bool = False
) -> Plan:
    """Plan to drop the damaged bytes that a report of `check` lists, and keep everything else."""
    require_parts(report)
    guessed_commands, spliced_rdbs = GuessedCommands(), _splice_damaged_rdbs(report, strict, partial_values)
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
                restarts = _has_torn_transaction(report, index)
                salvager = PartSalvager(index, part.source, strict, drop_unknown, guessed_commands, restarts)
                yield from merge_adjacent(salvager.drops(spliced, not spliced or _has_complete_rdb(report, index)))

    reconstructions = [change for spliced, _ in spliced_rdbs.values() for change in spliced.reconstructions]
    size = report.size + sum(change.size - change.span.size for change in reconstructions)
    plan = Plan(aof, "salvage", drops, report.commands, size, keep_dropped=True)
    plan.add_reconstructions(reconstructions, 0)
    plan.keys.by_part = _salvaged_keys(report, {i: counts for i, (_, counts) in spliced_rdbs.items()})
    missing = {i for i, part in enumerate(report.aof.parts) if not part.exists}
    plan.omitted_parts = frozenset(missing)
    plan.compute_totals()
    _require_content(plan, report, [counts for _, counts in spliced_rdbs.values()])
    plan.notes += _notes(report, guessed_commands, strict, {i: kept for i, (_, kept) in spliced_rdbs.items()})
    return plan


def _require_content(plan: Plan, report: Report, salvaged_rdbs: list[SalvageCounts]) -> None:
    """Raise NothingReadable if a plan drops something, and keeps no command, key, function library or whole RDB."""
    whole_rdbs = [part for part in report.parts if part.preamble and part.preamble.complete and not _has_defects(part)]
    has_content = plan.commands_after or whole_rdbs or any(counts.keys or counts.functions for counts in salvaged_rdbs)
    if plan.dropped_bytes and not has_content:
        raise NothingReadable(
            f"nothing in {text.display_path(report.aof.path)} can be read: no command, and no key of an RDB. "
            "Nothing was written",
            "a replica, a backup or another file of the same server is the only way back",
        )


def rdb_keys(report: Report) -> dict[int, int | None]:
    """The number of keys of each RDB, by index of its file in load order; None if unknown, as for a missing base."""
    keys = {i: readable_keys(part.preamble) for i, part in enumerate(report.parts) if part.preamble}
    missing = [i for i, part in enumerate(report.parts) if part.part.type == "base" and not part.part.exists]
    return keys | dict.fromkeys(missing)


def _salvaged_keys(report: Report, counts: dict[int, SalvageCounts]) -> dict[int, RdbKeys]:
    """The numbers of keys of each RDB before and after a salvage, by index of its file.

    A damaged RDB of which nothing can be read has none after it.  Empty keys, which servers skip, are not counted.
    """
    before = rdb_keys(report)
    for i, keys in before.items():
        contents = report.parts[i].rdb_contents
        if keys is not None and contents is not None:
            before[i] = keys - contents.skipped_count
    return {i: RdbKeys(keys, counts[i].keys if i in counts else keys or 0) for i, keys in before.items()}


def _splice_damaged_rdbs(
    report: Report, strict: bool, partial_values: bool
) -> dict[int, tuple[SplicedRdb, SalvageCounts]]:
    """Reduce each damaged RDB to its readable items; returns these with their counts, by index of the file."""
    spliced_rdbs = {}
    for index, part in enumerate(report.parts):
        source = part.part.source
        rdb = part.preamble
        if rdb and isinstance(source, FileSource | PatchedSource) and (not rdb.is_intact or _has_defects(part)):
            salvaged = salvage_rdb(index, source, rdb, strict, partial_values=partial_values)
            if salvaged:
                spliced_rdbs[index] = salvaged
    return spliced_rdbs


def _has_defects(part: PartReport) -> bool:
    """Whether an intact RDB contains a key or function library that no server loads."""
    return part.rdb_contents is not None and part.rdb_contents.damaged_count > 0


def _has_complete_rdb(report: Report, index: int) -> bool:
    rdb = report.parts[index].preamble
    return rdb is not None and rdb.complete


def _has_torn_transaction(report: Report, index: int) -> bool:
    """Whether a server restart tore a transaction in a file, as far as the report lists its damage."""
    part = report.parts[index]
    hidden = part.damage_count > len(part.damage)
    return hidden or any(damage.kind is DamageKind.TORN_TRANSACTION for damage in part.damage)


def _notes(
    report: Report, guessed_commands: GuessedCommands, strict: bool, salvage_counts: dict[int, SalvageCounts]
) -> Iterator[str]:
    for index, part in enumerate(report.parts):
        name = text.display_path(part.part.name)
        if not part.part.exists:
            yield f"{name} is missing: its commands are lost, and the manifest goes on without it"
        if part.preamble and index in salvage_counts:
            yield describe_salvaged_rdb(part.part.name, part.preamble, salvage_counts[index])
            yield from describe_damaged_keys(part.part.name, salvage_counts[index])
            yield from kept_module_data(report, part.part.name, list(salvage_counts[index].modules.values()))
        elif part.rdb_contents and part.rdb_contents.skipped_count and part.preamble and part.preamble.is_intact:
            yield describe_empty_keys(part.part.name, part.rdb_contents)
        elif part.preamble and not part.preamble.is_intact:
            yield f"the RDB of {name} is damaged ({part.preamble.note}): every key in it is lost to the copy"
        if index not in salvage_counts and part.preamble and part.preamble.is_intact:
            yield from kept_module_data(report, part.part.name, part.modules)
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
