"""Salvage a damaged RDB: keep every key before the damage, and the keys that can be found after it.

A key is kept if its whole value can be decoded.  Items found after damage are guesses: their database is unknown up
to the next SELECTDB, and a key name that was there before is dropped, since no server loads a key twice.  A strict
salvage keeps nothing after damage.
"""

from collections.abc import Iterator
from dataclasses import replace

from aofdoctor import text
from aofdoctor.aof.patched_source import PatchedSource
from aofdoctor.aof.records import Preamble
from aofdoctor.check.rdb_examination import (
    DamagedKey,
    FirstPass,
    KeyFilter,
    RdbExaminer,
    SalvageCounts,
    first_pass,
    is_in_key,
    kept_names,
)
from aofdoctor.edit.salvage.partial_values import PartialKey, readable_parts
from aofdoctor.edit.salvage.rdb_splice import SplicedRdb, replace_byte, replace_magic, splice_rdb
from aofdoctor.errors import RefusedEdit
from aofdoctor.rdb.header import FRAME_OFFSET, MAGIC_SIZE, version_of
from aofdoctor.rdb.recovery.changed_byte import find_changed_byte
from aofdoctor.server.versions import writer_magic
from aofdoctor.source import FileSource, Source
from aofdoctor.span import Span

_NAMED_MAX = 5  # damaged keys that a note names


def salvage_rdb(
    index: int,
    source: FileSource | PatchedSource,
    rdb: Preamble,
    strict: bool = False,
    key_filter: KeyFilter | None = None,
    partial_values: bool = False,
) -> tuple[SplicedRdb, SalvageCounts] | None:
    """Keep the readable items of a file's damaged RDB, with their counts; only keys that pass `key_filter`.

    With `partial_values`, the readable elements of damaged collections are kept as well.

    None if it has no valid magic and no key or function can be read, or if unreadable sectors follow the RDB.
    """
    if rdb.codec:
        tool = {"LZ4": "lz4", "Zstd": "zstd"}[rdb.codec]
        raise RefusedEdit(
            f"the RDB of {text.display_path(source.path)} is compressed by {rdb.codec}, and damaged: {rdb.note}",
            f"`tail -c +{FRAME_OFFSET + 1} FILE | {tool} -dc > OUT` writes what comes out of it: salvage that",
        )
    holes = isinstance(source, FileSource) and source.unreadable
    if isinstance(source, FileSource) and source.first_unreadable(Span(rdb.span.end, source.size)):
        return None  # The bytes after the RDB must be read from the file itself, which knows its unreadable sectors.
    expected_magic = b"" if holes or rdb.span.end < MAGIC_SIZE else writer_magic(rdb.aux)
    if expected_magic and expected_magic != rdb.magic:
        source, rdb = (
            replace_magic(source, expected_magic),
            replace(rdb, magic=expected_magic, version=version_of(expected_magic)),
        )
    elif not holes and isinstance(source, FileSource):
        source = _restore_changed_byte(source, rdb)
    counts, survey = SalvageCounts(), first_pass(source, rdb, strict)

    def item_verdicts() -> Iterator[tuple[Span, str]]:
        nonlocal counts
        examiner = RdbExaminer(source, rdb, survey, strict, key_filter)
        counts = examiner.counts
        return examiner.item_verdicts()

    parts = _readable_parts(source, rdb, survey, strict) if partial_values else []
    spliced = splice_rdb(index, source, rdb.span.end, item_verdicts, b"".join(part.data for part in parts))
    for part in parts:
        counts.keys += 1
        counts.dbs[part.key.db] += 1
        counts.partial[part.key.span.start] = part.elements
    is_empty = not counts.keys and not counts.functions
    return None if is_empty and not version_of(rdb.magic) else (spliced, counts)


def _readable_parts(source: Source, rdb: Preamble, survey: FirstPass, strict: bool) -> list[PartialKey]:
    """The readable elements of damaged keys, except keys that have the same name as a kept key."""
    examiner = RdbExaminer(source, rdb, survey, strict)
    for _ in examiner.item_verdicts():
        pass
    parts = readable_parts(source, examiner.counts.damaged, rdb.magic)
    kept = kept_names(RdbExaminer(source, rdb, survey, strict), {(part.key.db, part.key.name) for part in parts})
    return [part for part in parts if (part.key.db, part.key.name) not in kept]


def _restore_changed_byte(source: FileSource, rdb: Preamble) -> FileSource | PatchedSource:
    """The source with one changed byte of its RDB restored, if the checksum proves the byte and it is in no key.

    Before, between and after the keys a wrong byte can move all keys to another database, or stop the load.
    """
    if rdb.is_intact or rdb.span.end <= MAGIC_SIZE:
        return source
    changed = find_changed_byte(source, rdb.span.end)
    if changed is None or changed.offset < MAGIC_SIZE or is_in_key(source, changed.offset):
        return source
    return replace_byte(source, changed.offset, changed.original)


def describe_salvaged_rdb(name: str, rdb: Preamble, counts: SalvageCounts) -> str:
    """The note of a plan that says how much of a damaged RDB is kept."""
    defect = f" ({rdb.note})" if rdb.note else ""
    words = f"the RDB of {text.display_path(name)} is damaged{defect}: "
    words += f"{text.format_count(counts.keys, 'key')} of it can be read"
    words += " and stay" if counts.keys != 1 else " and stays"
    if counts.keys_after_damage:
        words += f", {counts.keys_after_damage:,} of them found after the damage: a guess (--strict leaves those out)"
    if counts.keys_in_guessed_db:
        words += f", {counts.keys_in_guessed_db:,} in a guessed database"
    if counts.numeric_names_dropped:
        words += f"; {text.format_count(counts.numeric_names_dropped, 'key')} found after it"
        words += " whose names are numbers go, which may be elements"
    return words + "; a value that was changed and can still be decoded cannot be told"


def describe_damaged_keys(name: str, counts: SalvageCounts) -> list[str]:
    """The notes of a plan that name the keys and function libraries of a damaged RDB that are left out.

    They include the empty keys, which servers skip.
    """
    notes = [
        f"{text.display_path(name)}: {describe_damaged_key(key, counts.partial.get(key.span.start, 0))}"
        for key in counts.damaged[:_NAMED_MAX]
    ]
    if counts.damaged_count > _NAMED_MAX:
        more = text.format_count(counts.damaged_count - _NAMED_MAX, "more key")
        notes.append(f"{text.display_path(name)}: {more} cannot be loaded; check --deep --json names them")
    notes += [f"{text.display_path(name)}: {describe_damaged_key(key)}" for key in counts.skipped[:_NAMED_MAX]]
    if counts.skipped_count > _NAMED_MAX:
        more = text.format_count(counts.skipped_count - _NAMED_MAX, "more empty key")
        notes.append(f"{text.display_path(name)}: {more} left out; check --deep --json names them")
    return notes


def describe_damaged_key(key: DamagedKey, kept: int = 0) -> str:
    """The text about one RDB key or library that is left out, with the reason, or of which `kept` elements are kept."""
    place = f"at {key.span.start}"
    if key.is_library:
        return f"function library {text.quote(key.name)} {place} is left out: {key.reason}"
    db = f"db{key.db}" if key.db >= 0 else "an unknown database"
    if kept:
        elements = text.format_count(kept, "element")
        return f"key {text.quote(key.name[:80])} of {db}, {place}: {elements} before its damage stay: {key.reason}"
    return f"key {text.quote(key.name[:80])} of {db}, {place}, is left out: {key.reason}"
