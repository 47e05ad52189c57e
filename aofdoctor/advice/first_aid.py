"""First aid: what to do at once where a server has lost data and still runs."""

from collections.abc import Sequence

from aofdoctor.advice.processes import ServerProcess
from aofdoctor.advice.step import Step
from aofdoctor.advice.stopping import stop_steps

_GENERIC_CLI = "redis-cli"
_STOP_ANY = Step(
    "Stop the server without a save, and keep what started it from starting it again: a second start can hide what the "
    "first one cut.",
    (f"{_GENERIC_CLI} SHUTDOWN NOSAVE",),
)


def first_aid_steps(servers: Sequence[ServerProcess]) -> list[Step]:
    """The steps in an order in which each prevents a loss during the next ones; without `servers`, for any server.

    A rewrite replaces the log that still has the data, a save replaces the dump that may have it, and a replica that
    follows its primary repeats the loss.
    """
    return [
        Step(
            "Stop rewrites, which would replace the log by the current keys; do not start one by hand.",
            _to_each(servers, "CONFIG SET auto-aof-rewrite-percentage 0"),
        ),
        Step(
            "Stop saves, which would replace an older dump.rdb by the current keys.",
            _to_each(servers, "CONFIG SET save ''"),
        ),
        Step("Keep replicas that still have data: send REPLICAOF NO ONE to each of them, not to this server."),
        Step(
            "Stop the Sentinels, so that no failover happens meanwhile; in a cluster, send CONFIG SET "
            "cluster-replica-no-failover yes to each replica."
        ),
        Step("Leave the option appendonly as it is: switched off and on again, a server begins a new, empty log."),
        *(stop_steps(servers)[1:] or [_STOP_ANY]),
        Step("Copy the whole data directory, and work on the copy or with --in-place, which can be undone."),
    ]


def _to_each(servers: Sequence[ServerProcess], command: str) -> tuple[str, ...]:
    return tuple(server.cli(command) for server in servers) or (f"{_GENERIC_CLI} {command}",)
