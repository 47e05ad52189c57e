"""Save a planned edit as a JSON plan file, and plan the edit again later if the files and the result are unchanged.

A plan file holds the recipe (the user's request), the fingerprints of the source files, and the totals. It is not
trusted: everything in it is checked by planning the edit again.
"""

import json
import os
import stat
from pathlib import Path
from typing import Any

import aofdoctor
from aofdoctor import text
from aofdoctor.aof.model import AOF
from aofdoctor.edit.edit import Edit, OpenProgress
from aofdoctor.edit.output.durable import json_bytes, write_durably
from aofdoctor.edit.output.fingerprint import fingerprint
from aofdoctor.edit.recipes import find_planner, make_edit
from aofdoctor.errors import InvalidSelection, RefusedEdit, SourceChanged

_SIZE_MAX = 16 << 20


def save_plan(edit: Edit, path: Path) -> None:
    """Write an edit with known totals to a new plan file at `path`."""
    write_durably(path, json_bytes({
        "aofdoctor": aofdoctor.__version__, "kind": "plan", "path": os.path.abspath(edit.aof.path),
        "recipe": edit.recipe, "source": _source_fingerprints(edit.aof), **edit.saved_json(),
    }))  # fmt: skip


def read_plan(path: Path) -> dict[str, Any]:
    """The content of a plan file; raise RefusedEdit if it is not one."""
    status = path.stat()
    if not stat.S_ISREG(status.st_mode) or status.st_size > _SIZE_MAX:
        raise RefusedEdit(f"{text.display_path(str(path))} is not a plan of aofdoctor: it is no file, or too large")
    try:
        plan = json.loads(path.read_bytes())
        if plan["kind"] == "plan" and find_planner(plan["recipe"]["verb"]) and _is_path(plan["path"]):
            return dict(plan)
    except (ValueError, KeyError, TypeError, RecursionError):
        pass
    raise RefusedEdit(f"{text.display_path(str(path))} is not a plan of aofdoctor")


def _is_path(value: object) -> bool:
    """Whether a value of a plan can be an absolute path; ValueError for a character that no path can have."""
    return isinstance(value, str) and os.path.isabs(value) and b"\0" not in os.fsencode(value)


def renames_of(saved: dict[str, Any]) -> dict[str, str]:
    """The renamed commands of a saved plan (--rename); raises RefusedEdit for impossible ones."""
    renames = saved["recipe"].get("rename") or {}
    if not isinstance(renames, dict) or not all(isinstance(name, str) for pair in renames.items() for name in pair):
        raise RefusedEdit("the plan has an impossible rename")
    return renames


def require_place(plan: Path, saved: dict[str, Any], named_path: str | None) -> None:
    """Raise RefusedEdit unless the AOF of a plan is below the plan's directory, or is the path that the user named.

    Only then may it be edited in place: a plan may come from somebody else.
    """
    place = os.path.realpath(saved["path"])
    if named_path is not None and os.path.realpath(named_path) != place:
        raise RefusedEdit(
            f"the plan was made for {text.display_path(saved['path'])}, not for {text.display_path(named_path)}"
        )
    if named_path is None and not Path(place).is_relative_to(os.path.realpath(plan.parent)):
        raise RefusedEdit(
            f"{text.display_path(saved['path'])} is not below the directory of the plan",
            "if it is to be edited in place, name it: "
            f"aofdoctor apply {text.shell_quote(str(plan))} {text.shell_quote(saved['path'])} --in-place",
        )


def edit_from_plan(saved: dict[str, Any], aof: AOF, writes: bool, open_progress: OpenProgress) -> Edit:
    """Plan the edit of a saved plan file again, and compute its totals.

    Raises SourceChanged unless the source files and the totals are those in the plan file, RefusedEdit if the recipe
    has impossible values.
    """
    try:
        edit = _edit_from_recipe(saved["recipe"], aof, writes, open_progress)
    except InvalidSelection as problem:
        raise RefusedEdit(f"the plan has an invalid selection: {problem}", problem.hint) from None
    except (ArithmeticError, AttributeError, AssertionError, LookupError, RecursionError, TypeError, ValueError):
        raise RefusedEdit("the plan has a recipe with impossible values", "plan the edit again with --plan") from None
    is_same_source = _source_fingerprints(edit.aof) == saved.get("source")
    if not is_same_source or any(saved.get(name) != value for name, value in edit.totals_json().items()):
        raise SourceChanged("the files are not those that the plan was made for", "make the plan anew")
    return edit


def _edit_from_recipe(recipe: dict[str, Any], aof: AOF, writes: bool, open_progress: OpenProgress) -> Edit:
    planner = find_planner(recipe["verb"])
    assert planner is not None, "read_plan has checked the verb"
    question = {name: value for name, value in recipe.items() if name != "verb"}
    edit = make_edit(planner, recipe["verb"], aof, question, writes, open_progress)
    if edit.is_counted_by_writing:
        with open_progress(edit.size, "reading") as on_progress:
            edit.dry_run(on_progress)
    return edit


def _source_fingerprints(aof: AOF) -> list[dict[str, Any]]:
    """The fingerprints of the files of an AOF, with its manifest."""
    paths = [part.path for part in aof.existing_parts if part.path]
    paths += [aof.manifest_path] if aof.manifest_path and aof.manifest_path.exists() else []
    return [fingerprint(path, path, is_evidence=True).as_json() for path in paths]
