"""Plan a salvage without writing it: how much `repair --salvage` would keep, for the report of `check`."""

from typing import NamedTuple

from aofdoctor import text
from aofdoctor.aof.model import AOF
from aofdoctor.check.examine import examine
from aofdoctor.check.report import Report, needs_salvage
from aofdoctor.edit.plan import Plan
from aofdoctor.edit.salvage.salvage import plan_salvage
from aofdoctor.errors import AofdoctorError


class SalvageEstimate(NamedTuple):
    """What a salvage keeps: the keys of RDBs (None if unknown), commands and bytes of its output.

    `has_rdb`: the AOF has an RDB, or should have one.
    """

    keys: int | None
    commands: int
    size: int
    has_rdb: bool

    def __str__(self) -> str:
        facts = [text.format_count(self.commands, "command"), text.format_size(self.size)]
        if self.has_rdb:
            keys = "an unknown number of keys" if self.keys is None else text.format_count(self.keys, "key")
            facts.insert(0, f"{keys} in RDBs")
        return ", ".join(facts)

    @classmethod
    def of_plan(cls, plan: Plan) -> "SalvageEstimate":
        """The totals of a plan's output."""
        return cls(plan.keys.after, plan.commands_after, plan.size - plan.dropped_bytes, bool(plan.keys.by_part))


def estimate_salvage(report: Report) -> SalvageEstimate | None:
    """Plan the salvage of a damaged AOF; None if it is not damaged, is a pipe, or cannot be salvaged."""
    if not needs_salvage(report) or any(part.size is None for part in report.aof.existing_parts):
        return None
    try:
        return SalvageEstimate.of_plan(plan_salvage(report.aof, _examine)[0])
    except AofdoctorError:
        return None


def _examine(aof: AOF) -> Report:
    return examine(aof)
