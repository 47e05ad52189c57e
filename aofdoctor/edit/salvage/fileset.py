"""A manifest made anew from the files that are there, where it is missing or damaged.

A server names its files PREFIX.SEQ.base|incr.aof|rdb, and counts each kind up.
So the newest base and the incremental files in their order are what it would
have listed; what is inferred, and how, is said.
"""

import os
from dataclasses import replace

from aofdoctor import text
from aofdoctor.aof.manifest import encode_name, parse_manifest
from aofdoctor.aof.model import AOF, AofPart
from aofdoctor.rdb.preamble import is_rdb, walk_rdb
from aofdoctor.source import pread


def rebuild_manifest(aof: AOF) -> tuple[AOF, list[str]]:
    """The set as its files tell it, and sentences on what was inferred; as it was, and none, where that is sound."""
    if aof.layout != "multi-part":
        return aof, []
    is_unusable = aof.manifest is None or bool(aof.manifest.problems) or not aof.manifest.load_order
    unlisted = [part for part in aof.unlisted if part.exists and part.size]
    added = unlisted if is_unusable else _unlisted_members(aof, unlisted)
    parts = _order_parts([*aof.parts, *added], is_unusable)
    if not is_unusable and parts == aof.parts:
        return aof, []
    notes = [f"the manifest is {_manifest_defect(aof)}: made anew from the names of the files"] if is_unusable else []
    names = [part.name for part in aof.parts]
    repeated_names = dict.fromkeys(name for name in names if names.count(name) > 1)
    notes += [
        f"{text.display_path(name)} was listed {names.count(name)} times: it is listed once" for name in repeated_names
    ]
    notes += [
        f"{text.display_path(part.name)} is taken in: {_inclusion_reason(part, aof, is_unusable)}"
        for part in parts
        if part in aof.unlisted
    ]
    notes += [
        f"{text.display_path(part.name)} stays out: {_exclusion_reason(part, parts)}"
        for part in [*aof.parts, *added]
        if part.exists and part not in parts
    ]
    missing_parts = [part for part in aof.parts if not part.exists and part not in parts]
    notes += [f"{text.display_path(part.name)} is listed, and missing: its commands are lost" for part in missing_parts]
    numbers = [part.seq for part in parts if part.type == "incr"]
    missing = sorted(set(range(min(numbers), max(numbers))) - set(numbers))[:5] if numbers else []
    if notes and missing:
        notes.append(f"incremental files are missing from their row: number {', '.join(map(str, missing))}")
    data = b"".join(_line(part, seq) for part, seq in _with_sequence_numbers(parts))
    path = aof.manifest_path
    if path is None and aof.directory is not None and parts:
        path = aof.directory / f"{_prefix(parts[0])}.manifest"
    still_unlisted = [part for part in aof.unlisted if part not in parts]
    return replace(aof, parts=parts, unlisted=still_unlisted, manifest=parse_manifest(data), manifest_path=path), notes


def _manifest_defect(aof: AOF) -> str:
    if aof.manifest is None:
        return "missing"
    return f"damaged ({aof.manifest.problems[0].message})" if aof.manifest.problems else "without a file to load"


def _unlisted_members(aof: AOF, unlisted: list[AofPart]) -> list[AofPart]:
    """Files that a sound manifest must have lost the line of: a base where it has none, a number that is skipped.

    A server writes into an incremental file only once the manifest names it, so
    one with content that comes right after the last was listed as well.
    """
    incr = [part.seq for part in aof.parts if part.type == "incr"]
    expected = range(min(incr), max(incr) + 2) if incr else range(0)
    has_base = any(part.type == "base" for part in aof.parts)
    return [part for part in unlisted if (part.seq in expected if part.type == "incr" else not has_base)]


def _inclusion_reason(part: AofPart, aof: AOF, ruined: bool) -> str:
    if ruined:
        return "it is there"
    if part.type == "base":
        return "the manifest names no base"
    between = any(other.type == "incr" and other.seq > part.seq for other in aof.parts)
    return "the manifest skips its number" if between else "a server writes only into files that it has listed"


def _order_parts(parts: list[AofPart], ruined: bool) -> list[AofPart]:
    """The base, a listed one before others and then the newest that is whole, and the incremental files, each once.

    Every rewrite counts both kinds up by one at least, so an incremental file
    with a smaller number than the base is in it already (aof.c, 7.0).
    """
    bases = sorted((p for p in parts if p.type == "base"), key=lambda p: (p.exists, p.listed, _is_sound_base(p), p.seq))
    least = bases[-1].seq if bases and ruined else 0
    incr = {part.name: part for part in reversed(parts) if part.type == "incr" and (part.seq >= least or part.listed)}
    return bases[-1:] + sorted(incr.values(), key=lambda part: part.seq)


def _is_sound_base(part: AofPart) -> bool:
    """True of a base whose RDB is whole, or that begins with a command."""
    if part.source is None:
        return False
    if is_rdb(part.source):
        rdb = walk_rdb(part.source)
        return rdb.complete and rdb.checksum != "bad"
    return pread(part.source, 1, 0) in (b"*", b"#")


def _exclusion_reason(part: AofPart, parts: list[AofPart]) -> str:
    base = next((other for other in parts if other.type == "base"), None)
    if part.type == "base":
        return "another base is newer" if base and base.seq > part.seq else "it is damaged, and an older base is not"
    return "the base is newer, and holds it already"


def _with_sequence_numbers(parts: list[AofPart]) -> list[tuple[AofPart, int]]:
    """Parts with the number for the manifest: their own, unless that would not grow."""
    out: list[tuple[AofPart, int]] = []
    for part in parts:
        least = out[-1][1] + 1 if out and out[-1][0].type == part.type else 1
        out.append((part, max(least, part.seq)))
    return out


def _line(part: AofPart, seq: int) -> bytes:
    return b"file %b seq %d type %b\n" % (encode_name(os.fsencode(part.name)), seq, part.type[:1].encode())


def _prefix(part: AofPart) -> str:
    return part.name.rsplit(".", 3)[0]
