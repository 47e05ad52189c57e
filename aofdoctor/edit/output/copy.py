"""A plan to new files: copied beside their place, on disk, read again, and only then named.

Interrupted or killed at any point, nothing stands under the final name and the
source is as it was.
"""

import os
from collections.abc import Iterable, Iterator
from itertools import groupby
from pathlib import Path

from aofdoctor import text
from aofdoctor.aof.manifest import changed_entry_line
from aofdoctor.aof.model import AOF, AofPart
from aofdoctor.aof.patched_source import PatchedSource
from aofdoctor.edit.output.dropped import write_dropped
from aofdoctor.edit.output.durable import (  # fmt: skip
    batch_small_spans,
    copy_span,
    create_file,
    json_bytes,
    require_free_name,
    require_space,
    scratch_directory,
    write_all,
    write_durably,
)
from aofdoctor.edit.output.fingerprint import Fingerprint, fingerprint_fd, neighbourhood_sha256
from aofdoctor.edit.output.receipt import (
    OnBytesWritten,
    OutputVerifier,
    Ownership,
    Receipt,
    exchange_json,
    growth_warning,
    outputs_json,
    receipt_header_json,
    rename_into_place,
)
from aofdoctor.edit.output.verify_copy import count_commands, require_same_bytes, require_size
from aofdoctor.edit.plan import Plan, remaining_spans
from aofdoctor.errors import RefusedEdit
from aofdoctor.source import FileSource
from aofdoctor.span import Span


def write_copy(
    plan: Plan,
    output: Path,
    progress: OnBytesWritten | None = None,
    verifier: OutputVerifier | None = None,
    full_hash: bool = False,
    exchange_with: Path | None = None,
) -> Receipt:
    """Carry out a plan into a new file (a single AOF) or directory (a multi part one).

    `proof` is shown the finished copy before it has its name, and raises where it
    may not have it; with `whole_hash` the receipt has a hash of every byte.
    `instead_of`: what the copy will exchange its name with, as the receipt says.
    """
    if output.exists() and output.samefile(Path()):
        raise RefusedEdit("the output cannot be the directory that you are in", "name a new file or directory")
    job = _CopyJob(plan, output, progress, allow_hard_links=exchange_with is not None)
    receipt_path = output.with_name(output.name + ".receipt.json")
    dropped_path = output.with_name(output.name + ".lost") if plan.keep_dropped and plan.dropped_bytes else None
    require_free_name(output, directory=plan.aof.layout == "multi-part")
    require_free_name(receipt_path)
    if dropped_path:
        require_free_name(dropped_path)
    room = plan.size - plan.dropped_bytes - (job.linked_size() if exchange_with else 0)
    require_space(output.absolute().parent, room + (plan.dropped_bytes if dropped_path else 0))
    receipt = Receipt(output, receipt_path, dropped_path, job.warnings)
    with scratch_directory(output) as folder:
        sources = [
            fingerprint_fd(AOF.require_file(part).fd, Path(AOF.require_file(part).path), full_hash)
            for part in plan.aof.existing_parts
        ]
        made = job.write_output(folder)
        finished = [(made, output)]
        if dropped_path:
            finished.append((job.write_dropped(folder), dropped_path))
        job.check(made)
        if verifier:
            verifier(made)
        body = _receipt_json(plan, receipt, sources, made, full_hash)
        if exchange_with:
            body |= exchange_json(plan.aof, receipt, exchange_with, full_hash)
        write_durably(folder / "receipt", json_bytes(body))
        rename_into_place([*finished, (folder / "receipt", receipt_path)])
    return receipt


