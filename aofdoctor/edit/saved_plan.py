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
from aofdoctor.errors import AofdoctorError, InvalidSelection, RefusedEdit, SourceChanged

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
        if plan["kind"] == "plan" and find_planner(plan["recipe"]["verb"]) and b"\0" not in os.fsencode(plan["path"]):
            return dict(plan)
    except (ValueError, KeyError, TypeError, RecursionError):
        pass
    raise RefusedEdit(f"{text.display_path(str(path))} is not a plan of aofdoctor")


def edit_from_plan(saved: dict[str, Any], aof: AOF, writes: bool, open_progress: OpenProgress) -> Edit:
    """Plan the edit of a saved plan file again, and compute its totals.

    Raises SourceChanged unless the source files and the totals are those in the plan file, InvalidSelection if the
    recipe has impossible values.
    """
    try:
        edit = _edit_from_recipe(saved["recipe"], aof, writes, open_progress)
    except AofdoctorError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError):
        raise InvalidSelection("the plan asks for something that cannot be meant") from None
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
    return [fingerprint(path, path).as_json() for path in paths]
