"""The keys, expiries and functions of a server that has loaded an AOF, in a form that can be compared."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from aofdoctor.server.sandbox import Sandbox, ServerBinary
from tests.support.key_descriptions import Described, describe_by_server, library_codes, to_text
from tests.workloads.workload import FileNames

State = dict[str, Any]
_TRIES = 200


def load_path(binary: ServerBinary, path: Path, names: FileNames) -> State:
    """Return the state of a server that starts on a file or a directory; raises SandboxError if it refuses."""

    def prepare(folder: Path) -> None:
        if path.is_dir():
            shutil.copytree(path, folder / names.folder)
        else:
            shutil.copy(path, folder / names.file)

    return _load(binary, names, prepare)


def load_bytes(binary: ServerBinary, data: bytes) -> State:
    """Return the state of a server that starts on an AOF of one file."""

    def prepare(folder: Path) -> None:
        (folder / FileNames().file).write_bytes(data)

    return _load(binary, FileNames(), prepare)


def _load(binary: ServerBinary, names: FileNames, prepare: Callable[[Path], None]) -> State:
    options = ["--appendonly", "yes", *names.options()]
    with Sandbox(binary, options, prepare, hide=(), timeout=60) as server:
        return read_state(server)


def read_state(server: Sandbox) -> State:
    """Read all keys of all databases, with type, value and expiry, and the code of all function libraries."""
    keys = {}
    for key in describe_by_server(server, digests=False):
        _complete(server, key)
        keys[f"db{key['db']} {key['key']}"] = key
    return {"keys": keys, "functions": library_codes(server)}


def _complete(server: Sandbox, key: Described) -> None:
    """Add the exact expiry of a server without PEXPIRETIME, and values that `describe_by_server` does not read."""
    name = key["key"].encode("latin-1")
    server.call("SELECT", key["db"])
    if key["expire_ms"] is not None and not server.binary.has_command("pexpiretime"):
        key["expire_ms"] = _exact_expiry(server, name)
    if key["type"] == "vectorset":
        key["value"] = _vectors(server, name)
    elif key["type"] == "array":
        last = server.call("ARLEN", name)
        key["value"] = repr((server.call("ARINFO", name), server.call("ARSCAN", name, 0, last)))  # type: ignore[arg-type]
    elif "value" not in key:
        raise ValueError(f"no rule to read a value of type {key['type']}")


def _exact_expiry(server: Sandbox, name: bytes) -> int:
    """Compute the expiry from the TTL and a clock that showed the same millisecond before and after."""
    for _ in range(_TRIES):
        before, left, after = server.client.pipeline([("TIME",), ("PTTL", name), ("TIME",)])
        times = {int(seconds) * 1000 + int(micros) // 1000 for seconds, micros in (before, after)}  # type: ignore
        if len(times) == 1:
            assert isinstance(left, int)
            return times.pop() + left
    raise RuntimeError("the clock never stood still for one query")


def _vectors(server: Sandbox, name: bytes) -> list[Any]:
    count = server.call("VCARD", name)
    members: Any = server.call("VRANDMEMBER", name, count)  # type: ignore[arg-type]
    rows = [(m, server.call("VEMB", name, m, "RAW"), server.call("VGETATTR", name, m)) for m in sorted(members)]
    return [[to_text(member), repr(vector), repr(attribute)] for member, vector, attribute in rows]


def differences(expected: State, actual: State) -> list[str]:
    """Describe how two states differ, in a few lines."""
    lines = []
    for name in sorted(expected["keys"].keys() | actual["keys"].keys()):
        one, two = expected["keys"].get(name), actual["keys"].get(name)
        if one != two:
            lines.append(f"{name}: expected {_short(one)}, the result has {_short(two)}")
    if expected["functions"] != actual["functions"]:
        lines.append(f"functions: expected {_short(expected['functions'])}, has {_short(actual['functions'])}")
    return lines if len(lines) <= 4 else [*lines[:4], f"and {len(lines) - 4} more keys"]


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) < 300 else text[:300] + "..."
