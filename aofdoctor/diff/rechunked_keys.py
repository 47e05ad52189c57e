"""Match keys that two rewrites recreate with the same elements but in different chunks.

A set, a sorted set and a hash have no order of their own.  A server writes their
elements in the order of its memory, in chunks; the digits of a score and the
form of a field's expiry depend on the server's version.  Therefore the elements
of a value in an RDB are compared, in any order, with the elements that the first
commands of the other side add to the key.  The comparison adds up the digests of
the elements.

This is valid only because no element is added twice, which holds for a value in
an RDB.  Later commands on the key are compared unit by unit.
"""

import re
import struct
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from aofdoctor.diff.edit_script import longest_increasing
from aofdoctor.diff.hashing.arguments import DigestInput, feed_arguments
from aofdoctor.diff.hashing.digest import Digest
from aofdoctor.diff.moves import KeyAccesses, count_shared_barriers
from aofdoctor.diff.units.columns import UnitColumn, UnitKind
from aofdoctor.diff.units.rdb_commands import RdbCommandStream
from aofdoctor.diff.units.side import Side
from aofdoctor.diff.units.touched_keys import DbKey, make_db_key
from aofdoctor.diff.units.unit import UnitRun
from aofdoctor.diff.units.unit_commands import run_entries
from aofdoctor.rdb.items import KeyItem, OpcodeItem

Argv = Sequence[DigestInput]
UnitGroup = tuple[list[int], list[int]]
_ARGS_MAX = 1 << 12
_UNORDERED = frozenset({"set", "zset", "hash"})
_DIGEST_MASK = (1 << 64) - 1
_NUMBER = re.compile(rb"[-+]?(\d{1,400}\.?\d{0,400}|\.\d{1,400})(e[-+]?\d{1,6})?|[-+]?inf(inity)?", re.IGNORECASE)


def match_rechunked_keys(
    sides: tuple[Side, Side], accesses: tuple[KeyAccesses, KeyAccesses], unpaired: tuple[list[int], list[int]]
) -> list[UnitGroup]:
    """Return groups of unpaired commands of both AOFs, each of one key, that add the same elements to it."""
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
    """Return those of some keys that are a set, a sorted set or a hash in an RDB of one AOF."""
    unordered: set[DbKey] = set()
    for run in side.runs(0, len(accesses.keys)) if keys else ():
        rdb_stream = side.rdb_commands(run.first.part) if run.is_from_rdb else None
        for item in rdb_stream.items(run) if rdb_stream else ():
            if rdb_stream and isinstance(item, KeyItem) and rdb_stream.type_name(item) in _UNORDERED:
                name = rdb_stream.key_name(item)
                if name is not None and (key := make_db_key(max(0, item.db), name)) in keys:
                    unordered.add(key)
    return unordered


