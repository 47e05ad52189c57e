"""The keys of a base: for each value type the encodings that servers use, each in several keys."""

from collections.abc import Callable
from random import Random

from aofdoctor.server.sandbox import Sandbox
from tests.support.datasets import FAR_FUTURE_MS

Command = tuple[str | bytes | int, ...]
_DATABASES = (0, 3)


def _strings(random: Random, key: str, n: int) -> list[Command]:
    value = (n * 1000, random.randbytes(30), "text " * n, f"value {n}")[n % 4]
    return [("SET", key, value, "PXAT", FAR_FUTURE_MS + n) if n % 5 == 0 else ("SET", key, value)]


def _lists(random: Random, key: str, n: int) -> list[Command]:
    large = [random.randbytes(9000)] if n % 10 == 0 else []
    return [("RPUSH", key, *(f"item {i}" for i in range(1 + n * 3)), 17, *large)]


def _sets(random: Random, key: str, n: int) -> list[Command]:
    count = 600 if n % 10 == 0 else 1 + n
    return [("SADD", key, *((f"member {i}" if n % 3 else i * 70_000) for i in range(count)))]


def _hashes(random: Random, key: str, n: int) -> list[Command]:
    count = 700 if n % 10 == 0 else 1 + n
    return [("HSET", key, *(word for i in range(count) for word in (f"field {i}", random.randrange(10**6))))]


def _sorted_sets(random: Random, key: str, n: int) -> list[Command]:
    count = 200 if n % 10 == 0 else 1 + n
    return [("ZADD", key, *(word for i in range(count) for word in (repr(random.random() * 1000), f"member {i}")))]


def _streams(random: Random, key: str, n: int) -> list[Command]:
    entries: list[Command] = [("XADD", key, f"{i + 1}-1", "sensor", i, "text", f"value {i}") for i in range(1 + n * 4)]
    group: list[Command] = [
        ("XGROUP", "CREATE", key, "group", "0"),
        ("XREADGROUP", "GROUP", "group", "one", "COUNT", 3, "STREAMS", key, ">"),
    ]
    return entries + group


def _timed_hashes(random: Random, key: str, n: int) -> list[Command]:
    return [
        ("HSET", key, *(word for i in range(2 + n) for word in (f"field {i}", i))),
        ("HPEXPIREAT", key, FAR_FUTURE_MS + n, "FIELDS", 1, "field 1"),
    ]


def _vector_sets(random: Random, key: str, n: int) -> list[Command]:
    return [
        ("VADD", key, "VALUES", 4, *(repr(random.random()) for _ in range(4)), f"element {i}", "SETATTR", '{"n": 1}')
        for i in range(2 + n)
    ]


_WRITERS: dict[str, Callable[[Random, str, int], list[Command]]] = {
    "strings": _strings,
    "lists": _lists,
    "sets": _sets,
    "hashes": _hashes,
    "sorted sets": _sorted_sets,
    "streams": _streams,
    "hashes with field expiry": _timed_hashes,
    "vector sets": _vector_sets,
}
VALUE_TYPES = tuple(_WRITERS)
_NEEDS = {"hashes with field expiry": "HPEXPIREAT", "vector sets": "VADD"}


def write_base(server: Sandbox, types: tuple[str, ...], random: Random, keys: int = 20) -> None:
    """Write `keys` keys of each type that the server has, half of them in another database."""
    for db in _DATABASES:
        server.call("SELECT", db)
        for kind in types:
            if kind in _NEEDS and not server.binary.has_command(_NEEDS[kind]):
                continue
            for n in range(keys // 2):
                server.client.pipeline(_WRITERS[kind](random, f"base:{kind}:{db}:{n}", n))
    server.call("SELECT", 0)
