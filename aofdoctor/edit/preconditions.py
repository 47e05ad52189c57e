"""What every edit requires of an AOF before it may write: a sound manifest, no missing file, at least one file.

Each check raises RefusedEdit with the command that helps. What only one verb requires is checked in its planner.
"""

from aofdoctor import text
from aofdoctor.aof.model import AOF
from aofdoctor.check.report import Report
from aofdoctor.errors import RefusedEdit


def require_sound_manifest(aof: AOF) -> None:
    """Raise RefusedEdit unless the manifest says with certainty which files belong to the AOF."""
    if aof.layout == "multi-part" and (aof.manifest is None or aof.manifest.problems):
        condition = "is missing" if aof.manifest is None else f"is damaged ({aof.manifest.problems[0].message})"
        raise RefusedEdit(
            f"the manifest of {text.display_path(aof.path)} {condition}: which files belong to the set is not certain",
            f"aofdoctor repair {text.shell_quote(aof.path)} --salvage makes it anew from the files",
        )
    names = [part.name for part in aof.parts]
    repeated_name = next((name for name in names if names.count(name) > 1), None)
    if repeated_name:
        raise RefusedEdit(
            f"the manifest lists {text.display_path(repeated_name)} twice",
            f"aofdoctor repair {text.shell_quote(aof.path)} --salvage lists it once",
        )


def require_complete_set(aof: AOF) -> None:
    """Raise RefusedEdit if a listed file is missing: a server refuses such an AOF, and a copy would hide that."""
    require_sound_manifest(aof)
    for part in aof.parts:
        if not part.exists:
            raise RefusedEdit(
                f"{text.display_path(part.name)} is missing: a copy without it would load, and hide that",
                f"aofdoctor repair {text.shell_quote(aof.path)} says what can be kept; do that first",
            )


def require_parts(report: Report) -> None:
    """Raise RefusedEdit if no file of the AOF exists."""
    if not report.aof.existing_parts:
        others = any(part.exists for part in (*report.aof.history, *report.aof.unlisted))
        raise RefusedEdit(
            f"no part of {text.display_path(report.aof.path)} is there",
            f"aofdoctor repair {text.shell_quote(report.aof.path)} --salvage uses the other files that were found"
            if others
            else "",
        )
