"""Write the bytes that an edit drops to a directory of their own (OUT.lost), with a map that describes each range."""

import json
import os
import re
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

from aofdoctor import text
from aofdoctor.aof.model import AOF, AofPart
from aofdoctor.aof.patched_source import PatchedSource
from aofdoctor.edit.drops import Drop, DropFactory, span_in_file
from aofdoctor.edit.output.attributes import Ownership, attributes_of_part
from aofdoctor.edit.output.durable import copy_span, create_file, sync_directory, write_all
from aofdoctor.source import FileSource, Source, pread
from aofdoctor.span import Span

MAP_FILE_NAME = "map.jsonl"
_SEARCH_BYTES = 1 << 12  # bytes of a range that are searched for arguments
_ARGUMENT = re.compile(rb"\$[0-9]{1,18}\r\n(.{1,80}?)\r\n", re.DOTALL)
_ARGUMENTS = 12


def write_dropped(
    aof: AOF, drops: DropFactory, omitted_parts: frozenset[int], folder: Path, ownership: Ownership
) -> None:
    """Fill a new directory (OUT.lost) with the dropped bytes of each file, and a map with one JSON line per range.

    An omitted file keeps its name. The ranges of any other file are written one after the other to NAME.lost; the field
    `at` of the map is the offset in it.
    """
    folder.mkdir(mode=0o700)
    lines = create_file(folder / MAP_FILE_NAME)
    try:
        for index, part_drops in groupby(drops(), key=lambda drop: drop.part):
            part = aof.parts[index]
            source = part.source
            assert isinstance(source, FileSource | PatchedSource)
            name = part.name if index in omitted_parts else f"{part.name}.lost"
            with ownership.new_file(folder / name, attributes_of_part(part)) as target:
                for line in _copy_ranges(aof, part_drops, part, source, name, target):
                    write_all(lines, line)
        os.fsync(lines)
    finally:
        os.close(lines)
    sync_directory(folder)


def _copy_ranges(
    aof: AOF, drops: Iterator[Drop], part: AofPart, source: FileSource | PatchedSource, name: str, target: int
) -> Iterator[bytes]:
    """Append the dropped ranges of one source file to NAME.lost; yields the lines of the map, several at once."""
    at, pending = 0, bytearray()
    for drop in drops:
        copy_span(source, drop.span, target)
        pending += json.dumps(_entry(drop, span_in_file(aof, drop), part, source, name, at)).encode() + b"\n"
        at += drop.span.size
        if len(pending) > 1 << 16:
            yield bytes(pending)
            pending.clear()
    yield bytes(pending)


def _entry(drop: Drop, span: Span, part: AofPart, source: Source, name: str, at: int) -> dict[str, Any]:
    return {"file": name, "at": at, "part": part.name, "start": span.start, "end": span.end,
            "commands": drop.commands, "reason": drop.reason, "arguments": _arguments(drop, source)}  # fmt: skip


def _arguments(drop: Drop, source: Source) -> list[str]:
    """The first arguments in a dropped range, escaped for display; its first bytes if no argument can be recognised."""
    head = pread(source, min(_SEARCH_BYTES, drop.span.size), drop.span.start)
    found = [match[1] for match, _ in zip(_ARGUMENT.finditer(head), range(_ARGUMENTS), strict=False)]
    return [text.escape(argument) for argument in found] or [text.escape(head[:80])]
