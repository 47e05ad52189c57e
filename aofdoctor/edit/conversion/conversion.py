"""A conversion: an edit that makes new bytes, written file by file and counted when it is read back.

A conversion implements `Edit` (edit.py).  Which files it makes, and of which pieces, is decided by its planner
(plan.py); here it is written, checked and described.
"""

import os
from bisect import bisect_left
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aofdoctor import text
from aofdoctor.aof.model import AOF
from aofdoctor.aof.reader import read_tiles
from aofdoctor.aof.records import Preamble, RecordBatch
from aofdoctor.edit.conversion.count_keys import KeyTypeCounts, count_head_keys
from aofdoctor.edit.conversion.duplicate_keys import ResolvedRdb, duplicates_json
from aofdoctor.edit.conversion.loadable import require_loadable
from aofdoctor.edit.conversion.output_file import CopiedSpan, OutputFile
from aofdoctor.edit.conversion.part_summary import PartSummary
from aofdoctor.edit.conversion.rdb_base import ConversionRequest
from aofdoctor.edit.edit import EncodeKey
from aofdoctor.edit.output.job import DroppedWriter, NewManifest, OnBytesDone, OutputJob, output_part
from aofdoctor.edit.output.receipt import Receipt
from aofdoctor.errors import RefusedEdit
from aofdoctor.rdb.conversion import ConversionReport
from aofdoctor.server.command_table import command_table
from aofdoctor.server.versions import VERSIONS
from aofdoctor.source import FileSource

_LOSSES_SHOWN = 3
_DEFAULT_DATABASES = 16  # the number of databases of a server with a default configuration
_ANNOTATIONS_RDB_VERSION = 10  # the RDB version of Redis 7.0, the first that reads annotations


