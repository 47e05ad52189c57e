"""The corpus, where AOFDOCTOR_CORPUS names an unpacked one: its cases and their measured truth."""

import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

ROOT = Path(os.environ["AOFDOCTOR_CORPUS"]) if os.environ.get("AOFDOCTOR_CORPUS") else None


@dataclass(frozen=True)
class Case:
    """One AOF; `path` is what a user would hand to the tool."""

    root: Path
    id: str
    version: str
    tags: dict[str, Any]
    truth_path: Path
    input: Path

    @cached_property
    def truth(self) -> dict[str, Any]:
        return json.loads(self.truth_path.read_text())  # type: ignore[no-any-return]

    @property
    def kind(self) -> str:
        return str(self.tags["kind"])

    @property
    def damage(self) -> str:
        return self.tags["damage"] or ""

    @property
    def data(self) -> Path:
        """The folder that the truth's file names are relative to."""
        return self.truth_path.parent / ("input" if self.kind == "redis-tests" else "data")

    @property
    def path(self) -> str:
        """The input, or its directory where the manifest is what is missing."""
        return str(self.input if self.input.exists() else self.input.parent)


def cases(kind: str = "") -> Iterator[Case]:
    """All cases, or those of one kind."""
    assert ROOT is not None
    for entry in json.loads((ROOT / "INDEX.json").read_text())["cases"]:
        case = Case(ROOT, entry["id"], entry["version"], entry["tags"], ROOT / entry["truth"], ROOT / entry["input"])
        if not kind or case.kind == kind:
            yield case


def line_of(version: str) -> str:
    """The server line of a corpus version; empty for the unstable branches, whose line has no name yet."""
    match = re.match(r"(redis|valkey)-(\d+\.\d+)", version)
    return f"{match[1]}-{match[2]}" if match else ""
