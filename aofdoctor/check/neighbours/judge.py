"""Open the files beside an AOF that a server may have left: temporary files of rewrites and saves, and dump.rdb.

Each is read once.  The number of files and the bytes that are read are limited, so that a directory full of
temporary files costs no more than the AOF itself.
"""

import os
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from aofdoctor.aof.model import AOF
from aofdoctor.check.neighbours.content import FileContent, read_content
from aofdoctor.check.neighbours.live_keys import BYTES_MAX, LiveKeys
from aofdoctor.rdb.preamble import creation_time, is_rdb, read_aux
from aofdoctor.source import FileSource, Source

FILES_MAX = 200
_BUDGET = 256 << 20  # bytes that are read at least, however small the AOF is


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A file beside an AOF and what it holds; `written` is the time in its RDB, or of its last change.

    `keys_only_here` is the number of its keys that the AOF does not have, or None if that was not compared.
    """

    path: Path
    content: FileContent
    written: int | None
    keys_only_here: int | None = None

    @property
    def is_temporary(self) -> bool:
        """Whether a server writes files of this name while a rewrite or a save runs."""
        return self.path.name.startswith("temp-")

    @property
    def is_of_rewrite(self) -> bool:
        """Whether a server writes files of this name while it rewrites its AOF."""
        return self.path.name.startswith("temp-rewriteaof")


def reading_budget(aof: AOF) -> int:
    """Return the number of bytes that may be read beside an AOF."""
    return max(_BUDGET, sum(part.size or 0 for part in aof.parts))


def judge_neighbours(aof: AOF) -> list[Neighbour]:
    """Read the files beside an AOF, at most FILES_MAX of them, in the order of their names."""
    budget, compare_budget, neighbours = reading_budget(aof), BYTES_MAX, []
    aof_keys: LiveKeys | None = None
    for path in aof.leftovers[:FILES_MAX]:
        source = _open_regular(path)
        if source is None:
            continue
        try:
            content = read_content(source, budget)
            budget -= 0 if content.kind == "unread" else content.size
            only_here = None
            has_keys = content.keys or (content.commands and path.name.startswith("temp-"))
            if has_keys and content.size <= compare_budget:
                compare_budget -= content.size
                aof_keys = aof_keys or _keys_of(part.source for part in aof.parts)
                only_here = _keys_only_in(source, aof_keys)
            neighbours.append(Neighbour(path, content, _written(source, content), only_here))
        finally:
            source.close()
    return neighbours


def _open_regular(path: Path) -> FileSource | None:
    """Open a regular file, or a link to one; anything else could block, and is skipped like a file that is gone."""
    try:
        return FileSource(path) if stat.S_ISREG(os.stat(path).st_mode) else None
    except OSError:
        return None


def _written(source: FileSource, content: FileContent) -> int | None:
    if content.written is None and content.kind == "unread" and is_rdb(source):
        return creation_time(read_aux(source))
    return content.written


def _keys_of(sources: Iterable[Source | None]) -> LiveKeys | None:
    """Return the keys of files in load order, or None if there are too many to compare."""
    keys, size = LiveKeys(), 0
    for source in sources:
        size += (source.size or 0) if source else 0
        if size > BYTES_MAX or (source and not keys.add_file(source)):
            return None
    return keys


def _keys_only_in(source: Source, others: LiveKeys | None) -> int | None:
    """Return the number of keys of a file that others do not have; None if that cannot be compared."""
    keys = _keys_of([source])
    if keys is None or others is None:
        return None
    return sum(len(names - others.names.get(db, set())) for db, names in keys.names.items())
