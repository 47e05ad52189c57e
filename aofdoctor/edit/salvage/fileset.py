"""Rebuild the file set of a multi-part AOF: a lost manifest, from the file names, and the order of swapped files.

A server names its files PREFIX.SEQ.base|incr.aof|rdb and increases the numbers. So it would have listed the newest base
and the incremental files in order. Everything that is inferred is reported in a note.
"""

import os
from collections import Counter
from dataclasses import replace

from aofdoctor import text
from aofdoctor.aof.generations import PART_NAME, number_gaps
from aofdoctor.aof.manifest import encode_name, parse_manifest
from aofdoctor.aof.model import AOF, AofPart
from aofdoctor.check.report import PartReport, Report
from aofdoctor.rdb.preamble import is_rdb, walk_rdb
from aofdoctor.source import pread


def rebuild_manifest(aof: AOF) -> tuple[AOF, list[str]]:
    """Rebuild the manifest of an AOF if it is missing or damaged; returns (the AOF, notes about what was inferred).

    An AOF with a sound manifest is returned unchanged, without notes.
    """
    if aof.layout != "multi-part":
        return aof, []
    is_unusable = aof.manifest is None or bool(aof.manifest.problems) or not aof.manifest.load_order
    unlisted = [part for part in aof.unlisted if part.exists and part.size]
    added = unlisted if is_unusable else _unlisted_members(aof, unlisted)
    parts = _order_parts([*aof.parts, *added], is_unusable)
    if not is_unusable and parts == aof.parts:
        return aof, []
    notes = [f"the manifest is {_manifest_defect(aof)}: rebuilt from the names of the files"] if is_unusable else []
    notes += [
        f"{text.display_path(name)} was listed {count:,} times: it is listed once"
        for name, count in Counter(part.name for part in aof.parts).items()
        if count > 1
    ]
    kept, names = {id(part) for part in parts}, {part.name for part in parts}
    unlisted_ids = {id(part) for part in aof.unlisted}
    notes += [
        f"{text.display_path(part.name)} is included: {_inclusion_reason(part, aof, is_unusable)}"
        for part in parts
        if id(part) in unlisted_ids
    ]
    notes += [
        f"{text.display_path(part.name)} is left out: {_exclusion_reason(part, parts)}"
        for part in [*aof.parts, *added]
        if part.exists and id(part) not in kept and part.name not in names
    ]
    missing_parts = [part for part in aof.parts if not part.exists and id(part) not in kept]
    notes += [f"{text.display_path(part.name)} is listed, and missing: its commands are lost" for part in missing_parts]
    gaps = number_gaps(tuple(part for part in parts if part.type == "incr"))
    if notes and gaps:
        notes.append(f"missing between the incremental files: {', '.join(gaps)}")
    return with_parts(aof, parts), notes


def with_parts(aof: AOF, parts: list[AofPart]) -> AOF:
    """Return the AOF with other files in load order, and a new manifest; the remaining files become unlisted."""
    data = b"".join(_line(part, seq) for part, seq in _with_sequence_numbers(parts))
    path = aof.manifest_path
    if path is None and aof.directory is not None and parts:
        path = aof.directory / f"{_prefix(parts)}.manifest"
    names = {part.name for part in parts}
    others = [part for part in (*aof.parts, *aof.unlisted) if part.exists and part.name not in names]
    history = [part for part in aof.history if part.name not in names]
    manifest = parse_manifest(data)
    return replace(aof, parts=parts, history=history, unlisted=others, manifest=manifest, manifest_path=path)


def _manifest_defect(aof: AOF) -> str:
    if aof.manifest is None:
        return "missing"
    return f"damaged ({aof.manifest.problems[0].message})" if aof.manifest.problems else "without a file to load"


def _unlisted_members(aof: AOF, unlisted: list[AofPart]) -> list[AofPart]:
    """The files of an AOF that its manifest must have listed before: a missing base, and skipped numbers.

    A server writes to an incremental file only after it has listed it.  So a file that has content, and the number
    after the last one, was listed too.
    """
    incr = [part.seq for part in aof.parts if part.type == "incr"]
    expected = range(min(incr), max(incr) + 2) if incr else range(0)
    has_base = any(part.type == "base" for part in aof.parts)
    return [part for part in unlisted if (part.seq in expected if part.type == "incr" else not has_base)]


