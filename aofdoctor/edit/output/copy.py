"""Copy the files of an AOF without the bytes that a plan drops, and compare the copies with their source.

Large ranges are copied by the kernel, small ones are collected into larger writes. Why bytes are dropped, and the final
name of the copy, is not known here.
"""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from aofdoctor import text
from aofdoctor.aof.manifest import changed_entry_line
from aofdoctor.aof.model import AOF, AofPart
from aofdoctor.aof.patched_source import PatchedSource
from aofdoctor.edit.drops import DropFactory, remaining_spans
from aofdoctor.edit.output.attributes import attributes_of, attributes_of_part
from aofdoctor.edit.output.durable import batch_small_spans, copy_span, write_all
from aofdoctor.edit.output.job import NewManifest, OutputJob, output_part
from aofdoctor.edit.output.verify_copy import count_commands, open_written, require_same_bytes, require_size
from aofdoctor.errors import RefusedEdit
from aofdoctor.source import FileSource
from aofdoctor.span import Span


@dataclass(frozen=True, slots=True)
class KeptBytes:
    """The bytes of an AOF that remain after its dropped ranges are left out; writes and compares copies of them.

    Files are named by their index in load order.
    """

    aof: AOF
    drops: DropFactory
    omitted_parts: frozenset[int]
    changed_parts: frozenset[int]

    def write(self, job: OutputJob) -> None:
        """Write the kept bytes of each file to the copy; an unchanged file, except the last, may become a hard link."""
        targets = self._part_indexes()
        for index, spans in self._remaining_spans(targets):
            part = self.aof.parts[index]
            target = job.path_of(part.name)
            if not (job.may_link and index != max(targets) and self._try_hard_link(index, part, target)):
                _write_part(job, part, spans, target)

    def manifest(self) -> NewManifest:
        """The manifest of the copy: the lines of the copied files, without the field endoffset for changed files."""
        aof = self.aof
        assert aof.manifest_path is not None
        assert aof.directory is not None
        # A rebuilt manifest has no old file: it gets the attributes of an AOF file.
        exists = aof.manifest_path.exists()
        attributes = attributes_of(aof.manifest_path) if exists else attributes_of_part(aof.existing_parts[0])
        lines = b"".join(self._manifest_lines())
        return NewManifest(aof.manifest_path.name, lines, attributes, attributes_of(aof.directory))

    def count_verified_commands(self, output: Path) -> int:
        """Compare a written copy with the bytes that it should have, and return its number of commands.

        Raises RefusedEdit at a difference.
        """
        commands = 0
        for index, spans in self._remaining_spans(self._part_indexes()):
            part = self.aof.parts[index]
            written = open_written(output_part(output, part.name))
            try:
                end = require_same_bytes(_editable_source(part), _require_readable(part, spans), written)
                require_size(written, end)
                commands += count_commands(written)
            finally:
                written.close()
        return commands

    def linkable_size(self) -> int:
        """The size in bytes of the files that can be hard links in the copy: unchanged ones except the last."""
        return sum(part.size or 0 for i, part in enumerate(self.aof.parts[:-1]) if i not in self.changed_parts)

    def _part_indexes(self) -> list[int]:
        """The indexes (in load order) of the source files that the copy has."""
        return [i for i, part in enumerate(self.aof.parts) if part.exists and i not in self.omitted_parts]

    def _remaining_spans(self, indexes: Iterable[int]) -> Iterator[tuple[int, Iterator[Span]]]:
        """Yield (file index, remaining byte ranges of the file) in load order.

        The ranges must be used before the next file is requested.
        """
        groups = groupby(self.drops(), key=lambda drop: drop.part)
        pending = next(groups, None)
        for index in indexes:
            while pending and pending[0] < index:
                pending = next(groups, None)
            drops = pending[1] if pending and pending[0] == index else iter(())
            yield index, remaining_spans(drops, index, _editable_source(self.aof.parts[index]).size)

    def _try_hard_link(self, index: int, part: AofPart, target: Path) -> bool:
        """Create a hard link to an unchanged file as its copy; false if that is not possible.

        A server writes only to the last file, so a link to any other file is safe.
        """
        if index in self.changed_parts:
            return False
        try:
            os.link(os.path.realpath(AOF.require_file(part).path), target)
        except OSError:
            return False
        return True

    def _manifest_lines(self) -> Iterator[bytes]:
        assert self.aof.manifest is not None
        changed = {self.aof.parts[i].name for i in self.changed_parts}
        kept = {self.aof.parts[i].name for i in self._part_indexes()}
        for entry in self.aof.manifest.load_order:
            name = os.fsdecode(entry.name)
            if name in kept:
                yield changed_entry_line(entry, entry.name) if name in changed else entry.raw


def _write_part(job: OutputJob, part: AofPart, spans: Iterator[Span], target: Path) -> None:
    source = _editable_source(part)
    with job.ownership.new_file(target, attributes_of_part(part)) as fd:
        for piece in batch_small_spans(source, spans):
            if isinstance(piece, Span):
                copy_span(source, piece, fd)
                job.add_progress(piece.size)
            else:
                write_all(fd, piece)
                job.add_progress(len(piece))


def _editable_source(part: AofPart) -> FileSource | PatchedSource:
    if not isinstance(part.source, FileSource | PatchedSource):
        raise RefusedEdit("only files can be edited, not a pipe", "save it to a file first")
    return part.source


def _require_readable(part: AofPart, spans: Iterator[Span]) -> Iterator[Span]:
    """Yield the byte ranges unchanged; raise RefusedEdit at one that has unreadable disk sectors."""
    source = _editable_source(part)
    for span in spans:
        if isinstance(source, FileSource) and (hole := source.first_unreadable(span)):
            raise RefusedEdit(
                f"the disk does not give the bytes of {text.display_path(source.path)} "
                f"from {hole.start} to {hole.end}: the copy is not kept",
                "aofdoctor repair --salvage goes on with the rest",
            )
        yield span
