"""Comparable descriptions of keys, from a real server's replies and from our decoder.

Bytes are latin-1 text, so that JSON can hold them. Long values are described by
their size and hash.
"""

import hashlib
from collections.abc import Iterable
from typing import Any

from aofdoctor.rdb.encoding.cursor import CorruptValue, Cursor, LargeString
from aofdoctor.rdb.values.decoders import HashField, SortedSetMember, elements, type_name
from aofdoctor.rdb.values.modules import ModulePart, ModuleType
from aofdoctor.rdb.values.streams import Consumer, ConsumerGroup, PendingEntry, StreamEntry, StreamMeta
from aofdoctor.server.resp_client import ReplyError
from aofdoctor.server.sandbox import Sandbox
from tests.support.rdb_files import Key

Described = dict[str, Any]
_LONG = 300


def to_text(value: Any) -> str:
    data = value.read() if isinstance(value, LargeString) else value
    assert isinstance(data, bytes)
    if len(data) > _LONG:
        return f"{len(data)} bytes, sha1 {hashlib.sha1(data).hexdigest()}"
    return data.decode("latin-1")


def score_text(score: bytes | float) -> str:
    """Format a score; -0 becomes 0, because no command has made a packed -0 since 7.0."""
    return repr(float(score) + 0.0)


# -- replies of a server --


def describe_by_server(server: Sandbox, digests: bool = True) -> list[Described]:
    """Describe every key of every database; a digest is comparable only within one release line."""
    descriptions = []
    for name in server.info("keyspace"):
        db = int(name.removeprefix("db"))
        server.call("SELECT", db)
        names = server.call("KEYS", "*")
        assert isinstance(names, list)
        descriptions += [_describe(server, db, bytes(key), digests) for key in names]  # type: ignore[arg-type]
    return sorted(descriptions, key=lambda key: (key["db"], key["key"]))


def _describe(server: Sandbox, db: int, key: bytes, digests: bool) -> Described:
    kind = to_text(server.call("TYPE", key))
    description: Described = {"db": db, "key": to_text(key), "type": kind, "expire_ms": _expiry(server, key)}
    if kind in _QUERIES:
        description["value"] = _QUERIES[kind](server, key)
    if digests:
        description["encoding"] = to_text(server.call("OBJECT", "ENCODING", key))
        description["digest"] = to_text(server.call("DEBUG", "DIGEST-VALUE", key)[0])  # type: ignore[index]
    return description


def _expiry(server: Sandbox, key: bytes) -> int | None:
    """Return the expiry: exact from 7.0 on, else in whole seconds, which the fixtures of older servers use."""
    if server.binary.has_command("pexpiretime"):
        time = server.call("PEXPIRETIME", key)
    else:
        left = server.call("PTTL", key)
        seconds, micros = server.call("TIME")  # type: ignore[misc]
        now = int(seconds) * 1000 + int(micros) // 1000  # type: ignore[arg-type]
        time = round((now + left) / 1000) * 1000 if isinstance(left, int) and left >= 0 else -1
    assert isinstance(time, int)
    return time if time >= 0 else None


def _hash(server: Sandbox, key: bytes) -> list[Any]:
    flat: Any = server.call("HGETALL", key)
    names, values = flat[::2], flat[1::2]
    times: list[int] = [-1] * len(names)
    if server.binary.has_command("hpexpiretime") and names:
        times = server.call("HPEXPIRETIME", key, "FIELDS", len(names), *names)  # type: ignore[assignment]
    rows = zip(names, values, times, strict=True)
    return sorted([to_text(name), to_text(value), time if time >= 0 else None] for name, value, time in rows)


def _zset(server: Sandbox, key: bytes) -> list[Any]:
    flat: Any = server.call("ZRANGE", key, 0, -1, "WITHSCORES")
    return sorted([to_text(member), score_text(score)] for member, score in zip(flat[::2], flat[1::2], strict=True))


def _stream(server: Sandbox, key: bytes) -> Described:
    full = _pairs_to_dict(server.call("XINFO", "STREAM", key, "FULL", "COUNT", 0))
    return {
        "entries": [[to_text(entry), list(map(to_text, items))] for entry, items in full["entries"]],
        "last": to_text(full["last-generated-id"]),
        "max_deleted": to_text(full["max-deleted-entry-id"]) if "max-deleted-entry-id" in full else None,
        "added": full.get("entries-added"),
        "groups": [_group(_pairs_to_dict(group)) for group in full["groups"]],
    }


