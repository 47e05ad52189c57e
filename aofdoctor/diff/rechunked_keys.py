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
from aofdoctor.diff.moves import DbKey, KeyAccesses, count_shared_barriers, make_db_key
from aofdoctor.diff.units.columns import UnitColumn, UnitKind
from aofdoctor.diff.units.rdb_commands import RdbCommandStream
from aofdoctor.diff.units.side import Side, UnitRun
from aofdoctor.diff.units.unit import feed_argument
from aofdoctor.diff.units.unit_commands import run_entries
from aofdoctor.rdb.encoding.cursor import LargeString
from aofdoctor.rdb.items import KeyItem as KeyOfBase
from aofdoctor.rdb.items import OpcodeItem

ElementWord = bytes | LargeArgument | LargeString
Argv = Sequence[ElementWord]
UnitGroup = tuple[list[int], list[int]]
_ARGS_MAX = 1 << 12
_UNORDERED = frozenset({"set", "zset", "hash"})
_DIGEST_MASK = (1 << 64) - 1
_NUMBER = re.compile(rb"[-+]?(\d{1,400}\.?\d{0,400}|\.\d{1,400})(e[-+]?\d{1,6})?|[-+]?inf(inity)?", re.IGNORECASE)


def match_rechunked_keys(
    sides: tuple[Side, Side], accesses: tuple[KeyAccesses, KeyAccesses], unpaired: tuple[list[int], list[int]]
) -> list[UnitGroup]:
    """Groups of units of both sides, each of one key, that make it the same; of those that are `left` over."""
    own, other = (_by_key(t, units) for t, units in zip(accesses, unpaired, strict=True))
    common_keys = own.keys() & other.keys()
    keys = set().union(*(_unordered_keys(side, t, common_keys) for side, t in zip(sides, accesses, strict=True)))
    if not keys:
        return []
    one, two = (_ElementReader(side, t, keys) for side, t in zip(sides, accesses, strict=True))
    shared_count = count_shared_barriers(*accesses)
    return [
        (own[key], other[key])
        for key in own
        if key in keys and _add_the_same(one.additions[key], two.additions[key], shared_count)
    ]


def _unordered_keys(side: Side, accesses: KeyAccesses, keys: set[DbKey]) -> set[DbKey]:
    """Those of some keys that are collections without an order in an RDB of a side."""
    unordered: set[DbKey] = set()
    for run in side.runs(0, len(accesses.keys)) if keys else ():
        rdb_stream = side.rdb_commands(run.first.part) if run.is_from_rdb else None
        for item in rdb_stream.items(run) if rdb_stream else ():
            if rdb_stream and isinstance(item, KeyOfBase) and rdb_stream.type_name(item) in _UNORDERED:
                name = rdb_stream.key_name(item)
                if name is not None and (key := make_db_key(max(0, item.db), name)) in keys:
                    unordered.add(key)
    return unordered


def groups_in_same_place(groups: list[UnitGroup], gaps: list[tuple[range, range]], accesses: KeyAccesses) -> set[int]:
    """The groups that stand in the same place on both sides: nothing between that is of another key and on both sides.

    `gaps` are what only one side has, between what both have; `touched` is what the units of the first side touch.
    """
    in_place_starts: list[tuple[int, int]] = []
    for own, other in groups:
        places = [
            gap
            for side, at in ((0, own), (1, other))
            for gap in (_gap_index(gaps, side, at[0]), _gap_index(gaps, side, at[-1]))
        ]
        between = (i for g in range(min(places), max(places)) for i in range(gaps[g][0].stop, gaps[g + 1][0].start))
        if all(accesses.keys[i] == accesses.keys[own[0]] for i in between):
            in_place_starts.append((own[0], other[0]))
    first = {own[0]: number for number, (own, _) in enumerate(groups)}
    return {first[x] for x, _ in longest_increasing(sorted(in_place_starts))}


def _gap_index(gaps: list[tuple[range, range]], side: int, at: int) -> int:
    return bisect_right(gaps, at, key=lambda gap: gap[side].start) - 1


