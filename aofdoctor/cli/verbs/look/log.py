"""aofdoctor log: print the commands of an AOF in order, one line each, optionally only selected ones."""

import sys
from collections.abc import Iterable
from enum import StrEnum
from typing import Annotated

import typer

from aofdoctor import text
from aofdoctor.aof.model import AOF
from aofdoctor.aof.recovery.in_flight import is_in_flight
from aofdoctor.cli import options
from aofdoctor.cli.console import make_painter, terminal_width, warn
from aofdoctor.cli.options import open_path
from aofdoctor.cli.views import base_keys, record_lines
from aofdoctor.damage import DAMAGE_MEANINGS
from aofdoctor.errors import InvalidSelection
from aofdoctor.log import entries
from aofdoctor.log.arguments import build_log_selection
from aofdoctor.log.base_keys import BaseKey
from aofdoctor.log.selection import Selection
from aofdoctor.log.timestamps import probably_has_timestamps
from aofdoctor.rdb.header import compression_codec
from aofdoctor.source import PipeSource

EPILOG = """\b
Examples:
  aofdoctor log /var/lib/redis -n 20                 the last twenty commands
  aofdoctor log /var/lib/redis --tail -n 20          the same from the end of a 90 GB file, at once
  aofdoctor log /var/lib/redis --effect flush        who emptied what, and when
  aofdoctor log appendonly.aof --key 'user:42:*' --reverse
  aofdoctor log /var/lib/redis --base --key 'user:42:*'   what was there at the rewrite, too
  aofdoctor log appendonly.aof --cmd del --since -10m --json | jq .keys

\b
Exit status: 0 done; 1 damage was met on the way (named on standard error); 2 usage; 3 could not read;
130 interrupted."""


class OutputFormat(StrEnum):
    """The values of the option --format of `log`: how a command is printed."""

    TEXT = "text"
    JSON = "json"
    RESP = "resp"
    CLI = "cli"


@options.with_selection_options
def log(
    path: options.PathArgument,
    count: Annotated[
        int | None,
        typer.Option("-n", "--lines", metavar="N", min=0, max=options.LARGEST_COUNT, help="Only the last N."),
    ] = None,
    tail: Annotated[
        bool, typer.Option("--tail", help="Read from the end, not the whole file; ten lines unless -n says otherwise.")
    ] = False,
    reverse: Annotated[bool, typer.Option("--reverse", "-r", help="Newest first.")] = False,
    base: Annotated[
        bool, typer.Option("--base", help="The keys of an RDB base too: what was there at the rewrite.")
    ] = False,
    format: Annotated[OutputFormat, typer.Option("--format", help="How to write a command.")] = OutputFormat.TEXT,
    json: options.JsonOption = False,
    *,
    selection_options: options.SelectionOptions,
) -> None:
    """The history: one line per command, oldest or newest first, filtered.

    Selections: repeating an option means or; different options mean and.
    """
    with open_path(path) as aof:
        log_selection = build_log_selection(aof, **selection_options, includes_base=base)
        output_format = OutputFormat.JSON if json else format
        _require_readable_base(aof, tail, output_format) if base else None
        items = _items(aof, log_selection, count, tail, reverse, base)
        has_damage = _write(aof, items, output_format)
    raise typer.Exit(1 if has_damage else 0)


def _require_readable_base(aof: AOF, tail: bool, format: OutputFormat) -> None:
    """Raise InvalidSelection if --base cannot list the keys of the RDB base: with --tail, a format or a pipe."""
    if tail:
        raise InvalidSelection("--tail reads the end alone, and a base is the beginning", "leave --tail out")
    if format not in (OutputFormat.TEXT, OutputFormat.JSON):
        raise InvalidSelection("a key of a base is no command", "--base goes with --format text and json")
    for part in aof.parts:
        if part.source and compression_codec(part.source):
            warn(f"{text.display_path(part.name)}: {base_keys.COMPRESSED_NOTE}")
    if any(isinstance(part.source, PipeSource) for part in aof.parts):
        raise InvalidSelection("the base in a pipe has gone by when its keys are asked for", "save it to a file first")


def _items(
    aof: AOF, log_selection: Selection, count: int | None, tail: bool, reverse: bool, base: bool
) -> Iterable[entries.LogItem]:
    """Return the selected commands, keys of the RDB base (with `base`) and damage, in the order to print.

    `count`: only the last ones.  --tail reads from the end of the file, but a pipe from its start.
    """
    pipe = any(isinstance(part.source, PipeSource) for part in aof.parts)
    if tail and not pipe:
        warn(
            "read from the end: where records begin is a guess there, and a database is unknown before its first SELECT"
        )
        items: Iterable[entries.LogItem] = entries.read_tail(aof, log_selection, 10 if count is None else count)
        return reversed(list(items)) if reverse else items
    if tail and count is None:
        count = 10
    if count is not None:
        items = entries.read_last(aof, log_selection, count, base)
        return reversed(items) if reverse else items
    if reverse and pipe:
        raise InvalidSelection("a pipe cannot be read backwards", "save it to a file first, or name a number with -n")
    return (
        entries.read_backward(aof, log_selection, base) if reverse else entries.read_forward(aof, log_selection, base)
    )


def _write(aof: AOF, items: Iterable[entries.LogItem], format: OutputFormat) -> bool:
    """Print commands and RDB keys on standard output, and warn about damage; return whether there was any damage."""
    writer = _make_writer(aof, format)
    write_key = writer.write_key if isinstance(writer, record_lines.LineWriter) else base_keys.write_key_json
    out, has_damage = sys.stdout.buffer, False
    sources = {part.name: part.source for part in aof.parts}
    sys.stdout.flush()
    for item in items:
        if isinstance(item, entries.LogEntry):
            writer(item, out)
        elif isinstance(item, BaseKey):
            write_key(item, out)
        else:
            damage = item.damage
            has_damage |= not is_in_flight(sources.get(item.part), damage)
            warn(
                f"damage at {text.display_path(item.part)}@{damage.span.start}: {DAMAGE_MEANINGS[damage.kind]}, "
                f"{text.format_size(damage.span.size)}"
            )
    out.flush()
    return has_damage


def _make_writer(aof: AOF, format: OutputFormat) -> record_lines.EntryWriter:
    writers: dict[OutputFormat, record_lines.EntryWriter] = {
        OutputFormat.JSON: record_lines.write_json,
        OutputFormat.RESP: record_lines.write_resp,
        OutputFormat.CLI: record_lines.write_cli,
    }
    return writers.get(format) or record_lines.LineWriter(
        aof, make_painter(), terminal_width(), has_times=probably_has_timestamps(aof)
    )
