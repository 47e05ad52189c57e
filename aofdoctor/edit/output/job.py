"""One output of an edit while it is being written in a scratch directory: files, owners, manifest, progress.

The edit decides which files the output has and which bytes they hold; this module only knows how a finished file is
made durable and given its owner.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from aofdoctor.edit.output.attributes import FileAttributes, Ownership
from aofdoctor.edit.output.durable import write_all

OnBytesDone = Callable[[int], None]  # called with the number of bytes read or written so far
DroppedWriter = Callable[[Path, Ownership], None]  # writes the dropped bytes to a new directory at a path


class NewManifest(NamedTuple):
    """The manifest of an output, with the attributes (owner, mode, ACL) that it and its directory get."""

    name: str
    lines: bytes
    attributes: FileAttributes
    directory_attributes: FileAttributes


@dataclass(slots=True)
class OutputJob:
    """An output of an edit while it is written to its scratch `path`: a file, or a directory that exists already.

    With `may_link` the output will exchange its name with the source, so unchanged files may be hard links.
    """

    path: Path
    ownership: Ownership
    on_progress: OnBytesDone | None = None
    may_link: bool = False
    bytes_done: int = 0

    def path_of(self, name: str) -> Path:
        """The scratch path of the output file called `name`; for a single-file output the path of the output."""
        return output_part(self.path, name)

    def add_progress(self, size: int) -> None:
        """Report that `size` more bytes have been written."""
        self.bytes_done += size
        if self.on_progress:
            self.on_progress(self.bytes_done)

    def write_manifest(self, manifest: NewManifest) -> None:
        """Write the manifest to the output directory, and give the directory its attributes."""
        with self.ownership.new_file(self.path / manifest.name, manifest.attributes) as fd:
            write_all(fd, manifest.lines)
        self.ownership.copy_to_directory(self.path, manifest.directory_attributes)


def output_part(output: Path, name: str) -> Path:
    """The path of one file of an output: inside its directory, or the output itself if it is a single file."""
    return output / name if output.is_dir() else output