def _by_key(accesses: KeyAccesses, units: list[int]) -> dict[DbKey, list[int]]:
    by_key: dict[DbKey, list[int]] = {}
    for i in units:
        keys = accesses.keys[i]
        if keys is not None and len(keys) == 1:
            by_key.setdefault(next(iter(keys)), []).append(i)
    return by_key


class _AddedElements(NamedTuple):
    """What was done to a key: by a unit, or by all units of it in an RDB that add elements.

    `sort` is of what sort the elements are that were added, empty if anything else
    was done; `total` is the sum of their digests.
    """

    digest: int
    barriers_before: int
    type_name: str
    total: int
    elements: int
    base: bool


def _add_the_same(one: list[_AddedElements], other: list[_AddedElements], shared_count: int) -> bool:
    """True if what a value in an RDB has is added by the first units of the other side, and the rest is the same.

    All of it has to stand before a barrier that is not `alike`.
    """
    a, b = (one, other) if one and one[0].base else (other, one)
    if not a or not a[0].base or a[-1].barriers_before > shared_count:
        return False
    rdb_value, total, elements, n = a[0], 0, 0, 0
    while (
        n < len(b)
        and elements < rdb_value.elements
        and (b[n].type_name, b[n].barriers_before) == (rdb_value.type_name, rdb_value.barriers_before)
    ):
        total, elements, n = (total + b[n].total) & _DIGEST_MASK, elements + b[n].elements, n + 1
    return (total, elements) == (rdb_value.total, rdb_value.elements) and a[1:] == b[n:]


class _ElementReader:
    """By key what was done to it, in order: units by their digest, and what runs of commands add."""

    def __init__(self, side: Side, accesses: KeyAccesses, keys: set[DbKey]) -> None:
        self.side, self.accesses, self.keys = side, accesses, keys
        self.additions: dict[DbKey, list[_AddedElements]] = {key: [] for key in keys}
        self._fields: dict[DbKey, set[bytes]] = {}  # of the last command that sets any
        at = 0
        for run in side.runs(0, len(accesses.keys)):
            units = [i for i in range(at, at + run.units) if (own := accesses.keys[i]) and not keys.isdisjoint(own)]
            for i, argv in self._commands(run, at, units) if units else ():
                self._add_unit(i, argv, run.is_from_rdb)
            at += run.units

    def _commands(self, run: UnitRun, at: int, units: list[int]) -> Iterator[tuple[int, Argv]]:
        """The units of a run that matter, each with its arguments; none of a transaction and of what is not read."""
        if run.is_from_rdb:
            rdb_stream = self.side.rdb_commands(run.first.part)
            commands = rdb_stream.commands_in_run(run, lambda item: self._is_selected(rdb_stream, item))
            yield from zip(units, (one.command for one in commands), strict=True)
            return
        starts, kinds = (self.side.column(column, at + run.units) for column in (UnitColumn.START, UnitColumn.KIND))
        reader = iter(()) if run.is_opaque else run_entries(self.side, run)
        entry = next(reader, None)
        for i in units:
            while entry is not None and entry.batch.record_span(entry.i).start < starts[i]:
                entry = next(reader, None)
            is_readable = entry is not None and kinds[i] == UnitKind.COMMAND and entry.batch.argc[entry.i] <= _ARGS_MAX
            yield i, list(entry.batch.args(entry.i)) if entry is not None and is_readable else ()

    def _is_selected(self, rdb_stream: RdbCommandStream, item: OpcodeItem | KeyOfBase) -> bool:
        name = rdb_stream.key_name(item) if isinstance(item, KeyOfBase) else None
        return name is not None and make_db_key(max(0, item.db), name) in self.keys  # type: ignore[union-attr]

    def _add_unit(self, i: int, argv: Argv, base: bool) -> None:
        """Take in a unit; what adds elements in an RDB joins what did before it, and has no digest of its own."""
        digest, barriers_before = self.accesses.digests[i], self.accesses.barriers_before[i]
        for key in self.accesses.keys[i] or ():
            if key not in self.keys:
                continue
            additions = self.additions[key]
            type_name, items = self._parse_elements(key, argv) if argv else ("", [])
            added = _AddedElements(digest, barriers_before, type_name, sum(items) & _DIGEST_MASK, len(items), False)
            if base and type_name:
                added = added._replace(digest=0, base=True)
                if additions and additions[-1].base and additions[-1].type_name == type_name:
                    last = additions.pop()
                    total, elements = last.total + added.total, last.elements + added.elements
                    added = added._replace(total=total & _DIGEST_MASK, elements=elements)
            additions.append(added)

    # -- what a command adds --

    def _parse_elements(self, key: DbKey, argv: Argv) -> tuple[str, list[int]]:
        """(of what sort, the digests of the elements) that a command adds; no sort if it does anything else."""
        name = argv[0].lower() if isinstance(argv[0], bytes) else b""
        read = _ELEMENT_PARSERS.get(name)
        elements = read(argv) if read else None
        if elements is None:
            return "", []
        type_name, words = elements
        if not self._expiry_follows_field(key, name, argv):
            return "", []
        return type_name, [self._digest(element) for element in words]

    def _expiry_follows_field(self, key: DbKey, name: bytes, argv: Argv) -> bool:
        """True unless the expiry of a field stands before the field."""
        if name in (b"hset", b"hmset"):
            self._fields[key] = {field for field in argv[2::2] if isinstance(field, bytes)}
            return True
        return name != b"hpexpireat" or self._fields.get(key, set()).issuperset(argv[5:])

    def _digest(self, element: tuple[ElementWord, ...]) -> int:
        digest = Digest(self.side.rules.key)
        for word in element:
            feed_argument(digest, word)
        return digest.value()


