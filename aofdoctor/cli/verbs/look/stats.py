"""aofdoctor stats: count commands and bytes by command, database, key prefix and time."""

import re
from typing import Annotated

import typer

from aofdoctor import text
from aofdoctor.cli import options
from aofdoctor.cli.console import make_painter, print_json, progress_bar
from aofdoctor.cli.options import open_path
from aofdoctor.cli.views.stats_json import stats_to_json
from aofdoctor.cli.views.stats_text import StatsRenderer
from aofdoctor.errors import InvalidSelection
from aofdoctor.log.arguments import build_log_selection
from aofdoctor.stats.collect import StatsOptions, collect_stats

EPILOG = """\b
Examples:
  aofdoctor stats /var/lib/redis                     what is in it, what was written most, where to look first
  aofdoctor stats /var/lib/redis --since -1h --every 5m
  aofdoctor stats appendonly.aof --depth 2 -n 30     thirty prefixes such as user:profile:
  aofdoctor stats appendonly.aof --cmd del --cmd unlink    which keys were deleted, and when
  aofdoctor stats /var/lib/redis --no-keys --json | jq .by_command

\b
Exit status: 0 done; 1 damage was found, or a part is missing (check names it); 2 usage; 3 could not read;
130 interrupted."""

_DURATION = re.compile(r"([1-9][0-9]{0,8})([smhd])")
_UNIT_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


RowsOption = Annotated[
    int | None,
    typer.Option(
        "-n", "--rows", metavar="N", min=0, help="Rows of each table, 0 for all (of the biggest 100); all with --json."
    ),
]
DepthOption = Annotated[
    int, typer.Option("--depth", metavar="N", min=1, max=64, help="A prefix has up to N delimiters.")
]
DelimiterOption = Annotated[
    str, typer.Option("--delimiter", metavar="C", help="The character that a prefix ends with.")
]
EveryOption = Annotated[str | None, typer.Option("--every", metavar="SPAN", help="A row for each 30s, 5m, 1h, 1d.")]
KeysOption = Annotated[
    bool, typer.Option("--keys/--no-keys", help="Count by key prefix and key; without, it is faster.")
]
ExactCountsOption = Annotated[
    bool, typer.Option("--exact", help="Look at every write for its key, not at a sample: two to four times as slow.")
]


@options.with_selection_options
def stats(
    path: options.PathArgument,
    rows: RowsOption = None,
    depth: DepthOption = 1,
    delimiter: DelimiterOption = ":",
    every: EveryOption = None,
    keys: KeysOption = True,
    exact: ExactCountsOption = False,
    json: options.JsonOption = False,
    *,
    selection_options: options.SelectionOptions,
) -> None:
    """Counts and bytes by command, db, key prefix, over time; the biggest; the suspects.

    A command counts for its first key.  Selections: repeating an option means or; different options mean and.
    """
    stats_options = StatsOptions(keys, depth, _parse_delimiter(delimiter), _parse_seconds(every), exact)
    with open_path(path, read_errors_are_damage=True) as aof:
        log_selection = build_log_selection(aof, **selection_options)
        total = sum(part.size or 0 for part in aof.existing_parts)
        with progress_bar(total, "reading") as on_progress:
            collected = collect_stats(aof, log_selection, stats_options, on_progress)
        if json:
            print_json(stats_to_json(collected, stats_options, rows or None))
        else:
            StatsRenderer(collected, stats_options, rows, make_painter()).render()
        has_damage = collected.damages > 0 or any(not part.exists for part in aof.parts)
    raise typer.Exit(1 if has_damage else 0)


def _parse_delimiter(value: str) -> bytes:
    """Return the value of --delimiter as one byte; raises InvalidSelection if it is longer."""
    encoded = value.encode("utf-8", "surrogateescape")
    if len(encoded) != 1:
        raise InvalidSelection(
            f"{text.display_path(value)} is not one byte", "a delimiter is one character, such as : or /"
        )
    return encoded


def _parse_seconds(value: str | None) -> int | None:
    """Convert the value of --every to seconds, such as "5m" to 300; None if the option is not given."""
    if value is None:
        return None
    match = _DURATION.fullmatch(value)
    if match is None:
        raise InvalidSelection(f"{text.display_path(value)} is not a span of time", "write 30s, 5m, 1h or 1d")
    return int(match[1]) * _UNIT_SECONDS[match[2]]
