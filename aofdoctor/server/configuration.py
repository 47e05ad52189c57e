"""The settings of a server that decide how it loads an AOF, besides its version."""

from dataclasses import dataclass

DATABASES_DEFAULT = 16  # the value of `databases` in redis.conf and valkey.conf


@dataclass(frozen=True, slots=True)
class ServerConfiguration:
    """The server settings for which `check` predicts how an AOF loads.

    `databases` is the number of databases, `cluster` is cluster-enabled, `corrupt_tail` is the number of bytes of
    aof-load-corrupt-tail-max-size (Redis 8.4 and later; 0 turns it off).
    """

    databases: int = DATABASES_DEFAULT
    cluster: bool = False
    corrupt_tail: int = 0

    @property
    def selectable_databases(self) -> int:
        """The number of databases that SELECT accepts; a cluster has only database 0."""
        return 1 if self.cluster else self.databases


DEFAULT_CONFIGURATION = ServerConfiguration()
