"""What a server holds, as values that can be compared, and a small dataset of every type."""

from collections.abc import Callable
from typing import Any

Call = Callable[..., Any]
# By database and key: the type, its elements in an order of their own, and the expiry in milliseconds (-1: none).
Keys = dict[tuple[int, bytes], tuple[bytes, Any, int]]

EXPIRY = 4102444800123
_READ: dict[bytes, tuple[tuple[str, ...], tuple[str, ...]]] = {
    b"string": (("GET",), ()),
    b"list": (("LRANGE",), ("0", "-1")),
    b"set": (("SMEMBERS",), ()),
    b"zset": (("ZRANGE",), ("0", "-1", "WITHSCORES")),
    b"hash": (("HGETALL",), ()),
    b"stream": (("XRANGE",), ("-", "+")),
}


def read_keys(call: Call) -> Keys:
    """Return every key of every database with its value and expiry."""
    keys: Keys = {}
    lines = call("INFO", "keyspace").decode().splitlines()
    for db in sorted(int(line[2:].partition(":")[0]) for line in lines if line.startswith("db")):
        call("SELECT", db)
        for key in call("KEYS", "*"):
            kind = call("TYPE", key)
            before, after = _READ[kind]
            value = call(*before, key, *after)
            remaining = call("PTTL", key)
            expiry = EXPIRY if remaining > 10**9 else remaining
            keys[db, key] = kind, _in_order(kind, value), expiry
    call("SELECT", 0)
    return keys


def _in_order(kind: bytes, value: Any) -> Any:
    if kind == b"set":
        return sorted(value)
    return sorted(zip(value[::2], value[1::2], strict=True)) if kind in (b"hash", b"zset") else value


def fill(call: Call, name: str = "user", count: int = 40, is_cluster: bool = False) -> None:
    """Write keys of every type into databases 0 and 3, of a cluster into 0 alone."""
    for db in (0,) if is_cluster else (0, 3):
        if not is_cluster:
            call("SELECT", db)
        for n in range(count):
            call("SET", f"{name}:{n}", f"value {n} of {name}")
        call("SET", f"{name}:expires", 1)
        call("PEXPIREAT", f"{name}:expires", EXPIRY)
        call("RPUSH", f"{name}:list", *(f"item {n}" for n in range(30)))
        call("SADD", f"{name}:set", *(f"member {n}" for n in range(30)))
        call("HSET", f"{name}:hash", *(f"field {n // 2} {n % 2}" for n in range(60)))
        call("ZADD", f"{name}:zset", "1.5", "a", "-2", "b", "1e9", "c")
        call("XADD", f"{name}:stream", "5-1", "f", "v")
        for _ in range(5):
            call("INCR", f"{name}:counter")
    if not is_cluster:
        call("SELECT", 0)
