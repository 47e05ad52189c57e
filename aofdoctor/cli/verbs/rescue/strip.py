"""aofdoctor strip: a copy without the flush that wiped it, or the flush overwritten where it stands."""

import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import typer

from aofdoctor import text
from aofdoctor.aof.discovery import AOF
from aofdoctor.check.flush_findings import describe_group, describe_scope
from aofdoctor.cli import options
from aofdoctor.cli.console import nobody_reads, painter, print_error_line, print_json, print_line, warn
from aofdoctor.cli.options import NOTHING, open_path
from aofdoctor.cli.output_options import OutputOptions, with_output_options
from aofdoctor.cli.plan_runner import HOW, confirm, near, overwrite_lines, plan_json, run_plan
from aofdoctor.cli.recipes import AmbiguousFlushGroup, Recipe, make
from aofdoctor.edit.output import overwrite as inplace
from aofdoctor.edit.plan import Plan
from aofdoctor.edit.planners.repair import require_complete_set
from aofdoctor.edit.planners.strip import Survey, plan_tail
from aofdoctor.errors import InvalidSelection, RefusedEdit
from aofdoctor.log.flushes import Group

EPILOG = """\b
Examples:
  aofdoctor strip /var/lib/redis                     the plan: what would go, what would stay
  aofdoctor strip /var/lib/redis -o rescued          a copy without the flush
  aofdoctor strip /var/lib/redis --in-place          overwrite the flush where it stands; undo takes it back
  aofdoctor strip appendonly.aof --in-place --trust-tail -y
  aofdoctor strip appendonly.aof --last -o out.aof   of several flushes only the last
  aofdoctor strip appendonly.aof --and-after -o out  the data as it was before the flush
  aofdoctor strip appendonly.aof --key 'tmp:*' -o out.aof

\b
Exit status: 0 planned or done; 2 usage, or several flushes and none chosen; 3 could not, or there is nothing
to strip; 130 interrupted."""


@options.selecting
@with_output_options
def strip(
    path: options.WritablePath,
    position: Annotated[
        str | None, typer.Argument(metavar="[POSITION]", help="The flush to take out, where there are several.")
    ] = None,
    last: Annotated[bool, typer.Option("--last", help="The last group of flushes.")] = False,
    all_: Annotated[bool, typer.Option("--all", help="Every flush.")] = False,
    and_after: Annotated[
        bool, typer.Option("--and-after", help="The flush and everything after it: the data as it was before.")
    ] = False,
    trust_tail: Annotated[
        bool,
        typer.Option("--trust-tail", help="With --in-place: find the last flush from the end, unproven but at once."),
    ] = False,
    receipt: Annotated[
        str | None, typer.Option("--receipt", metavar="FILE", help="With --in-place: where the old bytes are kept.")
    ] = None,
    *,
    output_options: OutputOptions,
    selected: options.Selected,
) -> None:
    """A copy without the flush that wiped it, or without any selection of commands.

    Without -o or --in-place it prints its plan and writes nothing.  A flush group
    is a run of FLUSHALL and FLUSHDB; only the flushes in it go, and what came
    after stays.  SELECT, MULTI and EXEC stay right: a transaction left empty goes.
    """
    if trust_tail and not output_options.in_place:
        raise InvalidSelection("--trust-tail goes with --in-place")
    if trust_tail and (position is not None or all_):
        raise InvalidSelection("--trust-tail finds the last flush from the end: POSITION and --all do not go with it")
    only_flushes = not and_after and selected == NOTHING
    if (trust_tail or receipt) and not (output_options.in_place and only_flushes):
        raise InvalidSelection("--trust-tail and --receipt go with the flushes that --in-place overwrites")
    recipe = {"position": position, "last": last, "all": all_, "and_after": and_after, "selection": selected}
    with open_path(path) as aof:
        overwrites = _overwrites(output_options, only_flushes)
        found = (
            plan_tail(aof)
            if trust_tail
            else _plan(aof, recipe, output_options.writes and not overwrites, output_options.json)
        )
        if output_options.writes:
            _require_changes(found)
        if overwrites:
            _in_place(found, output_options, trust_tail, receipt)
        else:
            others = ", --in-place overwrites the flush" if any(d.reason == "flush" for d in found.shown) else ""
            run_plan(found, output_options, f"-o OUT writes a copy{others}" if only_flushes else HOW)


