"""Plan an edit from a recipe, the user's request as a JSON object.

The same recipe on the same AOF gives the same edit, for a verb and for `apply`. The planner of a verb is the function
`plan_from_recipe` of the module of that name in edit/planners, so a new verb needs no entry here.
"""

import importlib
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any, TypeVar

from aofdoctor.aof.model import AOF
from aofdoctor.edit.edit import Edit, OpenProgress
from aofdoctor.edit.preconditions import require_complete_set

Recipe = dict[str, Any]
AnyEdit = TypeVar("AnyEdit", bound=Edit)
Planner = Callable[[AOF, Recipe, OpenProgress], AnyEdit]

_PLANNERS_PACKAGE = "aofdoctor.edit.planners"


def make_edit(
    planner: Planner[AnyEdit], verb: str, aof: AOF, recipe: Recipe, writes: bool, open_progress: OpenProgress
) -> AnyEdit:
    """Plan the edit of a verb from a recipe, and store the recipe in the edit.

    If the edit will be written (`writes`), a manifest that is damaged or lists missing files is refused, except for
    repair, which repairs that.
    """
    edit = planner(aof, recipe, open_progress)
    edit.recipe = {"verb": verb, **recipe}
    if writes and verb != "repair":
        require_complete_set(aof)
    return edit


def find_planner(verb: object) -> Planner[Edit] | None:
    """The function that plans the edits of a verb, or None if `verb` is not an editing verb.

    The verb may come from an untrusted file.
    """
    if not isinstance(verb, str) or not verb.isidentifier() or not find_spec(f"{_PLANNERS_PACKAGE}.{verb}"):
        return None
    planner: Planner[Edit] | None = getattr(
        importlib.import_module(f"{_PLANNERS_PACKAGE}.{verb}"), "plan_from_recipe", None
    )
    return planner
