"""Random conversions of an AOF, and the state that a server must have with the result."""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random

from aofdoctor.server.sandbox import ServerBinary
from tests.support.servers import all_servers
from tests.workloads.records import read_log
from tests.workloads.states import State
from tests.workloads.workload import command_names

_RDB_VERSIONS = {"redis-6.2": 9, "redis-7.0": 10, "redis-8.2": 12, "redis-8.10": 15, "valkey-9.1": 80}
_OLDER_VERSIONS = {"redis-6.2": (9,), "redis-7.0": (9, 10), "redis-8.2": (9, 10, 11, 12), "valkey-9.1": (9, 10, 11)}
# Commands with arguments that every server since 6.2 takes.
_OLD_COMMANDS = frozenset(
    b"SET HSET RPUSH LPUSH SADD ZADD DEL UNLINK PEXPIREAT PERSIST INCRBY APPEND MSET FLUSHALL FLUSHDB LPOP LTRIM SREM "
    b"ZINCRBY HINCRBY HDEL RENAME SETBIT SETRANGE ZREM".split()
)


@dataclass(frozen=True)
class Source:
    """What is converted: the server that wrote it, the state of the RDB at its head, and whether keys have expired."""

    binary: ServerBinary
    path: Path
    base: State
    has_expired_keys: bool


@dataclass(frozen=True)
class Conversion:
    """The words of a conversion; `expected` turns the state of the source into that of the result.

    `reader` is another server that loads the result; `comparable` leaves out of a state what only one of both has.
    """

    words: list[str]
    expected: Callable[[State], State] = copy.copy
    is_refused: bool = False
    reader: ServerBinary | None = None
    comparable: Callable[[State], State] = copy.copy


def choose(source: Source, chance: Random) -> Conversion:
    """Choose a conversion for the same server, or for another one that knows the commands after the base."""
    readers = [reader for reader in all_servers() if reader != source.binary and _knows_commands(reader, source.path)]
    if readers and source.base["keys"] and chance.random() < 0.5:
        return _for_reader(chance.choice(readers), source, chance)
    # Later expiries would bring expired keys back, which the state of the source does not show.
    options = (
        []
        if _restores_field_expiries(source.path)
        else [["--shift-ttl", "-90m" if source.has_expired_keys else chance.choice(("2h", "-90m", "1d"))]]
    )
    if source.binary.version >= (7, 0, 0) or not options:
        options.append(["--layout", "single" if source.path.is_dir() else "multi-part"])
    if source.base["keys"]:
        version = source.binary.version_name
        options += [["--base", "resp", "--for", version]] * 2
        options.append(["--base", "rdb", "--rdb-version", str(_RDB_VERSIONS[version]), "--keep-modules"])
    chosen = chance.choice(options)
    if chosen[0] == "--shift-ttl":
        unit = {"h": 3_600_000, "m": 60_000, "d": 86_400_000}[chosen[1][-1]]
        return Conversion(["convert", *chosen], lambda state: shifted(state, int(chosen[1][:-1]) * unit))
    has_no_commands = bool(_types(source.base) & {"vectorset", "array"})
    return Conversion(["convert", *chosen], is_refused="resp" in chosen and has_no_commands)


def _restores_field_expiries(path: Path) -> bool:
    """Whether a RESTORE payload has expiries of hash fields, which convert counts in its notes and does not move."""
    return any(r.name == b"RESTORE" and r.words[3][0] in range(22, 26) for r in read_log(path).commands)


def _types(state: State) -> set[str]:
    return {key["type"] for key in state["keys"].values()}


def _knows_commands(reader: ServerBinary, path: Path) -> bool:
    """Whether a server knows every command after the base with all its arguments; 6.2 knows no annotations."""
    records = read_log(path).records
    return all(record.is_structure or record.name in _OLD_COMMANDS for record in records if record.words) and (
        reader.version >= (7, 0, 0) or not any(record.is_annotation for record in records)
    )


def _for_reader(reader: ServerBinary, source: Source, chance: Random) -> Conversion:
    """Convert to a single file for another server; refused if the base has what that server lacks."""
    versions = _OLDER_VERSIONS.get(reader.version_name)
    words = ["--base", "resp", "--for", reader.version_name]
    is_rdb = bool(versions) and chance.random() < 0.5
    if versions and is_rdb:
        words = ["--base", "rdb", "--rdb-version", str(chance.choice(versions))]
    names = command_names(reader)
    has_field_expiries = int(words[3]) >= 12 if is_rdb else "hpexpireat" in names
    has_functions = int(words[3]) >= 10 if is_rdb else "fcall" in names
    lacks = (
        bool(_types(source.base) & {"vectorset", "array"})
        or (not has_functions and bool(source.base["functions"]))
        or (not has_field_expiries and _has_field_expiry(source.base))
    )
    layout = ["--layout", "single"] if source.path.is_dir() else []
    return Conversion(["convert", *words, *layout], is_refused=lacks, reader=reader, comparable=_without_guesses)


def _has_field_expiry(state: State) -> bool:
    return any(row[2] is not None for key in state["keys"].values() if key["type"] == "hash" for row in key["value"])


def _without_guesses(state: State) -> State:
    """Leave out the counters of streams that servers before 7.0 do not have."""
    result = copy.deepcopy(state)
    for key in result["keys"].values():
        if key["type"] == "stream":
            key["value"]["max_deleted"] = key["value"]["added"] = None
            for group in key["value"]["groups"]:
                group["read"] = None
    return result


def shifted(state: State, milliseconds: int) -> State:
    """Return a state in which every expiry is later."""
    later = copy.deepcopy(state)
    for key in later["keys"].values():
        if key["expire_ms"] is not None:
            key["expire_ms"] += milliseconds
        if key["type"] == "hash":
            key["value"] = [[name, value, time and time + milliseconds] for name, value, time in key["value"]]
    return later
