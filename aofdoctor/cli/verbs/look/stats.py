"""aofdoctor stats: what an AOF is made of, in numbers."""

import re
from typing import Annotated

import typer

from aofdoctor import text
from aofdoctor.cli import options
from aofdoctor.cli.console import painter, print_json, progress
from aofdoctor.cli.options import open_path, selection
from aofdoctor.cli.views.stats_json import as_json_object
from aofdoctor.cli.views.stats_text import View
from aofdoctor.errors import InvalidSelection
from aofdoctor.stats.collect import StatsOptions, collect_stats

EPILOG = """\b
Examples:
  aofdoctor stats /var/lib/redis                     what is in it, what was written most, where to look first
  aofdoctor stats /var/lib/redis --since -1h --every 5m
  aofdoctor stats appendonly.aof --depth 2 -n 30     thirty prefixes such as user:profile:
  aofdoctor stats appendonly.aof --cmd del --cmd unlink    which keys were deleted, and when
  aofdoctor stats /var/lib/redis --no-keys --json | jq .by_command

\b
Exit status: 0 done; 2 usage; 3 could not read; 130 interrupted.  Damage does not change it: check tells of that."""

_SPAN = re.compile(r"([1-9][0-9]{0,8})([smhd])")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


Rows = Annotated[
    int | None,
    typer.Option(
        "-n", "--rows", metavar="N", min=0, help="Rows of each table, 0 for all (of the biggest 100); all with --json."
    ),
]
Depth = Annotated[int, typer.Option("--depth", metavar="N", min=1, max=64, help="A prefix has up to N delimiters.")]
Delimiter = Annotated[str, typer.Option("--delimiter", metavar="C", help="The character that a prefix ends with.")]
Every = Annotated[str | None, typer.Option("--every", metavar="SPAN", help="A row for each 30s, 5m, 1h, 1d.")]
Keys = Annotated[bool, typer.Option("--keys/--no-keys", help="Count by key prefix and key; without, it is faster.")]
Exact = Annotated[
    bool, typer.Option("--exact", help="Look at every write for its key, not at a sample: two to four times as slow.")
]


@options.selecting
def stats(
    path: options.Path,
    rows: Rows = None,
    depth: Depth = 1,
    delimiter: Delimiter = ":",
    every: Every = None,
    keys: Keys = True,
    exact: Exact = False,
    json: options.Json = False,
    *,
    selected: options.Selected,
) -> None:
    """Counts and bytes by command, db, key prefix, over time; the biggest; the suspects.

    A command counts for its first key.  Selections: repeating an option means or; different options mean and.
    """
    stats_options = StatsOptions(keys, depth, _delimiter(delimiter), _seconds(every), exact)
    with open_path(path, read_errors_are_damage=True) as aof:
        log_selection = selection(aof, **selected)
        total = sum(part.size or 0 for part in aof.existing_parts)
        with progress(total, "reading") as on_progress:
            found = collect_stats(aof, log_selection, stats_options, on_progress)
        if json:
            print_json(as_json_object(found, stats_options, rows or None))
        else:
            View(found, stats_options, rows, painter()).say()


def _delimiter(given: str) -> bytes:
    one = given.encode("utf-8", "surrogateescape")
    if len(one) != 1:
        raise InvalidSelection(
            f"{text.display_path(given)} is not one byte", "a delimiter is one character, such as : or /"
        )
    return one


def _seconds(given: str | None) -> int | None:
    if given is None:
        return None
    match = _SPAN.fullmatch(given)
    if match is None:
        raise InvalidSelection(f"{text.display_path(given)} is not a span of time", "write 30s, 5m, 1h or 1d")
    return int(match[1]) * _SECONDS[match[2]]
