"""aofdoctor apply: carry out a saved plan."""

import json as json_
import os
import stat
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from aofdoctor import text
from aofdoctor.aof.model import AOF
from aofdoctor.cli import conversion_runner as conversions
from aofdoctor.cli.options import open_path
from aofdoctor.cli.output_options import OutputOptions, with_output_options
from aofdoctor.cli.plan_runner import WRITE_HINT, run_plan, source_fingerprints
from aofdoctor.cli.recipes import PLANNERS, make_plan
from aofdoctor.edit.conversion.plan import Conversion
from aofdoctor.edit.conversion.write import totals_json
from aofdoctor.edit.plan import Plan
from aofdoctor.errors import AofdoctorError, InvalidSelection, RefusedEdit, SourceChanged

EPILOG = """\b
Examples:
  aofdoctor strip /var/lib/redis --plan plan.json    save a plan, for somebody else to read
  aofdoctor apply plan.json                          show it again, made anew
  aofdoctor apply plan.json -o rescued --prove       carry it out

\b
Exit status: 0 shown or done; 2 usage; 3 could not: no plan, or the files are not those it was made for;
130 interrupted."""

_PLAN_MAX = 16 << 20
_VERBS = frozenset({*PLANNERS, conversions.VERB})


@partial(with_output_options, without=("plan",))
def apply(
    saved: Annotated[str, typer.Argument(metavar="PLAN", help="What --plan has saved.")],
    *,
    output_options: OutputOptions,
) -> None:
    """Carry out a saved plan, if the files are still those it was made for.

    The plan is made anew from what was asked, and has to come to the same.
    Without -o or --in-place it is only shown.
    """
    saved_plan = _read_plan(Path(saved))
    with open_path(str(saved_plan["path"]), read_errors_are_damage=True) as aof:
        computed_plan = _recompute(saved_plan, aof, output_options.writes)
        if isinstance(computed_plan, Conversion):
            conversions.run_conversion(computed_plan, output_options, is_dry_run_done=True)
        else:
            run_plan(computed_plan, output_options, WRITE_HINT)


def _read_plan(path: Path) -> dict[str, Any]:
    status = path.stat()
    if not stat.S_ISREG(status.st_mode) or status.st_size > _PLAN_MAX:
        raise RefusedEdit(f"{text.display_path(str(path))} is not a plan of aofdoctor: it is no file, or too large")
    try:
        plan = json_.loads(path.read_bytes())
        if plan["kind"] == "plan" and plan["recipe"]["verb"] in _VERBS and b"\0" not in os.fsencode(plan["path"]):
            return dict(plan)
    except (ValueError, KeyError, TypeError, RecursionError):
        pass
    raise RefusedEdit(f"{text.display_path(str(path))} is not a plan of aofdoctor")


def _recompute(saved_plan: dict[str, Any], aof: AOF, writes: bool) -> Plan | Conversion:
    stale = SourceChanged("the files are not those that the plan was made for", "make the plan anew")
    recipe = {name: value for name, value in saved_plan["recipe"].items() if name != "verb"}
    try:
        computed_plan, plan_totals = _plan_and_totals(saved_plan["recipe"]["verb"], aof, recipe, writes)
    except AofdoctorError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError):
        raise InvalidSelection("the plan asks for something that cannot be meant") from None
    if source_fingerprints(computed_plan.aof) != saved_plan.get("source"):
        raise stale
    if any(saved_plan.get(name) != value for name, value in plan_totals.items()):
        raise stale
    return computed_plan


def _plan_and_totals(
    verb: str, aof: AOF, recipe: dict[str, Any], writes: bool
) -> tuple[Plan | Conversion, dict[str, Any]]:
    """What a recipe gives, and what that comes to."""
    if verb != conversions.VERB:
        plan = make_plan(verb, aof, recipe, writes)
        return plan, plan.totals_json()
    conversion = conversions.plan_from_recipe(aof, recipe)
    conversions.dry_run(conversion)
    return conversion, totals_json(conversion)
