"""The generations of a multi-part AOF: each base file that was found, with the incremental files that continue it.

A rewrite writes a new base and starts a new incremental file.  If old files still exist, the older base with all
incremental files since then holds the same data as the newer base.  Which files continue a base follows from the
manifest if it lists both, and otherwise from their numbers and from the time at which the base was written.  Damage
in the files is not considered here.
Source: aof.c of Redis 7.0 (markRewrittenIncrAofAsHistory, getNewBaseFileNameAndMarkPreAsHistory).
"""

import re
from dataclasses import dataclass
from itertools import pairwise

from aofdoctor.aof.model import AOF, AofPart
from aofdoctor.rdb.preamble import creation_time, is_rdb, read_aux
from aofdoctor.source import FileSource

PART_NAME = re.compile(r"(?P<set>.+)\.(?P<seq>[0-9]{1,18})\.(?P<type>base|incr)\.(?:aof|rdb)\Z", re.DOTALL)
GENERATIONS_MAX = 32  # the most base files that are examined; a directory can hold any number of them
_CLOCK_MARGIN = 2  # Seconds by which the time of a file and the time in an RDB can differ.
_LISTED_GAPS_MAX = 5


@dataclass(frozen=True, slots=True)
class Generation:
    """A base file of a multi-part AOF (or None), and the incremental files that continue it, in order of their numbers.

    `missing` describes files of this generation that do not exist: listed in the manifest, or skipped numbers.
    """

    base: AofPart | None
    incr: tuple[AofPart, ...]
    missing: tuple[str, ...] = ()

    @property
    def files(self) -> list[AofPart]:
        """The base file, if any, and the incremental files, in load order."""
        return [*([self.base] if self.base else []), *self.incr]


def found_files(aof: AOF) -> list[AofPart]:
    """Return the existing files of a multi-part AOF, listed in the manifest or not; hard links appear once."""
    files: dict[object, AofPart] = {}
    for part in [*aof.parts, *aof.history, *aof.unlisted]:
        if part.source is not None:
            files.setdefault(_identity(part), part)
    return list(files.values())


def find_generations(aof: AOF) -> list[Generation]:
    """Return a Generation for each of the newest GENERATIONS_MAX base files, newest first.

    The last one has no base and all incremental files.
    """
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
    """Return "base", "incr" or "single" for a file of an AOF; the type of a history file follows from its name."""
    if part.type != "history":
        return part.type
    match = PART_NAME.match(part.name)
    return match["type"] if match else "base"


def number_gaps(incr: tuple[AofPart, ...], first: int | None = None) -> list[str]:
    """Describe the gaps in the numbers of incremental files, one phrase for each of the first five gaps.

    `first` is the number that the first file should have, if known.  The cost depends on the number of files, not on
    the size of the gaps.
    """
    numbers = [*([first - 1] if first is not None and incr and incr[0].seq > first else []), *(p.seq for p in incr)]
    ranges = [(low + 1, high - 1) for low, high in pairwise(numbers) if high - low > 1]
    return [
        f"the incremental file{'' if low == high else 's'} of number {low}{'' if low == high else f' to {high}'}"
        for low, high in ranges[:_LISTED_GAPS_MAX]
    ]


def _first_number(base: AofPart, order: dict[str, int]) -> int | None:
    """Return the number that the first incremental file after a base should have: the number of the base.

    None if the manifest lists the base, and so decides which files follow, or if the base has no number.
    """
    return base.seq if base.name not in order and PART_NAME.match(base.name) else None


def _listed_order(aof: AOF) -> dict[str, int]:
    """Map the name of each file in a manifest to its rank by age, 0 for the oldest; {} if the manifest is damaged.

    A server writes the history files into the manifest with the newest generation first, so they are reversed here.
    """
    if aof.manifest is None or aof.manifest.problems:
        return {}
    names = [part.name for part in reversed(aof.history)] + [part.name for part in aof.parts]
    return {name: place for place, name in enumerate(names)}


def _age(base: AofPart, order: dict[str, int]) -> tuple[int, int]:
    return (base.seq, order.get(base.name, 0))


def _follows(part: AofPart, base: AofPart, order: dict[str, int], written: int | None) -> bool:
    """Whether an incremental file (`part`) continues a base: its commands are newer than the data in the base.

    `order` is the result of _listed_order; `written` is when the base was written, in unix seconds, or None.
    """
    if part.name in order and base.name in order:
        return order[part.name] > order[base.name]
    if part.listed and part.type == "incr" and base.type == "base" and base.listed:
        return True
    return part.seq >= base.seq and not (written is not None and _ended_before(part, written))


def _ended_before(part: AofPart, written: int) -> bool:
    """Whether the modification time of a file is before `written` (unix seconds), when a base was written.

    If so, the base includes the commands of the file.
    """
    return isinstance(part.source, FileSource) and part.source.stat.st_mtime < written - _CLOCK_MARGIN


def _creation_time(base: AofPart) -> int | None:
    """Return when an RDB base was written (its `ctime` field, unix seconds), or None if it is unknown or implausible.

    A modification time before `ctime` shows that the file times are lost, for example by an archive.
    """
    if not isinstance(base.source, FileSource) or not is_rdb(base.source):
        return None
    written = creation_time(read_aux(base.source))
    return written if written is not None and base.source.stat.st_mtime >= written else None


def _identity(part: AofPart) -> object:
    """Return a value that is equal for hard links to the same file: (device, inode), or the name for a pipe."""
    if isinstance(part.source, FileSource):
        return part.source.stat.st_dev, part.source.stat.st_ino
    return part.name
