"""aofdoctor strip: drop the flush that emptied the database, or other commands, in a copy or in place."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import typer

from aofdoctor import text
from aofdoctor.aof.model import AOF
from aofdoctor.cli import options
from aofdoctor.cli.console import (
    make_painter,
    outcome_on_failed_output,
    print_error_line,
    print_json,
    print_line,
    progress_bar,
    warn,
)
from aofdoctor.cli.edit_runner import confirm, edit_json, run_edit
from aofdoctor.cli.options import NO_SELECTION, open_path, parse_renames
from aofdoctor.cli.output_options import OutputOptions, with_output_options
from aofdoctor.cli.views.edit_text import in_place_step_lines, overwrite_lines, short_path
from aofdoctor.edit.output.overwrite import FileOverwrites, overwrite, plan_overwrites, undo_command
from aofdoctor.edit.plan import Plan
from aofdoctor.edit.planners.strip import AmbiguousFlushGroup, FlushSurvey, plan_from_recipe, plan_tail
from aofdoctor.edit.recipes import Recipe, make_edit
from aofdoctor.errors import InvalidSelection, NothingToDo
from aofdoctor.log.flushes import FlushGroup, describe_group, describe_scope
from aofdoctor.server.command_table import renamed_commands

EPILOG = """\b
Examples:
  aofdoctor strip /var/lib/redis                     the plan: what would go, what would stay
  aofdoctor strip /var/lib/redis -o rescued          a copy without the flush
  aofdoctor strip /var/lib/redis --in-place          overwrite the flush where it stands; undo takes it back
  aofdoctor strip appendonly.aof --in-place --trust-tail -y
  aofdoctor strip appendonly.aof --last -o out.aof   of several flushes only the last
  aofdoctor strip appendonly.aof --and-after -o out  the data as it was before the flush
  aofdoctor strip appendonly.aof --key 'tmp:*' -o out.aof
  aofdoctor strip appendonly.aof --rename xflush=FLUSHALL -o out.aof

