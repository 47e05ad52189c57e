"""Undo an edit in place from its receipt: write overwritten bytes back, or exchange the names again.

Nothing is changed unless the receipt holds only what an edit can have written, its files are AOFs in its directory or
named by the user, and they are as the edit left them.
"""

import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aofdoctor import text
from aofdoctor.aof.discovery import open_aof
from aofdoctor.edit.output.durable import sync_directory
from aofdoctor.edit.output.exchange import swap_names
from aofdoctor.edit.output.fingerprint import (
    Fingerprint,
    fingerprint,
    fingerprint_fd,
    neighbourhood_sha256,
    neighbouring_edits,
)
from aofdoctor.edit.output.in_use import exclusive_fds
from aofdoctor.edit.output.overwrite import write_and_verify
from aofdoctor.edit.output.undoing.receipt_reading import (
    InvalidReceipt,
    RecordedExchange,
    RecordedFile,
    RecordedOverwrites,
    parse_exchange,
    parse_overwrites,
    read_receipt,
)
from aofdoctor.errors import InvalidSelection, RefusedEdit, SourceChanged
from aofdoctor.server.command_table import command_table


@dataclass(frozen=True, slots=True)
class UndoResult:
    """The result of an undo: the files, the number of bytes restored, and the receipt under its new name.

    With `is_changed` false the files had their old content already.
    """

    files: tuple[Path, ...]
    byte_count: int
    receipt: Path
    is_changed: bool


def undo(receipt: Path, named_files: Sequence[Path] = (), force: bool = False) -> UndoResult:
    """Undo the edit in place that a receipt describes: write the old bytes back, or exchange the two names again.

    Also undoes an edit that was interrupted.  The files are next to the receipt or below its directory, or among
    `named_files`.  Raises SourceChanged if a file is not the one that was edited, and RefusedEdit if it is in use,
    unless `force` is given, or if the receipt is not one of an edit in place.
    """
    data = read_receipt(receipt)
    if data["kind"] == "exchange" and named_files:
        raise InvalidSelection("the receipt exchanges names next to it, and takes no FILE", "run undo RECEIPT alone")
    undone = (
        _undo_exchange(receipt, data, force)
        if data["kind"] == "exchange"
        else _undo_overwrite(receipt, data, named_files, force)
    )
    if undone.receipt != receipt and not os.path.lexists(undone.receipt):
        os.rename(receipt, undone.receipt)
        sync_directory(receipt.parent)
        return undone
    return UndoResult(undone.files, undone.byte_count, receipt, undone.is_changed)


def _undone_path(receipt: Path) -> Path:
    """The new path of a receipt file after its edit has been undone."""
    return receipt if receipt.name.endswith(".undone") else receipt.with_name(f"{receipt.name}.undone")


def _require_aof(path: Path) -> None:
    """Raise NotAnAof unless a path is an AOF; it is closed again, so that it can be leased."""
    open_aof(str(path), command_table().names.ids).close()


# -- overwrites --


def _undo_overwrite(receipt: Path, data: dict[str, Any], named_files: Sequence[Path], force: bool) -> UndoResult:
    """Write the overwritten bytes back, after all files of the receipt have been checked."""
    recorded = parse_overwrites(receipt, data)
    paths = _target_paths(receipt, recorded, named_files)
    for path in paths:
        _require_aof(path)
    targets = dict(zip(paths, recorded, strict=True))
    size = 0
    with exclusive_fds(paths, force) as fds:
        if len(set(fds.values())) < len(recorded):
            raise InvalidReceipt(receipt, "it names a file twice")
        for path, target in targets.items():
            _require_unmodified(path, target, fds[path])
        for path, target in targets.items():
            size += _restore(path, target, fds[path])
    return UndoResult(tuple(paths), size, _undone_path(receipt), size > 0)


def _target_paths(receipt: Path, recorded: Sequence[RecordedOverwrites], named_files: Sequence[Path]) -> list[Path]:
    """The path of each file of a receipt: named by the user, next to the receipt, or below its directory."""
    named = {path.name: path for path in named_files}
    if len(recorded) == len(named_files) == 1:
        named = {recorded[0].file.path.name: named_files[0]}
    unknown_names = named.keys() - {target.file.path.name for target in recorded}
    if unknown_names:
        name = text.display_path(min(unknown_names))
        raise InvalidSelection(f"{name} is not a file of this receipt", "name the files that were edited")
    return [named.get(target.file.path.name) or _path_near(receipt, target.file.path) for target in recorded]


def _path_near(receipt: Path, recorded_path: Path) -> Path:
    """The path of a recorded file, if that is in the receipt's directory or below it; raises RefusedEdit otherwise."""
    folder = Path(os.path.realpath(receipt.parent))
    for path in (folder / recorded_path.name, recorded_path):
        if os.path.lexists(path) and Path(os.path.realpath(path)).is_relative_to(folder):
            return Path(os.path.realpath(path))
    raise RefusedEdit(
        f"{text.display_path(str(recorded_path))} is not in the directory of the receipt",
        f"if that is the file that was edited, name it: aofdoctor undo {text.shell_quote(str(receipt))} "
        f"{text.shell_quote(str(recorded_path))}",
    )


def _restore(path: Path, target: RecordedOverwrites, fd: int) -> int:
    """Write the old bytes back where the file does not have them; returns the number of bytes restored."""
    pieces = [(edit.start, edit.old) for edit in target.edits if os.pread(fd, len(edit.old), edit.start) != edit.old]
    write_and_verify(fd, path, pieces)
    if pieces and os.fstat(fd).st_size == target.file.size:
        os.utime(fd, ns=(os.fstat(fd).st_atime_ns, target.file.mtime_ns))
    return sum(len(old) for _, old in pieces)


