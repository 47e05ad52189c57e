"""aofdoctor verify: load an AOF in a temporary Redis or Valkey server and report how many keys the server has then."""

from pathlib import Path
from typing import Annotated

import typer

from aofdoctor import text
from aofdoctor.check.sandbox_load import LoadFailure, LoadResult, load_in_sandbox
from aofdoctor.cli import options
from aofdoctor.cli.console import make_painter, print_json, print_line, warn
from aofdoctor.cli.options import open_path
from aofdoctor.errors import InvalidSelection
from aofdoctor.server.sandbox import identify_server

_TIMEOUT_MAX = 10_000_000

EPILOG = """\b
Examples:
  aofdoctor verify rescued
  aofdoctor verify fixed.aof --with /opt/redis-7.2/bin/redis-server --json

\b
Exit status: 0 loaded whole; 1 no server at hand would load it whole, commands failed at replay, or the keys are
not those of the RDB; 2 usage; 3 could not: no server, or a command that is not replayed; 130 interrupted."""


def _require_positive(value: float | None) -> float | None:
    """Reject a time limit that is not a positive number of seconds."""
    if value is not None and not 0 < value < _TIMEOUT_MAX:
        raise typer.BadParameter(f"a number of seconds above 0 and below {_TIMEOUT_MAX:,}")
    return value


def verify(
    path: options.WritablePathArgument,
    server: Annotated[
        str | None, typer.Option("--with", metavar="BINARY", help="Load it with this redis-server or valkey-server.")
    ] = None,
    timeout: Annotated[
        float | None,
        typer.Option(
            "--timeout",
            metavar="SECONDS",
            callback=_require_positive,
            help="Give up on a load that takes longer than this; by default 60 s and 0.1 s per MB.",
        ),
    ] = None,
    json: options.JsonOption = False,
) -> None:
    """Load it in a private real server and say what came up.

    The server runs on a socket in a temporary folder, without network where that
    can be had, and never writes to these files.  Commands that reach outside of a
    server are refused before it starts.
    """
    binary = identify_server(Path(server)) if server else None
    if server and binary is None:
        raise InvalidSelection(f"{text.display_path(server)} is not a redis-server or valkey-server")
    with open_path(path) as aof:
        result = load_in_sandbox(
            aof, [binary] if binary else (), None if json else lambda words: print_line(words + " ..."), timeout
        )
        _print_result(path, result, json)
    raise typer.Exit(0 if isinstance(result, LoadResult) and result.is_whole else 1)


def _print_result(path: str, result: LoadResult | LoadFailure, json: bool) -> None:
    if isinstance(result, LoadFailure):
        if json:
            print_json({"path": path, "loaded": False, "reasons": list(result.reasons)})
        for reason in () if json else result.reasons:
            warn(f"it did not load whole: {reason}")
        return
    if json:
        print_json(
            {
                "path": path,
                "loaded": True,
                "server": result.server,
                "seconds": round(result.seconds, 3),
                "keys": result.keys,
                "expires": result.expires,
                "total": result.total,
                "errors": result.errors,
                "failed_commands": result.failed_commands,
                "expired": result.expired,
                "expected": result.expected.total if result.expected else None,
                "difference": result.difference or None,
            }
        )
        return
    print_line(
        make_painter()(
            f"loaded by {result.server} in {result.seconds:.2f} s: {text.format_count(result.total, 'key')}",
            "good" if result.is_whole else "damage",
        )
    )
    for database, keys in result.keys.items():
        print_line(f"  db{database}: {text.format_count(keys, 'key')}, {result.expires[database]:,} with a TTL")
    if result.expired:
        verb = "was" if result.expired == 1 else "were"
        print_line(f"  {text.format_count(result.expired, 'more key')} {verb} past the expiry, and deleted at load")
    if result.difference:
        print_line(f"the keys differ: {result.difference}")
    if result.failed_commands:
        failed = text.format_count(result.failed_commands, "command")
        print_line(f"{failed} failed at replay: their writes are missing")
    for error, count in result.errors.items():
        print_line(f"  errors at replay: {text.escape(error.encode())}, {count:,} times")