\b
Exit status: 0 planned, done, or nothing to strip; 2 usage, or several flushes and none chosen; 3 could not;
130 interrupted."""


@options.with_selection_options
@with_output_options
def strip(
    path: options.WritablePathArgument,
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
    rename: options.RenameOption = None,
    *,
    output_options: OutputOptions,
    selection_options: options.SelectionOptions,
) -> None:
    """A copy without the flush that wiped it, or without any selection of commands.

    Without -o or --in-place it prints its plan and writes nothing.  A flush group
    is a run of FLUSHALL and FLUSHDB; only the flushes in it go, and what came
    after stays.  SELECT, MULTI and EXEC stay right: a transaction left empty goes.
    """
    only_flushes = not and_after and selection_options == NO_SELECTION
    _require_compatible(trust_tail, receipt, output_options.in_place, only_flushes, position is not None or all_)
    renames = parse_renames(rename)
    recipe = {
        "position": position, "last": last, "all": all_, "and_after": and_after, "selection": selection_options,
        "rename": renames,
    }  # fmt: skip
    with renamed_commands(renames), open_path(path) as aof:
        overwrites = _can_overwrite(output_options, only_flushes)
        plan = (
            plan_tail(aof)
            if trust_tail
            else _plan(aof, recipe, output_options.writes and not overwrites, output_options.json)
        )
        if output_options.writes:
            _require_changes(plan)
        if overwrites:
            _overwrite_in_place(plan, output_options, trust_tail, receipt)
        else:
            run_edit(plan, output_options, _write_hint(plan) if only_flushes else None)


def _require_compatible(
    trust_tail: bool, receipt: str | None, in_place: bool, only_flushes: bool, chooses_group: bool
) -> None:
    """Raise InvalidSelection for options of `strip` that exclude each other.

    `only_flushes`: flushes are removed, and not selected commands.  `chooses_group`: POSITION or --all is given.
    """
    if trust_tail and not in_place:
        raise InvalidSelection("--trust-tail goes with --in-place")
    if trust_tail and chooses_group:
        raise InvalidSelection("--trust-tail finds the last flush from the end: POSITION and --all do not go with it")
    if (trust_tail or receipt) and not (in_place and only_flushes):
        raise InvalidSelection("--trust-tail and --receipt go with the flushes that --in-place overwrites")


def _write_hint(plan: Plan) -> str:
    overwrites_flush = any(d.reason == "flush" for d in plan.listed_drops)
    return "-o OUT writes a copy" + (", --in-place overwrites the flush" if overwrites_flush else "")


def _can_overwrite(output_options: OutputOptions, only_flushes: bool) -> bool:
    """Whether to overwrite the flushes in the AOF itself with PINGs of the same size.

    Any other edit in place writes a new file and exchanges it with the old one.
    """
    return output_options.in_place and only_flushes and not (output_options.prove or output_options.hash)


def _plan(aof: AOF, recipe: Recipe, writes: bool, json: bool) -> Plan:
    try:
        return make_edit(plan_from_recipe, "strip", aof, recipe, writes, progress_bar)
    except AmbiguousFlushGroup as ambiguity:
        _list_groups(aof, ambiguity.survey, json)
        raise typer.Exit(2) from None


def _require_changes(plan: Plan) -> None:
    if not plan.has_changes:
        raise NothingToDo("no command is selected: nothing to strip, nothing was written", "", edit_json(plan, None))


def _list_groups(aof: AOF, flush_survey: FlushSurvey, json: bool) -> None:
    groups = flush_survey.flushes.groups
    if json:
        print_json({"path": aof.path, "output": None, "changed": False, "group_count": flush_survey.flushes.group_count,
              "groups": [_group_json(flush_survey, group) for group in groups]})  # fmt: skip
    warn(f"{flush_survey.flushes.group_count:,} groups of flushes stand in it; POSITION, --last or --all chooses:")
    for group in groups:
        print_error_line(f"  {_group_line(flush_survey, group)}")
    hidden = flush_survey.flushes.group_count - len(groups)
    if hidden:
        print_error_line(f"  and {hidden:,} between those; aofdoctor log --effect flush lists them all")


def _group_json(flush_survey: FlushSurvey, group: FlushGroup) -> dict[str, Any]:
    first, later = group.first, flush_survey.commands - group.last.number
    return {"part": first.part, "start": first.span.start, "end": group.last.span.end, "flushes": group.count,
            "command": first.command.upper(), "time": first.time, "later_commands": later}  # fmt: skip


def _group_line(flush_survey: FlushSurvey, group: FlushGroup) -> str:
    first = group.first
    time_text = text.format_time(first.time) if first.time is not None else "time unknown"
    later = text.format_count(flush_survey.commands - group.last.number, "later command")
    position = f"{text.display_path(first.part)}@{first.span.start}"
    return f"{position}  {time_text}  {describe_group(group)}, emptied {describe_scope(group)}, {later}"


def _print_lines(lines: Iterable[str], json: bool) -> None:
    for line in () if json else lines:
        print_line(line)


def _overwrite_in_place(plan: Plan, output_options: OutputOptions, trust_tail: bool, receipt_path: str | None) -> None:
    overwrites = plan_overwrites(plan.aof, plan.drops(), plan.remaining_damage)
    count = sum(len(target.edits) for target in overwrites)
    size = sum(len(edit.old) for target in overwrites for edit in target.edits)
    plan.aof.close()
    with outcome_on_failed_output("nothing was written yet"):
        _print_lines(overwrite_lines(plan, overwrites, make_painter()), output_options.json)
    names = ", ".join(text.display_path(short_path(target.path)) for target in overwrites)
    confirm(
        f"Overwrite {text.format_count(count, 'flush', 'flushes')} ({text.format_size(size)}) in {names}?",
        output_options.yes,
    )
    receipt = overwrite(
        overwrites,
        output_options.force_in_use,
        trust_tail,
        Path(os.path.abspath(receipt_path)) if receipt_path else None,
    )
    _print_result(plan, overwrites, receipt, output_options.json)


def _print_result(plan: Plan, overwrites: list[FileOverwrites], receipt: Path, json: bool) -> None:
    """Print the result; if standard output cannot be written, standard error names the receipt all the same."""
    count = sum(len(target.edits) for target in overwrites)
    size = sum(len(edit.old) for target in overwrites for edit in target.edits)
    with outcome_on_failed_output(f"the edit is done, receipt {text.display_path(str(receipt))}", is_done=True):
        if json:
            result = edit_json(plan, str(overwrites[0].path), receipt)
            result["bytes"] |= {"after": plan.size, "dropped": 0}  # A PING of the same size replaces each flush.
            print_json(result)
        flushes = text.format_count(count, "flush", "flushes")
        result_text = f"{flushes} overwritten, {text.format_size(size)} changed, on disk and read back"
        lines = [
            "", make_painter()(f"done: {result_text}", "good"), f"receipt: {text.display_path(short_path(receipt))}",
            f"         {undo_command(receipt, overwrites, short_path)} takes it back",
            *in_place_step_lines(plan.aof, make_painter()),
        ]  # fmt: skip
        _print_lines(lines, json)
