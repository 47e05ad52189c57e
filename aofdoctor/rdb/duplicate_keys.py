"""Find the keys that occur more than once in an RDB, which no server loads.

Two passes: a small Bloom filter of name hashes yields candidates, and only if there are any, a second pass compares
their exact names.  A sound RDB costs one pass over the names and 32 bytes for each key, at most 32 MiB.
Which of the values is kept is decided by the caller.
"""

from collections.abc import Iterator
from typing import NamedTuple

from aofdoctor.rdb.conversion import read_key_name
from aofdoctor.rdb.encoding.cursor import Cursor, DecodeError
from aofdoctor.rdb.encoding.short_strings import read_short_string
from aofdoctor.rdb.items import ItemBatch, ItemReader, KeyItem
from aofdoctor.source import Source, pread
from aofdoctor.span import Span

_BITS_PER_KEY = 256
_LOG2_BITS_MIN, _LOG2_BITS_MAX = 13, 28
_DB_FACTOR = 0x9E3779B97F4A7C15
_NAME_LIMIT = 1 << 16  # bytes of a compressed name that are hashed
_MARKS_SIZE = 5  # the longest length in front of a plain string, without the 64-bit form


class DuplicateKey(NamedTuple):
    """A key that occurs more than once: its database, its name, and its occurrences in file order."""

    db: int
    name: bytes
    occurrences: list[KeyItem]


def find_duplicate_keys(source: Source, key_count: int | None) -> list[DuplicateKey]:
    """Return the keys that occur more than once in the RDB at the start of `source`, in order of first occurrence.

    `key_count` is the number of its keys, or None if it is unknown; it decides only how much memory is used.
    """
    candidates = _candidate_hashes(source, _log2_bits(key_count))
    return _exact_duplicates(source, candidates) if candidates else []


def _log2_bits(key_count: int | None) -> int:
    if key_count is None:
        return _LOG2_BITS_MAX
    return min(_LOG2_BITS_MAX, max(_LOG2_BITS_MIN, (key_count * _BITS_PER_KEY).bit_length()))


def _candidate_hashes(source: Source, log2_bits: int) -> set[int]:
    """Return the name hashes that occur twice by a Bloom filter: those of all duplicate keys, and a few others."""
    bits, candidates, mask = bytearray(1 << log2_bits - 3), set[int](), (1 << log2_bits) - 1
    for _, number in _hashed_keys(source):
        first, second = number & mask, number >> log2_bits & mask
        bit_1, bit_2 = 1 << (first & 7), 1 << (second & 7)
        if bits[first >> 3] & bit_1 and bits[second >> 3] & bit_2:
            candidates.add(number)
        bits[first >> 3] |= bit_1
        bits[second >> 3] |= bit_2
    return candidates


def _exact_duplicates(source: Source, candidates: set[int]) -> list[DuplicateKey]:
    cursor, occurrences = Cursor(source), dict[tuple[int, bytes], list[KeyItem]]()
    for (batch, i), number in _hashed_keys(source):
        if number in candidates:
            key = batch.key_at(i)
            try:
                name = read_key_name(cursor, key)
            except DecodeError:  # A name that cannot be read is damage, which the reader of values reports.
                continue
            occurrences.setdefault((max(key.db, 0), name), []).append(key)
    return [DuplicateKey(db, name, keys) for (db, name), keys in occurrences.items() if len(keys) > 1]


def _hashed_keys(source: Source) -> Iterator[tuple[tuple[ItemBatch, int], int]]:
    """Yield ((batch of RDB items, index of the key in it), hash of database and name) for every key of an RDB."""
    items = ItemReader(source, verify=False, stop_at_window_end=True)
    for batch in items:
        columns, window = batch.columns, items.window
        data = bytes(window.buffer[: window.data_end])
        for i in range(len(batch)):
            at = columns.name[i]
            if at >= 0:
                name = _plain_name(data, at - window.base, columns.value[i] - window.base)
                if name is None:
                    name = _read_name(source, Span(at, columns.value[i]))
                yield (batch, i), (hash(name) ^ columns.db[i] * _DB_FACTOR) & 0xFFFFFFFFFFFFFFFF


def _plain_name(data: bytes, start: int, end: int) -> bytes | None:
    """Return the key name stored in data[start:end]; None if it is not all in `data`, or a number, or compressed."""
    if start < 0 or end > len(data):
        return None
    form = data[start]
    if form < 0x40:
        return data[start + 1 : end]
    if form < 0x80:
        return data[start + 2 : end]
    return data[start + _MARKS_SIZE : end] if form == 0x80 else None


def _read_name(source: Source, span: Span) -> bytes:
    """Read the key name stored at `span` of an RDB from the file, in any encoding, up to _NAME_LIMIT bytes."""
    data = pread(source, min(span.size, _NAME_LIMIT), span.start)
    name = _plain_name(data, 0, span.size) if span.size <= len(data) else None
    return read_short_string(source, span, _NAME_LIMIT) if name is None else name
