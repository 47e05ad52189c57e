"""The generations of a multi-part AOF: each base that was found, with the incremental files that continue it.

A rewrite makes a new base and starts a new incremental file, so an older base and all incremental files since then
hold the same data.  Which files continue a base follows from the manifest where it lists both, and otherwise from
their numbers and from the time at which the base was written.  File contents are not judged here.
Source: aof.c of Redis 7.0 (markRewrittenIncrAofAsHistory, getNewBaseFileNameAndMarkPreAsHistory).
"""

import re
from dataclasses import dataclass
from itertools import pairwise

from aofdoctor.aof.model import AOF, AofPart
from aofdoctor.rdb.preamble import creation_time, is_rdb, read_aux
from aofdoctor.source import FileSource

PART_NAME = re.compile(r"(?P<set>.+)\.(?P<seq>[0-9]{1,18})\.(?P<type>base|incr)\.(?:aof|rdb)\Z", re.DOTALL)
GENERATIONS_MAX = 32  # a directory can hold any number of bases
_CLOCK_MARGIN = 2  # Seconds by which the time of a file and the time in an RDB can differ.
_LISTED_GAPS_MAX = 5


@dataclass(frozen=True, slots=True)
class Generation:
    """A base, or None, and the incremental files that continue it, by number.

    `missing` names the files that are known to be lost between them: listed in the manifest, or skipped numbers.
    """

    base: AofPart | None
    incr: tuple[AofPart, ...]
    missing: tuple[str, ...] = ()

    @property
    def files(self) -> list[AofPart]:
        """The files in load order."""
        return [*([self.base] if self.base else []), *self.incr]


def found_files(aof: AOF) -> list[AofPart]:
    """Return the existing files of a multi-part AOF, listed or not, each once."""
    files: dict[object, AofPart] = {}
    for part in [*aof.parts, *aof.history, *aof.unlisted]:
        if part.source is not None:
            files.setdefault(_identity(part), part)
    return list(files.values())


def find_generations(aof: AOF) -> list[Generation]:
    """Return a generation for each of the newest GENERATIONS_MAX bases, newest first, and one without a base."""
    files = found_files(aof)
    order = _listed_order(aof)
    bases = sorted((part for part in files if role(part) == "base"), key=lambda base: (_age(base, order), base.seq))
    incr = sorted((part for part in files if role(part) == "incr"), key=lambda part: part.seq)
    lost = [part for part in aof.parts if not part.exists and role(part) == "incr"]
    generations = []
    for base in bases[: -GENERATIONS_MAX - 1 : -1]:
        written = _creation_time(base)
        following = tuple(part for part in incr if _follows(part, base, order, written))
        missing = [part.name for part in lost if _follows(part, base, order, None)]
        generations.append(Generation(base, following, (*missing, *number_gaps(following, _first_number(base, order)))))
    if incr:
        generations.append(Generation(None, tuple(incr), ("the base",)))
    return generations


def role(part: AofPart) -> str:
    """Return base or incr; a history file without the name of an incremental file is a base."""
    if part.type != "history":
        return part.type
    match = PART_NAME.match(part.name)
    return match["type"] if match else "base"


def number_gaps(incr: tuple[AofPart, ...], first: int | None = None) -> list[str]:
    """Return a phrase for the incremental numbers that are skipped, at most 5 of them, or nothing.

    The cost depends on the number of files, not on their numbers.
    """
    numbers = [*([first - 1] if first is not None and incr and incr[0].seq > first else []), *(p.seq for p in incr)]
    ranges = [(low + 1, high - 1) for low, high in pairwise(numbers) if high - low > 1]
    return [
        f"the incremental file{'' if low == high else 's'} of number {low}{'' if low == high else f' to {high}'}"
        for low, high in ranges[:_LISTED_GAPS_MAX]
    ]


def _first_number(base: AofPart, order: dict[str, int]) -> int | None:
    """Return the number of the first incremental file of a base, which is its own; None if the manifest tells it."""
    return base.seq if base.name not in order and PART_NAME.match(base.name) else None


def _listed_order(aof: AOF) -> dict[str, int]:
    """Return the place in time of every file of a sound manifest, by name, with the oldest at 0.

    A server writes history files with the newest generation first: a base comes after its own incremental files.
    """
    if aof.manifest is None or aof.manifest.problems:
        return {}
    names = [part.name for part in reversed(aof.history)] + [part.name for part in aof.parts]
    return {name: place for place, name in enumerate(names)}


def _age(base: AofPart, order: dict[str, int]) -> tuple[int, int]:
    return (base.seq, order.get(base.name, 0))


def _follows(part: AofPart, base: AofPart, order: dict[str, int], written: int | None) -> bool:
    """Whether the commands of an incremental file come after those that a base includes."""
    if part.name in order and base.name in order:
        return order[part.name] > order[base.name]
    if part.listed and part.type == "incr" and base.type == "base" and base.listed:
        return True
    return part.seq >= base.seq and not (written is not None and _ended_before(part, written))


def _ended_before(part: AofPart, written: int) -> bool:
    """Whether the last write to a file came before a base was written, so that the base includes it."""
    return isinstance(part.source, FileSource) and part.source.stat.st_mtime < written - _CLOCK_MARGIN


def _creation_time(base: AofPart) -> int | None:
    """Return when an RDB base was written, in unix seconds, if the times of files can be compared with it.

    A base that is older as a file than its contents say has lost its time, for example in an archive.
    """
    if not isinstance(base.source, FileSource) or not is_rdb(base.source):
        return None
    written = creation_time(read_aux(base.source))
    return written if written is not None and base.source.stat.st_mtime >= written else None


def _identity(part: AofPart) -> object:
    """Return what is equal for two names of one file."""
    if isinstance(part.source, FileSource):
        return part.source.stat.st_dev, part.source.stat.st_ino
    return part.name
