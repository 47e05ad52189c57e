"""MODEL"""

from dataclasses import dataclass, field
from pathlib import Path

from aofdoctor.aof.manifest import Manifest
from aofdoctor.aof.patched_source import PatchedSource
from aofdoctor.errors import RefusedEdit
from aofdoctor.source import FileSource, Source


@dataclass(slots=True)
class AofPart:
    """One file of an AOF; `source` is None where it is missing.

    `listed`: the manifest names it.  `extra`: the manifest's pairs that 7.0 does
    not know (startoffset, endoffset).
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
        """True if its file is there, and a file."""
        return self.source is not None

    @property
    def size(self) -> int | None:
        """Its bytes at open; None where it is missing, or a pipe that has not ended."""
        return self.source.size if self.source else None


@dataclass(slots=True)
class AOF:
    """An AOF as it was at open; `layout` is single, multi-part or rdb.

    `parts` are in load order; `history` and `strays` are other files of the set:
    history files that the manifest lists, and files that it does not.
    `leftovers` are names beside it that are evidence: temp files, dump.rdb.
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

    @property
    def existing_parts(self) -> list[AofPart]:
        """The parts that are there."""
        return [part for part in self.parts if part.exists]

    def find_parts(self, name: str) -> list[AofPart]:
        """The parts whose name holds `name`; the one that is it, if one is."""
        all_files = [*self.parts, *self.history, *self.unlisted]
        exact = [part for part in all_files if part.name == name]
        return exact or [part for part in all_files if name in part.name]

    def raise_on_read_errors(self) -> None:
        """From here on bytes that the disk does not give are an error, and no damage."""
        for part in [*self.parts, *self.history, *self.unlisted]:
            if isinstance(part.source, FileSource):
                part.source.raise_on_read_errors()

    def read_all_payloads(self) -> None:
        """From here on payloads are read too that could be stepped over: the disk may not give them."""
        for part in self.parts:
            if isinstance(part.source, FileSource):
                part.source.read_payloads = True

    def close(self) -> None:
        """Close the files of all parts."""
        for part in [*self.parts, *self.history, *self.unlisted]:
            if isinstance(part.source, FileSource | PatchedSource):
                self.require_file(part).close()

    @staticmethod
    def require_file(part: AofPart) -> FileSource:
        """The file behind a part."""
        if isinstance(part.source, PatchedSource):
            return part.source.file
        if not isinstance(part.source, FileSource):
            raise RefusedEdit("only files can be edited, not a pipe", "save it to a file first")
        return part.source
