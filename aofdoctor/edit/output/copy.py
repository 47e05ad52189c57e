"""A plan to new files: copied beside their place, on disk, read again, and only then named.

Interrupted or killed at any point, nothing stands under the final name and the
source is as it was.
"""

import os
from collections.abc import Iterable, Iterator
from itertools import groupby
from pathlib import Path

from aofdoctor import text
from aofdoctor.aof.discovery import AOF, AofPart
from aofdoctor.aof.manifest import changed_entry_line
from aofdoctor.aof.patched_source import PatchedSource
from aofdoctor.edit.output.dropped import write_lost
from aofdoctor.edit.output.durable import (  # fmt: skip
    batch_small_spans,
    copy_span,
    create,
    json_bytes,
    require_free_name,
    require_space,
    scratch,
    write_all,
    write_durably,
)
from aofdoctor.edit.output.fingerprint import Fingerprint, fingerprint_of, neighbourhood
from aofdoctor.edit.output.receipt import (
    Ownership,
    Progress,
    Proof,
    Receipt,
    exchange_json,
    growth,
    head_json,
    outputs_json,
    rename_into_place,
)
from aofdoctor.edit.output.verify_copy import commands_in, require_same_bytes, require_size
from aofdoctor.edit.plan import Plan, kept_spans
from aofdoctor.errors import RefusedEdit
from aofdoctor.source import FileSource
from aofdoctor.span import Span


def write_copy(
    plan: Plan, output: Path, progress: Progress | None = None, verifier: Proof | None = None, whole_hash: bool = False,
    instead_of: Path | None = None,
) -> Receipt:  # fmt: skip
    """Carry out a plan into a new file (a single AOF) or directory (a multi part one).

    `proof` is shown the finished copy before it has its name, and raises where it
    may not have it; with `whole_hash` the receipt has a hash of every byte.
    `instead_of`: what the copy will exchange its name with, as the receipt says.
    """
    if output.exists() and output.samefile(Path()):
        raise RefusedEdit("the output cannot be the directory that you are in", "name a new file or directory")
    job = _Job(plan, output, progress, link=instead_of is not None)
    receipt_path = output.with_name(output.name + ".receipt.json")
    lost_path = output.with_name(output.name + ".lost") if plan.keep_lost and plan.dropped_bytes else None
    require_free_name(output, directory=plan.aof.layout == "multi-part")
    require_free_name(receipt_path)
    if lost_path:
        require_free_name(lost_path)
    room = plan.size - plan.dropped_bytes - (job.linked_size() if instead_of else 0)
    require_space(output.absolute().parent, room + (plan.dropped_bytes if lost_path else 0))
    receipt = Receipt(output, receipt_path, lost_path, job.warnings)
    with scratch(output) as folder:
        sources = [
            fingerprint_of(AOF.require_file(part).fd, Path(AOF.require_file(part).path), whole_hash)
            for part in plan.aof.existing_parts
        ]
        made = job.make(folder)
        finished = [(made, output)]
        if lost_path:
            finished.append((job.make_lost(folder), lost_path))
        job.check(made)
        if verifier:
            verifier(made)
        said = _receipt_json(plan, receipt, sources, made, whole_hash)
        if instead_of:
            said |= exchange_json(plan.aof, receipt, instead_of, whole_hash)
        write_durably(folder / "receipt", json_bytes(said))
        rename_into_place([*finished, (folder / "receipt", receipt_path)])
    return receipt


