"""Choose among the generations of a multi-part AOF the one that gives the most keys and commands.

A generation is a base file with the incremental files that follow it; each rewrite starts one, and its files can
outlive the manifest.  A generation is whole if its files are all intact and continue each other.  A rewrite keeps every
key, so all whole generations should hold the same, and the newest is chosen.  If it has less than half of the keys of
an older one, it is no rewrite of it: its server was emptied in between.  An intact base is preferred in the same way to
an older one if only incremental files are damaged or missing, because these follow the older base too.  In all other
cases the number of keys decides, then the number of commands.
"""

from collections.abc import Callable
from dataclasses import dataclass

from aofdoctor.aof.generations import Generation, find_generations, found_files, number_gaps, role
from aofdoctor.aof.model import AOF, AofPart
from aofdoctor.check.neighbours.content import FileContent, part_content
from aofdoctor.check.neighbours.live_keys import count_live_keys
from aofdoctor.damage import DamageKind

_AT_THE_END = (DamageKind.TORN, DamageKind.IN_FLIGHT, DamageKind.NUL_TAIL, DamageKind.UNTERMINATED_ANNOTATION)

ReadContent = Callable[[AofPart], FileContent]


@dataclass(frozen=True, slots=True)
class WeighedGeneration:
    """A generation (a base file with its incremental files), and the number of keys and commands that it gives.

    `keys` counts the keys after all commands; if `are_keys_exact` is False, it is the sum of the keys of the base
    (`base_keys`) and the commands.  `is_whole`: all files are intact, and none is missing between them; the last may
    end inside a record.
    """

    generation: Generation
    keys: int
    commands: int
    is_whole: bool
    are_keys_exact: bool

    base_keys: int
    has_intact_base: bool

    def gives_more_than(self, newer: "WeighedGeneration") -> bool:
        """Whether to take this generation (base and incremental files) instead of `newer` or of the listed files."""
        if not (self.are_keys_exact and newer.are_keys_exact):
            if self.is_whole or newer.is_whole:
                return self.is_whole and not newer.is_whole
            return (self.base_keys, self.commands) > (newer.base_keys, newer.commands)
        if newer.is_whole or (newer.has_intact_base and not self.is_whole and self._base_number < newer._base_number):
            return self.keys > 2 * newer.keys
        if self.is_whole:
            return 2 * self.keys >= newer.keys
        return (self.keys, self.commands) > (newer.keys, newer.commands)

    @property
    def _base_number(self) -> int:
        return self.generation.base.seq if self.generation.base else 0


def content_reader(budget: int, known: dict[str, FileContent] | None = None) -> ReadContent:
    """Return a function that reads AOF files and returns what they hold: each file once, at most `budget` bytes in all.

    `known` holds contents that need not be read, by file name.
    """
    contents, remaining = dict(known or {}), budget

    def read(part: AofPart) -> FileContent:
        nonlocal remaining
        if part.name not in contents:
            contents[part.name] = content = part_content(part, remaining)
            remaining -= 0 if content.kind == "unread" else content.size
        return contents[part.name]

    return read


def listed_generation(aof: AOF) -> Generation:
    """Return the base and incremental files that a server loads, by the manifest, as a generation.

    Missing files and gaps in the numbers are listed in its `missing`.
    """
    base = next((part for part in aof.parts if part.exists and role(part) == "base"), None)
    incr = {part.name: part for part in aof.parts if part.exists and role(part) == "incr"}
    missing = [part.name for part in aof.parts if not part.exists]
    if base is None:
        missing.append("the base")
    numbered = tuple(sorted(incr.values(), key=lambda part: part.seq))
    return Generation(base, numbered, tuple(dict.fromkeys([*missing, *number_gaps(numbered)])))


def weigh(generation: Generation, read: ReadContent) -> WeighedGeneration:
    """Count the keys and commands of a generation (a base with its incremental files), and whether it is complete."""
    files, contents = generation.files, [read(part) for part in generation.files]
    commands = sum(content.commands for content in contents)
    keys = None
    if all(content.kind in ("empty", "rdb", "aof") for content in contents):
        keys = count_live_keys(part.source for part in files if part.source is not None)
    whole = bool(generation.base) and not generation.missing and _are_intact(generation, contents)
    base_keys = contents[0].keys if generation.base else 0
    return WeighedGeneration(generation, base_keys + commands if keys is None else keys, commands, whole,
                             keys is not None, base_keys, bool(generation.base) and contents[0].is_intact)  # fmt: skip


def weigh_all(aof: AOF, read: ReadContent) -> list[WeighedGeneration]:
    """Count the keys and commands of each generation (base with incremental files) found near an AOF, newest first."""
    return [weigh(generation, read) for generation in find_generations(aof)]


def is_manifest_unusable(aof: AOF) -> bool:
    """Whether the manifest of an AOF is missing, damaged, or names no file to load."""
    return aof.manifest is None or bool(aof.manifest.problems) or not aof.manifest.load_order


def better_generation(
    aof: AOF, listed_aof: AOF, is_damaged: bool, read: ReadContent
) -> tuple[WeighedGeneration, WeighedGeneration] | None:
    """Return (the best generation, the listed files) if other files give more data than those that the manifest lists.

    A generation is a base file with its incremental files.  None is returned if the manifest is not proven wrong, or no
    generation gives more.  `aof` is the file set as it was found and `listed_aof` the one that would be loaded;
    `is_damaged`: a listed file is damaged.
    """
    contradicted = _is_contradicted(listed_aof)
    is_doubtful = is_damaged or contradicted or is_manifest_unusable(aof) or any(not part.exists for part in aof.parts)
    if aof.layout != "multi-part" or not is_doubtful:
        return None
    listed, best = weigh(listed_generation(listed_aof), read), None
    for candidate in weigh_all(aof, read):
        if best is None or candidate.gives_more_than(best):
            best = candidate
    if best is None or _names(best) == _names(listed):
        return None
    is_later = contradicted and best.is_whole and 2 * best.keys >= listed.keys
    is_listed_certain = bool(listed.generation.files) and not is_manifest_unusable(aof)
    return (best, listed) if not is_listed_certain or is_later or best.gives_more_than(listed) else None


def _is_contradicted(aof: AOF) -> bool:
    """Whether an incremental file that the manifest does not list has content and is newer than all listed ones.

    A server writes only into files that it has listed, so such a manifest is older than that file.
    """
    newest = max((part.seq for part in aof.parts if role(part) == "incr"), default=0)
    return any(role(part) == "incr" and part.size and part.seq > newest for part in aof.unlisted)


def files_outside(aof: AOF, generation: Generation) -> list[AofPart]:
    """Return the existing files of an AOF that are not part of a generation (a base with its incremental files)."""
    inside = {id(part) for part in generation.files}
    return [part for part in found_files(aof) if id(part) not in inside]


def _names(weighed: WeighedGeneration) -> list[str]:
    return [part.name for part in weighed.generation.files]


def _are_intact(generation: Generation, contents: list[FileContent]) -> bool:
    for part, content in zip(generation.files, contents, strict=True):
        is_last = part is generation.files[-1]
        ends_early = content.damage is not None and content.damage.kind in _AT_THE_END
        is_empty_incr = content.kind == "empty" and part is not generation.base
        if not (content.is_intact or is_empty_incr or (is_last and ends_early)):
            return False
    return True
