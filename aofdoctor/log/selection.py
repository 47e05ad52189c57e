"""Which records are meant: the selection that log, strip and the other verbs share.

Repeating an option means or; different options mean and.  What the columns can
answer is asked first; arguments are only looked at for the records left.
"""

import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from aofdoctor import text
from aofdoctor.aof.constants import ANNOTATION, UNKNOWN
from aofdoctor.aof.records import RecordBatch
from aofdoctor.errors import InvalidSelection
from aofdoctor.log.glob import translate
from aofdoctor.log.ordinals import index_of
from aofdoctor.log.position import Position
from aofdoctor.server.command_table import Command, Table, key_places, table
from aofdoctor.server.context.tracker import ContextTracker

_IDS_SOUGHT = 8  # more ids than these are not worth a search each
_ARGS_HELD = 1 << 16  # of a far record, so many arguments are looked through for keys
_LARGE_ARGUMENT_OVERLAP = 1 << 12  # a match of a regular expression longer than this can be missed in a far argument


class InPieces(Protocol):
    """Bytes that are too many to hold."""

    def pieces(self) -> Iterator[bytes]:
        """All of them in order."""


@dataclass(frozen=True, slots=True)
class Selection:
    """A selection; what is None or empty selects everything.

    `names` are commands that no server knows, lower case.  `since` and `until`
    are unix seconds, inclusive; a record whose time is not known is not selected by them.
    """

    ids: frozenset[int] | None = None
    names: frozenset[bytes] = frozenset()
    keys: "tuple[re.Pattern[bytes], ...]" = ()
    dbs: frozenset[int] = frozenset()
    start: Position | None = None
    end: Position | None = None
    since: int | None = None
    until: int | None = None
    grep: "tuple[re.Pattern[bytes], ...]" = ()
    min_size: int = 0
    invert: bool = False

    @property
    def selects_all(self) -> bool:
        """True if nothing is asked for, so that everything is selected."""
        return self == Selection()

    def matches(self, part: int, batch: RecordBatch, tracker: ContextTracker, before: int) -> list[int]:
        """The indexes of the commands of a batch that are selected.

        `part` is the batch's place in load order; `before` commands came before it.
        """
        if self._surely_none(batch):
            return []
        commands = [i for i, number in enumerate(batch.ids[: batch.count]) if number != ANNOTATION]
        if self.selects_all:
            return commands
        left = self._by_columns(part, batch, tracker, before, commands)
        if self.names or self.keys or self.grep:
            left = [i for i in left if self._by_arguments(batch, i)]
        if not self.invert:
            return left
        chosen = set(left)
        return [i for i in commands if i not in chosen]

    def _surely_none(self, batch: RecordBatch) -> bool:
        """True if no record has a wanted id: a search through the column's bytes, at the speed of memory.

        It is not exact (it may see an id across two others), so it only ever says no.
        """
        if self.ids is None or self.names or self.invert or len(self.ids) > _IDS_SOUGHT:
            return False
        column = memoryview(batch.ids)[: batch.count].tobytes()  # type: ignore[arg-type]
        return not any(number.to_bytes(2, sys.byteorder) in column for number in self.ids)

    # -- what the columns answer --

    def _by_columns(
        self, part: int, batch: RecordBatch, tracker: ContextTracker, before: int, left: list[int]
    ) -> list[int]:
        ids = batch.ids
        if self.ids is not None:
            wanted = self.ids | {UNKNOWN} if self.names else self.ids
            left = [i for i in left if ids[i] in wanted]
        if self.dbs:
            left = [i for i in left if tracker.db[i] in self.dbs]
        if self.since is not None:
            left = [i for i in left if tracker.time[i] >= max(0, self.since)]
        if self.until is not None:
            left = [i for i in left if 0 <= tracker.time[i] <= self.until]
        if self.min_size:
            left = [i for i in left if batch.record_span(i).size >= self.min_size]
        if self.start is not None:
            first = index_of(batch, self.start, part, before)
            left = [i for i in left if i >= first]
        if self.end is not None:
            last = index_of(batch, self.end, part, before)
            left = [i for i in left if i <= last]
        return left

    # -- what the arguments answer --

    def _by_arguments(self, batch: RecordBatch, i: int) -> bool:
        if batch.oversized:
            return self._matches_large_arguments(batch, i)
        argv = batch.argv(i)
        if self.names and batch.ids[i] == UNKNOWN and argv[0].lower() not in self.names:
            return False
        if self.keys and not self._keys(table().get(batch.ids[i]), argv):
            return False
        return not self.grep or any(pattern.search(arg) for pattern in self.grep for arg in argv)

    def _keys(self, command: Command | None, argv: Sequence[bytes]) -> bool:
        keys = [argv[at] for at in key_places(command, argv)] if command else argv[1:2]
        return any(pattern.match(key) for pattern in self.keys for key in keys)

    def _matches_large_arguments(self, batch: RecordBatch, i: int) -> bool:
        heads: list[bytes] = []
        found = not self.grep
        for arg in batch.args(i):
            if len(heads) < _ARGS_HELD:
                heads.append(arg if isinstance(arg, bytes) else arg.head(_LARGE_ARGUMENT_OVERLAP))
            found = found or any_pattern_in(self.grep, arg)
            if found and len(heads) >= _ARGS_HELD:
                break
        if self.names and batch.ids[i] == UNKNOWN and heads[0].lower() not in self.names:
            return False
        return found and (not self.keys or self._keys(table().get(batch.ids[i]), heads))


