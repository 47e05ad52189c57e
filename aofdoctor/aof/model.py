"""The data model of an opened AOF: its files in load order, and other files that belong to it."""

from dataclasses import dataclass, field
from pathlib import Path

from aofdoctor.aof.manifest import Manifest
from aofdoctor.aof.patched_source import PatchedSource
from aofdoctor.errors import RefusedEdit
from aofdoctor.source import FileSource, Source


@dataclass(slots=True)
class AofPart:
    """One file of an AOF; `source`, from which its bytes are read, is None if the file is missing.

    `type` is base, incr, history or single.  `seq` is its number in the manifest.
    `listed`: the manifest contains the file.  `extra` holds the fields of its manifest
    line that Redis 7.0 does not know (startoffset, endoffset).
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
        """Whether the file exists and is a regular file or a pipe."""
        return self.source is not None

    @property
    def size(self) -> int | None:
        """The size of the file in bytes when it was opened; None for a missing file and an unfinished pipe."""
        return self.source.size if self.source else None


@dataclass(slots=True)
class AOF:
    """An opened AOF and its files; `layout` is single (one file), multi-part (a manifest) or rdb (a dump file).

    `parts` are the files that a server loads, in load order.  `history` are the
    history files of the manifest.  `unlisted` are files named like base or
    incremental files that the manifest does not list.  `leftovers` are paths of files
    nearby that can hold earlier data: temporary files, dump.rdb.  `other_sets` are
    paths of other AOFs in the same data directory: a manifest or a file of each.
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
        """The files that a server loads, in load order, without the missing ones."""
        return [part for part in self.parts if part.exists]

    def find_parts(self, name: str) -> list[AofPart]:
        """Return the files of the AOF with exactly this name or, if there are none, with a name that contains it."""
        all_files = [*self.parts, *self.history, *self.unlisted]
        exact = [part for part in all_files if part.name == name]
        return exact or [part for part in all_files if name in part.name]

    def raise_on_read_errors(self) -> None:
        """Make all reads raise OSError for bytes that the disk cannot read, instead of reporting damage."""
        for part in [*self.parts, *self.history, *self.unlisted]:
            if isinstance(part.source, FileSource):
                part.source.raise_on_read_errors()

    def read_all_payloads(self) -> None:
        """Make readers of the AOF also read large arguments that they could skip, to find unreadable disk sectors."""
        for part in self.parts:
            if isinstance(part.source, FileSource):
                part.source.read_payloads = True

    def close(self) -> None:
        """Close all files of the AOF."""
        for part in [*self.parts, *self.history, *self.unlisted]:
            if isinstance(part.source, FileSource | PatchedSource):
                self.require_file(part).close()

    @staticmethod
    def require_file(part: AofPart) -> FileSource:
        """Return the FileSource behind a file of the AOF; raises RefusedEdit if the AOF is read from a pipe."""
        if isinstance(part.source, PatchedSource):
            return part.source.file
        if not isinstance(part.source, FileSource):
            raise RefusedEdit("only files can be edited, not a pipe", "save it to a file first")
        return part.source
