"""The measured corpus that AOFDOCTOR_CORPUS names: its cases with their measured truth, and its undamaged RDBs."""

import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest

from aofdoctor.rdb.encoding.cursor import Cursor
from aofdoctor.rdb.preamble import is_rdb, walk_rdb
from aofdoctor.rdb.values.decoders import SortedSetMember, elements, type_name
from aofdoctor.source import BytesSource, FileSource, pread
from tests.support.key_descriptions import describe_by_server, drop_guessed_stream_fields, without_fields
from tests.support.rdb_files import Key, iter_keys

ROOT = Path(os.environ["AOFDOCTOR_CORPUS"]) if os.environ.get("AOFDOCTOR_CORPUS") else None
needs_corpus = pytest.mark.skipif(ROOT is None, reason="AOFDOCTOR_CORPUS does not name an unpacked corpus")


@dataclass(frozen=True)
class Case:
    """One AOF of the corpus; `path` is the argument that a user would type."""

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
        """The folder that the file names in the truth are relative to."""
        return self.truth_path.parent / ("input" if self.kind == "redis-tests" else "data")

    @property
    def path(self) -> str:
        """The input file or manifest, or its directory if the manifest is missing."""
        return str(self.input if self.input.exists() else self.input.parent)


def cases(kind: str = "") -> Iterator[Case]:
    """Yield all cases, or those of one kind."""
    assert ROOT is not None
    for entry in json.loads((ROOT / "INDEX.json").read_text())["cases"]:
        case = Case(ROOT, entry["id"], entry["version"], entry["tags"], ROOT / entry["truth"], ROOT / entry["input"])
        if not kind or case.kind == kind:
            yield case


def line_of(version: str) -> str:
    """Return the release line of a corpus version, such as "redis-7.0"; empty for unstable branches."""
    match = re.match(r"(redis|valkey)-(\d+\.\d+)", version)
    return f"{match[1]}-{match[2]}" if match else ""


SMALL_RDB = 400_000  # Larger RDBs hold hundreds of thousands of similar strings and add only time.


def undamaged_rdbs() -> dict[bytes, Path]:
    """Return the distinct undamaged RDBs of the corpus: bases, dumps, and preambles of AOFs."""
    assert ROOT is not None
    paths = [*ROOT.rglob("*.base.rdb"), *ROOT.rglob("rdb-assets/**/*.rdb"), *ROOT.rglob("appendonly.aof")]
    found = {}
    for path in paths:
        source = FileSource(path)
        if "damage" in str(path) or not is_rdb(source):
            continue
        rdb = walk_rdb(source)
        if rdb.complete and rdb.end < SMALL_RDB:
            found[pread(source, rdb.end, 0)] = path
    return found


def has_negative_zero(data: bytes) -> bool:
    """Whether a sorted set has a score of -0, which a digest distinguishes from 0 and ZADD has not kept since 7.0."""
    source = BytesSource(data)
    cursor = Cursor(source)
    scored = [key.value for key in iter_keys(source) if isinstance(key, Key) and type_name(key.value) == "zset"]
    parts = [part for value in scored for part in elements(cursor, value)]
    return any(isinstance(part, SortedSetMember) and repr(part.score) == "-0.0" for part in parts)


def describe_values(running: object) -> list[object]:
    keys = describe_by_server(running, digests=False)  # type: ignore[arg-type]
    drop_guessed_stream_fields([key for key in keys if key["type"] == "stream"])
    return list(without_fields(keys, *([] if running.binary.version >= (7, 0, 0) else ["expire_ms"])))  # type: ignore[attr-defined]
