"""The data model of an opened AOF: its files in load order, and other files that belong to it."""

from dataclasses import dataclass, field
from pathlib import Path

from aofdoctor.aof.manifest import Manifest
from aofdoctor.aof.patched_source import PatchedSource
from aofdoctor.errors import RefusedEdit
from aofdoctor.source import FileSource, Source


@dataclass(slots=True)
class AofPart:
    """One file of an AOF; `source` is None if the file is missing.

    `type` is base, incr, history or single.  `listed`: the manifest names it.
    `extra` holds the fields of its manifest line that Redis 7.0 does not know
    (startoffset, endoffset).
    """

    name: str
    type: str
    seq: int
    path: Path | None
    source: Source | None
    listed: bool = True
    extra: tuple[tuple[bytes, bytes], ...] = ()

    @property
    def exists(self) -> bool:
        """True if it exists and is a regular file or a pipe."""
        return self.source is not None

    @property
    def size(self) -> int | None:
        """The size in bytes when it was opened; None if it is missing, or a pipe that has not ended."""
        return self.source.size if self.source else None


@dataclass(slots=True)
class AOF:
    """An AOF when it was opened; `layout` is single, multi-part or rdb.

    `parts` are in load order.  `history` are the history files of the manifest,
    `unlisted` are files with the name pattern of a part that the manifest does not
    list.  `leftovers` are paths of other evidence nearby: temporary files, dump.rdb.
    `other_sets` are the entry points of other AOFs in the same data directory.
    """

    path: str
    layout: str
    directory: Path | None
    parts: list[AofPart]
    manifest_path: Path | None = None
    manifest: Manifest | None = None
    history: list[AofPart] = field(default_factory=list)
    unlisted: list[AofPart] = field(default_factory=list)
    leftovers: list[Path] = field(default_factory=list)
    other_sets: list[Path] = field(default_factory=list)

    @property
    def existing_parts(self) -> list[AofPart]:
        """The parts that are not missing."""
        return [part for part in self.parts if part.exists]

    def find_parts(self, name: str) -> list[AofPart]:
        """Return the files with exactly this name or, if none has it, those with a name that contains it."""
        all_files = [*self.parts, *self.history, *self.unlisted]
        exact = [part for part in all_files if part.name == name]
        return exact or [part for part in all_files if name in part.name]

    def raise_on_read_errors(self) -> None:
        """Raise OSError for unreadable bytes from now on, instead of reporting them as damage."""
        for part in [*self.parts, *self.history, *self.unlisted]:
            if isinstance(part.source, FileSource):
                part.source.raise_on_read_errors()

    def read_all_payloads(self) -> None:
        """Also read large payloads that could be skipped from now on, so that unreadable sectors are found."""
        for part in self.parts:
            if isinstance(part.source, FileSource):
                part.source.read_payloads = True

    def close(self) -> None:
        """Close all files."""
        for part in [*self.parts, *self.history, *self.unlisted]:
            if isinstance(part.source, FileSource | PatchedSource):
                self.require_file(part).close()

    @staticmethod
    def require_file(part: AofPart) -> FileSource:
        """Return the file of a part; raises RefusedEdit for a pipe."""
        if isinstance(part.source, PatchedSource):
            return part.source.file
        if not isinstance(part.source, FileSource):
            raise RefusedEdit("only files can be edited, not a pipe", "save it to a file first")
        return part.source