def any_pattern_in(patterns: "Iterable[re.Pattern[bytes]]", arg: "bytes | InPieces") -> bool:
    """True if one of the patterns is found in an argument; a large one is looked through in pieces."""
    if isinstance(arg, bytes):
        return any(pattern.search(arg) for pattern in patterns)
    before = b""
    for piece in arg.pieces():
        window = before + piece
        if any(pattern.search(window) for pattern in patterns):
            return True
        before = window[-_LARGE_ARGUMENT_OVERLAP:]
    return False


def build_selection(
    cmd: Iterable[str] = (), key: Iterable[str] = (), db: Iterable[int] = (), effect: Iterable[str] = (),
    grep: Iterable[str] = (), min_size: int = 0, invert: bool = False,
    start: Position | None = None, end: Position | None = None, since: int | None = None, until: int | None = None,
) -> Selection:  # fmt: skip
    """A selection from what the options say; BadSelection where they cannot be meant."""
    known, unknown = _commands(cmd, table())
    effects = _effects(effect, table())
    ids = known if known is not None else effects
    if known is not None and effects is not None:
        ids = known & effects
    return Selection(
        ids, unknown, tuple(translate(pattern.encode("utf-8", "surrogateescape")) for pattern in key), frozenset(db),
        start, end, since, until, tuple(_pattern(given) for given in grep), min_size, invert,
    )  # fmt: skip


def _commands(names: Iterable[str], commands: Table) -> tuple[frozenset[int] | None, frozenset[bytes]]:
    ids: set[int] = set()
    unknown: set[bytes] = set()
    given = list(names)
    for name in given:
        command = commands.find(name)
        if command is None:
            unknown.add(name.lower().encode("utf-8", "surrogateescape"))
        else:
            ids |= commands.ids(frozenset({command.name}))
    return (frozenset(ids) if given else None), frozenset(unknown)


def _effects(names: Iterable[str], commands: Table) -> frozenset[int] | None:
    given = list(names)
    if not given:
        return None
    possible = frozenset().union(*(command.effects for command in commands.commands))
    for name in given:
        if name not in possible:
            raise InvalidSelection(
                f"{text.display_path(name)} is not an effect", f"effects are {', '.join(sorted(possible))}"
            )
    return frozenset().union(*(commands.with_effect(name) for name in given))


def _pattern(given: str) -> "re.Pattern[bytes]":
    try:
        return re.compile(given.encode("utf-8", "surrogateescape"))
    except (re.error, OverflowError, RecursionError) as problem:
        raise InvalidSelection(f"{text.display_path(given)} is not a regular expression: {problem}") from None
