"""The keys of records, in plain Python: the twin of heavy.h."""

from array import array
from collections.abc import Sequence

from aofdoctor.aof.constants import UNKNOWN
from aofdoctor.aof.records import RecordBatch

SETS, WAYS = 1024, 8
SHOWN = 88  # so many bytes of a key are kept
HEAD = 4096  # keys of one length that begin with the same so many bytes are taken for one
SURE = 14  # in bits: a record of half of 2 to the so many bytes is always looked at
NAMES_MOST = 10_000
NAMES_SHOWN = 64
_MASK = (1 << 64) - 1

NameRow = tuple[bytes, int, int, int]
KeyRow = tuple[bytes, int, int, int, int, int]


def _mix(h: int, word: int) -> int:
    h = (h ^ word) * 0x9E3779B97F4A7C15 & _MASK
    return h ^ h >> 29


def _hash(data: bytes, more: int) -> int:
    h = _mix(more & _MASK, len(data))
    for at in range(0, len(data), 8):
        h = _mix(h, int.from_bytes(data[at : at + 8], "little"))
    h = h * 0xFF51AFD7ED558CCD & _MASK
    return h ^ h >> 32


class Names:
    """Counts, and two sums, by name, as long as there are not too many."""

    def __init__(self) -> None:
        self.counted: dict[bytes, list[int]] = {}
        self.others = [0, 0, 0]

    def add(self, name: bytes, size: int, more: int) -> None:
        """Count a name."""
        if name in self.counted or len(self.counted) < NAMES_MOST:
            row = self.counted.setdefault(name, [0, 0, 0])
        else:
            row = self.others
        for column, value in enumerate((1, size, more)):
            row[column] += value

    def rows(self) -> list[NameRow]:
        """(name, count, bytes, more) of each, in no order."""
        return [(name, row[0], row[1], row[2]) for name, row in self.counted.items()]

    def rest(self) -> tuple[int, int, int]:
        """(count, bytes, more) of those that found the table full."""
        return self.others[0], self.others[1], self.others[2]


def prefix(name: bytes, delimiter: int, depth: int) -> bytes:
    """What stands up to delimiter number `depth`, or the last before it; only the first bytes are looked at."""
    pieces = name[: NAMES_SHOWN + 1].split(bytes([delimiter]), depth)
    return b"".join(piece + bytes([delimiter]) for piece in pieces[:-1])


class _Keys:
    def __init__(self) -> None:
        self.sets: dict[int, list[list[int]]] = {}
        self.named: dict[int, list[tuple[bytes, int, int, int]]] = {}  # the last is a digest of the key's head

    def add(self, key: tuple[bytes, int, int, int], weight: int, times: int) -> None:
        at = (key[3] >> 8) % SETS
        rows, names = self.sets.setdefault(at, []), self.named.setdefault(at, [])
        spread = weight * weight * times * (times - 1)
        if key in names:
            row = rows[names.index(key)]
            row[0] += weight * times
            row[2] += spread
        elif len(rows) < WAYS:
            names.append(key)
            rows.append([weight * times, 0, spread])
        else:
            least = min(range(WAYS), key=lambda way: rows[way][0])
            error = rows[least][0]
            names[least], rows[least] = key, [error + weight * times, error, spread]

    def rows(self) -> list[KeyRow]:
        return [
            (*key[:3], *row)  # type: ignore[misc]
            for at in sorted(self.sets)
            for key, row in zip(self.named[at], self.sets[at], strict=True)
        ]

    def elsewhere(self) -> int:
        full = [rows for rows in self.sets.values() if len(rows) == WAYS]
        return max((min(row[0] for row in rows) for rows in full), default=0)


