"""Count what an edit keeps of a whole file set: the keys of its RDBs, and the files that the edit does not use.

A share in percent is honest only if it covers everything that was found: the keys of bases, and files that no
manifest lists.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from aofdoctor.aof.constants import ANNOTATION
from aofdoctor.aof.model import AOF, AofPart
from aofdoctor.aof.reader import read_tiles
from aofdoctor.aof.records import Preamble, RecordBatch
from aofdoctor.server.command_table import command_table


class RdbKeys(NamedTuple):
    """The keys of one RDB before and after an edit; None if the number is unknown."""

    before: int | None
    after: int | None

    @property
    def is_lossy(self) -> bool:
        """True if keys are lost, or if that is not known."""
        return self.before is None or self.after is None or self.after < self.before


@dataclass(slots=True)
class KeyTotals:
    """The keys of the RDBs of a file set, by index of the part in load order.

    `is_counted` is false if the parts were not read from their start.
    """

    by_part: dict[int, RdbKeys] = field(default_factory=dict)
    is_counted: bool = True

    @classmethod
    def unchanged(cls, keys: dict[int, int | None]) -> "KeyTotals":
        """The totals of an edit that keeps every RDB."""
        return cls({index: RdbKeys(count, count) for index, count in keys.items()})

    def drop_part(self, index: int) -> None:
        """Record that the RDB of a part is dropped as a whole."""
        if index in self.by_part:
            self.by_part[index] = self.by_part[index]._replace(after=0)

    @property
    def before(self) -> int | None:
        """The number of keys before the edit; None if it is unknown."""
        return _sum(keys.before for keys in self.by_part.values()) if self.is_counted else None

    @property
    def after(self) -> int | None:
        """The number of keys after the edit; None if it is unknown."""
        return _sum(keys.after for keys in self.by_part.values()) if self.is_counted else None

    @property
    def lossy_parts(self) -> list[int]:
        """The parts with an RDB that loses keys, or may lose some."""
        return [index for index, keys in self.by_part.items() if keys.is_lossy]

    def as_json(self) -> dict[str, int | None]:
        """Before, after, dropped and added; a number that is not known is null."""
        before, after = self.before, self.after
        dropped = None if before is None or after is None else before - after
        return {"before": before, "after": after, "dropped": dropped, "added": 0}


def _sum(numbers: Iterable[int | None]) -> int | None:
    total = 0
    for number in numbers:
        if number is None:
            return None
        total += number
    return total


def readable_keys(rdb: Preamble) -> int | None:
    """The number of keys of an RDB; None if it is damaged, or has a type that cannot be walked."""
    return rdb.keys if rdb.is_intact else None


class UnusedFile(NamedTuple):
    """A file of the set that the output does not use; `keys` is None if their number is unknown.

    `is_history`: the manifest lists it as history, so a later base contains its data.
    """

    name: str
    keys: int | None
    commands: int
    size: int
    is_history: bool


def unused_files(aof: AOF) -> Iterator[UnusedFile]:
    """Count the files of the set that are not among its parts."""
    names = {part.name for part in aof.parts}
    for part in (*aof.unlisted, *aof.history):
        if part.source is not None and part.name not in names:
            yield _count_file(part, is_history=part in aof.history)


def _count_file(part: AofPart, is_history: bool) -> UnusedFile:
    keys: int | None = 0
    commands = 0
    assert part.source is not None
    for tile in read_tiles(part.source, command_table().names):
        if isinstance(tile, RecordBatch):
            commands += tile.count - tile.ids[: tile.count].count(ANNOTATION)
        elif isinstance(tile, Preamble):
            keys = readable_keys(tile)
    return UnusedFile(part.name, keys, commands, part.size or 0, is_history)
