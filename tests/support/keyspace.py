"""Load a file into a real server, and count its keys by database."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from aofdoctor.server.sandbox import Sandbox
from tests.support.conversions import load_output
from tests.support.servers import servers_by_line


def key_counts(path: Path, line: str = "redis-7.0", ask: Callable[[Sandbox], Any] | None = None) -> Any:
    """The number of keys by database after a load; with `ask`, the pair of that and its answer."""
    if line not in servers_by_line():
        pytest.skip(f"no {line} here")
    with load_output(servers_by_line()[line], path) as running:
        reply = running.call("INFO", "keyspace")
        text = reply.decode() if isinstance(reply, bytes) else str(reply)
        counts = {
            int(row[2:].split(":")[0]): int(row.split("keys=")[1].split(",")[0])
            for row in text.splitlines()
            if row.startswith("db")
        }
        return (counts, ask(running)) if ask else counts
