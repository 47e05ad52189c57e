"""Keys that the commands of two rewrites make the same, told in other chunks.

A set, a sorted set and a hash have no order of their own: servers write their
elements as they lie in memory, in chunks, a score in the digits of their line,
the expiry of a field in one of two ways.  So what a value in an RDB has is
compared with what the first commands of the other side add, whatever the order.

That holds where no element is added twice, which is so of a value in an RDB;
what is done to it later is compared unit by unit.
"""

import re
import struct
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from aofdoctor.aof.records import LargeArgument
from aofdoctor.diff.edit_script import longest_increasing
from aofdoctor.diff.hashing.digest import Digest
from aofdoctor.diff.moves import Key, KeyAccesses, key_of, shared_barriers
from aofdoctor.diff.units._pyunits import Column, Kind
from aofdoctor.diff.units.rdb_commands import RdbCommandStream
from aofdoctor.diff.units.side import Run, Side
from aofdoctor.diff.units.unit import feed
from aofdoctor.diff.units.unit_commands import entries
from aofdoctor.rdb.encoding.cursor import LargeString
from aofdoctor.rdb.items import Item
from aofdoctor.rdb.items import Key as KeyOfBase

Word = bytes | LargeArgument | LargeString
Argv = Sequence[Word]
Group = tuple[list[int], list[int]]
_ARGS_MOST = 1 << 12
_UNORDERED = frozenset({"set", "zset", "hash"})
_WRAP = (1 << 64) - 1
_NUMBER = re.compile(rb"[-+]?(\d{1,400}\.?\d{0,400}|\.\d{1,400})(e[-+]?\d{1,6})?|[-+]?inf(inity)?", re.IGNORECASE)


def match_rechunked_keys(
    sides: tuple[Side, Side], touched: tuple[KeyAccesses, KeyAccesses], left: tuple[list[int], list[int]]
) -> list[Group]:
    """Groups of units of both sides, each of one key, that make it the same; of those that are `left` over."""
    own, other = (_by_key(t, units) for t, units in zip(touched, left, strict=True))
    both = own.keys() & other.keys()
    keys = set().union(*(_collections(side, t, both) for side, t in zip(sides, touched, strict=True)))
    if not keys:
        return []
    one, two = (_ElementReader(side, t, keys) for side, t in zip(sides, touched, strict=True))
    alike = shared_barriers(*touched)
    return [(own[key], other[key]) for key in own if key in keys and _add_the_same(one.of[key], two.of[key], alike)]


def _collections(side: Side, touched: KeyAccesses, keys: set[Key]) -> set[Key]:
    """Those of some keys that are collections without an order in an RDB of a side."""
    found: set[Key] = set()
    for run in side.runs(0, len(touched.keys)) if keys else ():
        rdb_stream = side.rdb_commands(run.first.part) if run.base else None
        for item in rdb_stream.items(run) if rdb_stream else ():
            if rdb_stream and isinstance(item, KeyOfBase) and rdb_stream.type_name(item) in _UNORDERED:
                name = rdb_stream.key_name(item)
                if name is not None and (key := key_of(max(0, item.db), name)) in keys:
                    found.add(key)
    return found


def in_place(groups: list[Group], gaps: list[tuple[range, range]], touched: KeyAccesses) -> set[int]:
    """The groups that stand in the same place on both sides: nothing between that is of another key and on both sides.

    `gaps` are what only one side has, between what both have; `touched` is what the units of the first side touch.
    """
    found: list[tuple[int, int]] = []
    for own, other in groups:
        places = [
            gap
            for side, at in ((0, own), (1, other))
            for gap in (_gap_of(gaps, side, at[0]), _gap_of(gaps, side, at[-1]))
        ]
        between = (i for g in range(min(places), max(places)) for i in range(gaps[g][0].stop, gaps[g + 1][0].start))
        if all(touched.keys[i] == touched.keys[own[0]] for i in between):
            found.append((own[0], other[0]))
    first = {own[0]: number for number, (own, _) in enumerate(groups)}
    return {first[x] for x, _ in longest_increasing(sorted(found))}


