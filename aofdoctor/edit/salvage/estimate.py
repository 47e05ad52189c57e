"""Estimate how much `repair --salvage` would keep, without writing anything, for the report of `check`."""

from typing import NamedTuple

from aofdoctor import text
from aofdoctor.check.examine import examine
from aofdoctor.check.report import Report, needs_salvage
from aofdoctor.edit.plan import Plan
from aofdoctor.edit.salvage.salvage import plan_salvage
from aofdoctor.errors import AofdoctorError, NothingReadable


class SalvageEstimate(NamedTuple):
    """What `repair --salvage` would keep: keys of RDBs (None if unknown), commands and bytes of the output.

    `has_rdb`: the AOF has an RDB, or should have one.
    """

    keys: int | None
    commands: int
    size: int
    has_rdb: bool

    @property
    def is_empty(self) -> bool:
        """True if nothing can be read, so that a salvage is refused."""
        return not self.keys and not self.commands and not self.size

    def __str__(self) -> str:
        if self.is_empty:
            return "nothing"
        facts = [text.format_count(self.commands, "command"), text.format_size(self.size)]
        if self.has_rdb:
            keys = "an unknown number of keys" if self.keys is None else text.format_count(self.keys, "key")
            facts.insert(0, f"{keys} in RDBs")
        return ", ".join(facts)

    @classmethod
    def of_plan(cls, plan: Plan) -> "SalvageEstimate":
        """Create the estimate from the totals of a salvage plan."""
        return cls(plan.keys.after, plan.commands_after, plan.size - plan.dropped_bytes, bool(plan.keys.by_part))


def estimate_salvage(report: Report) -> SalvageEstimate | None:
    """Estimate what a salvage of a damaged AOF keeps; None if undamaged, a pipe, or not salvageable."""
    if not needs_salvage(report) or any(part.size is None for part in report.aof.existing_parts):
        return None
    try:
        examine_again = lambda aof: report if aof is report.aof else examine(aof)  # noqa: E731
        return SalvageEstimate.of_plan(plan_salvage(report.aof, examine_again)[0])
    except NothingReadable:
        return SalvageEstimate(0, 0, 0, has_rdb=any(part.preamble for part in report.parts))
    except AofdoctorError:
        return None