def _inclusion_reason(part: AofPart, aof: AOF, is_unusable: bool) -> str:
    if is_unusable:
        return "it exists"
    if part.type == "base":
        return "the manifest names no base"
    between = any(other.type == "incr" and other.seq > part.seq for other in aof.parts)
    return "the manifest skips its number" if between else "a server writes only into files that it has listed"


def _order_parts(parts: list[AofPart], is_unusable: bool) -> list[AofPart]:
    """Put the files of an AOF in load order: one base, then the incremental files by number, each once.

    A listed base is preferred, then an intact one, then the newest.  Every rewrite increases the numbers of both kinds
    by at least one, so the content of an incremental file with a smaller number than the base is in the base (aof.c,
    7.0).
    """
    bases = sorted((p for p in parts if p.type == "base"), key=lambda p: (p.exists, p.listed, _is_sound_base(p), p.seq))
    least = bases[-1].seq if bases and is_unusable else 0
    incr = {part.name: part for part in reversed(parts) if part.type == "incr" and (part.seq >= least or part.listed)}
    return bases[-1:] + sorted(incr.values(), key=lambda part: part.seq)


def _is_sound_base(part: AofPart) -> bool:
    """Whether a base file is an intact RDB, or begins with a command."""
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
    return "the base is newer and includes it"


def _with_sequence_numbers(parts: list[AofPart]) -> list[tuple[AofPart, int]]:
    """(file, its number in the manifest): the number in its name, or a larger one if numbers would not increase."""
    out: list[tuple[AofPart, int]] = []
    for part in parts:
        least = out[-1][1] + 1 if out and out[-1][0].type == part.type else 1
        out.append((part, max(least, part.seq)))
    return out


def _line(part: AofPart, seq: int) -> bytes:
    return b"file %b seq %d type %b\n" % (encode_name(os.fsencode(part.name)), seq, part.type[:1].encode())


def _prefix(parts: list[AofPart]) -> str:
    """The appendfilename of an AOF: the beginning of its numbered file names; a base can have any other name."""
    return next((match["set"] for part in parts if (match := PART_NAME.match(part.name))), parts[0].name)


# -- swapped files --


def restore_part_order(report: Report) -> tuple[AOF, list[str]]:
    """Undo a swap of AOF files that their contents prove; returns (the AOF, notes about what was moved).

    An RDB proves that it is the base.  The order of incremental files is not changed, even if their #TS annotations
    are out of order: a clock that was set back looks the same, and check reports it.
    """
    order = _swap_misplaced_base(list(report.parts))
    misplaced = [(now, part) for now, part in zip(report.parts, order, strict=True) if now is not part]
    parts = [replace(now.part, source=was.part.source) for now, was in zip(report.parts, order, strict=True)]
    notes = [
        f"what {text.display_path(was.part.name)} holds is {text.display_path(now.part.name)}: files had changed places"
        for now, was in misplaced
    ]
    return (replace(report.aof, parts=parts), notes) if misplaced else (report.aof, [])


def _swap_misplaced_base(parts: list[PartReport]) -> list[PartReport]:
    """The files of an AOF with the only RDB moved to the only base that is named .rdb."""
    base = [i for i, part in enumerate(parts) if part.part.type == "base" and part.part.name.endswith(".rdb")]
    rdb = [i for i, part in enumerate(parts) if part.preamble and part.preamble.complete]
    if len(base) == 1 and len(rdb) == 1 and base != rdb and _is_base_rdb(parts[rdb[0]]):
        parts[base[0]], parts[rdb[0]] = parts[rdb[0]], parts[base[0]]
    return parts


def _is_base_rdb(part: PartReport) -> bool:
    """Whether a file of an AOF is the RDB of a base file.

    Servers write the field `aof-base` to such an RDB, and no commands after it (rdb.c, 7.0).
    """
    return part.preamble is not None and part.preamble.aux.get(b"aof-base") == b"1" and part.commands == 0
