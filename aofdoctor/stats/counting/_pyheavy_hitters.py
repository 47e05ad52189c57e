"""Count the commands of an AOF by first key, and find the keys written most: the Python fallback of heavy_hitters.h.

heavy_hitters.h explains the algorithms.
"""

from array import array
from collections.abc import Sequence

from aofdoctor.aof.constants import UNKNOWN
from aofdoctor.aof.records import RecordBatch
from aofdoctor.stats.counting.constants import (
    ALWAYS_COUNTED_BITS,
    HASH_SEED,
    KEY_BYTES_COMPARED,
    KEY_BYTES_KEPT,
    NAME_BYTES_KEPT,
    NAMES_MAX,
    SETS,
    WAYS,
    HeavyHitterRow,
    NameRow,
)  # fmt: skip
from aofdoctor.stats.counting.first_key import is_positive

_MASK = (1 << 64) - 1


def _mix(h: int, word: int) -> int:
    h = (h ^ word) * 0x9E3779B97F4A7C15 & _MASK
    return h ^ h >> 29


def _hash(data: bytes, seed: int) -> int:
    h = _mix((seed ^ HASH_SEED) & _MASK, len(data))
    for at in range(0, len(data), 8):
        h = _mix(h, int.from_bytes(data[at : at + 8], "little"))
    h = h * 0xFF51AFD7ED558CCD & _MASK
    return h ^ h >> 32


class NameCounts:
    """A table of bounded size that adds up (count, bytes, extra) for each key prefix or command name.

    `extra` is the number of keys with a TTL for RDB keys, and 0 for commands.  After NAMES_MAX names, further ones
    share a row.
    """

    def __init__(self) -> None:
        self.counts: dict[bytes, list[int]] = {}
        self.overflow = [0, 0, 0]

    def add(self, name: bytes, size: int, extra: int) -> None:
        """Count a key prefix or command name once, and add `size` to its bytes and `extra` to its third sum."""
        if name in self.counts or len(self.counts) < NAMES_MAX:
            row = self.counts.setdefault(name, [0, 0, 0])
        else:
            row = self.overflow
        for column, value in enumerate((1, size, extra)):
            row[column] += value

    def rows(self) -> list[NameRow]:
        """Return (name, count, bytes, extra) for each key prefix or command name in the table, in any order."""
        return [(name, row[0], row[1], row[2]) for name, row in self.counts.items()]

    def overflow_row(self) -> tuple[int, int, int]:
        """Return (count, bytes, extra) of all key prefixes or command names for which the table had no room."""
        return self.overflow[0], self.overflow[1], self.overflow[2]


def key_prefix(name: bytes, delimiter: int, depth: int) -> bytes:
    """Return the prefix of a key's name up to its delimiter number `depth`, or to the last one if it has fewer.

    Only the first NAME_BYTES_KEPT + 1 bytes are searched.
    """
    pieces = name[: NAME_BYTES_KEPT + 1].split(bytes([delimiter]), depth)
    return b"".join(piece + bytes([delimiter]) for piece in pieces[:-1])


class _SpaceSaving:
    """Finds the keys with the highest counts in bounded memory: Space-Saving (Metwally, Agrawal and El Abbadi, 2005).

    A hash divides the keys into SETS sets; each set keeps WAYS keys and replaces the one with the lowest count.
    """

    def __init__(self) -> None:
        self.sets: dict[int, list[list[int]]] = {}  # by set: [count, error, variance] of each key
        self.keys: dict[int, list[tuple[bytes, int, int, int]]] = {}  # by set: (name, size, database, hash) of each key

    def add(self, key: tuple[bytes, int, int, int], weight: int, multiplier: int) -> None:
        set_index = (key[3] >> 8) % SETS
        rows, keys = self.sets.setdefault(set_index, []), self.keys.setdefault(set_index, [])
        variance = weight * weight * multiplier * (multiplier - 1)
        if key in keys:
            row = rows[keys.index(key)]
            row[0] += weight * multiplier
            row[2] += variance
        elif len(rows) < WAYS:
            keys.append(key)
            rows.append([weight * multiplier, 0, variance])
        else:
            least = min(range(WAYS), key=lambda way: rows[way][0])
            error = rows[least][0]
            keys[least], rows[least] = key, [error + weight * multiplier, error, variance]

    def rows(self) -> list[HeavyHitterRow]:
        return [
            (*key[:3], *row)  # type: ignore[misc]
            for at in sorted(self.sets)
            for key, row in zip(self.keys[at], self.sets[at], strict=True)
        ]

    def max_untracked(self) -> int:
        full_sets = [rows for rows in self.sets.values() if len(rows) == WAYS]
        return max((min(row[0] for row in rows) for rows in full_sets), default=0)


