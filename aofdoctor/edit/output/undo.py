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
from aofdoctor.edit.output.fingerprint import near, neighbourhood
from aofdoctor.edit.output.in_use import exclusive_fd
from aofdoctor.edit.output.overwrite import Overwrite, put
from aofdoctor.edit.output.undo_exchange import exchange_back, undone_name
from aofdoctor.errors import RefusedEdit, SourceChanged

_RECEIPT_MAX = 256 << 20


@dataclass(frozen=True, slots=True)
class _File:
    path: Path
    size: int
    mtime_ns: int
    edits: tuple[Overwrite, ...]
    around: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Undone:
    """What was taken back: files, bytes, and the receipt under its new name."""

    files: tuple[Path, ...]
    bytes: int
    receipt: Path


def undo(receipt: Path, force: bool = False) -> Undone:
    """Take back what a receipt tells of: put its old bytes back, or exchange the two names again.

    Also takes back an edit that was interrupted.  Raises SourceChanged where a
    file is not the one that was edited, Refused where it is in use.
    """
    data = _read(receipt)
    try:
        undone = _KINDS[data["kind"]](receipt, data, force)
    except (ArithmeticError, ValueError, LookupError, TypeError, AttributeError, binascii.Error) as problem:
        raise _no_receipt(receipt, str(problem)) from None
    os.rename(receipt, undone.receipt)
    sync_directory(receipt.parent)
    return undone


def _read(receipt: Path) -> dict[str, Any]:
    if receipt.stat().st_size > _RECEIPT_MAX:
        raise _no_receipt(receipt, "it is too large")
    try:
        data = json.loads(receipt.read_bytes())
        kind = data["kind"]
        if kind in _KINDS:
            return dict(data)
    except (ValueError, KeyError, TypeError, RecursionError) as problem:
        raise _no_receipt(receipt, str(problem)) from None
    raise RefusedEdit(
        f"{text.display_path(str(receipt))} is the receipt of a {text.display_path(str(kind))}: the source was never changed",
        "to take it back, remove the copy",
    )


def _no_receipt(receipt: Path, why: str) -> RefusedEdit:
    return RefusedEdit(f"{text.display_path(str(receipt))} is not a receipt of aofdoctor: {text.display_path(why)}")


def _put_back(receipt: Path, data: dict[str, Any], force: bool) -> Undone:
    files = [_file(receipt, entry) for entry in data["files"]]
    if not files:
        raise ValueError("it names no file")
    with ExitStack() as stack:
        held = [(file, stack.enter_context(exclusive_fd(file.path, force))) for file in files]
        for file, fd in held:
            _require_unmodified(file, fd)
        for file, fd in held:
            put(fd, file.path, [(edit.start, edit.old) for edit in file.edits])
            if os.fstat(fd).st_size == file.size:
                os.utime(fd, ns=(os.fstat(fd).st_atime_ns, file.mtime_ns))
    size = sum(len(edit.old) for file in files for edit in file.edits)
    return Undone(tuple(file.path for file in files), size, _undone(receipt))


def _exchange_back(receipt: Path, data: dict[str, Any], force: bool) -> Undone:
    files = exchange_back(receipt, data, force)
    edited, name = undone_name(receipt, data)
    if not os.path.lexists(name):
        os.rename(edited, name)
    return Undone(tuple(files), sum(path.stat().st_size for path in files), _undone(receipt))


def _undone(receipt: Path) -> Path:
    return receipt.with_name(receipt.name + ".undone")


_KINDS = {"in-place": _put_back, "exchange": _exchange_back}


def _file(receipt: Path, entry: dict[str, Any]) -> _File:
    known = Path(entry["file"]["path"])
    beside = receipt.absolute().parent / known.name
    edits = tuple(
        Overwrite(int(e["start"]), base64.b64decode(e["old"], validate=True), base64.b64decode(e["new"], validate=True))
        for e in entry["edits"]
    )
    if any(not 0 <= edit.start < 2**62 or len(edit.old) != len(edit.new) for edit in edits) or "\0" in str(known):
        raise ValueError("an edit that cannot be meant")
    around = tuple(str(e["around"]) for e in entry["edits"])
    return _File(
        beside if beside.exists() else known, int(entry["file"]["size"]), int(entry["file"]["mtime_ns"]), edits, around
    )


def _require_unmodified(file: _File, fd: int) -> None:
    """The file still holds, at every place, what was written or what was before, and the same bytes around it."""
    if os.fstat(fd).st_size < file.size:
        raise SourceChanged(f"{text.display_path(str(file.path))} is smaller than it was when it was edited")
    spans = [edit.span for edit in file.edits]
    for n, (edit, around) in enumerate(zip(file.edits, file.around, strict=True)):
        now = os.pread(fd, len(edit.old), edit.start)
        # Byte for byte: an edit that was cut short is half the one and half the other.
        same = len(now) == len(edit.old) and all(b in pair for b, *pair in zip(now, edit.old, edit.new, strict=True))
        if not same or neighbourhood(fd, edit.span, near(spans, n), file.size) != around:
            raise SourceChanged(
                f"{text.display_path(str(file.path))} is not what it was when it was edited, near {edit.start}",
                "has it been rewritten or edited since?",
            )
