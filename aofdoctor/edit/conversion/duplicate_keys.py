"""Resolve duplicate keys in an RDB: present the RDB to readers as if each key were in it only once.

The view leaves out the other occurrences and ends with an EOF opcode and the right checksum, so that every RDB reader
can read it. Which occurrence is kept is the user's decision (`--duplicates first|last`).
"""

from typing import NamedTuple

from aofdoctor import text
from aofdoctor.aof.patched_source import PatchedSource, PatchPiece, Replacement
from aofdoctor.aof.records import Preamble
from aofdoctor.errors import RefusedEdit
from aofdoctor.rdb.compressed.source import decompressed
from aofdoctor.rdb.duplicate_keys import DuplicateKey, find_duplicate_keys
from aofdoctor.rdb.encoding.crc64 import crc64
from aofdoctor.rdb.header import has_checksum
from aofdoctor.rdb.opcodes import Opcode
from aofdoctor.source import FileSource, Source, pread
from aofdoctor.span import Span

_NAMED_MAX = 3
_PIECE = 1 << 20
_EOF = bytes((Opcode.EOF,))


class ResolvedRdb(NamedTuple):
    """A view of an RDB in which every key occurs once, with the list of the duplicates that were removed."""

    source: Source
    duplicates: list[DuplicateKey]


def resolve_duplicates(source: FileSource, rdb: Preamble, choice: str, name: str) -> ResolvedRdb:
    """Keep the first or last occurrence (`choice`) of every key; raise RefusedEdit without a choice."""
    duplicates = find_duplicate_keys(decompressed(source), rdb.keys)
    if not duplicates:
        return ResolvedRdb(source, [])
    if not choice:
        raise RefusedEdit(
            f"the RDB of {name} has {_occurrences(duplicates)}, and no server loads a key twice",
            "--duplicates first keeps the first value of each, --duplicates last the last one",
        )
    if rdb.codec:
        raise RefusedEdit(
            f"the RDB of {name} is compressed, and has {_occurrences(duplicates)}",
            "decompress it first: only then can one of the values be left out",
        )
    return ResolvedRdb(_without_others(source, rdb, duplicates, keeps_last=choice == "last"), duplicates)


def describe_resolved(duplicates: list[DuplicateKey], choice: str) -> list[str]:
    """Sentences for the user about the values of duplicate keys that are left out."""
    notes = [
        f"left out: {text.format_count(len(key.occurrences) - 1, 'value')} of key {text.quote(key.name[:80])}, "
        f"db {key.db}, at {', '.join(str(item.start) for item in _others(key, choice == 'last')[:_NAMED_MAX])}: "
        f"the {choice} one is kept"
        for key in duplicates[: 10 * _NAMED_MAX]
    ]
    more = len(duplicates) - len(notes)
    return [*notes, f"left out: values of {more:,} more keys that occur twice"] if more else notes


def duplicates_json(duplicates: list[DuplicateKey], choice: str) -> list[dict[str, object]]:
    """The duplicate keys of an RDB as JSON.

    Each has its database, its name, and the file offsets of the occurrences that are kept and left out.
    """
    return [
        {
            "db": key.db,
            "key": text.escape(key.name[:1024]),
            "kept": key.occurrences[-1 if choice == "last" else 0].start,
            "dropped": [item.start for item in _others(key, choice == "last")],
        }
        for key in duplicates[:1000]
    ]


def _occurrences(duplicates: list[DuplicateKey]) -> str:
    names = ", ".join(text.quote(key.name[:80]) for key in duplicates[:_NAMED_MAX])
    more = f" and {len(duplicates) - _NAMED_MAX:,} more" if len(duplicates) > _NAMED_MAX else ""
    return f"{text.format_count(len(duplicates), 'key')} more than once ({names}{more})"


def _others(key: DuplicateKey, keeps_last: bool) -> list:  # type: ignore[type-arg]
    return key.occurrences[:-1] if keeps_last else key.occurrences[1:]


def _without_others(
    source: FileSource, rdb: Preamble, duplicates: list[DuplicateKey], keeps_last: bool
) -> PatchedSource:
    """A view of the RDB without the occurrences that are not kept, with a new EOF opcode and checksum."""
    end_size = 1 + 8 * has_checksum(rdb.magic)
    spans, at, crc = list[Span](), 0, 0
    for item in sorted((item for key in duplicates for item in _others(key, keeps_last)), key=lambda item: item.start):
        spans.append(Span(at, item.start))
        at = item.end
    spans.append(Span(at, rdb.span.end - end_size))
    for span in spans:
        for start in range(span.start, span.end, _PIECE):
            crc = crc64(pread(source, min(_PIECE, span.end - start), start), crc)
    end = _EOF + (crc64(_EOF, crc).to_bytes(8, "little") if has_checksum(rdb.magic) else b"")
    pieces = [PatchPiece(span, span.size) for span in spans if span.size]
    place = rdb.span.end
    return PatchedSource(source, [*pieces, PatchPiece(Span(place, place), len(end), Replacement(end))])
