"""All that a salvage does, in its order: the set, the places of files, what can be turned back, the drops."""

from collections.abc import Callable

from aofdoctor.aof.model import AOF
from aofdoctor.check.report import Report
from aofdoctor.edit.plan import Plan
from aofdoctor.edit.reconstruction.reconstruct import reconstruct
from aofdoctor.edit.salvage.fileset import rebuild_manifest
from aofdoctor.edit.salvage.part_order import restore_part_order
from aofdoctor.edit.salvage.salvage import plan_salvage_drops

Examine = Callable[[AOF], Report]


def plan_salvage(aof: AOF, examine: Examine, strict: bool = False, keep_unknown: bool = False) -> tuple[Plan, Report]:
    """The plan of a salvage, and the report on the set that it is of, before anything was turned back.

    `read` examines an AOF; it is asked again for one in which something was mended.
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