def _gap_of(gaps: list[tuple[range, range]], side: int, at: int) -> int:
    return bisect_right(gaps, at, key=lambda gap: gap[side].start) - 1


def _by_key(touched: KeyAccesses, units: list[int]) -> dict[Key, list[int]]:
    found: dict[Key, list[int]] = {}
    for i in units:
        keys = touched.keys[i]
        if keys is not None and len(keys) == 1:
            found.setdefault(next(iter(keys)), []).append(i)
    return found


class _AddedElements(NamedTuple):
    """What was done to a key: by a unit, or by all units of it in an RDB that add elements.

    `sort` is of what sort the elements are that were added, empty if anything else
    was done; `total` is the sum of their digests.
    """

    digest: int
    passed: int
    sort: str
    total: int
    elements: int
    base: bool


def _add_the_same(one: list[_AddedElements], other: list[_AddedElements], alike: int) -> bool:
    """True if what a value in an RDB has is added by the first units of the other side, and the rest is the same.

    All of it has to stand before a barrier that is not `alike`.
    """
    a, b = (one, other) if one and one[0].base else (other, one)
    if not a or not a[0].base or a[-1].passed > alike:
        return False
    whole, total, elements, n = a[0], 0, 0, 0
    while n < len(b) and elements < whole.elements and (b[n].sort, b[n].passed) == (whole.sort, whole.passed):
        total, elements, n = (total + b[n].total) & _WRAP, elements + b[n].elements, n + 1
    return (total, elements) == (whole.total, whole.elements) and a[1:] == b[n:]


class _ElementReader:
    """By key what was done to it, in order: units by their digest, and what runs of commands add."""

    def __init__(self, side: Side, touched: KeyAccesses, keys: set[Key]) -> None:
        self.side, self.touched, self.keys = side, touched, keys
        self.of: dict[Key, list[_AddedElements]] = {key: [] for key in keys}
        self._fields: dict[Key, set[bytes]] = {}  # of the last command that sets any
        at = 0
        for run in side.runs(0, len(touched.keys)):
            units = [i for i in range(at, at + run.units) if (own := touched.keys[i]) and not keys.isdisjoint(own)]
            for i, argv in self._commands(run, at, units) if units else ():
                self._unit(i, argv, run.base)
            at += run.units

    def _commands(self, run: Run, at: int, units: list[int]) -> Iterator[tuple[int, Argv]]:
        """The units of a run that matter, each with its arguments; none of a transaction and of what is not read."""
        if run.base:
            rdb_stream = self.side.rdb_commands(run.first.part)
            said = rdb_stream.run(run, lambda item: self._wanted(rdb_stream, item))
            yield from zip(units, (one.said for one in said), strict=True)
            return
        starts, kinds = (self.side.column(column, at + run.units) for column in (Column.START, Column.KIND))
        reader = iter(()) if run.opaque else entries(self.side, run)
        entry = next(reader, None)
        for i in units:
            while entry is not None and entry.batch.record_span(entry.i).start < starts[i]:
                entry = next(reader, None)
            is_readable = entry is not None and kinds[i] == Kind.COMMAND and entry.batch.argc[entry.i] <= _ARGS_MOST
            yield i, list(entry.batch.args(entry.i)) if entry is not None and is_readable else ()

    def _wanted(self, rdb_stream: RdbCommandStream, item: Item | KeyOfBase) -> bool:
        name = rdb_stream.key_name(item) if isinstance(item, KeyOfBase) else None
        return name is not None and key_of(max(0, item.db), name) in self.keys  # type: ignore[union-attr]

    def _unit(self, i: int, argv: Argv, base: bool) -> None:
        """Take in a unit; what adds elements in an RDB joins what did before it, and has no digest of its own."""
        digest, passed = self.touched.digests[i], self.touched.passed[i]
        for key in self.touched.keys[i] or ():
            if key not in self.keys:
                continue
            seen = self.of[key]
            type_name, items = self._adds(key, argv) if argv else ("", [])
            done = _AddedElements(digest, passed, type_name, sum(items) & _WRAP, len(items), False)
            if base and type_name:
                done = done._replace(digest=0, base=True)
                if seen and seen[-1].base and seen[-1].sort == type_name:
                    last = seen.pop()
                    total, elements = last.total + done.total, last.elements + done.elements
                    done = done._replace(total=total & _WRAP, elements=elements)
            seen.append(done)

    # -- what a command adds --

    def _adds(self, key: Key, argv: Argv) -> tuple[str, list[int]]:
        """(of what sort, the digests of the elements) that a command adds; no sort if it does anything else."""
        name = argv[0].lower() if isinstance(argv[0], bytes) else b""
        read = _READERS.get(name)
        elements = read(argv) if read else None
        if elements is None:
            return "", []
        type_name, words = elements
        if not self._timed_after(key, name, argv):
            return "", []
        return type_name, [self._digest(element) for element in words]

    def _timed_after(self, key: Key, name: bytes, argv: Argv) -> bool:
        """True unless the expiry of a field stands before the field."""
        if name in (b"hset", b"hmset"):
            self._fields[key] = {field for field in argv[2::2] if isinstance(field, bytes)}
            return True
        return name != b"hpexpireat" or self._fields.get(key, set()).issuperset(argv[5:])

    def _digest(self, element: tuple[Word, ...]) -> int:
        digest = Digest(self.side.rules.key)
        for word in element:
            feed(digest, word)
        return digest.value()


