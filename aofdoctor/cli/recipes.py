"""From what was asked to a plan, by verb: what a verb and `apply` do alike.

A recipe is what the user asked for, as JSON can hold it; the same recipe on the
same AOF gives the same plan.
"""

from collections.abc import Callable
from typing import Any

from aofdoctor import text
from aofdoctor.aof.discovery import AOF
from aofdoctor.check.examine import examine
from aofdoctor.check.report import Report
from aofdoctor.cli.console import progress_bar
from aofdoctor.edit.plan import Plan
from aofdoctor.edit.planners.repair import plan_repair, require_complete_set
from aofdoctor.edit.planners.rewind import cut_after_time, cut_before_position, plan_rewind
from aofdoctor.edit.planners.slice import plan_slice
from aofdoctor.edit.planners.strip import FlushSurvey, group_at, plan_group, plan_selection, survey_flushes
from aofdoctor.edit.salvage.recover import plan_salvage
from aofdoctor.errors import AmbiguousRequest, InvalidSelection, RefusedEdit
from aofdoctor.log.arguments import build_log_selection, end_of_log, parse_loaded_position
from aofdoctor.log.flushes import FlushGroup
from aofdoctor.log.position import Position, parse_position, parse_time

Recipe = dict[str, Any]


class AmbiguousFlushGroup(AmbiguousRequest):
    """Several groups of flushes, and none chosen."""

    def __init__(self, flush_survey: FlushSurvey) -> None:
        super().__init__(f"{flush_survey.flushes.group_count:,} groups of flushes stand in it")
        self.survey = flush_survey


def strip_plan(aof: AOF, recipe: Recipe) -> Plan:
    """The recipe of strip: selection, or position, last, all and and_after."""
    selection = build_log_selection(aof, **recipe["selection"])
    position, last, all_, and_after = (recipe[name] for name in ("position", "last", "all", "and_after"))
    if sum((position is not None, last, all_, not selection.selects_all)) > 1:
        raise InvalidSelection("POSITION, --last, --all and a selection exclude each other")
    if and_after and (all_ or not selection.selects_all):
        raise InvalidSelection("--and-after goes with one group of flushes", "aofdoctor rewind --before cuts anywhere")
    target = parse_position(position, aof) if position is not None else None
    flush_survey = survey_flushes(aof, target)
    if not selection.selects_all:
        return plan_selection(aof, flush_survey, selection)
    if not flush_survey.flushes.count:
        raise RefusedEdit(
            "no FLUSHALL or FLUSHDB stands in it as a command: there is nothing to strip",
            f"aofdoctor check {text.shell_quote(aof.path)} names other evidence",
        )
    if all_:
        return plan_group(aof, flush_survey, None)
    if target is None and flush_survey.flushes.group_count > 1 and not last:
        raise AmbiguousFlushGroup(flush_survey)
    group = group_at(flush_survey, target) if target else flush_survey.flushes.groups[-1]
    return _plan_before_group(aof, group) if and_after else plan_group(aof, flush_survey, group)


def _plan_before_group(aof: AOF, group: FlushGroup) -> Plan:
    first = group.first
    return plan_rewind(aof, cut_before_position(Position(first.part, first.part_index, first.span.start)), verb="strip")


def repair_plan(aof: AOF, recipe: Recipe) -> Plan:
    """The recipe of repair: salvage, strict, keep_unknown."""
    salvage, strict, keep_unknown = (recipe[name] for name in ("salvage", "strict", "keep_unknown"))
    if (strict or keep_unknown) and not salvage:
        raise InvalidSelection("--strict and --keep-unknown go with --salvage")
    if salvage:
        plan, report = plan_salvage(aof, _examine_with_progress, strict, keep_unknown)
    else:
        report = _examine_with_progress(aof)
        plan = plan_repair(report)
    if not plan.has_changes:
        plan.notes += [
            f"{verdict.server}: {verdict.outcome.value}, {verdict.reason}"
            for verdict in report.verdicts if verdict.load_truncated and verdict.reason
        ]  # fmt: skip
    return plan


def _examine_with_progress(aof: AOF) -> Report:
    with progress_bar(sum(part.size or 0 for part in aof.existing_parts), "reading") as on_progress:
        return examine(aof, progress=on_progress)


def rewind_plan(aof: AOF, recipe: Recipe) -> Plan:
    """The recipe of rewind: to, or before."""
    to, before = recipe["to"], recipe["before"]
    if (to is None) == (before is None):
        raise InvalidSelection("--to TIME or --before POSITION, one of them")
    if before is not None:
        return plan_rewind(aof, cut_before_position(parse_loaded_position(before, aof)))
    seconds = parse_time(to, end_of_log(aof, [to]))
    return plan_rewind(aof, cut_after_time(seconds), seconds)


def slice_plan(aof: AOF, recipe: Recipe) -> Plan:
    """The recipe of slice: selection."""
    selection = build_log_selection(aof, **recipe["selection"])
    if selection.selects_all:
        raise InvalidSelection("nothing is selected: name what is to stay", "--key, --cmd, --db and the others select")
    return plan_slice(aof, survey_flushes(aof), selection)


PLANNERS: dict[str, Callable[[AOF, Recipe], Plan]] = {
    "strip": strip_plan, "repair": repair_plan, "rewind": rewind_plan, "slice": slice_plan,
}  # fmt: skip


def make_plan(verb: str, aof: AOF, recipe: Recipe, writes: bool) -> Plan:
    """The plan of a verb; for one that is to be written, a set that is not whole is refused (repair mends it)."""
    plan = PLANNERS[verb](aof, recipe)
    plan.recipe = {"verb": verb, **recipe}
    if writes and verb != "repair":
        require_complete_set(aof)
    return plan
