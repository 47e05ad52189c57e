"""The findings of a report, and whether it is sound.

A check is a small function that answers one question (check_*.py).  Every
message is short and factual; a hint says what to do, and names only verbs that
there are.
"""

from aofdoctor.check import damage_findings as check_damage
from aofdoctor.check import file_findings as check_set
from aofdoctor.check import flush_findings as check_flush
from aofdoctor.check import writer_findings as check_writers
from aofdoctor.check.report import Report
from aofdoctor.damage import DamageKind
from aofdoctor.finding import Finding, Severity
from aofdoctor.server.verdict import Outcome

# In this order: each step keeps the next from being too late.
FIRST_AID = (
    "Stop rewrites, which would destroy the evidence: CONFIG SET auto-aof-rewrite-percentage 0 (and no BGREWRITEAOF).",
    "Hold failover: no SENTINEL FAILOVER; in a cluster, on each replica, CONFIG SET cluster-replica-no-failover yes.",
    "Detach replicas that still have data: on each, REPLICAOF NO ONE.",
    "Disable automatic restarts (systemd, Kubernetes, supervisors): a second start can hide what the first one cut.",
    "Keep appendonly yes: CONFIG SET appendonly no, a restart and yes again deletes the old set.",
    "Stop without a save: SHUTDOWN NOSAVE.",
    "Copy the whole data directory, and work on the copy or with --in-place, which can be undone.",
)


def collect_findings(report: Report) -> list[Finding]:
    """All findings, the gravest first."""
    order = list(Severity)
    return sorted((f for check in _CHECKS for f in check(report)), key=lambda f: order.index(f.severity))


def is_sound(report: Report) -> bool:
    """True if nothing is damaged or missing and the line that decides would load it whole."""
    for part in report.parts:
        if not part.part.exists or any(d.kind is not DamageKind.IN_FLIGHT for d in part.damage):
            return False
    in_flight = any(part.damage for part in report.parts)  # a record that is still being written: it will load
    accepted = (Outcome.LOADS, Outcome.TRUNCATES) if in_flight else (Outcome.LOADS,)
    loading_servers = {v.server for v in report.verdicts if v.outcome in accepted}
    return all(loading_servers & servers for servers in report.decisive_servers)


_CHECKS = (*check_flush.CHECKS, *check_damage.CHECKS, *check_writers.CHECKS, *check_set.CHECKS)
