"""Make the sample of `aofdoctor demo`: a private server writes a multi-part AOF and is then wiped by FLUSHALL.

The sample has what rescues usually meet: a rewrite in the middle, several databases, a transaction, #TS annotations,
and writes after the FLUSHALL.
"""

import shutil
import time
from collections.abc import Iterator
from pathlib import Path

from aofdoctor.server.sandbox import Sandbox, ServerBinary, bundled_server, find_servers, identify_server

_OPTIONS = ["--appendonly", "yes", "--aof-timestamp-enabled", "yes", "--aof-use-rdb-preamble", "yes"]


def sample_server() -> ServerBinary | None:
    """Return the first server on this host that writes multi-part AOFs (Redis 7.0 or later, Valkey), or None."""
    return next((b for b in _candidates() if b.product == "valkey" or b.version >= (7, 0, 0)), None)


def _candidates() -> Iterator[ServerBinary]:
    """Yield the servers of this host; the bundled one is first, so that the demo is the same everywhere."""
    bundled = bundled_server()
    if bundled and (binary := identify_server(bundled)):
        yield binary
    yield from find_servers()


def write_wiped_sample(binary: ServerBinary, target: Path) -> int:
    """Create a data directory with an AOF that ends after a FLUSHALL; return the number of keys before the FLUSHALL.

    Two keys are written after it.
    """
    with Sandbox(binary, _OPTIONS, hide=()) as server:
        _write_keys(server)
        before = sum(int(v.split(",")[0].split("=")[1]) for v in server.info("keyspace").values())
        server.client.call("FLUSHALL")
        server.client.pipeline([("SET", "healthcheck", 1), ("SET", "after", "the flush")])
        shutil.copytree(server.folder / "appendonlydir", target / "appendonlydir")
    return before


def _write_keys(server: Sandbox) -> None:
    client = server.client
    client.pipeline([("SET", f"user:{n}", f"name {n}") for n in range(500)])
    client.pipeline([("HSET", f"cart:{n}", "item", n, "count", 1) for n in range(200)])
    client.call("BGREWRITEAOF")
    while (
        server.info("persistence")["aof_rewrite_in_progress"] != "0"
        or server.info("persistence")["aof_rewrite_scheduled"] != "0"
    ):
        time.sleep(0.02)
    client.pipeline([("SELECT", 3), *[("RPUSH", "queue", f"job {n}") for n in range(100)], ("SET", "last", 99)])
    client.pipeline([("SELECT", 0), ("MULTI",), ("INCR", "orders"), ("SADD", "open", 1), ("EXEC",)])
