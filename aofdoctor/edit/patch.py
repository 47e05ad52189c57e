"""The commands that one side of a comparison has and the other lacks, as an AOF that stands alone.

Units are copied as they stand, each after a SELECT of its database; it is
written beside its place, read again, and only then has its name.
"""

import os
from pathlib import Path
from types import TracebackType

from aofdoctor.analysis.diff_side import Run, Side, Unit
from aofdoctor.aof.reader import read
from aofdoctor.aof.record import Batch, encode
from aofdoctor.edit.files import create, demand_free_name, publish_file, scratch, write_all
from aofdoctor.errors import Refused
from aofdoctor.server.commands import table
from aofdoctor.server.plain import State
from aofdoctor.server.plain_units import Kind
from aofdoctor.server.steps import Steps
from aofdoctor.source import FileSource, pread
from aofdoctor.text import name

_PIECE = 1 << 20
_HELD = 1 << 16


class Patch:
    """A patch that is being written; it has its name only after `publish`."""

    def __init__(self, path: Path) -> None:
        demand_free_name(path)
        self.path = path
        self.commands = self.size = self.left_out = 0
        self._held = bytearray()
        self._db: int | None = None

    def __enter__(self) -> "Patch":
        self._scratch = scratch(self.path)
        self._temp = self._scratch.__enter__() / "patch"
        self._fd = create(self._temp)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._fd >= 0:
            os.close(self._fd)
        self._scratch.__exit__(kind, value, trace)

    def add(self, side: Side, run: Run) -> None:
        """Append a run; bytes that are no commands and what no server would run are left out."""
        first, last = run.first, run.last
        if first.kind == Kind.RDB:
            part = name(side.aof.parts[first.part].name)
            raise Refused(
                f"{part} is an RDB that the other side lacks: no commands can be had of it", "--by keys, or verify"
            )
        if first.kind in (Kind.DAMAGE, Kind.UNFINISHED):
            self.left_out += 1
            return
        if self._db != first.db:
            self._write(encode([b"SELECT", b"%d" % first.db]))
        self._copy(side, first, last)
        self.commands += run.commands
        self._db = last.db if last.kind == Kind.COMMAND else None

    def _copy(self, side: Side, first: Unit, last: Unit) -> None:
        source = side.sources[first.part]
        assert source is not None
        for at in range(first.start, last.end, _PIECE):
            self._write(pread(source, min(_PIECE, last.end - at), at))

    def _write(self, data: bytes) -> None:
        self.size += len(data)
        self._held += data
        if len(self._held) >= _HELD:
            write_all(self._fd, bytes(self._held))
            self._held.clear()

    def publish(self) -> None:
        """Make it durable, read it again, and give it its name."""
        write_all(self._fd, bytes(self._held))
        os.fsync(self._fd)
        os.close(self._fd)
        self._fd = -1
        self._check()
        publish_file(self._temp, self.path)

    def _check(self) -> None:
        source, steps, size = FileSource(self._temp), Steps(), 0
        try:
            for tile in read(source, table().words):
                if not isinstance(tile, Batch):
                    raise Refused(f"{name(str(self.path))}: what was written does not read back at {tile.span.start}")
                steps.run(tile)
                size = tile.span.end
        finally:
            source.close()
        if size != self.size or steps.state[State.TX]:
            raise Refused(f"{name(str(self.path))}: what was written does not read back whole")
