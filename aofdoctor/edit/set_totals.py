"""Count what an edit keeps of a whole AOF: the keys of its RDBs, and the files that the edit does not use.

A share in percent is honest only if it covers everything that was found: the keys of base files, and files that no
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
        """Whether the edit loses keys of this RDB, or may lose some because a number is unknown."""
        return self.before is None or self.after is None or self.after < self.before


@dataclass(slots=True)
class KeyTotals:
    """The numbers of keys in the RDBs of an AOF before and after an edit, by index of the file in load order.

    `is_counted` is false if the files were not read from their start.
    """

    by_part: dict[int, RdbKeys] = field(default_factory=dict)
    is_counted: bool = True

    @classmethod
    def unchanged(cls, keys: dict[int, int | None]) -> "KeyTotals":
        """Create the totals of an edit that keeps every RDB as it is, from the number of keys by file index."""
        return cls({index: RdbKeys(count, count) for index, count in keys.items()})

    def drop_part(self, index: int) -> None:
        """Record that the edit drops the whole RDB of the file with this index."""
        if index in self.by_part:
            self.by_part[index] = self.by_part[index]._replace(after=0)

    @property
    def before(self) -> int | None:
        """The number of keys in all RDBs before the edit; None if it is unknown."""
        return _sum(keys.before for keys in self.by_part.values()) if self.is_counted else None

    @property
    def after(self) -> int | None:
        """The number of keys in all RDBs after the edit; None if it is unknown."""
        return _sum(keys.after for keys in self.by_part.values()) if self.is_counted else None

    @property
    def lossy_parts(self) -> list[int]:
        """The indexes of the files with an RDB that loses keys, or may lose some."""
        return [index for index, keys in self.by_part.items() if keys.is_lossy]

    def as_json(self) -> dict[str, int | None]:
        """The numbers of RDB keys as JSON: before, after, dropped and added; an unknown number is null."""
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
    """The number of keys of an RDB; None if the RDB is damaged, or has a value type that cannot be skipped."""
    return rdb.keys if rdb.is_intact else None


class UnusedFile(NamedTuple):
    """A file in the AOF's directory that the output of an edit does not use.

    `keys` is None if their number is unknown. `is_history`: the manifest lists the file as history, so a later base
    contains its data.
    """

    name: str
    keys: int | None
    commands: int
    size: int
    is_history: bool


def unused_files(aof: AOF) -> Iterator[UnusedFile]:
    """Yield the AOF's files that are not among the loaded ones, with their counted keys and commands."""
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
