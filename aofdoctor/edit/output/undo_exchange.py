"""Taking an exchange back: the two names are exchanged once more, if both still stand for what the receipt says."""

import os
import re
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from aofdoctor import text
from aofdoctor.edit.output.exchange import swap_names
from aofdoctor.edit.output.fingerprint import Fingerprint, fingerprint, fingerprint_fd
from aofdoctor.edit.output.in_use import exclusive_fd
from aofdoctor.errors import RefusedEdit, SourceChanged

FingerprintsJson = list[dict[str, Any]]


def swap_back(receipt: Path, data: dict[str, Any], force: bool) -> list[Path]:
    """The files that stand under their names again.

    Raises SourceChanged where one is not what it was after the edit, Refused where
    it was never exchanged, or is in use, unless `force`; KeyError, TypeError and
    ValueError for a receipt that cannot be meant.
    """
    place, backup = _exchanged_paths(receipt, data)
    single = len(data["output"]) == 1 and Path(data["output"][0]["path"]) == backup
    sources, outputs = (
        _fingerprints_by_path(data["source"], place, single),
        _fingerprints_by_path(data["output"], place, single),
    )
    _require_exchanged(sources, place)
    backup_sources = {backup / path.relative_to(place): was for path, was in sources.items()}
    _require_same_fingerprints(backup_sources, {path: fingerprint(path, path) for path in backup_sources})
    with ExitStack() as stack:
        # Whoever opens a held file waits, we too: it is read through the descriptor.
        held = {path: stack.enter_context(exclusive_fd(path, force)) for path in outputs}
        _require_same_fingerprints(outputs, {path: fingerprint_fd(fd, path) for path, fd in held.items()})
        _require_no_extra_files(place, outputs)
        swap_names(place, backup)
    return list(sources)


def undone_paths(receipt: Path, data: dict[str, Any]) -> tuple[Path, Path]:
    """(where the edited content stands after an exchange back, what to call it then)."""
    _, backup = _exchanged_paths(receipt, data)
    return backup, backup.with_name(backup.name.removesuffix(".before") + ".undone")


def _exchanged_paths(receipt: Path, data: dict[str, Any]) -> tuple[Path, Path]:
    """The two names of an exchange; they have to be what the receipt's own name says, and stand beside it."""
    place = receipt.absolute().parent / Path(data["exchanged_with"]).name
    backup = receipt.absolute().with_name(receipt.name.removesuffix(".receipt.json"))
    if not re.fullmatch(re.escape(place.name) + r"\.[0-9]{8}T[0-9]{6}Z(-[0-9]+)?\.before", backup.name, re.DOTALL):
        raise ValueError("its name is not that of what it exchanged")
    return place, backup


def _fingerprints_by_path(prints: FingerprintsJson, place: Path, single: bool) -> dict[Path, dict[str, Any]]:
    """Fingerprints by where their file stands in `place`, or is it."""
    found = {place if single else place / Path(one["path"]).name: one for one in prints}
    if not found or (not single and not any(path.name.endswith(".manifest") for path in found)):
        raise ValueError("it names no AOF")
    return found


def _require_exchanged(sources: dict[Path, dict[str, Any]], place: Path) -> None:
    if all(path.exists() and os.stat(path).st_ino == was["inode"] for path, was in sources.items()):
        raise RefusedEdit(
            f"{text.display_path(str(place))} has its own content: it was never exchanged, or that was taken back already",
            "the source was not changed",
        )


def _require_no_extra_files(place: Path, outputs: dict[Path, dict[str, Any]]) -> None:
    """Refuse to take away a file that the edit did not make."""
    more = sorted(set(os.listdir(place)) - {path.name for path in outputs}) if place.is_dir() else []
    if more:
        raise SourceChanged(
            f"{text.display_path(str(place / more[0]))} was not there after the edit", "move it away first"
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


_COMPARED_FIELDS = ("inode", "size", "mtime_ns", "sha256_first_64k", "sha256_last_64k")
