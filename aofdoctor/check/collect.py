"""Collect the findings about an examined AOF, and decide whether the AOF is sound.

A finding is one fact for the user, such as "FLUSHALL at X".  Each check is a function from a report to findings; it is
listed in the CHECKS of its module, so a new finding from known facts is a change to that module alone.  A message
states facts; a hint gives a command that exists.
"""

from dataclasses import replace

from aofdoctor.check.findings import (
    continuation,
    damage,
    deletions,
    files,
    flushes,
    neighbours,
    rdb_notes,
    replay,
    unknown_commands,
    writers,
)
from aofdoctor.check.report import Report, shell_path
from aofdoctor.damage import DamageKind
from aofdoctor.finding import Finding, Severity
from aofdoctor.server.verdict import Outcome, Verdict


def collect_findings(report: Report) -> list[Finding]:
    """Run all checks on the report about an AOF, and return their findings, the most severe first."""
    order = list(Severity)
    findings = sorted((f for check in _CHECKS for f in check(report)), key=lambda f: order.index(f.severity))
    if report.aof.path == "-":  # No command can read it again.
        return [replace(finding, hint="", commands=()) for finding in findings]
    return findings


def without_repair_hints(report: Report, findings: list[Finding]) -> list[Finding]:
    """Return the findings without the advice to repair the AOF, which is refused where nothing in it can be read."""
    start = f"aofdoctor repair {shell_path(report)} "
    return [
        replace(finding, hint="", commands=()) if any(command.startswith(start) for command in finding.commands)
        else finding
        for finding in findings
    ]  # fmt: skip


def is_sound(report: Report) -> bool:
    """Whether no file of the AOF is damaged or missing, and the server versions that count load it completely.

    A record at the end that is still being written is not damage.  A command that a version lacks matters only if the
    user named the version, or if it looks like a renamed flush.
    """
    if any(name.flush_like for name in report.unknown.commands.values()):
        return False
    for part in report.parts:
        if not part.part.exists or any(d.kind is not DamageKind.IN_FLIGHT for d in part.damage):
            return False
    in_flight = any(part.damage for part in report.parts)  # Only records that are still being written are left.
    accepted = (Outcome.LOADS, Outcome.TRUNCATES) if in_flight else (Outcome.LOADS,)
    loading_servers = {
        verdict.server
        for verdict in report.verdicts
        if _decisive_verdict(verdict, report.explicit_servers).outcome in accepted
    }
    return all(loading_servers & servers for servers in report.decisive_servers)


def _decisive_verdict(verdict: Verdict, explicit_servers: frozenset[str]) -> Verdict:
    return verdict if verdict.server in explicit_servers or verdict.with_support is None else verdict.with_support


_CHECKS = (
    *flushes.CHECKS,
    *deletions.CHECKS,
    *unknown_commands.CHECKS,
    *replay.CHECKS,
    *damage.CHECKS,
    *rdb_notes.CHECKS,
    *continuation.CHECKS,
    *writers.CHECKS,
    *files.CHECKS,
    *neighbours.CHECKS,
)