class _Job:
    def __init__(self, plan: Plan, output: Path, progress: Progress | None, link: bool) -> None:
        self.plan, self.output, self.progress, self.link = plan, output, progress, link
        self.warnings: list[str] = []
        self.ownership = Ownership(output, self.warnings)
        self.copied = 0

    # -- making --

    def make(self, folder: Path) -> Path:
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
        fd = create(manifest)
        try:
            write_all(fd, b"".join(self._manifest_lines()))
            self.ownership.copy_to(fd, self._owner_of_manifest(aof.manifest_path), manifest)
            os.fsync(fd)
        finally:
            os.close(fd)
        self.ownership.copy_to_directory(made, os.stat(aof.directory))
        return made

    def make_lost(self, folder: Path) -> Path:
        """What goes, as files of its own, with a map."""
        write_lost(self.plan, folder / "lost", self.ownership.copy_to)
        return folder / "lost"

    def _write_parts(self, targets: dict[int, Path]) -> None:
        """Copy what stays of each part; a part with no drop is copied whole."""
        for index, spans in _kept(self.plan, targets):
            part = self.plan.aof.parts[index]
            if not (self.link and index != max(targets) and self._linked(index, part, targets[index])):
                self._write_part(part, spans, targets[index])

    def linked_size(self) -> int:
        """The bytes of the parts that need no room: those that stay as they are, but for the last."""
        parts = self.plan.aof.parts
        return sum(part.size or 0 for i, part in enumerate(parts[:-1]) if i not in self.plan.changed_parts)

    def _linked(self, index: int, part: AofPart, target: Path) -> bool:
        """True if a part that stays as it is could get a second name: no server writes into any but the last."""
        if index in self.plan.changed_parts:
            return False
        try:
            os.link(os.path.realpath(AOF.require_file(part).path), target)
        except OSError:
            return False
        return True

    def _write_part(self, part: AofPart, spans: Iterator[Span], target: Path) -> None:
        source = _content(part)
        fd = create(target)
        try:
            for piece in batch_small_spans(source, spans):
                if isinstance(piece, Span):
                    copy_span(source, piece, fd)
                    self.copied += piece.size
                else:
                    write_all(fd, piece)
                    self.copied += len(piece)
                if self.progress:
                    self.progress(self.copied)
            self.ownership.copy_to(fd, AOF.require_file(part).stat, target)
            os.fsync(fd)
        finally:
            os.close(fd)

    def _manifest_lines(self) -> Iterator[bytes]:
        """The source's own lines of the parts that stay; of a changed part without its endoffset."""
        aof = self.plan.aof
        assert aof.manifest is not None
        changed = {aof.parts[i].name for i in self.plan.changed_parts}
        kept = [part.name for i, part in enumerate(aof.parts) if part.exists and i not in self.plan.omitted_parts]
        for entry in aof.manifest.load_order:
            name = os.fsdecode(entry.name)
            if name in kept:
                yield changed_entry_line(entry, entry.name) if name in changed else entry.raw

    def _owner_of_manifest(self, path: Path) -> os.stat_result:
        """Whose the manifest was; of one that is made anew, whose the parts are."""
        return os.stat(path) if path.exists() else AOF.require_file(self.plan.aof.existing_parts[0]).stat

    # -- reading again --

    def check(self, made: Path) -> None:
        """The output holds exactly what the plan keeps, byte for byte, and as many commands as it says."""
        plan, commands = self.plan, 0
        kept = [i for i, part in enumerate(plan.aof.parts) if part.exists and i not in plan.omitted_parts]
        for index, spans in _kept(plan, kept):
            part = plan.aof.parts[index]
            written = FileSource(made / part.name if made.is_dir() else made)
            try:
                require_size(written, require_same_bytes(_content(part), _readable(part, spans), written))
                commands += commands_in(written)
            finally:
                written.close()
        expected = plan.commands_before + plan.commands_regained - plan.dropped_commands
        if commands != expected and not plan.damaged:
            raise RefusedEdit(f"the copy reads back with {commands:,} commands, not {expected:,}: it is not kept")
        for part in plan.aof.existing_parts:
            if warning := growth(AOF.require_file(part)):
                self.warnings.append(warning)


def _kept(plan: Plan, indexes: Iterable[int]) -> Iterator[tuple[int, Iterator[Span]]]:
    """(place, what stays) of some parts in load order; one is gone through before the next is asked for."""
    groups = groupby(plan.drops(), key=lambda drop: drop.part)
    pending = next(groups, None)
    for index in indexes:
        while pending and pending[0] < index:
            pending = next(groups, None)
        mine = pending[1] if pending and pending[0] == index else iter(())
        yield index, kept_spans(mine, index, _content(plan.aof.parts[index]).size)


def _content(part: AofPart) -> FileSource | PatchedSource:
    if not isinstance(part.source, FileSource | PatchedSource):
        raise RefusedEdit("only files can be edited, not a pipe", "save it to a file first")
    return part.source


def _readable(part: AofPart, spans: Iterator[Span]) -> Iterator[Span]:
    """The spans; Refused where the disk did not give all of one."""
    source = _content(part)
    for span in spans:
        if isinstance(source, FileSource) and (hole := source.first_unreadable(span)):
            raise RefusedEdit(
                f"the disk does not give the bytes of {text.display_path(source.path)} from {hole.start} to {hole.end}: "
                "the copy is not kept",
                "aofdoctor repair --salvage goes on with the rest",
            )
        yield span


def _receipt_json(
    plan: Plan, receipt: Receipt, sources: list[Fingerprint], made: Path, whole: bool
) -> dict[str, object]:
    """`made` is the finished output under the name that it has so far."""
    return {
        **head_json(plan.verb),
        "source": [source.as_json() for source in sources],
        "output": outputs_json(made, receipt.output, whole),
        # A copy takes nothing away: what went is still in the source.
        "removed_kept_in": [str(path) for path in (receipt.lost, plan.aof.path) if path],
        **plan.totals(),
        "dropped": _dropped_json(plan), "dropped_listed": len(plan.shown), "dropped_ranges": plan.count,
        **plan.mends_json(),
    }  # fmt: skip


def _dropped_json(plan: Plan) -> list[dict[str, object]]:
    """The drops with the hash of the bytes around each, in the source as it is."""
    sources = [AOF.require_file(plan.aof.parts[drop.part]) for drop in plan.shown]
    return [
        shown | {"around": neighbourhood(source.fd, plan.in_file(drop), (), source.size)}
        for drop, shown, source in zip(plan.shown, plan.shown_json(), sources, strict=True)
    ]
