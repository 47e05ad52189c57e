"""Taking an exchange back: the two names are exchanged once more, if both still stand for what the receipt says."""

import os
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from aofdoctor import text
from aofdoctor.edit.exchange import swap
from aofdoctor.edit.fingerprint import Fingerprint, fingerprint, fingerprint_of
from aofdoctor.edit.guard import held_alone
from aofdoctor.errors import Refused, SourceChanged

Prints = list[dict[str, Any]]


def exchange_back(data: dict[str, Any], force: bool) -> list[Path]:
    """The files that stand under their names again.

    Raises SourceChanged where one is not what it was after the edit, Refused where
    it was never exchanged, or is in use, unless `force`; KeyError, TypeError and
    ValueError for a receipt that cannot be meant.
    """
    place, other = Path(data["exchanged_with"]), _other(data)
    sources, outputs = _below(data["source"], place, place), _below(data["output"], other, place)
    _demand_exchanged(sources, place)
    kept = {other / path.relative_to(place): was for path, was in sources.items()}
    _demand_same(kept, {path: fingerprint(path, path) for path in kept})
    with ExitStack() as stack:
        # Whoever opens a held file waits, we too: it is read through the descriptor.
        held = {path: stack.enter_context(held_alone(path, force)) for path in outputs}
        _demand_same(outputs, {path: fingerprint_of(fd, path) for path, fd in held.items()})
        swap(place, other)
    return list(sources)


def undone_name(data: dict[str, Any]) -> tuple[Path, Path]:
    """(where the edited content stands after an exchange back, what to call it then)."""
    other = _other(data)
    return other, other.with_name(other.name.removesuffix(".before") + ".undone")


def _other(data: dict[str, Any]) -> Path:
    place = Path(data["exchanged_with"])
    first = Path(data["output"][0]["path"])
    other = first if first.parent == place.parent else first.parent
    if other.parent != place.parent or other == place or "\0" in str(place):
        raise ValueError("an exchange that cannot be meant")
    return other


def _below(prints: Prints, under: Path, now: Path) -> dict[Path, dict[str, Any]]:
    """Fingerprints by the path at which their file should stand."""
    found = {}
    for one in prints:
        path = Path(one["path"])
        if path != under and path.parent != under:
            path = under / path.name  # it was read through a link
        found[now if path == under else now / path.name] = one
    return found


def _demand_exchanged(sources: dict[Path, dict[str, Any]], place: Path) -> None:
    if all(path.exists() and os.stat(path).st_ino == was["inode"] for path, was in sources.items()):
        raise Refused(
            f"{text.name(str(place))} has its own content: it was never exchanged, or that was taken back already",
            "the source was not changed",
        )


def _demand_same(expected: dict[Path, dict[str, Any]], found: dict[Path, Fingerprint]) -> None:
    for path, was in expected.items():
        now = found[path].as_json()
        if any(now[name] != was[name] for name in _IDENTITY):
            grown = now["size"] - int(was["size"])
            more = f", and has {text.size(grown)} more" if now["inode"] == was["inode"] and grown > 0 else ""
            raise SourceChanged(
                f"{text.name(str(path))} is not what it was after the edit{more}",
                "what was written since would go: copy it first, then exchange the two by hand (mv)",
            )


_IDENTITY = ("inode", "size", "mtime_ns", "sha256_first_64k", "sha256_last_64k")