@dataclass(slots=True)
class Conversion:
    """An edit of one AOF that makes new files.

    - `summaries` describe the parts of the source, in load order.
    - `lossy`: leave out what the target cannot represent; otherwise that is refused.
    - `recipe` is the user's request, from which the same conversion can be made again.
    - `files` are the parts of the output; `manifest_lines` are the name and the content of its manifest, or None if
      the output is one file.
    - `server_version` is the version that an RDB base is exported for as commands, or "".
    - `resolved_rdbs` are the RDBs with duplicate keys, by index of the part, as they are read without duplicates.
    - `inserted_commands` is the number of commands put between the parts.
    - `report` and `output_size` are filled while the conversion is written, or by `dry_run`.
    """

    aof: AOF
    request: ConversionRequest
    summaries: list[PartSummary]
    lossy: bool = False
    recipe: dict[str, Any] = field(default_factory=dict)
    files: list[OutputFile] = field(default_factory=list)
    manifest_lines: tuple[str, bytes] | None = None
    report: ConversionReport = field(default_factory=ConversionReport)
    server_version: str = ""
    notes: list[str] = field(default_factory=list)
    inserted_commands: int = 0
    resolved_rdbs: dict[int, ResolvedRdb] = field(default_factory=dict)
    output_size: int = 0

    @property
    def verb(self) -> str:
        """The name of the edit in the receipt."""
        return "convert"

    @property
    def size(self) -> int:
        """The bytes of all parts of the source."""
        return sum(part.size or 0 for part in self.aof.existing_parts)

    @property
    def commands(self) -> int:
        """The number of commands in all parts of the source, without those of an RDB base."""
        return sum(summary.commands for summary in self.summaries)

    @property
    def changes_layout(self) -> bool:
        """True if the requested layout is not the layout of the source."""
        wants_set = self.request.layout == "multi-part"
        return bool(self.request.layout) and wants_set != (self.aof.layout == "multi-part")

    @property
    def without_annotations(self) -> bool:
        """True if annotations are left out, because the target is a server before 7.0, which does not read them."""
        if self.server_version:
            return not VERSIONS[self.server_version].skips_annotations
        return 0 < self.request.rdb_version < _ANNOTATIONS_RDB_VERSION

    @property
    def needs_lossy(self) -> bool:
        """True if something cannot be represented, and the user has not allowed to leave it out."""
        return self.report.loss_count > 0 and not self.lossy

    @property
    def is_counted_by_writing(self) -> bool:
        """True: keys, losses and the new size are counted while the pieces are made."""
        return True

    def dry_run(self, on_progress: OnBytesDone | None) -> None:
        """Make all pieces without writing them, which fills `report` and `output_size`."""
        self._reset_counts()
        done = 0
        for new in self.files:
            for piece in new.pieces():
                done += piece.span.size if isinstance(piece, CopiedSpan) else len(piece)
                if on_progress:
                    on_progress(done)
        self.output_size = done

    def _reset_counts(self) -> None:
        self.report, self.output_size = ConversionReport(), 0

    # -- as JSON --

    def totals_json(self) -> dict[str, Any]:
        """The request and the resulting totals; the same for the same files."""
        report, request = self.report, self.request
        keys = [{"db": db, "type": kind, "count": count} for (db, kind), count in sorted(report.keys.items())]
        return {
            "converted": {
                "base": request.base or None,
                "rdb_version": request.rdb_version or None,
                "layout": request.layout or None,
                "for": self.server_version or None,
                "shift_ms": request.shift_ms,
                "keys": keys,
                "recoded_keys": report.reencoded_keys,
                "moved_commands": report.shifted_commands,
                "bytes": {"before": self.size, "after": self.output_size},
            },
            "inexpressible_count": report.loss_count,
        }

    def saved_json(self) -> dict[str, Any]:
        """What a saved plan says about the result: the totals."""
        return self.totals_json()

    def outcome_json(self, encode_key: EncodeKey) -> dict[str, Any]:
        """The totals, the losses and the notes."""
        return {
            **self.totals_json(),
            "inexpressible": [loss._asdict() | {"key": encode_key(loss.key)} for loss in self.report.losses],
            "notes": self.all_notes(),
            "duplicates": [entry for resolved in self.resolved_rdbs.values()
                           for entry in duplicates_json(resolved.duplicates, self.request.duplicates)],
        }  # fmt: skip

    def all_notes(self) -> list[str]:
        """Sentences for the user: those of the planner, dropped hints, and the number of databases that is needed."""
        notes = [*self.notes]
        notes += [f"left out: {what} ({count:,})" for what, count in self.report.dropped_hints.items()]
        last = max((db for db, _ in self.report.keys), default=0)
        # A server only logs a SELECT out of range; the writes after it go to the database selected before.
        if self.server_version and last >= _DEFAULT_DATABASES:
            notes.append(f"the server needs `databases {last + 1}`: with fewer, keys would land in another database")
        return notes

    # -- the output --

    @property
    def writes_directory(self) -> bool:
        """True if the output is a directory with a manifest."""
        return self.manifest_lines is not None

    @property
    def dropped_writer(self) -> DroppedWriter | None:
        """None: a conversion has no OUT.lost."""
        return None

    def require_exchangeable(self) -> None:
        """Raise RefusedEdit if a server would not find the output under the name of the source."""
        if self.changes_layout:
            raise RefusedEdit("another layout cannot take the place of this one", "write a copy with -o")
        if self.aof.layout == "rdb" and self.request.base == "resp":
            raise RefusedEdit(
                "commands cannot take the place of a dump: a server looks for an RDB there", "write a copy with -o"
            )

    def space_needed(self, may_link: bool) -> int:
        """The size of the source, since the size of the output is not known before it is made."""
        return self.size

    def write_parts(self, job: OutputJob) -> None:
        """Write all files, counting on the way."""
        self._reset_counts()
        for new in self.files:
            path = job.path_of(new.name)
            new.write(path, job)
            self.output_size += path.stat().st_size

    def manifest(self) -> NewManifest:
        """The planned manifest, with the owners of the source's manifest and directory, or else of its file."""
        assert self.manifest_lines is not None
        before, file_status = self.aof.manifest_path, self.files[0].status
        return NewManifest(*self.manifest_lines, os.stat(before) if before else file_status, self._directory_owner())

    def _directory_owner(self) -> os.stat_result:
        """The status of the source's directory; for a single file its own, searchable by all who may read it."""
        if self.aof.layout == "multi-part" and self.aof.directory:
            return os.stat(self.aof.directory)
        status = self.files[0].status
        return os.stat_result((status.st_mode | (status.st_mode & 0o444) >> 2, *status[1:]))

    def check(self, path: Path) -> None:
        """Raise RefusedEdit if something was lost, or unless every byte, key and command reads back."""
        if self.needs_lossy:
            raise RefusedEdit(self._loss_message(), "--lossy leaves it out; without -o the plan lists all of it")
        keys, commands = KeyTypeCounts(), 0
        for new in self.files:
            part_path = output_part(path, new.name)
            new.check(part_path)
            written = FileSource(part_path)
            try:
                commands += _count_commands(written, new.head_size, self.aof.path)
                if new.head_size and (self.request.base or self.request.shift_ms or self.resolved_rdbs):
                    keys += count_head_keys(written, new.head_size)
            finally:
                written.close()
        if keys != self.report.keys:
            raise RefusedEdit(
                f"the copy reads back with {text.format_count(keys.total(), 'key')} of its base, "
                f"not {self.report.keys.total():,}: it is not kept"
            )
        expected = self.commands + self.inserted_commands
        if commands != expected:
            raise RefusedEdit(f"the copy reads back with {commands:,} commands, not {expected:,}: it is not kept")

    def _loss_message(self) -> str:
        report = self.report
        first = "; ".join(
            f"{loss.why} ({text.escape(loss.key[:80]) or loss.type}, db {loss.db})"
            for loss in report.losses[:_LOSSES_SHOWN]
        )
        more = f"; and {report.loss_count - _LOSSES_SHOWN:,} more" if report.loss_count > _LOSSES_SHOWN else ""
        return f"the target cannot represent {text.format_count(report.loss_count, 'thing')}: {first}{more}"

    def receipt_json(self, header: dict[str, Any], exchanged: dict[str, Any], receipt: Receipt) -> dict[str, Any]:
        """The receipt: the header, and the outcome with escaped key names."""
        return header | exchanged | self.outcome_json(text.escape)


def _count_commands(written: FileSource, head_size: int, source_path: str) -> int:
    """The number of commands behind the head of a file; raise RefusedEdit at damage, or if no server loads its RDB."""
    count = 0
    for tile in read_tiles(written, command_table().names):
        if isinstance(tile, RecordBatch):
            in_head = tile.span.end <= head_size
            first = tile.count if in_head else bisect_left(tile.edges, head_size - tile.base, 0, tile.count)
            count += sum(map(bool, tile.argc[first : tile.count]))
        elif not isinstance(tile, Preamble) or not tile.is_intact:
            raise RefusedEdit("the copy is damaged where it is read back: it is not kept")
        else:
            require_loadable(written, tile, source_path)
    return count
