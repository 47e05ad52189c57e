"""Plan an edit of the verb convert from the user's request (recipe), and check that its options exist and fit."""

from typing import Any

from aofdoctor import text
from aofdoctor.aof.model import AOF
from aofdoctor.edit.conversion.conversion import Conversion
from aofdoctor.edit.conversion.plan import plan_conversion
from aofdoctor.edit.conversion.rdb_base import ConversionRequest
from aofdoctor.edit.edit import OpenProgress
from aofdoctor.errors import InvalidSelection
from aofdoctor.server.versions import RDB_VERSIONS_WRITTEN, VERSIONS

_SHIFT_MAX_MS = 10**9 * 86_400_000  # the largest value that --shift-ttl accepts


def plan_from_recipe(aof: AOF, recipe: dict[str, Any], open_progress: OpenProgress) -> Conversion:
    """Plan a conversion from a recipe (the user's request as JSON).

    The recipe has base, rdb_version, layout, for, shift_ms and lossy.
    """
    base, version, layout, server_version, shift_ms, lossy = (
        recipe[name] for name in ("base", "rdb_version", "layout", "for", "shift_ms", "lossy")
    )
    _require_consistent_options(base, version, layout, server_version, shift_ms)
    duplicates, keep_modules = recipe.get("duplicates", ""), bool(recipe.get("keep_modules"))
    if duplicates not in ("", "first", "last"):
        raise InvalidSelection(
            f"{text.display_path(duplicates)} is neither first nor last", "--duplicates first or last"
        )
    aof.raise_on_read_errors()
    return plan_conversion(
        aof, ConversionRequest(base, version, layout, server_version, shift_ms, duplicates, keep_modules), bool(lossy)
    )


def _require_consistent_options(base: str, version: int, layout: str, server_version: str, shift_ms: int) -> None:
    """Raise InvalidSelection for options of convert that do not exist, have no effect, or contradict each other."""
    if not (base or layout or shift_ms):
        raise InvalidSelection("nothing is to be converted", "--base, --layout, --shift-ttl and --now say what")
    if base not in ("", "resp", "rdb"):
        raise InvalidSelection(f"{text.display_path(base)} is no kind of base", "--base resp or --base rdb")
    if layout not in ("", "single", "multi-part"):
        raise InvalidSelection(f"{text.display_path(layout)} is no layout", "--layout single or --layout multi-part")
    if (base == "rdb") != bool(version):
        raise InvalidSelection("--base rdb and --rdb-version N go together")
    if version and version not in RDB_VERSIONS_WRITTEN:
        raise InvalidSelection(
            f"RDB version {version} is not written", f"versions are {', '.join(map(str, RDB_VERSIONS_WRITTEN))}"
        )
    if server_version and base != "resp":
        raise InvalidSelection("--for goes with --base resp")
    if server_version and server_version not in VERSIONS:
        raise InvalidSelection(
            f"{text.display_path(server_version)} is not a server line", f"lines are {', '.join(VERSIONS)}"
        )
    if abs(shift_ms) > _SHIFT_MAX_MS:
        raise InvalidSelection(f"expiries cannot be moved by {shift_ms} ms")
