"""Undo an edit in place from its receipt: write overwritten bytes back, or exchange the names again.

Nothing is changed unless the files are those of the receipt, as the edit left them.
"""

import base64
import binascii
import json
import os
import re
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aofdoctor import text
from aofdoctor.edit.output.durable import sync_directory
from aofdoctor.edit.output.exchange import swap_names
from aofdoctor.edit.output.fingerprint import (
    Fingerprint,
    fingerprint,
    fingerprint_fd,
    neighbourhood_sha256,
    neighbouring_edits,
)
from aofdoctor.edit.output.in_use import exclusive_fd
from aofdoctor.edit.output.overwrite import Overwrite, write_and_verify
from aofdoctor.errors import RefusedEdit, SourceChanged

_RECEIPT_MAX = 256 << 20
_COMPARED_FIELDS = ("inode", "size", "mtime_ns", "sha256_first_64k", "sha256_last_64k")


@dataclass(frozen=True, slots=True)
class _EditedFile:
    """One file of a receipt of overwritten bytes: its overwrites, and the hash of the bytes around each.

    `size` and `mtime_ns` are those before the edit.
    """

    path: Path
    size: int
    mtime_ns: int
    edits: tuple[Overwrite, ...]
    around: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class UndoResult:
    """The result of an undo: the restored files, the number of bytes, and the receipt under its new name."""

    files: tuple[Path, ...]
    byte_count: int
    receipt: Path


def undo(receipt: Path, force: bool = False) -> UndoResult:
    """Undo the edit in place that a receipt describes: write the old bytes back, or exchange the two names again.

    Also undoes an edit that was interrupted.  Raises SourceChanged if a file is not the one that was edited, and
    RefusedEdit if it is in use, unless `force` is given, or if the receipt is not one of an edit in place.
    """
    data = _read(receipt)
    try:
        undone = _UNDO_BY_KIND[data["kind"]](receipt, data, force)
    except (ArithmeticError, ValueError, LookupError, TypeError, AttributeError, binascii.Error) as problem:
        raise _invalid_receipt(receipt, str(problem)) from None
    os.rename(receipt, undone.receipt)
    sync_directory(receipt.parent)
    return undone


def _read(receipt: Path) -> dict[str, Any]:
    if receipt.stat().st_size > _RECEIPT_MAX:
        raise _invalid_receipt(receipt, "it is too large")
    try:
        data = json.loads(receipt.read_bytes())
        kind = data["kind"]
        if kind in _UNDO_BY_KIND:
            return dict(data)
    except (ValueError, KeyError, TypeError, RecursionError) as problem:
        raise _invalid_receipt(receipt, str(problem)) from None
    raise RefusedEdit(
        f"{text.display_path(str(receipt))} is the receipt of a {text.display_path(str(kind))}: "
        "the source was never changed",
        "to take it back, remove the copy",
    )


def _invalid_receipt(receipt: Path, detail: str) -> RefusedEdit:
    return RefusedEdit(f"{text.display_path(str(receipt))} is not a receipt of aofdoctor: {text.display_path(detail)}")


def _undo_overwrite(receipt: Path, data: dict[str, Any], force: bool) -> UndoResult:
    """Write the overwritten bytes back, after all files of the receipt have been checked."""
    files = [_file(receipt, entry) for entry in data["files"]]
    if not files:
        raise ValueError("it names no file")
    with ExitStack() as stack:
        held = [(file, stack.enter_context(exclusive_fd(file.path, force))) for file in files]
        for file, fd in held:
            _require_unmodified(file, fd)
        for file, fd in held:
            write_and_verify(fd, file.path, [(edit.start, edit.old) for edit in file.edits])
            if os.fstat(fd).st_size == file.size:
                os.utime(fd, ns=(os.fstat(fd).st_atime_ns, file.mtime_ns))
    size = sum(len(edit.old) for file in files for edit in file.edits)
    return UndoResult(tuple(file.path for file in files), size, _undone_path(receipt))


def _undo_exchange(receipt: Path, data: dict[str, Any], force: bool) -> UndoResult:
    """Exchange the names of the old and the edited AOF again.

    The edited AOF then gets a name that ends in .undone if that is free.
    """
    files = _swap_back(receipt, data, force)
    edited, name = _undone_paths(receipt, data)
    if not os.path.lexists(name):
        os.rename(edited, name)
    return UndoResult(tuple(files), sum(path.stat().st_size for path in files), _undone_path(receipt))


def _undone_path(receipt: Path) -> Path:
    """The new path of a receipt file after its edit has been undone."""
    return receipt.with_name(receipt.name + ".undone")


_UNDO_BY_KIND = {"in-place": _undo_overwrite, "exchange": _undo_exchange}


# -- overwrites --


def _file(receipt: Path, entry: dict[str, Any]) -> _EditedFile:
    """Read the entry of one file from a receipt; ValueError for impossible edits.

    The file is next to the receipt, or else at the path recorded in it.
    """
    recorded_path = Path(entry["file"]["path"])
    sibling_path = receipt.absolute().parent / recorded_path.name
    edits = tuple(
        Overwrite(int(e["start"]), base64.b64decode(e["old"], validate=True), base64.b64decode(e["new"], validate=True))
        for e in entry["edits"]
    )
    is_impossible = any(not 0 <= edit.start < 2**62 or len(edit.old) != len(edit.new) for edit in edits)
    if is_impossible or "\0" in str(recorded_path):
        raise ValueError("an edit that cannot be meant")
    around = tuple(str(e["around"]) for e in entry["edits"])
    return _EditedFile(
        sibling_path if sibling_path.exists() else recorded_path,
        int(entry["file"]["size"]),
        int(entry["file"]["mtime_ns"]),
        edits,
        around,
    )


