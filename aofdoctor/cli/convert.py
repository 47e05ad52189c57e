"""aofdoctor convert: another layout, or another server."""

import functools
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from aofdoctor import text
from aofdoctor.analysis.position import parse_time
from aofdoctor.analysis.times import last_time
from aofdoctor.aof.aof import AOF
from aofdoctor.cli import options
from aofdoctor.cli.options import opened
from aofdoctor.cli.plans import near, prover, swap_in
from aofdoctor.cli.render import Paint, as_json, emit, painter, progress, say
from aofdoctor.cli.wish import Wish, wishing
from aofdoctor.edit.convert import Conversion, plan_conversion
from aofdoctor.edit.converted import hints, outcome_json, try_conversion, write_conversion
from aofdoctor.edit.heads import Wanted
from aofdoctor.edit.placing import Receipt
from aofdoctor.errors import BadSelection, Refused
from aofdoctor.rdb.other import VERSIONS
from aofdoctor.rdb.preamble import read_aux
from aofdoctor.rdb.target import TARGETS

EPILOG = """\b
Examples:
  aofdoctor convert /var/lib/redis --base resp                   what would become of the RDB base
  aofdoctor convert /var/lib/redis --base resp -o commands       an AOF of commands alone, that any server loads
  aofdoctor convert dump.rdb --base rdb --rdb-version 11 -o old.rdb   for Redis 7.2, and Valkey
  aofdoctor convert /var/lib/redis --layout single -o appendonly.aof  one file, as before Redis 7
  aofdoctor convert appendonly.aof --layout multi-part -o appendonlydir
  aofdoctor convert /var/lib/redis --shift-ttl 2h -o later       every absolute expiry two hours later

\b
RDB versions: 6 Redis 2.8, 7 Redis 3.2, 8 Redis 4.0, 9 Redis 5.0 to 6.2, 10 Redis 7.0, 11 Redis 7.2 and Valkey 7.2
to 9.1, 12 Redis 7.4 to 8.4, 80 Valkey 9.0 and 9.1.

\b
Exit status: 0 planned or done; 2 usage; 3 could not: damage (repair first), or something that cannot be said there
and no --lossy; 130 interrupted."""

_DURATION = re.compile(r"(-?[0-9]{1,9})(ms|s|m|h|d)\Z")
_MS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_SHOWN = 20


@functools.partial(wishing, without=("in_place", "plan", "force_in_use", "yes"))
def convert(
    path: options.WritablePath,
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
    lossy: Annotated[bool, typer.Option("--lossy", help="Leave out what cannot be said there; it is listed.")] = False,
    *,
    wish: Wish,
) -> None:
    """A copy in another layout, for another server, or with its expiries moved.

    Without -o it says what would become of it and writes nothing.  What the
    target cannot be told is listed, and refused without --lossy.  Commands after
    the base stay as they are, byte for byte, but for moved expiries.
    """
    _demand_sense(base, rdb_version, layout, for_, shift_ttl, now)
    with opened(path) as aof:
        shift = _shift(aof, shift_ttl, now)
        wanted = Wanted(base or "", rdb_version or 0, layout or "", (for_ or "").lower(), shift)
        conversion = plan_conversion(aof, wanted)
        if wish.output:
            _write(conversion, wish, lossy)
        else:
            _plan(conversion, wish, lossy)


def _demand_sense(
    base: str | None, rdb_version: int | None, layout: str | None, for_: str | None, shift: str | None, now: str | None
) -> None:
    """Raise BadSelection for options that say nothing, or do not go together."""
    if not (base or layout or shift or now):
        raise BadSelection("nothing is to be converted", "--base, --layout, --shift-ttl and --now say what")
    if base not in (None, "resp", "rdb"):
        raise BadSelection(f"{text.name(base)} is no kind of base", "--base resp or --base rdb")
    if layout not in (None, "single", "multi-part"):
        raise BadSelection(f"{text.name(layout)} is no layout", "--layout single or --layout multi-part")
    if (base == "rdb") != (rdb_version is not None):
        raise BadSelection("--base rdb and --rdb-version N go together")
    if rdb_version is not None and rdb_version not in VERSIONS:
        raise BadSelection(f"RDB version {rdb_version} is not written", f"versions are {', '.join(map(str, VERSIONS))}")
    if for_ and base != "resp":
        raise BadSelection("--for goes with --base resp")
    if for_ and for_.lower() not in TARGETS:
        raise BadSelection(f"{text.name(for_)} is not a server line", f"lines are {', '.join(TARGETS)}")
    if shift and now:
        raise BadSelection("--shift-ttl and --now exclude each other")