def groups_in_same_place(groups: list[UnitGroup], gaps: list[tuple[range, range]], accesses: KeyAccesses) -> set[int]:
    """Return the indexes of the groups that are at the same place on both sides.

    No unit of another key that both sides have may lie between the places.  `gaps` are the ranges of units that only
    one side has, between the matching blocks; `accesses` are those of the first side.
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
    """What one unit did to a key, or what adjacent RDB units of the key add to it (`base` is True).

    `type_name` is the type of the elements added, empty if the unit did anything else; `total` is the sum of the
    digests of the elements, modulo 2**64.
    """

    digest: int
    barriers_before: int
    type_name: str
    total: int
    elements: int
    base: bool


def _add_the_same(one: list[_AddedElements], other: list[_AddedElements], shared_count: int) -> bool:
    """Whether the first units of one side add the elements of the RDB value of the other, and the rest is equal.

    All of it must precede the first barrier that differs.
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
    """Collects, for each key in order, the elements that commands add to it, and the digests of its other commands."""

    def __init__(self, side: Side, accesses: KeyAccesses, keys: set[DbKey]) -> None:
        self.side, self.accesses, self.keys = side, accesses, keys
        self.additions: dict[DbKey, list[_AddedElements]] = {key: [] for key in keys}
        self._fields: dict[DbKey, set[bytes]] = {}  # fields that the last HSET of each key has set
        at = 0
        for run in side.runs(0, len(accesses.keys)):
            units = [i for i in range(at, at + run.units) if (own := accesses.keys[i]) and not keys.isdisjoint(own)]
            for i, argv in self._commands(run, at, units) if units else ():
                self._add_unit(i, argv, run.is_from_rdb)
            at += run.units

    def _commands(self, run: UnitRun, at: int, units: list[int]) -> Iterator[tuple[int, Argv]]:
        """Yield adjacent commands (a run of units) with their arguments.

        The arguments are empty for a transaction, for damage and for a command with more than _ARGS_MAX arguments.
        """
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

    def _is_selected(self, rdb_stream: RdbCommandStream, item: OpcodeItem | KeyItem) -> bool:
        name = rdb_stream.key_name(item) if isinstance(item, KeyItem) else None
        return name is not None and make_db_key(max(0, item.db), name) in self.keys  # type: ignore[union-attr]

    def _add_unit(self, i: int, argv: Argv, base: bool) -> None:
        """Record a command for its keys; one from an RDB that adds elements is merged with the one before it."""
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

    # -- elements that a command adds --

    def _parse_elements(self, key: DbKey, argv: Argv) -> tuple[str, list[int]]:
        """Return the type and the digests of the elements that a command adds.

        The type is empty if the command does anything else.
        """
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
        """Whether the last HSET of the key has set all fields to which HPEXPIREAT gives an expiry."""
        if name in (b"hset", b"hmset"):
            self._fields[key] = {field for field in argv[2::2] if isinstance(field, bytes)}
            return True
        return name != b"hpexpireat" or self._fields.get(key, set()).issuperset(argv[5:])

    def _digest(self, element: tuple[DigestInput, ...]) -> int:
        return feed_arguments(Digest(self.side.rules.key), *element).value()


_ElementParser = Callable[[Argv], tuple[str, list[tuple[DigestInput, ...]]] | None]


def _sadd(argv: Argv) -> tuple[str, list[tuple[DigestInput, ...]]] | None:
    return "set", [(member,) for member in argv[2:]]


def _zadd(argv: Argv) -> tuple[str, list[tuple[DigestInput, ...]]] | None:
    """Return the (member, score) pairs of a ZADD, scores as 8-byte doubles; None with options or an invalid score."""
    scores = argv[2::2]
    if len(argv) % 2 or not all(isinstance(score, bytes) and _NUMBER.fullmatch(score) for score in scores):
        return None
    doubles = [struct.pack("<d", float(score)) for score in scores if isinstance(score, bytes)]
    return "zset", list(zip(doubles, argv[3::2], strict=True))


def _hset(argv: Argv) -> tuple[str, list[tuple[DigestInput, ...]]] | None:
    return ("hash", list(zip(argv[2::2], argv[3::2], strict=True))) if len(argv) % 2 == 0 else None


def _hpexpireat(argv: Argv) -> tuple[str, list[tuple[DigestInput, ...]]] | None:
    """Return the (field, time) pairs of HPEXPIREAT key time FIELDS number field ..."""
    if len(argv) < 6 or argv[3] != b"FIELDS" or argv[4] != b"%d" % len(argv[5:]):
        return None
    return "hash", [(field, argv[2], b"") for field in argv[5:]]


def _hsetex(argv: Argv) -> tuple[str, list[tuple[DigestInput, ...]]] | None:
    """Return fields, values and times of HSETEX key PXAT time FIELDS number field value ..., as Valkey writes it."""
    if len(argv) < 8 or argv[2:5:2] != [b"PXAT", b"FIELDS"] or argv[5] != b"%d" % (len(argv[6:]) // 2):
        return None
    fields, values = argv[6::2], argv[7::2]
    if len(fields) != len(values):
        return None
    timed: list[tuple[DigestInput, ...]] = [(field, argv[3], b"") for field in fields]
    return "hash", [*zip(fields, values, strict=True), *timed]


_ELEMENT_PARSERS: dict[bytes, _ElementParser] = {
    b"sadd": _sadd, b"zadd": _zadd, b"hset": _hset, b"hmset": _hset, b"hpexpireat": _hpexpireat, b"hsetex": _hsetex,
}  # fmt: skip