class _CopyJob:
    def __init__(self, plan: Plan, output: Path, progress: OnBytesWritten | None, allow_hard_links: bool) -> None:
        self.plan, self.output, self.progress, self.allow_hard_links = plan, output, progress, allow_hard_links
        self.warnings: list[str] = []
        self.ownership = Ownership(output, self.warnings)
        self.bytes_copied = 0

    # -- making --

    def write_output(self, folder: Path) -> Path:
        """The new AOF inside a scratch directory: a file, or a directory."""
        aof = self.plan.aof
        if aof.layout != "multi-part":
            made = folder / "aof"
            self._write_parts({0: made})
            return made
        made = folder / "set"
        made.mkdir(mode=0o700)
        self._write_parts({i: made / part.name for i, part in enumerate(aof.parts)
                           if part.exists and i not in self.plan.omitted_parts})  # fmt: skip
        assert aof.manifest_path is not None
        assert aof.directory is not None
        manifest = made / aof.manifest_path.name
        fd = create_file(manifest)
        try:
            write_all(fd, b"".join(self._manifest_lines()))
            self.ownership.copy_to(fd, self._owner_of_manifest(aof.manifest_path), manifest)
            os.fsync(fd)
        finally:
            os.close(fd)
        self.ownership.copy_to_directory(made, os.stat(aof.directory))
        return made

    def write_dropped(self, folder: Path) -> Path:
        """What goes, as files of its own, with a map."""
        write_dropped(self.plan, folder / "lost", self.ownership.copy_to)
        return folder / "lost"

    def _write_parts(self, targets: dict[int, Path]) -> None:
        """Copy what stays of each part; a part with no drop is copied whole."""
        for index, spans in _remaining_spans_by_part(self.plan, targets):
            part = self.plan.aof.parts[index]
            if not (
                self.allow_hard_links and index != max(targets) and self._try_hard_link(index, part, targets[index])
            ):
                self._write_part(part, spans, targets[index])

    def linked_size(self) -> int:
        """The bytes of the parts that need no room: those that stay as they are, but for the last."""
        parts = self.plan.aof.parts
        return sum(part.size or 0 for i, part in enumerate(parts[:-1]) if i not in self.plan.changed_parts)

    def _try_hard_link(self, index: int, part: AofPart, target: Path) -> bool:
        """True if a part that stays as it is could get a second name: no server writes into any but the last."""
        if index in self.plan.changed_parts:
            return False
        try:
            os.link(os.path.realpath(AOF.require_file(part).path), target)
        except OSError:
            return False
        return True

    def _write_part(self, part: AofPart, spans: Iterator[Span], target: Path) -> None:
        source = _editable_source(part)
        fd = create_file(target)
        try:
            for piece in batch_small_spans(source, spans):
                if isinstance(piece, Span):
                    copy_span(source, piece, fd)
                    self.bytes_copied += piece.size
                else:
                    write_all(fd, piece)
                    self.bytes_copied += len(piece)
                if self.progress:
                    self.progress(self.bytes_copied)
            self.ownership.copy_to(fd, AOF.require_file(part).stat, target)
            os.fsync(fd)
        finally:
            os.close(fd)

    def _manifest_lines(self) -> Iterator[bytes]:
        """The source's own lines of the parts that stay; of a changed part without its endoffset."""
        aof = self.plan.aof
        assert aof.manifest is not None
        changed = {aof.parts[i].name for i in self.plan.changed_parts}
        kept_names = [part.name for i, part in enumerate(aof.parts) if part.exists and i not in self.plan.omitted_parts]
        for entry in aof.manifest.load_order:
            name = os.fsdecode(entry.name)
            if name in kept_names:
                yield changed_entry_line(entry, entry.name) if name in changed else entry.raw

    def _owner_of_manifest(self, path: Path) -> os.stat_result:
        """Whose the manifest was; of one that is made anew, whose the parts are."""
        return os.stat(path) if path.exists() else AOF.require_file(self.plan.aof.existing_parts[0]).stat

    # -- reading again --

    def check(self, made: Path) -> None:
        """The output holds exactly what the plan keeps, byte for byte, and as many commands as it says."""
        plan, commands = self.plan, 0
        kept_parts = [i for i, part in enumerate(plan.aof.parts) if part.exists and i not in plan.omitted_parts]
        for index, spans in _remaining_spans_by_part(plan, kept_parts):
            part = plan.aof.parts[index]
            written = FileSource(made / part.name if made.is_dir() else made)
            try:
                require_size(
                    written, require_same_bytes(_editable_source(part), _require_readable(part, spans), written)
                )
                commands += count_commands(written)
            finally:
                written.close()
        expected = plan.commands_before + plan.commands_regained - plan.dropped_commands
        if commands != expected and not plan.leaves_damage:
            raise RefusedEdit(f"the copy reads back with {commands:,} commands, not {expected:,}: it is not kept")
        for part in plan.aof.existing_parts:
            if warning := growth_warning(AOF.require_file(part)):
                self.warnings.append(warning)


def _remaining_spans_by_part(plan: Plan, indexes: Iterable[int]) -> Iterator[tuple[int, Iterator[Span]]]:
    """(place, what stays) of some parts in load order; one is gone through before the next is asked for."""
    groups = groupby(plan.drops(), key=lambda drop: drop.part)
    pending = next(groups, None)
    for index in indexes:
        while pending and pending[0] < index:
            pending = next(groups, None)
        mine = pending[1] if pending and pending[0] == index else iter(())
        yield index, remaining_spans(mine, index, _editable_source(plan.aof.parts[index]).size)


def _editable_source(part: AofPart) -> FileSource | PatchedSource:
    if not isinstance(part.source, FileSource | PatchedSource):
        raise RefusedEdit("only files can be edited, not a pipe", "save it to a file first")
    return part.source


def _require_readable(part: AofPart, spans: Iterator[Span]) -> Iterator[Span]:
    """The spans; Refused where the disk did not give all of one."""
    source = _editable_source(part)
    for span in spans:
        if isinstance(source, FileSource) and (hole := source.first_unreadable(span)):
            raise RefusedEdit(
                f"the disk does not give the bytes of {text.display_path(source.path)} from {hole.start} to {hole.end}: "
                "the copy is not kept",
                "aofdoctor repair --salvage goes on with the rest",
            )
        yield span


def _receipt_json(
    plan: Plan, receipt: Receipt, sources: list[Fingerprint], made: Path, full_hash: bool
) -> dict[str, object]:
    """`made` is the finished output under the name that it has so far."""
    return {
        **receipt_header_json(plan.verb),
        "source": [source.as_json() for source in sources],
        "output": outputs_json(made, receipt.output, full_hash),
        # A copy takes nothing away: what went is still in the source.
        "removed_kept_in": [str(path) for path in (receipt.dropped_path, plan.aof.path) if path],
        **plan.totals_json(),
        "dropped": _dropped_json(plan), "dropped_listed": len(plan.listed_drops), "dropped_ranges": plan.drop_count,
        **plan.reconstructions_json(),
    }  # fmt: skip


def _dropped_json(plan: Plan) -> list[dict[str, object]]:
    """The drops with the hash of the bytes around each, in the source as it is."""
    sources = [AOF.require_file(plan.aof.parts[drop.part]) for drop in plan.listed_drops]
    return [
        shown | {"around": neighbourhood_sha256(source.fd, plan.span_in_file(drop), (), source.size)}
        for drop, shown, source in zip(plan.listed_drops, plan.listed_drops_json(), sources, strict=True)
    ]
