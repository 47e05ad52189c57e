"""Filter AOF records by command, key, database, position, time, content and size, for the verbs log, strip and others.

Repeated options are combined with OR, different options with AND.  The columns of a batch (command ids, databases,
times, offsets) are filtered first; only the arguments of the remaining records are read.  The keys of an RDB are
selected in `base_keys`.
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
from aofdoctor.log.command_numbers import index_at_position
from aofdoctor.log.glob import glob_to_regex
from aofdoctor.log.patterns.match_limit import MatchTimeout, RecordLimit, limited_matching
from aofdoctor.log.position import Position
from aofdoctor.server.command_table import CommandSpec, CommandTable, command_table, key_indexes
from aofdoctor.server.context.tracker import ContextTracker

_IDS_SEARCHED_MAX = 8  # With more ids, one search per id costs more than it saves.
_ARGS_SEARCHED_MAX = 1 << 16  # The number of arguments of a large record that are searched for keys.
_LARGE_ARGUMENT_OVERLAP = 1 << 12  # Bytes; a longer match of a regular expression can be missed in a large argument.


class ChunkedBytes(Protocol):
    """A byte string, such as an argument of a command, that is too large to hold in memory."""

    def pieces(self) -> Iterator[bytes]:
        """Yield the bytes of the string in order, in chunks that fit in memory."""


@dataclass(frozen=True, slots=True)
class Selection:
    """The filters that a user gave to choose commands of an AOF; a filter that is None or empty selects every command.

    `ids` are ids of the command table.  `unknown_names` are names that are not in that table, in lower case.  `start`
    and `end` are positions, both included.  `since` and `until` are unix seconds, both included; they never select a
    record without a known time.  `min_size` is the size of the record in bytes.  `grep` patterns are searched in all
    arguments.  `invert` selects the other commands.
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
        """Whether no filter is set, so that every command is selected."""
        return self == Selection()

    def matches(self, part_index: int, batch: RecordBatch, tracker: ContextTracker, commands_before: int) -> list[int]:
        """Return the indexes of the commands of a batch that the filters select; annotations are never selected.

        `part_index` is the place of the batch's file in load order.  `commands_before` is the number of commands before
        the batch, in all files.  `tracker` is the ContextTracker after the batch, with the database and time of each
        record.
        """
        if self._cannot_match(batch):
            return []
        commands = [i for i, number in enumerate(batch.ids[: batch.count]) if number != ANNOTATION]
        if self.selects_all:
            return commands
        indexes = self._filter_by_columns(part_index, batch, tracker, commands_before, commands)
        if self.unknown_names or self.keys or self.grep:
            indexes = self._filter_by_arguments(batch, indexes)
        if not self.invert:
            return indexes
        selected = set(indexes)
        return [i for i in commands if i not in selected]

    def _cannot_match(self, batch: RecordBatch) -> bool:
        """Whether a batch certainly has no record with one of the selected command ids.

        Searches the bytes of the column of ids, which is fast.  The bytes of two neighbouring ids can look like a
        third, so False proves nothing.
        """
        if self.ids is None or self.unknown_names or self.invert or len(self.ids) > _IDS_SEARCHED_MAX:
            return False
        column = memoryview(batch.ids)[: batch.count].tobytes()  # type: ignore[arg-type]
        return not any(number.to_bytes(2, sys.byteorder) in column for number in self.ids)

    # -- filters on columns --

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

    # -- filters on arguments --

    def _filter_by_arguments(self, batch: RecordBatch, indexes: list[int]) -> list[int]:
        with limited_matching(bool(self.grep)) as limit:
            try:
                return [i for i in indexes if self._matches_arguments(batch, i, limit)]
            except MatchTimeout:
                place = batch.record_span(indexes[limit.records - 1]).start
                raise MatchTimeout(f", the one at byte {place}") from None

    def _matches_arguments(self, batch: RecordBatch, i: int, limit: RecordLimit) -> bool:
        limit.records += 1
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
    """Whether one of the patterns occurs in an argument.

    An argument too large for memory is searched chunk by chunk.
    """
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
    """Build the filters from the parsed values of the command-line options, which the parameters are named after.

    Raises InvalidSelection for an unknown effect or an invalid regular expression.
    """
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
    """Look up the command names that a user gave; return (ids of the known ones, the unknown names in lower case).

    The ids are None if no name was given.
    """
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
    """Return the ids of the commands that have one of the named effects (flush, delete ...), or None without names.

    Raises InvalidSelection for an effect that does not exist.
    """
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
