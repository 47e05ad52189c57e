"""The receipt of an edit's output, and the rename of all files at once or not at all."""

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aofdoctor
from aofdoctor import text
from aofdoctor.aof.model import AOF
from aofdoctor.edit.output.fingerprint import fingerprint, fingerprint_source
from aofdoctor.errors import SourceChanged
from aofdoctor.source import FileSource

# Called with a finished output; returns fields for the receipt, or raises to reject the output.
OutputVerifier = Callable[[Path], dict[str, Any]]


@dataclass(slots=True)
class Receipt:
    """The paths that an edit wrote: the output, the receipt file itself, and OUT.lost if dropped bytes are kept.

    `warnings` are sentences that the user has to read.
    """

    output: Path
    path: Path
    dropped_path: Path | None = None
    warnings: list[str] = field(default_factory=list)


def growth_warning(source: FileSource) -> str:
    """A warning if a file of the source AOF has grown since it was opened, or ""; raise SourceChanged if one shrank."""
    now = os.fstat(source.fd)
    if now.st_size < source.size:
        raise SourceChanged(f"{text.display_path(source.path)} shrank while it was copied: the copy is not kept")
    if now.st_size == source.size:
        return ""
    grown = text.format_size(now.st_size - source.size)
    return f"{text.display_path(source.path)} has grown by {grown} since it was opened: not in the copy"


def receipt_header_json(verb: str) -> dict[str, Any]:
    """The first fields of the receipt of an edit that writes a copy."""
    written = datetime.now(UTC).isoformat(timespec="seconds")
    return {"aofdoctor": aofdoctor.__version__, "verb": verb, "kind": "copy", "written": written}


def outputs_json(made: Path, output: Path, full_hash: bool) -> list[dict[str, Any]]:
    """The fingerprints of a finished output at its scratch path `made`, under the names that it will have."""
    files = [made] if made.is_file() else sorted(made.iterdir())
    return [fingerprint(path, output if path == made else output / path.name, full_hash).as_json() for path in files]


def exchange_json(aof: AOF, receipt: Receipt, exchange_with: Path, full_hash: bool) -> dict[str, Any]:
    """The receipt's fields about an exchange: the name that the output will have, and where the old bytes are kept."""
    manifest = aof.manifest_path
    prints = [fingerprint_source(AOF.require_file(part), full_hash) for part in aof.existing_parts]
    prints += [fingerprint(manifest, manifest, full_hash)] if manifest and manifest.exists() else []
    return {
        "kind": "exchange", "exchanged_with": str(exchange_with), "source": [one.as_json() for one in prints],
        "removed_kept_in": [str(path) for path in (receipt.dropped_path, receipt.output) if path],
    }  # fmt: skip
