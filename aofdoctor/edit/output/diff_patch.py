"""Write the commands that only one of two compared AOFs has to a new AOF, which loads on its own.

Commands are copied unchanged, each after a SELECT of its database; a transaction is copied whole if any command of it
is selected. Keys of an RDB become the commands that recreate them. The file is written under a temporary name, read
back, and only then gets its name.
"""

import os
from pathlib import Path
from types import TracebackType

from aofdoctor.aof.reader import read_tiles
from aofdoctor.aof.records import RecordBatch
from aofdoctor.diff.units.columns import UnitKind
from aofdoctor.diff.units.rdb_selection import RdbUnitSelection
from aofdoctor.diff.units.unit import UnitRun
from aofdoctor.diff.units.unit_commands import RecordSpan, selected_spans
from aofdoctor.edit.output.durable import (
    create_file,
    rename_file_into_place,
    require_free_name,
    write_all,
)
from aofdoctor.edit.output.interrupted import clean_up, scratch_directory
from aofdoctor.edit.output.verify_copy import open_written
from aofdoctor.errors import RefusedEdit
from aofdoctor.rdb.export.resp import encode_commands
from aofdoctor.resp import encode_command
from aofdoctor.server.command_table import command_table
from aofdoctor.server.context.fields import ContextField
from aofdoctor.server.context.tracker import ContextTracker
from aofdoctor.source import pread
from aofdoctor.span import Span
from aofdoctor.text import display_path

_PIECE = 1 << 20
_BUFFER_MAX = 1 << 16
_HINT = "leave its keys out by --key or --db, or compare --by keys"


class DiffPatch:
    """The new AOF of the commands that only one of two compared AOFs has, while it is being written.

    It gets its name in `rename_into_place`.
    """

    def __init__(self, path: Path, selection: RdbUnitSelection) -> None:
        clean_up(path)
        require_free_name(path)
        self.path, self.selection = path, selection
        self.commands = self.size = self.omitted_units = 0
        self._buffer = bytearray()
        self._db: int | None = None

    def __enter__(self) -> "DiffPatch":
        self._scratch = scratch_directory(self.path)
        self._temp = self._scratch.__enter__() / "patch"
        self._fd = create_file(self._temp)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._fd >= 0:
            os.close(self._fd)
        self._scratch.__exit__(kind, value, trace)

    def add(self, run: UnitRun) -> None:
        """Append the selected commands of a run that only one AOF has, without damage and unfinished transactions."""
        first, last, chosen = run.first, run.last, self.selection
        if first.kind == UnitKind.RDB and chosen.includes_bytes(first):
            place = f"{display_path(chosen.side.aof.parts[first.part].name)}@{first.start}"
            raise RefusedEdit(f"{place}: no command says {chosen.describe(first)}, which the other side lacks", _HINT)
        if run.is_opaque or first.kind == UnitKind.UNFINISHED:
            self.omitted_units += chosen.includes_bytes(first)
        elif run.is_from_rdb:
            self._add_rdb_commands(run)
        elif chosen.selection.selects_all:
            self._append(RecordSpan(first.part, Span(first.start, last.end), first.db, run.commands),
                         last.db if last.kind == UnitKind.COMMAND else None)  # fmt: skip
        else:
            for stretch in selected_spans(chosen.side, run, chosen.selection):
                self._append(stretch, stretch.db if stretch.is_single_command else None)

    def _add_rdb_commands(self, run: UnitRun) -> None:
        """Append the commands that recreate the keys of an RDB."""
        for exported in self.selection.commands(run):
            assert isinstance(exported.command, list)
            self._select(exported.db)
            for piece in encode_commands([exported.command]):
                self._write(piece if isinstance(piece, bytes) else b"")
            self.commands += 1

    def _append(self, stretch: RecordSpan, db: int | None) -> None:
        """Append commands unchanged; `db` is the database selected after them, None if that is not certain."""
        self._select(stretch.db)
        self._copy(stretch)
        self.commands += stretch.commands
        self._db = db

    def _select(self, db: int) -> None:
        if self._db != db:
            self._write(encode_command([b"SELECT", b"%d" % db]))
        self._db = db

    def _copy(self, stretch: RecordSpan) -> None:
        source = self.selection.side.sources[stretch.part]
        assert source is not None
        for at in range(stretch.span.start, stretch.span.end, _PIECE):
            self._write(pread(source, min(_PIECE, stretch.span.end - at), at))

    def _write(self, data: bytes) -> None:
        self.size += len(data)
        self._buffer += data
        if len(self._buffer) >= _BUFFER_MAX:
            write_all(self._fd, bytes(self._buffer))
            self._buffer.clear()

    def rename_into_place(self) -> None:
        """Sync the finished patch file to disk, read it back, and rename it to its final name."""
        write_all(self._fd, bytes(self._buffer))
        os.fsync(self._fd)
        os.close(self._fd)
        self._fd = -1
        self._check()
        rename_file_into_place(self._temp, self.path)

    def _check(self) -> None:
        """Raise RefusedEdit unless the patch file reads back as whole commands, with no open transaction."""
        source, tracker, size = open_written(self._temp), ContextTracker(), 0
        try:
            for tile in read_tiles(source, command_table().names):
                if not isinstance(tile, RecordBatch):
                    raise RefusedEdit(
                        f"{display_path(str(self.path))}: what was written does not read back at {tile.span.start}"
                    )
                tracker.track(tile)
                size = tile.span.end
        finally:
            source.close()
        if size != self.size or tracker.state[ContextField.TX]:
            raise RefusedEdit(f"{display_path(str(self.path))}: what was written does not read back whole")