class KeyCounters:
    """Counts and bytes by prefix of the first key, and the keys that are written most.

    `rules` has four bytes by id: the argument that is the first key (0: none), how
    many must follow it, the argument that has to be a number greater than 0 (0:
    none), and 0.  The first `sure` bytes of records are all looked at for single
    keys, after them a sample.
    """

    def __init__(self, rules: bytes, delimiter: int, depth: int, sure: int) -> None:
        if depth < 1 or len(rules) % 4 or not rules:
            raise ValueError("four bytes a rule, and a depth")
        self._rules, self._delimiter, self._depth = rules, delimiter, depth
        self._sure, self._draw = sure, 0
        self._prefixes, self._unknown, self._bytes, self._writes = Names(), Names(), _Keys(), _Keys()

    def run(self, batch: RecordBatch, db: Sequence[int], chosen: "array[int] | None") -> None:
        """Count the records of a batch that is not far: those that `chosen` names, or all."""
        for i in range(batch.count) if chosen is None else chosen:
            number = batch.ids[i] if 4 * batch.ids[i] < len(self._rules) else UNKNOWN
            at, tail, counted, _ = self._rules[4 * number : 4 * number + 4]
            if not at:
                continue
            weight, argv = batch.record_span(i).size, batch.argv(i, at + 1)
            if number == UNKNOWN:
                self.unknown(argv[0], weight)
            if at + tail < batch.argc[i] and (not counted or _positive(argv[counted])):
                self.one(argv[at][:HEAD], len(argv[at]), db[i], weight)

    def one(self, head: bytes, size: int, db: int, weight: int) -> None:
        """Count one write of a key of `size` bytes, of which `head` are the first HEAD."""
        self._prefixes.add(prefix(head[:size], self._delimiter, self._depth), weight, 0)
        times = self._times(weight)
        if times:
            digest = _hash(head[: min(size, HEAD)], db * 0x100000001B3 + size)
            key = (head[: min(size, SHOWN)], size, db, digest | 1)
            self._bytes.add(key, weight, times)
            self._writes.add(key, 1, times)

    def unknown(self, name: bytes, weight: int) -> None:
        """Count one command that no server knows."""
        self._unknown.add(name[:NAMES_SHOWN].lower(), weight, 0)

    def _times(self, weight: int) -> int:
        if weight >> (SURE - 1):
            return 1
        if self._sure > 0:
            self._sure -= weight
            return 1
        times = 1 << (SURE - weight.bit_length())
        self._draw = (self._draw + 0x9E3779B97F4A7C15) & _MASK
        mixed = (self._draw ^ self._draw >> 32) * 0xD6E8FEB86659FD93 & _MASK
        return 0 if mixed >> 40 & (times - 1) else times

    @property
    def sure(self) -> bool:
        """True while every record is looked at."""
        return self._sure > 0

    @property
    def prefixes(self) -> list[NameRow]:
        """(prefix, commands, bytes, 0) of each, in no order."""
        return self._prefixes.rows()

    @property
    def other_prefixes(self) -> tuple[int, int, int]:
        """(commands, bytes, 0) of those that found the table full."""
        return self._prefixes.rest()

    @property
    def unknown_names(self) -> list[NameRow]:
        """(name in lower case, commands, bytes, 0) of commands that no server knows."""
        return self._unknown.rows()

    @property
    def other_unknown(self) -> tuple[int, int, int]:
        """(commands, bytes, 0) of those that found the table full."""
        return self._unknown.rest()

    @property
    def by_bytes(self) -> list[KeyRow]:
        """(the first bytes, size, database, count, error, spread) of keys, the counts in bytes."""
        return self._bytes.rows()

    @property
    def by_writes(self) -> list[KeyRow]:
        """The same, the counts in writes."""
        return self._writes.rows()

    @property
    def most_bytes_elsewhere(self) -> int:
        """No key that is not among `by_bytes` has more, the sample aside."""
        return self._bytes.elsewhere()

    @property
    def most_writes_elsewhere(self) -> int:
        """No key that is not among `by_writes` has more, the sample aside."""
        return self._writes.elsewhere()


def _positive(number: bytes) -> bool:
    return number.isdigit() and len(number) < 10 and int(number) > 0
