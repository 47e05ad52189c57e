"""Taking an in-place edit back: byte for byte, and only on the file that the receipt is of."""

import base64
import binascii
import json
import os
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aofdoctor import text
from aofdoctor.edit.output.durable import sync_directory
from aofdoctor.edit.output.fingerprint import neighbourhood_sha256, neighbouring_edits
from aofdoctor.edit.output.in_use import exclusive_fd
from aofdoctor.edit.output.overwrite import Overwrite, write_and_verify
from aofdoctor.edit.output.undo_exchange import swap_back, undone_paths
from aofdoctor.errors import RefusedEdit, SourceChanged

_RECEIPT_MAX = 256 << 20


@dataclass(frozen=True, slots=True)
class _EditedFile:
    path: Path
    size: int
    mtime_ns: int
    edits: tuple[Overwrite, ...]
    around: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class UndoResult:
    """What was taken back: files, bytes, and the receipt under its new name."""

    files: tuple[Path, ...]
    byte_count: int
    receipt: Path


def undo(receipt: Path, force: bool = False) -> UndoResult:
    """Take back what a receipt tells of: put its old bytes back, or exchange the two names again.

    Also takes back an edit that was interrupted.  Raises SourceChanged where a
    file is not the one that was edited, Refused where it is in use.
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
        f"{text.display_path(str(receipt))} is the receipt of a {text.display_path(str(kind))}: the source was never changed",
        "to take it back, remove the copy",
    )


def _invalid_receipt(receipt: Path, detail: str) -> RefusedEdit:
    return RefusedEdit(f"{text.display_path(str(receipt))} is not a receipt of aofdoctor: {text.display_path(detail)}")


def _undo_overwrite(receipt: Path, data: dict[str, Any], force: bool) -> UndoResult:
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
    files = swap_back(receipt, data, force)
    edited, name = undone_paths(receipt, data)
    if not os.path.lexists(name):
        os.rename(edited, name)
    return UndoResult(tuple(files), sum(path.stat().st_size for path in files), _undone_path(receipt))


def _undone_path(receipt: Path) -> Path:
    return receipt.with_name(receipt.name + ".undone")


_UNDO_BY_KIND = {"in-place": _undo_overwrite, "exchange": _undo_exchange}


def _file(receipt: Path, entry: dict[str, Any]) -> _EditedFile:
    recorded_path = Path(entry["file"]["path"])
    sibling_path = receipt.absolute().parent / recorded_path.name
    edits = tuple(
        Overwrite(int(e["start"]), base64.b64decode(e["old"], validate=True), base64.b64decode(e["new"], validate=True))
        for e in entry["edits"]
    )
    if any(not 0 <= edit.start < 2**62 or len(edit.old) != len(edit.new) for edit in edits) or "\0" in str(
        recorded_path
    ):
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
    """The file still holds, at every place, what was written or what was before, and the same bytes around it."""
    if os.fstat(fd).st_size < file.size:
        raise SourceChanged(f"{text.display_path(str(file.path))} is smaller than it was when it was edited")
    spans = [edit.span for edit in file.edits]
    for n, (edit, around) in enumerate(zip(file.edits, file.around, strict=True)):
        now = os.pread(fd, len(edit.old), edit.start)
        # Byte for byte: an edit that was cut short is half the one and half the other.
        same = len(now) == len(edit.old) and all(b in pair for b, *pair in zip(now, edit.old, edit.new, strict=True))
        if not same or neighbourhood_sha256(fd, edit.span, neighbouring_edits(spans, n), file.size) != around:
            raise SourceChanged(
                f"{text.display_path(str(file.path))} is not what it was when it was edited, near {edit.start}",
                "has it been rewritten or edited since?",
            )