_Read = Callable[[Argv], tuple[str, list[tuple[Word, ...]]] | None]


def _sadd(argv: Argv) -> tuple[str, list[tuple[Word, ...]]] | None:
    return "set", [(member,) for member in argv[2:]]


def _zadd(argv: Argv) -> tuple[str, list[tuple[Word, ...]]] | None:
    """Scores as the doubles that they are; none with options."""
    scores = argv[2::2]
    if len(argv) % 2 or not all(isinstance(score, bytes) and _NUMBER.fullmatch(score) for score in scores):
        return None
    doubles = [struct.pack("<d", float(score)) for score in scores if isinstance(score, bytes)]
    return "zset", list(zip(doubles, argv[3::2], strict=True))


def _hset(argv: Argv) -> tuple[str, list[tuple[Word, ...]]] | None:
    return ("hash", list(zip(argv[2::2], argv[3::2], strict=True))) if len(argv) % 2 == 0 else None


def _hpexpireat(argv: Argv) -> tuple[str, list[tuple[Word, ...]]] | None:
    """HPEXPIREAT key time FIELDS number field ..."""
    if len(argv) < 6 or argv[3] != b"FIELDS" or argv[4] != b"%d" % len(argv[5:]):
        return None
    return "hash", [(field, argv[2], b"") for field in argv[5:]]


def _hsetex(argv: Argv) -> tuple[str, list[tuple[Word, ...]]] | None:
    """HSETEX key PXAT time FIELDS number field value ..., as Valkey writes it."""
    if len(argv) < 8 or argv[2:5:2] != [b"PXAT", b"FIELDS"] or argv[5] != b"%d" % (len(argv[6:]) // 2):
        return None
    fields, values = argv[6::2], argv[7::2]
    if len(fields) != len(values):
        return None
    timed: list[tuple[Word, ...]] = [(field, argv[3], b"") for field in fields]
    return "hash", [*zip(fields, values, strict=True), *timed]


_READERS: dict[bytes, _Read] = {
    b"sadd": _sadd, b"zadd": _zadd, b"hset": _hset, b"hmset": _hset, b"hpexpireat": _hpexpireat, b"hsetex": _hsetex,
}  # fmt: skip