_ElementParser = Callable[[Argv], tuple[str, list[tuple[ElementWord, ...]]] | None]


def _sadd(argv: Argv) -> tuple[str, list[tuple[ElementWord, ...]]] | None:
    return "set", [(member,) for member in argv[2:]]


def _zadd(argv: Argv) -> tuple[str, list[tuple[ElementWord, ...]]] | None:
    """Scores as the doubles that they are; none with options."""
    scores = argv[2::2]
    if len(argv) % 2 or not all(isinstance(score, bytes) and _NUMBER.fullmatch(score) for score in scores):
        return None
    doubles = [struct.pack("<d", float(score)) for score in scores if isinstance(score, bytes)]
    return "zset", list(zip(doubles, argv[3::2], strict=True))


def _hset(argv: Argv) -> tuple[str, list[tuple[ElementWord, ...]]] | None:
    return ("hash", list(zip(argv[2::2], argv[3::2], strict=True))) if len(argv) % 2 == 0 else None


def _hpexpireat(argv: Argv) -> tuple[str, list[tuple[ElementWord, ...]]] | None:
    """HPEXPIREAT key time FIELDS number field ..."""
    if len(argv) < 6 or argv[3] != b"FIELDS" or argv[4] != b"%d" % len(argv[5:]):
        return None
    return "hash", [(field, argv[2], b"") for field in argv[5:]]


def _hsetex(argv: Argv) -> tuple[str, list[tuple[ElementWord, ...]]] | None:
    """HSETEX key PXAT time FIELDS number field value ..., as Valkey writes it."""
    if len(argv) < 8 or argv[2:5:2] != [b"PXAT", b"FIELDS"] or argv[5] != b"%d" % (len(argv[6:]) // 2):
        return None
    fields, values = argv[6::2], argv[7::2]
    if len(fields) != len(values):
        return None
    timed: list[tuple[ElementWord, ...]] = [(field, argv[3], b"") for field in fields]
    return "hash", [*zip(fields, values, strict=True), *timed]


_ELEMENT_PARSERS: dict[bytes, _ElementParser] = {
    b"sadd": _sadd, b"zadd": _zadd, b"hset": _hset, b"hmset": _hset, b"hpexpireat": _hpexpireat, b"hsetex": _hsetex,
}  # fmt: skip
