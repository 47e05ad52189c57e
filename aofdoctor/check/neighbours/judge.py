"""Open the files near an AOF that a server may have left: temporary files of rewrites and saves, and dump.rdb.

Each is read once.  The number of files and the bytes that are read are limited, so that a directory full of temporary
files costs no more than the AOF itself.
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
_BUDGET = 256 << 20  # bytes of files near an AOF that may be read, even if the AOF is smaller


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A temporary file or dump.rdb in the directory of an AOF, and what it holds.

    `written` is the `ctime` of its RDB in unix seconds, or None.  `keys_only_here` is the number of its keys that the
    AOF does not have, or None if they were not compared.
    """

    path: Path
    content: FileContent
    written: int | None
    keys_only_here: int | None = None

    @property
    def is_temporary(self) -> bool:
        """Whether the name is that of a file that a server writes during a rewrite or a save (temp-*)."""
        return self.path.name.startswith("temp-")

    @property
    def is_of_rewrite(self) -> bool:
        """Whether the name is that of a file that a server writes during an AOF rewrite (temp-rewriteaof*)."""
        return self.path.name.startswith("temp-rewriteaof")


def reading_budget(aof: AOF) -> int:
    """Return the number of bytes that may be read of files near an AOF: its own size, but at least 256 MiB."""
    return max(_BUDGET, sum(part.size or 0 for part in aof.parts))


def judge_neighbours(aof: AOF) -> list[Neighbour]:
    """Read the temporary files and dump.rdb near an AOF, at most FILES_MAX of them, and return what each holds."""
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
    """Open a regular file, or a link to one; None for anything else, which could block, and for a file that is gone."""
    try:
        return FileSource(path) if stat.S_ISREG(os.stat(path).st_mode) else None
    except OSError:
        return None


def _written(source: FileSource, content: FileContent) -> int | None:
    if content.written is None and content.kind == "unread" and is_rdb(source):
        return creation_time(read_aux(source))
    return content.written


def _keys_of(sources: Iterable[Source | None]) -> LiveKeys | None:
    """Return the names of the keys that some AOF or RDB files hold together, in load order.

    None if there are too many keys or bytes to compare.
    """
    keys, size = LiveKeys(), 0
    for source in sources:
        size += (source.size or 0) if source else 0
        if size > BYTES_MAX or (source and not keys.add_file(source)):
            return None
    return keys


def _keys_only_in(source: Source, others: LiveKeys | None) -> int | None:
    """Return how many keys of an AOF or RDB file are not among the keys `others`; None if that cannot be compared."""
    keys = _keys_of([source])
    if keys is None or others is None:
        return None
    return sum(len(names - others.names.get(db, set())) for db, names in keys.names.items())
