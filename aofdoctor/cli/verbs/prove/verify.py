"""aofdoctor verify: what a real server makes of it."""

from pathlib import Path
from typing import Annotated

import typer

from aofdoctor import text
from aofdoctor.check.load_test import LoadFailure, LoadResult, load_in_sandbox
from aofdoctor.cli import options
from aofdoctor.cli.console import painter, print_json, print_line, warn
from aofdoctor.cli.options import open_path
from aofdoctor.errors import InvalidSelection
from aofdoctor.server.sandbox import identify

EPILOG = """\b
Examples:
  aofdoctor verify rescued
  aofdoctor verify fixed.aof --with /opt/redis-7.2/bin/redis-server --json

\b
Exit status: 0 loaded whole; 1 no server at hand would load it whole; 2 usage; 3 could not: no server, or a
command that is not replayed; 130 interrupted."""


def verify(
    path: options.WritablePath,
    server: Annotated[
        str | None, typer.Option("--with", metavar="BINARY", help="Load it with this redis-server or valkey-server.")
    ] = None,
    timeout: Annotated[
        float | None, typer.Option("--timeout", metavar="SECONDS", help="Give up on a load that takes longer.")
    ] = None,
    json: options.Json = False,
) -> None:
    """Load it in a private real server and say what came up.

    The server runs on a socket in a temporary folder, without network where that
    can be had, and never writes to these files.  Commands that reach outside of a
    server are refused before it starts.
    """
    binary = identify(Path(server)) if server else None
    if server and binary is None:
        raise InvalidSelection(f"{text.display_path(server)} is not a redis-server or valkey-server")
    with open_path(path) as aof:
        found = load_in_sandbox(
            aof, [binary] if binary else (), None if json else lambda words: print_line(words + " ..."), timeout
        )
        _say(path, found, json)
    raise typer.Exit(0 if isinstance(found, LoadResult) else 1)


def _say(path: str, found: LoadResult | LoadFailure, json: bool) -> None:
    if isinstance(found, LoadFailure):
        if json:
            print_json({"path": path, "loaded": False, "reasons": list(found.reasons)})
        for reason in () if json else found.reasons:
            warn(f"it would not load whole in {reason}")
        return
    if json:
        print_json({"path": path, "loaded": True, "server": found.server, "seconds": round(found.seconds, 3),
              "keys": found.keys, "expires": found.expires, "total": found.total, "errors": found.errors})  # fmt: skip
        return
    print_line(
        painter()(f"loaded by {found.server} in {found.seconds:.2f} s: {text.format_count(found.total, 'key')}", "good")
    )
    for database, keys in found.keys.items():
        print_line(f"  db{database}: {text.format_count(keys, 'key')}, {found.expires[database]:,} with a TTL")
    for error, count in found.errors.items():
        print_line(f"  errors at replay: {text.escape(error.encode())}, {count:,} times")