def _require_unmodified(path: Path, target: RecordedOverwrites, fd: int) -> None:
    """Raise SourceChanged unless a file has the old or new bytes at every overwrite, and the same bytes around."""
    if os.fstat(fd).st_size < target.file.size:
        raise SourceChanged(f"{text.display_path(str(path))} is smaller than it was when it was edited")
    spans = [edit.span for edit in target.edits]
    for n, (edit, around) in enumerate(zip(target.edits, target.around, strict=True)):
        now = os.pread(fd, len(edit.old), edit.start)
        # Each byte is compared on its own: an interrupted edit leaves old bytes after new ones.
        same = len(now) == len(edit.old) and all(b in pair for b, *pair in zip(now, edit.old, edit.new, strict=True))
        if not same or neighbourhood_sha256(fd, edit.span, neighbouring_edits(spans, n), target.file.size) != around:
            raise SourceChanged(
                f"{text.display_path(str(path))} is not what it was when it was edited, near {edit.start}",
                "has it been rewritten or edited since?",
            )


# -- exchanges --


def _undo_exchange(receipt: Path, data: dict[str, Any], force: bool) -> UndoResult:
    """Exchange the names of the old and the edited AOF again.

    The edited AOF then gets a name that ends in .undone if that is free.  The same is done if the names are
    not exchanged, because the edit or an earlier undo was interrupted.
    """
    recorded = parse_exchange(receipt, data)
    is_exchanged = not _has_old_content(recorded)
    if is_exchanged:
        _swap_back(recorded, force)
    _rename_undone(recorded)
    size = sum(path.stat().st_size for path in recorded.sources) if is_exchanged else 0
    return UndoResult(tuple(recorded.sources), size, _undone_path(receipt), is_exchanged)


def _rename_undone(recorded: RecordedExchange) -> None:
    """Give the edited AOF, which has the backup's name now, a name that ends in .undone."""
    undone = recorded.backup.with_name(f"{recorded.backup.name.removesuffix('.before')}.undone")
    is_edited = all(
        os.path.lexists(path) and os.stat(path).st_ino == was.inode
        for path, was in _moved(recorded.outputs, recorded.aof_path, recorded.backup).items()
    )
    if is_edited and not os.path.lexists(undone):
        with suppress(FileNotFoundError):
            os.rename(recorded.backup, undone)
        sync_directory(undone.parent)


def _swap_back(recorded: RecordedExchange, force: bool) -> None:
    """Exchange the names of an AOF and its backup again.

    Raises SourceChanged if a file is not what it was after the edit, NotAnAof if either is not an AOF, and RefusedEdit
    if a file is in use.
    """
    for path in (recorded.aof_path, recorded.backup):
        _require_aof(path)
    kept = _moved(recorded.sources, recorded.aof_path, recorded.backup)
    for path, was in kept.items():
        kept_path = _kept_path(path, recorded)
        _require_same(path, was, fingerprint(kept_path, path, is_evidence=not was.head_sha256))
    # Opening a held file would wait for its lease, so it is read through the descriptor.
    with exclusive_fds(recorded.outputs, force) as held:
        for path, was in recorded.outputs.items():
            _require_same(path, was, fingerprint_fd(held[path], path))
        _require_no_extra_files(recorded)
        swap_names(recorded.aof_path, recorded.backup)


def _kept_path(path: Path, recorded: RecordedExchange) -> Path:
    """The path of a kept file; an absolute link into the AOF's place leads to the new file until the names are back."""
    if path.is_symlink():
        target = Path(os.readlink(path))
        if target.is_absolute() and target.is_relative_to(recorded.aof_path):
            return recorded.backup / target.relative_to(recorded.aof_path)
    return path


def _moved(files: dict[Path, RecordedFile], place: Path, new_place: Path) -> dict[Path, RecordedFile]:
    """The files with another path in the place of the AOF's."""
    return {new_place / path.relative_to(place): was for path, was in files.items()}


def _has_old_content(recorded: RecordedExchange) -> bool:
    """Whether the AOF has its old files: it was never exchanged, or that has been undone already."""
    return all(
        path.exists() and os.stat(path).st_ino == was.inode and was.size <= os.stat(path).st_size
        for path, was in recorded.sources.items()
    )


def _require_no_extra_files(recorded: RecordedExchange) -> None:
    """Raise SourceChanged if the directory has a file that the edit did not write, since undo would move it away."""
    place = recorded.aof_path
    more = sorted(set(os.listdir(place)) - {path.name for path in recorded.outputs}) if place.is_dir() else []
    if more:
        raise SourceChanged(
            f"{text.display_path(str(place / more[0]))} was not there after the edit", "move it away first"
        )


def _require_same(path: Path, was: RecordedFile, now: Fingerprint) -> None:
    """Raise SourceChanged unless a file has its recorded identity, size, time and, if readable then, hashes."""
    hashes = (now.head_sha256, now.tail_sha256) if was.head_sha256 else ("", "")
    if (now.inode, now.size, now.mtime_ns, *hashes) != (
        was.inode, was.size, was.mtime_ns, was.head_sha256, was.tail_sha256,
    ):  # fmt: skip
        grown = now.size - was.size
        more = f", and has {text.format_size(grown)} more" if now.inode == was.inode and grown > 0 else ""
        raise SourceChanged(
            f"{text.display_path(str(path))} is not what it was after the edit{more}",
            "what was written since would go: copy it first, then exchange the two by hand (mv)",
        )
