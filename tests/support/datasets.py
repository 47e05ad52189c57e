"""A dataset of every type in a real server, and the bases that its AOF rewrites write."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random

from aofdoctor.server.sandbox import Sandbox, ServerBinary

FAR_FUTURE_MS = 4102444800123
LIBRARY = "#!lua name=lib\nredis.register_function('f', function() return 1 end)"


def fill_dataset(server: Sandbox, seed: int = 3) -> None:
    """Create keys of every type, in every encoding, in two databases."""
    random, call = Random(seed), server.call
    call("FUNCTION", "LOAD", LIBRARY)
    for db in (0, 3):
        call("SELECT", db)
        server.client.pipeline([("SET", f"s:{n}", f"v{n}") for n in range(20)])
        call("SET", "large", random.randbytes(300_000))
        call("SET", "packed", "x" * 300_000)
        call("SET", "number", 12345)
        call("SET", "expires", 1, "PXAT", FAR_FUTURE_MS)
        server.client.pipeline([("RPUSH", "list", f"item {n}" * (n % 50)) for n in range(500)])
        call("RPUSH", "nodes", "a", "y" * 20_000, "b")
        server.client.pipeline([("SADD", "set", f"member {n}") for n in range(1000)])
        server.client.pipeline([("SADD", "numbers", 7 * n) for n in range(300)])
        call("SADD", "small", "a", "b", "c")
        server.client.pipeline([("HSET", "hash", f"field {n}", n) for n in range(700)])
        server.client.pipeline([("HSET", "small hash", f"field {n}", n) for n in range(100)])
        for key, count in (("zset", 300), ("small zset", 100)):
            scores = [random.random() * 10 ** random.randint(-9, 22) for _ in range(count)]
            server.client.pipeline([("ZADD", key, repr(score), f"m{n}") for n, score in enumerate(scores)])
        call("ZADD", "small zset", "1e8", "a", "1e-5", "b", "inf", "c", "-inf", "d", "100", "e")
        server.client.pipeline([("XADD", "stream", f"{n + 1}-1", "a", n) for n in range(250)])
        call("XGROUP", "CREATE", "stream", "group", "0")
        call("XREADGROUP", "GROUP", "group", "one", "COUNT", 10, "STREAMS", "stream", ">")
        call("XGROUP", "CREATECONSUMER", "stream", "group", "idle")
        call("XADD", "empty", "MAXLEN", 0, "5-5", "a", "b")
        call("XGROUP", "CREATE", "empty", "group", "$")
        if server.binary.has_command("HPEXPIREAT"):
            call("HSET", "timed", "a", 1, "b", 2, "c", 3, "d", 4)
            call("HPEXPIREAT", "timed", FAR_FUTURE_MS, "FIELDS", 2, "a", "b")
            call("HPEXPIREAT", "timed", FAR_FUTURE_MS + 1, "FIELDS", 1, "c")
    call("SELECT", 0)


@contextmanager
def aof_server(binary: ServerBinary) -> Iterator[Sandbox]:
    """Run a server that writes an AOF."""
    with Sandbox(binary, ["--appendonly", "yes"], hide=(), timeout=60) as server:
        yield server


def rewrite(server: Sandbox, preamble: bool) -> list[Path]:
    """Rewrite the AOF; return the new base (RDB or commands) and the incremental file after it."""
    server.call("CONFIG", "SET", "aof-use-rdb-preamble", "yes" if preamble else "no")
    server.call("BGREWRITEAOF")
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        info = server.info("persistence")
        if info["aof_rewrite_in_progress"] == info["aof_rewrite_scheduled"] == "0":
            break
        time.sleep(0.02)
    folder = server.folder / "appendonlydir"
    return sorted(folder.glob("*.base.*")) + sorted(folder.glob("*.incr.aof"))