class KeyCounters:
    """Count commands and bytes by prefix of the first key, and find the keys that are written most.

    `first_key_rules` has four bytes for each command id: the index of the argument that is the first key (0: none), the
    number of arguments that must follow it, the index of an argument that must be a number greater than 0 (0: none),
    and 0.  The first `exact_bytes` bytes of commands are all counted by key, after that only a sample of them.
    """

    def __init__(self, first_key_rules: bytes, delimiter: int, depth: int, exact_bytes: int) -> None:
        if depth < 1 or len(first_key_rules) % 4 or not first_key_rules:
            raise ValueError("four bytes a rule, and a depth")
        self._first_key_rules, self._delimiter, self._depth = first_key_rules, delimiter, depth
        self._exact_bytes, self._random_state = exact_bytes, 0
        self._prefixes, self._unknown, self._bytes, self._writes = (
            NameCounts(),
            NameCounts(),
            _SpaceSaving(),
            _SpaceSaving(),
        )

    def count_batch(self, batch: RecordBatch, db: Sequence[int], indexes: "array[int] | None") -> None:
        """Count the commands of a batch by first key: those in `indexes`, or all if it is None.

        `db` has the database of each command.  A batch with a command that is too large for memory is not allowed.
        """
        for i in range(batch.count) if indexes is None else indexes:
            number = batch.ids[i] if 4 * batch.ids[i] < len(self._first_key_rules) else UNKNOWN
            at, tail, numkeys_at, _ = self._first_key_rules[4 * number : 4 * number + 4]
            if not at:
                continue
            weight, argv = batch.record_span(i).size, batch.argv(i, at + 1)
            if number == UNKNOWN:
                self.count_unknown(argv[0], weight)
            if at + tail < batch.argc[i] and (not numkeys_at or is_positive(argv[numkeys_at])):
                self.count_key(argv[at][:KEY_BYTES_COMPARED], len(argv[at]), db[i], weight)

    def count_key(self, head: bytes, size: int, db: int, weight: int) -> None:
        """Count one write to a key with a name of `size` bytes in database `db`, by a command of `weight` bytes.

        `head` has the first KEY_BYTES_COMPARED bytes of the name, or all of it if it is shorter.
        """
        self._prefixes.add(key_prefix(head[:size], self._delimiter, self._depth), weight, 0)
        multiplier = self._sample_multiplier(weight)
        if multiplier:
            digest = _hash(head[: min(size, KEY_BYTES_COMPARED)], db * 0x100000001B3 + size)
            key = (head[: min(size, KEY_BYTES_KEPT)], size, db, digest | 1)
            self._bytes.add(key, weight, multiplier)
            self._writes.add(key, 1, multiplier)

    def count_unknown(self, name: bytes, weight: int) -> None:
        """Count a command that no known server has under its name; `weight` is its size in bytes."""
        self._unknown.add(name[:NAME_BYTES_KEPT].lower(), weight, 0)

    def _sample_multiplier(self, weight: int) -> int:
        if weight >> (ALWAYS_COUNTED_BITS - 1):
            return 1
        if self._exact_bytes > 0:
            self._exact_bytes -= weight
            return 1
        multiplier = 1 << (ALWAYS_COUNTED_BITS - weight.bit_length())
        self._random_state = (self._random_state + 0x9E3779B97F4A7C15) & _MASK
        mixed = (self._random_state ^ self._random_state >> 32) * 0xD6E8FEB86659FD93 & _MASK
        return 0 if mixed >> 40 & (multiplier - 1) else multiplier

    @property
    def is_exact(self) -> bool:
        """Whether every command so far was counted by key, without sampling."""
        return self._exact_bytes > 0

    @property
    def prefixes(self) -> list[NameRow]:
        """The counted (prefix, commands, bytes, 0) for each prefix of a first key, in no particular order.

        The 0 is unused.
        """
        return self._prefixes.rows()

    @property
    def other_prefixes(self) -> tuple[int, int, int]:
        """The counted (commands, bytes, 0) of the key prefixes for which the table had no room; the 0 is unused."""
        return self._prefixes.overflow_row()

    @property
    def unknown_names(self) -> list[NameRow]:
        """The counted (name in lower case, commands, bytes, 0) of commands that no known server has.

        The 0 is unused.
        """
        return self._unknown.rows()

    @property
    def other_unknown_names(self) -> tuple[int, int, int]:
        """The counted (commands, bytes, 0) of the unknown commands for which the table had no room; the 0 is unused."""
        return self._unknown.overflow_row()

    @property
    def by_bytes(self) -> list[HeavyHitterRow]:
        """The keys with the most bytes written to them, as HeavyHitterRow tuples with counts in bytes."""
        return self._bytes.rows()

    @property
    def by_writes(self) -> list[HeavyHitterRow]:
        """The keys with the most commands that write to them, as HeavyHitterRow tuples with counts in commands."""
        return self._writes.rows()

    @property
    def max_other_bytes(self) -> int:
        """The most bytes that can have been written to a key that is not in `by_bytes`, ignoring sampling errors."""
        return self._bytes.max_untracked()

    @property
    def max_other_writes(self) -> int:
        """The most commands that can have written to a key that is not in `by_writes`, ignoring sampling errors."""
        return self._writes.max_untracked()