def _shift(aof: AOF, shift: str | None, now: str | None) -> int:
    """What every expiry is moved by, in ms."""
    if shift:
        match = _DURATION.match(shift)
        if not match or not int(match[1]):
            raise BadSelection(f"{text.name(shift)} is not a duration", "write 90s, 30m, 2h or 1d")
        return int(match[1]) * _MS[match[2]]
    if not now:
        return 0
    end = _end(aof)
    if end is None:
        raise Refused(
            f"no #TS annotation in {text.name(aof.path)} says when it ended (aof-timestamp-enabled was off)",
            "--shift-ttl 2h says by how much",
        )
    moved = (int(time.time()) if now == "now" else parse_time(now, end)) - end
    if not moved:
        raise BadSelection("that is when the log ended: no expiry would move")
    return moved * 1000


def _end(aof: AOF) -> int | None:
    """When the log ended, unix seconds: by its annotations, or of a dump by its own words."""
    if aof.layout != "rdb":
        return last_time(aof)
    written = read_aux(AOF.file_of(aof.parts[0])).get(b"ctime", b"")
    return int(written) if written.isdigit() and len(written) < 12 else None


# -- what is said --


def _plan(conversion: Conversion, wish: Wish, lossy: bool) -> None:
    with progress(conversion.size, "reading") as tell:
        try_conversion(conversion, tell)
    if wish.json:
        emit({"path": conversion.aof.path, "output": None, **outcome_json(conversion, as_json), "receipt": None})
        return
    for line in _lines(conversion, painter()):
        say(line)
    refused = conversion.tally.lost_count and not lossy
    say(f"  nothing was written: -o OUT writes a copy{', with --lossy' if refused else ''}")


def _write(conversion: Conversion, wish: Wish, lossy: bool) -> None:
    assert wish.output is not None
    proven: list[str] = []
    with progress(conversion.size, "writing") as tell:
        receipt = write_conversion(
            conversion, Path(wish.output), lossy, tell, prover(proven) if wish.prove else None, wish.hash
        )
    if wish.json:
        emit({"path": conversion.aof.path, "output": wish.output, **outcome_json(conversion, as_json),
              "receipt": str(receipt.path)} | ({"proven": proven[0]} if proven else {}))  # fmt: skip
        return
    for line in (*_lines(conversion, painter()), "", *proven, *_done(conversion, receipt, painter())):
        say(line)


def _lines(conversion: Conversion, paint: Paint) -> Iterator[str]:
    """What became, or would become, of the parts."""
    tally = conversion.tally
    yield paint(f"convert {text.name(conversion.aof.path)}", "strong")
    yield f"  before  {text.size(conversion.size)}, {text.count(conversion.commands, 'command')} beside the base"
    yield f"  after   {text.size(conversion.made)}"
    for (db, kind), count in sorted(tally.keys.items()):
        yield f"  db{db}  {text.count(count, 'key')} of type {kind}"
    if tally.recoded:
        yield f"  {text.count(tally.recoded, 'key')} written as another type"
    if tally.moved:
        yield f"  expiries of {text.count(tally.moved, 'command')} moved"
    for lost in tally.lost[:_SHOWN]:
        yield paint(f"  - db{lost.db}  {lost.type} {text.word(lost.key)}  cannot be said there: {lost.why}", "gone")
    if tally.lost_count > _SHOWN:
        yield paint(f"  - and {tally.lost_count - _SHOWN:,} more", "gone")
    yield from (f"  {note}" for note in [*conversion.notes, *hints(conversion)])


def _done(conversion: Conversion, receipt: Receipt, paint: Paint) -> Iterator[str]:
    """What was written, and where it is to stand."""
    yield paint(f"written: {text.name(near(receipt.output))}", "good") + "  on disk, read again"
    yield f"receipt: {text.name(near(receipt.path))}"
    for warning in receipt.warnings:
        yield paint(f"WARNING  {warning}", "warning")
    if conversion.wanted.layout or conversion.aof.layout == "rdb":
        yield _PLACES[_place(conversion)]
        return
    yield ""
    yield "To use it:"
    for number, step in enumerate(swap_in(conversion.aof, receipt.output), 1):
        yield f"  {number}. {text.name(step)}"


_PLACES = {
    "set": "It is an appenddirname for a server of 7.0 or later, in the place of the single file.",
    "single": "It is an appendfilename for a server before 7.0; a later one takes it over where it has no manifest.",
    "dump": "It is a dbfilename for a server with appendonly no.",
}


def _place(conversion: Conversion) -> str:
    if conversion.manifest:
        return "set"
    dump = conversion.aof.layout == "rdb" and conversion.wanted.base != "resp"
    return "dump" if dump else "single"
