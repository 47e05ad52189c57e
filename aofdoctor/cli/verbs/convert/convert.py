"""aofdoctor convert: write an AOF or RDB in another layout, for another server version, or with shifted expiries."""

import re
import time
from typing import Annotated

import typer

from aofdoctor import text
from aofdoctor.aof.model import AOF
from aofdoctor.cli import options
from aofdoctor.cli.console import progress_bar
from aofdoctor.cli.edit_runner import run_edit
from aofdoctor.cli.options import open_path
from aofdoctor.cli.output_options import OutputOptions, with_output_options
from aofdoctor.edit.planners.convert import plan_from_recipe
from aofdoctor.edit.recipes import make_edit
from aofdoctor.errors import InvalidSelection, RefusedEdit
from aofdoctor.log.arguments import last_write_time
from aofdoctor.log.position import parse_time

EPILOG = """\b
Examples:
  aofdoctor convert /var/lib/redis --base resp                   what would become of the RDB base
  aofdoctor convert /var/lib/redis --base resp -o commands       an AOF of commands alone, that any server loads
  aofdoctor convert dump.rdb --base rdb --rdb-version 11 -o old.rdb   for Redis 7.2, and Valkey
  aofdoctor convert /var/lib/redis --layout single -o appendonly.aof  one file, as before Redis 7
  aofdoctor convert appendonly.aof --layout multi-part -o appendonlydir
  aofdoctor convert /var/lib/redis --shift-ttl 2h -o later       every absolute expiry two hours later
  aofdoctor convert /var/lib/redis --base resp --in-place        the old one is kept, undo brings it back

\b
RDB versions: 6 Redis 2.8, 7 Redis 3.2, 8 Redis 4.0, 9 Redis 5.0 to 6.2, 10 Redis 7.0, 11 Redis 7.2 and Valkey 7.2
to 9.1, 12 Redis 7.4 to 8.4, 80 Valkey 9.0 and 9.1.

\b
Exit status: 0 planned or done; 2 usage; 3 could not: damage (repair first), or something that cannot be said there
and no --lossy; 130 interrupted."""

_DURATION = re.compile(r"(-?[0-9]{1,9})(ms|s|m|h|d)\Z")
_UNIT_MS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}

LossyOption = Annotated[bool, typer.Option("--lossy", help="Leave out what the target cannot represent; it is listed.")]
DuplicatesOption = Annotated[
    str | None,
    typer.Option(
        "--duplicates", metavar="WHICH", help="first or last: the value to keep of a key that is there twice."
    ),
]
KeepModulesOption = Annotated[
    bool, typer.Option("--keep-modules", help="With --base rdb: keep module data; the target has the modules.")
]


@with_output_options
def convert(
    path: options.WritablePathArgument,
    base: Annotated[
        str | None,
        typer.Option("--base", metavar="KIND", help="resp: the RDB base becomes commands; rdb: an older RDB."),
    ] = None,
    rdb_version: Annotated[
        int | None, typer.Option("--rdb-version", metavar="N", help="With --base rdb: the version to write.")
    ] = None,
    layout: Annotated[
        str | None, typer.Option("--layout", metavar="LAYOUT", help="single: one file; multi-part: a directory.")
    ] = None,
    for_: Annotated[
        str | None,
        typer.Option("--for", metavar="LINE", help="With --base resp: the server line that is to load it (redis-6.2)."),
    ] = None,
    shift_ttl: Annotated[
        str | None, typer.Option("--shift-ttl", metavar="2h", help="Move every absolute expiry by so much.")
    ] = None,
    now: Annotated[
        str | None,
        typer.Option("--now", metavar="TIME", help="Move expiries as if the log had ended at TIME, or now (the word)."),
    ] = None,
    lossy: LossyOption = False,
    duplicates: DuplicatesOption = None,
    keep_modules: KeepModulesOption = False,
    *,
    output_options: OutputOptions,
) -> None:
    """A copy in another layout, for another server, or with its expiries moved.

    Without -o or --in-place it says what would become of it and writes nothing.
    What the target cannot be told is listed, and refused without --lossy.  Commands
    after the base stay as they are, byte for byte, but for moved expiries.
    """
    if shift_ttl and now:
        raise InvalidSelection("--shift-ttl and --now exclude each other")
    with open_path(path) as aof:
        recipe = {
            "base": base or "", "rdb_version": rdb_version or 0, "layout": layout or "", "for": (for_ or "").lower(),
            "shift_ms": _shift_ms(aof, shift_ttl, now), "lossy": lossy,
            "duplicates": (duplicates or "").lower(), "keep_modules": keep_modules,
        }  # fmt: skip
        run_edit(
            make_edit(plan_from_recipe, "convert", aof, recipe, output_options.writes, progress_bar), output_options
        )


def _shift_ms(aof: AOF, shift: str | None, now: str | None) -> int:
    """Return by how many milliseconds --shift-ttl or --now shift every expiry; 0 if neither is given."""
    if shift:
        match = _DURATION.match(shift)
        if not match or not int(match[1]):
            raise InvalidSelection(f"{text.display_path(shift)} is not a duration", "write 90s, 30m, 2h or 1d")
        return int(match[1]) * _UNIT_MS[match[2]]
    if not now:
        return 0
    end = last_write_time(aof)
    if end is None:
        raise RefusedEdit(
            f"no #TS annotation in {text.display_path(aof.path)} says when it ended (aof-timestamp-enabled was off)",
            "--shift-ttl 2h says by how much",
        )
    shift_seconds = (int(time.time()) if now == "now" else parse_time(now, end)) - end
    if not shift_seconds:
        raise InvalidSelection("that is when the log ended: no expiry would move")
    return shift_seconds * 1000
