"""Choose the files of a multi-part AOF if its manifest cannot be right: the generation that holds the most data.

A generation is a base file with its incremental files. Which data each generation holds is decided by
check/neighbours/weighing.py. Here the choice becomes a file set with a new manifest, and every file that was found or
is missing gets a note with the reason.
"""

from collections.abc import Iterator
from dataclasses import replace

from aofdoctor import text
from aofdoctor.aof.generations import role
from aofdoctor.aof.model import AOF, AofPart
from aofdoctor.check.neighbours.content import describe_content
from aofdoctor.check.neighbours.judge import Neighbour, judge_neighbours
from aofdoctor.check.neighbours.weighing import (
    ReadContent,
    WeighedGeneration,
    better_generation,
    content_reader,
    files_outside,
)
from aofdoctor.check.report import Report
from aofdoctor.damage import DamageKind

_UNLIMITED = 1 << 62
_FILES_NAMED_MAX = 20


def choose_generation(aof: AOF, report: Report) -> tuple[list[AofPart], list[str]] | None:
    """Return (files of the best generation, notes for the user) if it holds more data than the files in `report`.

    `aof` has the files as they were found. None if its manifest can be followed, or no generation holds more.
    """
    read = content_reader(_UNLIMITED)
    is_damaged = any(damage.kind is not DamageKind.IN_FLIGHT for part in report.parts for damage in part.damage)
    better = better_generation(aof, report.aof, is_damaged, read)
    if better is None:
        return None
    best, listed = better
    parts = [replace(part, type=role(part), extra=()) for part in best.generation.files]
    return parts, list(_notes(aof, best, listed, read))


def _notes(aof: AOF, best: WeighedGeneration, listed: WeighedGeneration, read: ReadContent) -> Iterator[str]:
    names = _names(best.generation.files)
    keys = text.format_count(best.keys, "key") + ("" if best.are_keys_exact else " and commands")
    state = "they are whole and continue each other" if best.is_whole else "this is the best that was found"
    yield f"the new set is {names}, with {keys}: {state}"
    listed_keys = text.format_count(listed.keys, "key") + ("" if listed.are_keys_exact else " and commands")
    if aof.manifest is None:
        yield "the manifest is missing: it is rebuilt from the files"
    elif aof.manifest.problems:
        yield f"the manifest is damaged ({aof.manifest.problems[0].message}): it is rebuilt from the files"
    else:
        yield f"the files of the manifest that exist give {listed_keys}: {_listed_fault(aof, listed, read)}"
    if best.generation.missing:
        yield f"missing from the new set: {', '.join(map(text.display_path, best.generation.missing))}"
    outside = files_outside(aof, best.generation)
    for part in outside[:_FILES_NAMED_MAX]:
        content = describe_content(read(part))
        yield f"{text.display_path(part.name)} is left out ({content}): {_reason(part, best, read)}"
    if len(outside) > _FILES_NAMED_MAX:
        yield f"{len(outside) - _FILES_NAMED_MAX:,} more files are left out"
    yield from (note for neighbour in judge_neighbours(aof) if (note := _neighbour_note(neighbour, best)))


def _listed_fault(aof: AOF, listed: WeighedGeneration, read: ReadContent) -> str:
    missing = [part.name for part in aof.parts if not part.exists]
    if missing:
        shown = ", ".join(map(text.display_path, missing[:3])) + (" and more" if len(missing) > 3 else "")
        return f"{shown} {'is' if len(missing) == 1 else 'are'} missing"
    damaged = [part.name for part in listed.generation.files if read(part).damage]
    if damaged:
        return f"{', '.join(map(text.display_path, damaged[:3]))} {'is' if len(damaged) == 1 else 'are'} damaged"
    return "the manifest cannot be used"


def _reason(part: AofPart, best: WeighedGeneration, read: ReadContent) -> str:
    base = best.generation.base
    if read(part).damage:
        return "it is damaged, and the new set gives more without it"
    if base is None:
        return "no base continues into the files that give most"
    if role(part) == "base":
        return "the base of the new set is newer" if part.seq <= base.seq else "the new set gives more without it"
    return "the base of the new set includes it"


def _neighbour_note(neighbour: Neighbour, best: WeighedGeneration) -> str:
    """A note about a file next to the AOF that holds more keys than the new file set; none if it does not."""
    if neighbour.content.keys <= best.keys:
        return ""
    path = text.display_path(str(neighbour.path))
    keys = text.format_count(neighbour.content.keys, "key")
    return f"{path} is not used, and holds {keys}: compare it with the result"


def _names(files: list[AofPart]) -> str:
    shown = [text.display_path(part.name) for part in files[:_FILES_NAMED_MAX]]
    more = len(files) - len(shown)
    shown += [f"{more:,} more"] if more else []
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}"
