"""Random conversions of an AOF, and the state that a server must have with the result."""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random

from aofdoctor.server.sandbox import ServerBinary
from tests.workloads.states import State

_RDB_VERSIONS = {"redis-6.2": 9, "redis-7.0": 10, "redis-8.2": 12, "redis-8.10": 15, "valkey-9.1": 80}


@dataclass(frozen=True)
class Conversion:
    """The words of a conversion; `expected` turns the state of the source into that of the result.

    `reader` is another server that loads the result; `comparable` leaves out of its state what only one of both has.
    """

    words: list[str]
    expected: Callable[[State], State] = copy.copy
    is_refused: bool = False
    reader: ServerBinary | None = None
    comparable: Callable[[State], State] = copy.copy


def choose(binary: ServerBinary, path: Path, base: State, has_expired_keys: bool, chance: Random) -> Conversion:
    """Choose a conversion for the same server; `base` is the state of the RDB at the head of the log.

    Later expiries bring expired keys back, which the state of the source does not show.
    """
    options = [["--shift-ttl", "-90m" if has_expired_keys else chance.choice(("2h", "-90m", "1d"))]]
    if binary.version >= (7, 0, 0):
        options.append(["--layout", "single" if path.is_dir() else "multi-part"])
    if base["keys"]:
        options += [["--base", "resp", "--for", binary.version_name]] * 2
        options.append(["--base", "rdb", "--rdb-version", str(_RDB_VERSIONS[binary.version_name]), "--keep-modules"])
    chosen = chance.choice(options)
    if chosen[0] == "--shift-ttl":
        unit = {"h": 3_600_000, "m": 60_000, "d": 86_400_000}[chosen[1][-1]]
        return Conversion(["convert", *chosen], lambda state: shifted(state, int(chosen[1][:-1]) * unit))
    has_no_commands = any(key["type"] == "vectorset" for key in base["keys"].values())
    return Conversion(["convert", *chosen], is_refused="resp" in chosen and has_no_commands)


def shifted(state: State, milliseconds: int) -> State:
    """Return a state in which every expiry is later."""
    later = copy.deepcopy(state)
    for key in later["keys"].values():
        if key["expire_ms"] is not None:
            key["expire_ms"] += milliseconds
        if key["type"] == "hash":
            key["value"] = [[name, value, time and time + milliseconds] for name, value, time in key["value"]]
    return later
