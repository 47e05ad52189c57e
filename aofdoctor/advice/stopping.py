"""The steps that stop the servers which use an AOF, and start them again."""

from collections.abc import Sequence

from aofdoctor.advice.processes import ServerProcess
from aofdoctor.advice.step import Step

_PASSWORD = "if it asks for a password, put that into the environment variable REDISCLI_AUTH first"
_REPLICATION = Step(
    "if replicas or Sentinels belong to it, stop the Sentinels first, so that none promotes a replica meanwhile; "
    "replicas copy this server's data again when it is back"
)


def stop_steps(servers: Sequence[ServerProcess]) -> list[Step]:
    """The steps that stop servers without a save; empty if there is none.

    A supervisor stops its server with SIGTERM, at which a server with save points writes its dump.rdb: so the save
    points are removed first (measured on Redis 7.0.15).
    """
    if not servers:
        return []
    return [_REPLICATION, *(_stop_step(server) for server in servers)]


def _stop_step(server: ServerProcess) -> Step:
    if server.supervisor is None:
        return Step(
            f"stop {server.title} without a save, and keep what started it from starting it again; {_PASSWORD}",
            (server.cli("SHUTDOWN NOSAVE"),),
        )
    return Step(
        f"stop {server.title} without a save; after a SHUTDOWN, {server.supervisor.name} would start it again; "
        f"{_PASSWORD}",
        (server.cli("CONFIG SET save ''"), *server.supervisor.stop),
    )


def start_step(servers: Sequence[ServerProcess], appendonly: str) -> Step:
    """The step that starts the servers again, with the value of their option `appendonly`."""
    commands = tuple(command for server in servers if server.supervisor for command in server.supervisor.start)
    return Step(f"start the server with appendonly {appendonly} in its configuration", commands)
