"""Read a copy of AOF data back before it gets its final name, and compare it with its source."""

import os
from collections.abc import Iterator
from pathlib import Path

from aofdoctor import text
from aofdoctor.aof.patched_source import PatchedSource
from aofdoctor.aof.reader import read_tiles
from aofdoctor.aof.records import RecordBatch
from aofdoctor.edit.output.durable import batch_small_spans
from aofdoctor.errors import RefusedEdit
from aofdoctor.server.command_table import command_table
from aofdoctor.server.context.fields import ContextField
from aofdoctor.server.context.tracker import ContextTracker
from aofdoctor.source import FileSource, pread
from aofdoctor.span import Span

_COMPARE = 1 << 18


def open_written(path: Path) -> FileSource:
    """Open a file that an edit has just written; bytes of it that cannot be read raise an OSError."""
    written = FileSource(path)
    written.raise_on_read_errors()
    return written


def require_same_bytes(
    source: FileSource | PatchedSource, spans: Iterator[Span], written: FileSource, at: int = 0
) -> int:
    """Compare byte ranges of a source with their copy, which begins at offset `at` of the written file.

    Returns the offset in the written file where the copy ends. Raises RefusedEdit at a difference.
    """
    for piece in batch_small_spans(source, spans):
        for data in _pieces(source, piece):
            if data != os.pread(written.fd, len(data), at):
                raise RefusedEdit(
                    f"the copy differs from {text.display_path(source.path)} at {at} of the copy: it is not kept"
                )
            at += len(data)
    return at


def require_size(written: FileSource, size: int) -> None:
    """Raise RefusedEdit unless the written file has exactly `size` bytes."""
    if size != written.size:
        raise RefusedEdit(f"the copy has {written.size:,} bytes, not {size:,}: it is not kept")


def count_commands(source: FileSource) -> int:
    """The number of whole commands in a written AOF file."""
    tracker = ContextTracker()
    for tile in read_tiles(source, command_table().names):
        if isinstance(tile, RecordBatch):
            tracker.track(tile)
    return tracker.state[ContextField.COMMANDS]


def _pieces(source: FileSource | PatchedSource, piece: bytes | Span) -> Iterator[bytes]:
    if isinstance(piece, bytes):
        yield piece
        return
    for start in range(piece.start, piece.end, _COMPARE):
        yield pread(source, min(_COMPARE, piece.end - start), start)
