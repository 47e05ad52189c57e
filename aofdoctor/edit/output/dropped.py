"""What an edit leaves out, kept beside its output: the bytes by part, and a map that says what each range was."""

import json
import os
import re
from collections.abc import Callable, Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

from aofdoctor import text
from aofdoctor.aof.model import AofPart
from aofdoctor.aof.patched_source import PatchedSource
from aofdoctor.edit.output.durable import copy_span, create_file, sync_directory, write_all
from aofdoctor.edit.plan import Drop, Plan
from aofdoctor.source import FileSource, Source, pread
from aofdoctor.span import Span

MAP_FILE_NAME = "map.jsonl"
_SEARCH_BYTES = 1 << 12  # bytes of a range that are looked at for its arguments
_ARGUMENT = re.compile(rb"\$[0-9]{1,18}\r\n(.{1,80}?)\r\n", re.DOTALL)
_ARGUMENTS = 12

CopyOwnership = Callable[[int, os.stat_result, Path], None]


def write_dropped(plan: Plan, folder: Path, copy_ownership: CopyOwnership) -> None:
    """Fill a new directory: one file for each part that something goes from, and the map, a line for each range.

    A part that goes whole keeps its name; the ranges of another follow each other
    in NAME.lost, where the map's `at` says.
    """
    folder.mkdir(mode=0o700)
    lines = create_file(folder / MAP_FILE_NAME)
    try:
        for index, drops in groupby(plan.drops(), key=lambda drop: drop.part):
            part = plan.aof.parts[index]
            source = part.source
            assert isinstance(source, FileSource | PatchedSource)
            name = part.name if index in plan.omitted_parts else f"{part.name}.lost"
            target = create_file(folder / name)
            try:
                for line in _copy_ranges(plan, drops, part, source, name, target):
                    write_all(lines, line)
                copy_ownership(
                    target, (source.file if isinstance(source, PatchedSource) else source).stat, folder / name
                )
                os.fsync(target)
            finally:
                os.close(target)
        os.fsync(lines)
    finally:
        os.close(lines)
    sync_directory(folder)


def _copy_ranges(
    plan: Plan, drops: Iterator[Drop], part: AofPart, source: FileSource | PatchedSource, name: str, target: int
) -> Iterator[bytes]:
    at, pending = 0, bytearray()
    for drop in drops:
        copy_span(source, drop.span, target)
        pending += json.dumps(_entry(drop, plan.span_in_file(drop), part, source, name, at)).encode() + b"\n"
        at += drop.span.size
        if len(pending) > 1 << 16:
            yield bytes(pending)
            pending.clear()
    yield bytes(pending)


def _entry(drop: Drop, span: Span, part: AofPart, source: Source, name: str, at: int) -> dict[str, Any]:
    return {"file": name, "at": at, "part": part.name, "start": span.start, "end": span.end,
            "commands": drop.commands, "reason": drop.reason, "arguments": _arguments(drop, source)}  # fmt: skip


def _arguments(drop: Drop, source: Source) -> list[str]:
    """The first arguments that can be made out in a range, escaped."""
    head = pread(source, min(_SEARCH_BYTES, drop.span.size), drop.span.start)
    found = [match[1] for match, _ in zip(_ARGUMENT.finditer(head), range(_ARGUMENTS), strict=False)]
    return [text.escape(argument) for argument in found] or [text.escape(head[:80])]
