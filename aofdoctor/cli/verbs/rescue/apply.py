"""aofdoctor apply: carry out a saved plan."""

import json as json_
import os
import stat
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from aofdoctor import text
from aofdoctor.aof.discovery import AOF
from aofdoctor.cli import conversion_runner as conversions
from aofdoctor.cli.options import open_path
from aofdoctor.cli.output_options import OutputOptions, with_output_options
from aofdoctor.cli.plan_runner import HOW, run_plan, sources_of
from aofdoctor.cli.recipes import PLANNERS, make
from aofdoctor.edit.conversion.plan import Conversion
from aofdoctor.edit.conversion.write import totals
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
    plan = _read(Path(saved))
    with open_path(str(plan["path"]), read_errors_are_damage=True) as aof:
        found = _made_anew(plan, aof, output_options.writes)
        if isinstance(found, Conversion):
            conversions.run_conversion(found, output_options, tried=True)
        else:
            run_plan(found, output_options, HOW)


def _read(path: Path) -> dict[str, Any]:
    status = path.stat()
    if not stat.S_ISREG(status.st_mode) or status.st_size > _PLAN_MAX:
        raise RefusedEdit(f"{text.display_path(str(path))} is not a plan of aofdoctor: it is no file, or too large")
    try:
        saved = json_.loads(path.read_bytes())
        if saved["kind"] == "plan" and saved["recipe"]["verb"] in _VERBS and b"\0" not in os.fsencode(saved["path"]):
            return dict(saved)
    except (ValueError, KeyError, TypeError, RecursionError):
        pass
    raise RefusedEdit(f"{text.display_path(str(path))} is not a plan of aofdoctor")


def _made_anew(saved: dict[str, Any], aof: AOF, writes: bool) -> Plan | Conversion:
    stale = SourceChanged("the files are not those that the plan was made for", "make the plan anew")
    recipe = {name: value for name, value in saved["recipe"].items() if name != "verb"}
    try:
        found, comes_to = _made(saved["recipe"]["verb"], aof, recipe, writes)
    except AofdoctorError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError):
        raise InvalidSelection("the plan asks for something that cannot be meant") from None
    if sources_of(found.aof) != saved.get("source"):
        raise stale
    if any(saved.get(name) != value for name, value in comes_to.items()):
        raise stale
    return found


def _made(verb: str, aof: AOF, recipe: dict[str, Any], writes: bool) -> tuple[Plan | Conversion, dict[str, Any]]:
    """What a recipe gives, and what that comes to."""
    if verb != conversions.VERB:
        plan = make(verb, aof, recipe, writes)
        return plan, plan.totals()
    conversion = conversions.planned(aof, recipe)
    conversions.rehearse(conversion)
    return conversion, totals(conversion)