def _overwrites(output_options: OutputOptions, only_flushes: bool) -> bool:
    """Flushes are overwritten where they stand; what is more changes the size, and is exchanged for a new file."""
    return output_options.in_place and only_flushes and not (output_options.prove or output_options.hash)


def _plan(aof: AOF, recipe: Recipe, writes: bool, json: bool) -> Plan:
    try:
        return make("strip", aof, recipe, writes)
    except AmbiguousFlushGroup as several:
        _list_groups(aof, several.found, json)
        raise typer.Exit(2) from None


def _require_changes(plan: Plan) -> None:
    if not plan.changed:
        raise RefusedEdit("nothing is selected: there is nothing to strip, and nothing was written")


def _list_groups(aof: AOF, found: Survey, json: bool) -> None:
    groups = found.flushes.groups
    if json:
        print_json({"path": aof.path, "output": None, "changed": False, "group_count": found.flushes.group_count,
              "groups": [_group_json(found, group) for group in groups]})  # fmt: skip
    warn(f"{found.flushes.group_count:,} groups of flushes stand in it; POSITION, --last or --all chooses:")
    for group in groups:
        print_error_line(f"  {_group_line(found, group)}")
    hidden = found.flushes.group_count - len(groups)
    if hidden:
        print_error_line(f"  and {hidden:,} between those; aofdoctor log --effect flush lists them all")


def _group_json(found: Survey, group: Group) -> dict[str, Any]:
    first, later = group.first, found.commands - group.last.number
    return {"part": first.part, "start": first.span.start, "end": group.last.span.end, "flushes": group.count,
            "command": first.command.upper(), "time": first.time, "later_commands": later}  # fmt: skip


def _group_line(found: Survey, group: Group) -> str:
    first = group.first
    when = text.format_time(first.time) if first.time is not None else "time unknown"
    later = text.format_count(found.commands - group.last.number, "later command")
    return f"{text.display_path(first.part)}@{first.span.start}  {when}  {describe_group(group)}, emptied {describe_scope(group)}, {later}"


def _tell(lines: Iterable[str], json: bool) -> None:
    for line in () if json else lines:
        print_line(line)


def _in_place(plan: Plan, output_options: OutputOptions, trusted: bool, place: str | None) -> None:
    overwrites = inplace.plan_overwrites(plan)
    count = sum(len(target.edits) for target in overwrites)
    size = sum(len(edit.old) for target in overwrites for edit in target.edits)
    plan.aof.close()
    _tell(overwrite_lines(plan, overwrites, painter()), output_options.json)
    names = ", ".join(text.display_path(near(target.path)) for target in overwrites)
    confirm(
        f"Overwrite {text.format_count(count, 'flush', 'flushes')} ({text.format_size(size)}) in {names}?",
        output_options.yes,
    )
    try:
        receipt = inplace.overwrite(
            overwrites, output_options.force_in_use, trusted, Path(os.path.abspath(place)) if place else None
        )
    except KeyboardInterrupt as problem:  # which says nothing by itself
        for note in getattr(problem, "__notes__", ()):
            warn(text.display_path(note))
        raise
    _say_done(plan, overwrites, receipt, output_options.json)


def _say_done(plan: Plan, overwrites: list[inplace.FileOverwrites], receipt: Path, json: bool) -> None:
    """What was done; a disk that is full for our words does not hide where the receipt is."""
    count = sum(len(target.edits) for target in overwrites)
    size = sum(len(edit.old) for target in overwrites for edit in target.edits)
    try:
        if json:
            print_json(plan_json(plan, str(overwrites[0].path), receipt, changed_in_place=True))
        words = f"{text.format_count(count, 'flush', 'flushes')} overwritten, {text.format_size(size)} changed, on disk and read back"
        lines = [
            "", painter()(f"done: {words}", "good"), f"receipt: {text.display_path(near(receipt))}",
            f"         aofdoctor undo {text.shell_quote(near(receipt))} takes it back", _afterwards(plan.aof),
        ]  # fmt: skip
        _tell(lines, json)
        sys.stdout.flush()
    except BrokenPipeError:
        nobody_reads()
    except OSError as problem:
        problem.add_note(f"the edit itself is done; its receipt is {receipt}")
        raise


def _afterwards(aof: AOF) -> str:
    try:
        require_complete_set(aof)
    except RefusedEdit as problem:
        return painter()(f"do not start a server on it yet: {problem}", "warning")
    return f"next:    aofdoctor verify {text.shell_quote(aof.path)}, then start the server with appendonly yes"
