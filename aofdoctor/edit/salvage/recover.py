"""All that a salvage does, in its order: the set, the places of files, what can be turned back, the drops."""

from collections.abc import Callable

from aofdoctor.aof.discovery import AOF
from aofdoctor.check.report import Report
from aofdoctor.edit.plan import Plan
from aofdoctor.edit.reconstruction.reconstruct import reconstruct
from aofdoctor.edit.salvage.fileset import rebuild_manifest
from aofdoctor.edit.salvage.part_order import restore_part_order
from aofdoctor.edit.salvage.salvage import plan_salvage_drops

Read = Callable[[AOF], Report]


def plan_salvage(aof: AOF, read: Read, strict: bool = False, keep_unknown: bool = False) -> tuple[Plan, Report]:
    """The plan of a salvage, and the report on the set that it is of, before anything was turned back.

    `read` examines an AOF; it is asked again for one in which something was mended.
    """
    aof.read_all_payloads()
    whole, inferred = rebuild_manifest(aof)
    report = read(whole)
    placed, moved = restore_part_order(report)
    report = read(placed) if moved else report
    turned, reconstructions = reconstruct(placed) if any(part.damage for part in report.parts) else (placed, [])
    after = read(turned) if reconstructions else report
    plan = plan_salvage_drops(after, strict, keep_unknown)
    plan.add_reconstructions([*reconstructions, *plan.reconstructions], after.commands - report.commands)
    plan.notes[:0] = inferred + moved
    plan.manifest_rebuilt = bool(inferred or moved)
    return plan, report
