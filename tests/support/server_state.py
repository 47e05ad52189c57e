"""The state of a server in the form of the corpus: a hash of every value that does not depend on its encoding."""

import hashlib
from collections.abc import Iterable
from typing import Any

from aofdoctor.server.sandbox import Sandbox

# By database and key: the hashes that the value may have. Servers before 5.0 keep a score of -0; later ones may not.
State = dict[int, dict[bytes, frozenset[str]]]


def canonical_hash(kind: bytes, items: Iterable[bytes]) -> str:
    """Return the SHA-1 of the type name and the items, each as `<length>:<bytes>`."""
    digest = hashlib.sha1()
    for item in (kind, *items):
        digest.update(b"%d:%b" % (len(item), item))
    return digest.hexdigest()


def state_of(server: Sandbox) -> State:
    """Return the hashes of every key of every database."""
    state: State = {}
    for name in server.info("keyspace"):
        database = int(name.removeprefix("db"))
        server.call("SELECT", database)
        keys = server.call("KEYS", "*")
        assert isinstance(keys, list)
        kinds = server.client.pipeline([("TYPE", bytes(key)) for key in keys])  # type: ignore[arg-type]
        values = server.client.pipeline([_read(kind, key) for kind, key in zip(kinds, keys, strict=True)])
        for key, kind, value in zip(keys, kinds, values, strict=True):
            assert isinstance(key, bytes) and isinstance(kind, bytes)
            hashes = {canonical_hash(kind, _items(kind, value, zero)) for zero in (b"0.0", b"-0.0")}
            state.setdefault(database, {})[key] = frozenset(hashes)
    return state


_COMMANDS: dict[bytes, tuple[tuple[str, ...], tuple[str, ...]]] = {
    b"string": (("GET",), ()),
    b"list": (("LRANGE",), ("0", "-1")),
    b"set": (("SMEMBERS",), ()),
    b"zset": (("ZRANGE",), ("0", "-1", "WITHSCORES")),
    b"hash": (("HGETALL",), ()),
    b"stream": (("XRANGE",), ("-", "+")),
}


def _read(kind: Any, key: Any) -> tuple[Any, ...]:
    before, after = _COMMANDS[kind]
    return (*before, key, *after)


def _items(kind: bytes, value: Any, zero: bytes) -> list[bytes]:
    if kind == b"string":
        return [value]
    if kind == b"list":
        return list(value)
    if kind == b"set":
        return sorted(value)
    if kind == b"stream":
        return [item for entry in value for item in (entry[0], *entry[1])]
    pairs = sorted(zip(value[::2], value[1::2], strict=True))
    if kind == b"zset":
        pairs = [(member, repr(float(score)).encode() if float(score) else zero) for member, score in pairs]
    return [item for pair in pairs for item in pair]
