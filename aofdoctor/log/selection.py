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
from aofdoctor.log.glob import glob_to_regex
from aofdoctor.log.ordinals import index_at_position
from aofdoctor.log.position import Position
from aofdoctor.server.command_table import CommandSpec, CommandTable, command_table, key_indexes
from aofdoctor.server.context.tracker import ContextTracker

_IDS_SEARCHED_MAX = 8  # more ids than these are not worth a search each
_ARGS_SEARCHED_MAX = 1 << 16  # of a far record, so many arguments are looked through for keys
_LARGE_ARGUMENT_OVERLAP = 1 << 12  # a match of a regular expression longer than this can be missed in a far argument


class ChunkedBytes(Protocol):
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
    unknown_names: frozenset[bytes] = frozenset()
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

    def matches(self, part_index: int, batch: RecordBatch, tracker: ContextTracker, commands_before: int) -> list[int]:
        """The indexes of the commands of a batch that are selected.

        `part` is the batch's place in load order; `before` commands came before it.
        """
        if self._cannot_match(batch):
            return []
        commands = [i for i, number in enumerate(batch.ids[: batch.count]) if number != ANNOTATION]
        if self.selects_all:
            return commands
        indexes = self._filter_by_columns(part_index, batch, tracker, commands_before, commands)
        if self.unknown_names or self.keys or self.grep:
            indexes = [i for i in indexes if self._matches_arguments(batch, i)]
        if not self.invert:
            return indexes
        selected = set(indexes)
        return [i for i in commands if i not in selected]

    def _cannot_match(self, batch: RecordBatch) -> bool:
        """True if no record has a wanted id: a search through the column's bytes, at the speed of memory.

        It is not exact (it may see an id across two others), so it only ever says no.
        """
        if self.ids is None or self.unknown_names or self.invert or len(self.ids) > _IDS_SEARCHED_MAX:
            return False
        column = memoryview(batch.ids)[: batch.count].tobytes()  # type: ignore[arg-type]
        return not any(number.to_bytes(2, sys.byteorder) in column for number in self.ids)

    # -- what the columns answer --

    def _filter_by_columns(
        self, part_index: int, batch: RecordBatch, tracker: ContextTracker, commands_before: int, indexes: list[int]
    ) -> list[int]:
        ids = batch.ids
        if self.ids is not None:
            accepted_ids = self.ids | {UNKNOWN} if self.unknown_names else self.ids
            indexes = [i for i in indexes if ids[i] in accepted_ids]
        if self.dbs:
            indexes = [i for i in indexes if tracker.db[i] in self.dbs]
        if self.since is not None:
            indexes = [i for i in indexes if tracker.time[i] >= max(0, self.since)]
        if self.until is not None:
            indexes = [i for i in indexes if 0 <= tracker.time[i] <= self.until]
        if self.min_size:
            indexes = [i for i in indexes if batch.record_span(i).size >= self.min_size]
        if self.start is not None:
            first = index_at_position(batch, self.start, part_index, commands_before)
            indexes = [i for i in indexes if i >= first]
        if self.end is not None:
            last = index_at_position(batch, self.end, part_index, commands_before)
            indexes = [i for i in indexes if i <= last]
        return indexes

    # -- what the arguments answer --

    def _matches_arguments(self, batch: RecordBatch, i: int) -> bool:
        if batch.oversized:
            return self._matches_large_arguments(batch, i)
        argv = batch.argv(i)
        if self.unknown_names and batch.ids[i] == UNKNOWN and argv[0].lower() not in self.unknown_names:
            return False
        if self.keys and not self._matches_keys(command_table().get(batch.ids[i]), argv):
            return False
        return not self.grep or any(pattern.search(arg) for pattern in self.grep for arg in argv)

    def _matches_keys(self, command: CommandSpec | None, argv: Sequence[bytes]) -> bool:
        keys = [argv[at] for at in key_indexes(command, argv)] if command else argv[1:2]
        return any(pattern.match(key) for pattern in self.keys for key in keys)

    def _matches_large_arguments(self, batch: RecordBatch, i: int) -> bool:
        heads: list[bytes] = []
        grep_matches = not self.grep
        for arg in batch.args(i):
            if len(heads) < _ARGS_SEARCHED_MAX:
                heads.append(arg if isinstance(arg, bytes) else arg.head(_LARGE_ARGUMENT_OVERLAP))
            grep_matches = grep_matches or any_pattern_in(self.grep, arg)
            if grep_matches and len(heads) >= _ARGS_SEARCHED_MAX:
                break
        if self.unknown_names and batch.ids[i] == UNKNOWN and heads[0].lower() not in self.unknown_names:
            return False
        return grep_matches and (not self.keys or self._matches_keys(command_table().get(batch.ids[i]), heads))


def any_pattern_in(patterns: "Iterable[re.Pattern[bytes]]", arg: "bytes | ChunkedBytes") -> bool:
    """True if one of the patterns is found in an argument; a large one is looked through in pieces."""
    if isinstance(arg, bytes):
        return any(pattern.search(arg) for pattern in patterns)
    overlap = b""
    for chunk in arg.pieces():
        window = overlap + chunk
        if any(pattern.search(window) for pattern in patterns):
            return True
        overlap = window[-_LARGE_ARGUMENT_OVERLAP:]
    return False


def build_selection(
    cmd: Iterable[str] = (), key: Iterable[str] = (), db: Iterable[int] = (), effect: Iterable[str] = (),
    grep: Iterable[str] = (), min_size: int = 0, invert: bool = False,
    start: Position | None = None, end: Position | None = None, since: int | None = None, until: int | None = None,
) -> Selection:  # fmt: skip
    """A selection from what the options say; BadSelection where they cannot be meant."""
    known_ids, unknown_names = _command_ids(cmd, command_table())
    effects = _effect_ids(effect, command_table())
    ids = known_ids if known_ids is not None else effects
    if known_ids is not None and effects is not None:
        ids = known_ids & effects
    return Selection(
        ids,
        unknown_names,
        tuple(glob_to_regex(pattern.encode("utf-8", "surrogateescape")) for pattern in key),
        frozenset(db),
        start,
        end,
        since,
        until,
        tuple(_compile_pattern(expression) for expression in grep),
        min_size,
        invert,
    )


def _command_ids(names: Iterable[str], commands: CommandTable) -> tuple[frozenset[int] | None, frozenset[bytes]]:
    ids: set[int] = set()
    unknown: set[bytes] = set()
    requested = list(names)
    for name in requested:
        command = commands.find_by_name(name)
        if command is None:
            unknown.add(name.lower().encode("utf-8", "surrogateescape"))
        else:
            ids |= commands.ids_of(frozenset({command.name}))
    return (frozenset(ids) if requested else None), frozenset(unknown)


def _effect_ids(names: Iterable[str], commands: CommandTable) -> frozenset[int] | None:
    requested = list(names)
    if not requested:
        return None
    possible = frozenset().union(*(command.effects for command in commands.commands))
    for name in requested:
        if name not in possible:
            raise InvalidSelection(
                f"{text.display_path(name)} is not an effect", f"effects are {', '.join(sorted(possible))}"
            )
    return frozenset().union(*(commands.with_effect(name) for name in requested))


def _compile_pattern(pattern: str) -> "re.Pattern[bytes]":
    try:
        return re.compile(pattern.encode("utf-8", "surrogateescape"))
    except (re.error, OverflowError, RecursionError) as problem:
        raise InvalidSelection(f"{text.display_path(pattern)} is not a regular expression: {problem}") from None
