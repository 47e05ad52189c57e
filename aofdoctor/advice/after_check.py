"""What to do after an examination: first aid while a server still uses the files, and the commands to run next."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from aofdoctor.advice.first_aid import first_aid_steps
from aofdoctor.advice.next_commands import next_steps
from aofdoctor.advice.processes import ServerProcess, servers_using
from aofdoctor.advice.step import Step
from aofdoctor.check.report import Report
from aofdoctor.finding import Finding, Severity

_LOSSES = frozenset({Severity.DANGER, Severity.DAMAGE})


@dataclass(frozen=True, slots=True)
class CheckAdvice:
    """The servers that use the files, the steps of first aid (empty if none is needed), and the next steps."""

    servers: list[ServerProcess] = field(default_factory=list)
    first_aid: list[Step] = field(default_factory=list)
    next: list[Step] = field(default_factory=list)


def advice_after_check(
    report: Report, findings: Iterable[Finding], wants_first_aid: bool, is_readable: bool
) -> CheckAdvice:
    """Return the advice for a report.

    First aid is given if a server uses the files and something was lost or is damaged, or if the user asks for it.
    If nothing `is_readable`, there are no next steps.
    """
    is_loss = any(finding.severity in _LOSSES for finding in findings)
    servers = servers_using(report.aof) if is_loss or wants_first_aid else []
    first_aid = first_aid_steps(servers) if wants_first_aid or servers else []
    return CheckAdvice(servers, first_aid, next_steps(report) if is_readable else [])
