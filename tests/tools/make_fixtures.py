"""Regenerate fixtures/aof with real servers: a small history, a rewrite, more writes, a flush, and two writes after it.

    python -m tests.tools.make_fixtures fixtures/aof

Every fixture has a story.json with the measurements taken while it was made: the
keys before the flush, the position of the flush, and the server that wrote it.
"""

import json
import shutil
import sys
import time
from pathlib import Path

from aofdoctor.server.sandbox import Sandbox, ServerBinary
from tests.support.servers import servers_by_line

STORIES = {
    # Name: (release line, RDB base, timestamps).
    "wiped-valkey-9.1": ("valkey-9.1", True, True),
    "wiped-redis-8.2": ("redis-8.2", True, True),
    "wiped-redis-7.0": ("redis-7.0", True, True),
    "wiped-redis-7.0-resp": ("redis-7.0", False, False),
    "wiped-redis-6.2": ("redis-6.2", False, False),
    "wiped-redis-6.2-preamble": ("redis-6.2", True, False),
}


def make(name: str, binary: ServerBinary, rewrite: bool, stamps: bool, target: Path) -> None:
    """Write one fixture to a new folder."""
    options = ["--appendonly", "yes"] + (["--aof-timestamp-enabled", "yes"] if stamps else [])
    with Sandbox(binary, options, hide=()) as server:
        client = server.client
        client.pipeline([("SET", f"user:{n}", f"name {n}") for n in range(20)])
        client.pipeline([("HSET", "cart", f"item{n}", n) for n in range(5)])
        if rewrite:
            client.call("BGREWRITEAOF")
            _until_rewritten(server)
            time.sleep(1.1)  # A server writes a timestamp only when the second has changed.
        client.pipeline([("SELECT", 3), ("RPUSH", "queue", "a", "b", "c"), ("SET", "bytes", b"\x00\xff\r\n*1\r\n")])
        client.pipeline([("MULTI",), ("INCR", "orders"), ("SADD", "open", 1, 2), ("EXEC",)])
        keys = _keys(server)
        before = _newest(server.folder).stat().st_size
        client.call("FLUSHALL")
        client.pipeline([("SET", "healthcheck", 1), ("SELECT", 0), ("SET", "after", "the flush")])
        newest = _newest(server.folder)
        flush = newest.read_bytes().index(b"*1\r\n$8\r\nFLUSHALL\r\n", before)
        story = {
            "server": binary.title, "keys": keys, "keys_after": _keys(server), "flush": [newest.name, flush, flush + 18],
        }  # fmt: skip
        _keep(server.folder, target / name)
    (target / name / "story.json").write_text(json.dumps(story, indent=1) + "\n")


def _until_rewritten(server: Sandbox) -> None:
    while {server.info("persistence")[f"aof_rewrite_{state}"] for state in ("in_progress", "scheduled")} != {"0"}:
        time.sleep(0.02)


def _keys(server: Sandbox) -> int:
    return sum(int(value.split(",")[0].split("=")[1]) for value in server.info("keyspace").values())


def _newest(folder: Path) -> Path:
    incr = sorted(folder.glob("appendonlydir/*.incr.aof"))
    return incr[-1] if incr else folder / "appendonly.aof"


def _keep(folder: Path, target: Path) -> None:
    if target.exists():
        shutil.rmtree(target)
    target.mkdir(parents=True)
    if (folder / "appendonlydir").exists():
        shutil.copytree(folder / "appendonlydir", target / "appendonlydir")
    else:
        shutil.copyfile(folder / "appendonly.aof", target / "appendonly.aof")


def main() -> None:
    target = Path(sys.argv[1])
    for name, (line, rewrite, stamps) in STORIES.items():
        make(name, servers_by_line()[line], rewrite, stamps, target)


if __name__ == "__main__":
    main()
