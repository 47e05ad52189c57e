"""The corpus, where AOFDOCTOR_CORPUS names an unpacked one: its cases and their measured truth."""

import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from aofdoctor.rdb.encoding.cursor import Cursor
from aofdoctor.rdb.preamble import is_rdb, walk_rdb
from aofdoctor.rdb.values.decoders import SortedSetMember, elements, type_name
from aofdoctor.source import BytesSource, FileSource, pread
from tests.support.key_descriptions import describe_by_server, only_known, without
from tests.support.rdb_files import Key, iter_keys

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


SMALL = 400_000  # larger ones hold hundreds of thousands of strings: the same thing again


def rdbs() -> dict[bytes, Path]:
    """The RDBs of the corpus that are not damaged, one of each content: bases, dumps, and what stands before an AOF."""
    assert ROOT is not None
    paths = [*ROOT.rglob("*.base.rdb"), *ROOT.rglob("rdb-assets/**/*.rdb"), *ROOT.rglob("appendonly.aof")]
    found = {}
    for path in paths:
        source = FileSource(path)
        if "damage" in str(path) or not is_rdb(source):
            continue
        rdb = walk_rdb(source)
        if rdb.complete and rdb.end < SMALL:
            found[pread(source, rdb.end, 0)] = path
    return found


def negative_zero(data: bytes) -> bool:
    """True if a score is -0: a digest tells it from 0, and ZADD does not make it since 7.0."""
    source = BytesSource(data)
    cursor = Cursor(source)
    scored = [key.value for key in iter_keys(source) if isinstance(key, Key) and type_name(key.value) == "zset"]
    parts = [part for value in scored for part in elements(cursor, value)]
    return any(isinstance(part, SortedSetMember) and repr(part.score) == "-0.0" for part in parts)


def describe_values(running: object) -> list[object]:
    keys = describe_by_server(running, digests=False)  # type: ignore[arg-type]
    only_known([key for key in keys if key["type"] == "stream"])
    return list(without(keys, *([] if running.binary.version >= (7, 0, 0) else ["expire_ms"])))  # type: ignore[attr-defined]