def _group(group: Described) -> Described:
    listed: Any = group.get("pending", group.get("pel"))
    pending = [[to_text(p[0]), to_text(p[1]), p[2], p[3]] for p in listed]
    consumers = sorted(to_text(_pairs_to_dict(consumer)["name"]) for consumer in group["consumers"])
    return {"name": to_text(group["name"]), "last": to_text(group["last-delivered-id"]), "read": group.get("entries-read"),
            "pending": pending, "consumers": consumers}  # fmt: skip


def _pairs_to_dict(flat: Any) -> Described:
    return {to_text(name): value for name, value in zip(flat[::2], flat[1::2], strict=True)}


_QUERIES: dict[str, Any] = {
    "string": lambda server, key: to_text(server.call("GET", key)),
    "list": lambda server, key: list(map(to_text, server.call("LRANGE", key, 0, -1))),
    "set": lambda server, key: sorted(map(to_text, server.call("SMEMBERS", key))),
    "zset": _zset,
    "hash": _hash,
    "stream": _stream,
}


def dataset_digest(server: Sandbox) -> str:
    """Return DEBUG DIGEST, which covers all databases."""
    return to_text(server.call("DEBUG", "DIGEST"))


def library_codes(server: Sandbox) -> list[str]:
    """Return the code of every function library."""
    try:
        libraries: Any = server.call("FUNCTION", "LIST", "WITHCODE")
    except ReplyError:
        return []
    return sorted(to_text(_pairs_to_dict(library)["library_code"]) for library in libraries)


# -- values of our decoder --


def describe_by_decoder(cursor: Cursor, key: Key) -> Described:
    """Describe a key as a server would, without encoding and digest; raises CorruptValue."""
    parts: list[Any] = list(elements(cursor, key.value))
    assert not any(isinstance(part, CorruptValue) for part in parts), (key, parts[-1])
    kind = type_name(key.value)
    return {
        "db": key.db,
        "key": to_text(key.name),
        "type": kind,
        "expire_ms": key.expire_ms,
        "value": _READERS[kind](parts),
    }


def _read_hash(parts: Iterable[HashField]) -> list[Any]:
    return sorted([to_text(name), to_text(value), time] for name, value, time in parts)


def _read_zset(parts: Iterable[SortedSetMember]) -> list[Any]:
    return sorted([to_text(member), score_text(score)] for member, score in parts)


def _read_stream(parts: list[Any]) -> Described:
    groups: list[Described] = []
    meta = next(part for part in parts if isinstance(part, StreamMeta))
    for part in parts:
        if isinstance(part, ConsumerGroup):
            groups.append(
                {
                    "name": to_text(part.name),
                    "last": to_text(bytes(part.last_id)),
                    "read": part.entries_read,
                    "pending": [],
                    "consumers": [],
                }
            )
        elif isinstance(part, Consumer):
            groups[-1]["consumers"].append(to_text(part.name))
        elif isinstance(part, PendingEntry):
            owner = groups[-1]["consumers"][-1]
            groups[-1]["pending"].append([to_text(bytes(part.id)), owner, part.delivered_ms, part.deliveries])
    for group in groups:
        group["pending"].sort(key=lambda p: tuple(map(int, p[0].split("-"))))
        group["consumers"].sort()
    return {
        "entries": [[to_text(bytes(e.id)), list(map(to_text, e.items))] for e in parts if isinstance(e, StreamEntry)],
        "last": to_text(bytes(meta.last_id)),
        "max_deleted": to_text(bytes(meta.max_deleted_id)) if meta.max_deleted_id else None,
        "added": meta.entries_added,
        "groups": groups,
    }


def _read_module(parts: list[Any]) -> list[Any]:
    assert isinstance(parts[0], ModuleType) and all(isinstance(part, ModulePart) for part in parts[1:])
    return [parts[0].name]


_READERS: dict[str, Any] = {
    "string": lambda parts: to_text(parts[0]),
    "list": lambda parts: list(map(to_text, parts)),
    "set": lambda parts: sorted(map(to_text, parts)),
    "zset": _read_zset,
    "hash": _read_hash,
    "stream": _read_stream,
    "module": _read_module,
}


def without_fields(keys: list[Described], *names: str) -> list[Described]:
    return [{name: value for name, value in key.items() if name not in names} for key in keys]


def drop_guessed_stream_fields(keys: list[Described]) -> None:
    """Remove the fields that a server guesses when it loads a stream from before 7.0.

    A server guesses how many entries a group has read and assumes that none was
    deleted. Our decoder leaves the first unknown, and a pending entry that no longer
    exists counts as deleted.
    """
    for key in keys:
        key["value"]["max_deleted"] = None
        for group in key["value"]["groups"]:
            group["read"] = None