def _require_unmodified(file: _EditedFile, fd: int) -> None:
    """Raise SourceChanged unless a file has the old or new bytes at every overwrite, and the same bytes around."""
    if os.fstat(fd).st_size < file.size:
        raise SourceChanged(f"{text.display_path(str(file.path))} is smaller than it was when it was edited")
    spans = [edit.span for edit in file.edits]
    for n, (edit, around) in enumerate(zip(file.edits, file.around, strict=True)):
        now = os.pread(fd, len(edit.old), edit.start)
        # Each byte is compared on its own: an interrupted edit leaves old bytes after new ones.
        same = len(now) == len(edit.old) and all(b in pair for b, *pair in zip(now, edit.old, edit.new, strict=True))
        if not same or neighbourhood_sha256(fd, edit.span, neighbouring_edits(spans, n), file.size) != around:
            raise SourceChanged(
                f"{text.display_path(str(file.path))} is not what it was when it was edited, near {edit.start}",
                "has it been rewritten or edited since?",
            )


# -- exchanges --


def _swap_back(receipt: Path, data: dict[str, Any], force: bool) -> list[Path]:
    """Exchange the names of an AOF and its backup again, and return the paths of the files that were restored.

    Raises SourceChanged if a file is not what it was after the edit, RefusedEdit if the names were never exchanged or
    a file is in use, and KeyError, TypeError or ValueError for a receipt with impossible values.
    """
    aof_path, backup = _exchanged_paths(receipt, data)
    single = len(data["output"]) == 1 and Path(data["output"][0]["path"]) == backup
    sources, outputs = (
        _fingerprints_by_path(data["source"], aof_path, single),
        _fingerprints_by_path(data["output"], aof_path, single),
    )
    _require_exchanged(sources, aof_path)
    backup_sources = {backup / path.relative_to(aof_path): was for path, was in sources.items()}
    _require_same_fingerprints(backup_sources, {path: fingerprint(path, path) for path in backup_sources})
    with ExitStack() as stack:
        # Opening a held file would wait for its lease, so it is read through the descriptor.
        held = {path: stack.enter_context(exclusive_fd(path, force)) for path in outputs}
        _require_same_fingerprints(outputs, {path: fingerprint_fd(fd, path) for path, fd in held.items()})
        _require_no_extra_files(aof_path, outputs)
        swap_names(aof_path, backup)
    return list(sources)


def _undone_paths(receipt: Path, data: dict[str, Any]) -> tuple[Path, Path]:
    """(path of the edited AOF after the names have been exchanged again, its new path that ends in .undone)."""
    _, backup = _exchanged_paths(receipt, data)
    return backup, backup.with_name(backup.name.removesuffix(".before") + ".undone")


def _exchanged_paths(receipt: Path, data: dict[str, Any]) -> tuple[Path, Path]:
    """(path of the AOF, path of its backup), both next to the receipt; ValueError unless the receipt's name fits."""
    aof_path = receipt.absolute().parent / Path(data["exchanged_with"]).name
    backup = receipt.absolute().with_name(receipt.name.removesuffix(".receipt.json"))
    if not re.fullmatch(re.escape(aof_path.name) + r"\.[0-9]{8}T[0-9]{6}Z(-[0-9]+)?\.before", backup.name, re.DOTALL):
        raise ValueError("its name is not that of what it exchanged")
    return aof_path, backup


def _fingerprints_by_path(prints: list[dict[str, Any]], aof_path: Path, single: bool) -> dict[Path, dict[str, Any]]:
    """The fingerprints of a receipt by file path.

    The files are those in the directory `aof_path`, or, with `single`, the file `aof_path` itself.
    """
    found = {aof_path if single else aof_path / Path(one["path"]).name: one for one in prints}
    if not found or (not single and not any(path.name.endswith(".manifest") for path in found)):
        raise ValueError("it names no AOF")
    return found


def _require_exchanged(sources: dict[Path, dict[str, Any]], aof_path: Path) -> None:
    if all(path.exists() and os.stat(path).st_ino == was["inode"] for path, was in sources.items()):
        raise RefusedEdit(
            f"{text.display_path(str(aof_path))} has its own content: it was never exchanged, "
            "or that was taken back already",
            "the source was not changed",
        )


def _require_no_extra_files(aof_path: Path, outputs: dict[Path, dict[str, Any]]) -> None:
    """Raise SourceChanged if the directory has a file that the edit did not write, since undo would move it away."""
    more = sorted(set(os.listdir(aof_path)) - {path.name for path in outputs}) if aof_path.is_dir() else []
    if more:
        raise SourceChanged(
            f"{text.display_path(str(aof_path / more[0]))} was not there after the edit", "move it away first"
        )


def _require_same_fingerprints(expected: dict[Path, dict[str, Any]], found: dict[Path, Fingerprint]) -> None:
    for path, was in expected.items():
        now = found[path].as_json()
        if any(now[name] != was[name] for name in _COMPARED_FIELDS):
            grown = now["size"] - int(was["size"])
            more = f", and has {text.format_size(grown)} more" if now["inode"] == was["inode"] and grown > 0 else ""
            raise SourceChanged(
                f"{text.display_path(str(path))} is not what it was after the edit{more}",
                "what was written since would go: copy it first, then exchange the two by hand (mv)",
            )
