"""Find the keys that come back when commands such as FLUSHALL are dropped: keys that exist only with the edit.

Both states are computed in one pass over the AOF, by key names alone (key_presence.py). The pass takes more time per
command than a scan, so a long AOF is not read: then an upper bound is given where there is one.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from aofdoctor import text
from aofdoctor.aof.constants import UNKNOWN
from aofdoctor.aof.model import AOF
from aofdoctor.aof.records import Preamble, RecordBatch
from aofdoctor.damage import Damage
from aofdoctor.edit.drops import Drop, DropFactory
from aofdoctor.edit.edit import EncodeKey
from aofdoctor.edit.planners.key_presence import KeyPresence, keys_only_in
from aofdoctor.log.base_keys import NAME_LIMIT, key_name
from aofdoctor.log.context_walk import walk_aof
from aofdoctor.rdb.compressed.source import decompressed
from aofdoctor.rdb.encoding.cursor import Cursor
from aofdoctor.rdb.items import ItemReader, KeyItem
from aofdoctor.server.command_table import command_table
from aofdoctor.server.context.tracker import ContextTracker
from aofdoctor.source import Source

COMMANDS_MAX = 400_000  # commands and keys of RDBs that are walked
NAMES_KEPT = 20
_CREATES_ANY_NUMBER = frozenset({"mset", "msetnx", "msetex", "eval", "evalsha", "fcall"})
_CREATES_NONE = frozenset({"del", "unlink", "getdel", "expire", "pexpire", "expireat", "pexpireat", "persist"})
_ARGUMENTS_MAX = 1 << 16  # arguments of a large command that are read
_NAMES_SHOWN = 5


@dataclass(slots=True)
class ReturningKeys:
    """The keys that exist at the end of the AOF only because an edit drops commands.

    `uncertain` of them may be empty or expired.  `reasons` says why the number is an upper bound, or is empty.
    `count` is None if the keys were not counted.
    """

    count: int | None = 0
    uncertain: int = 0
    by_db: Counter[int] = field(default_factory=Counter)
    names: list[tuple[int, bytes]] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)

    @property
    def is_exact(self) -> bool:
        """Whether `count` is the exact number of returning keys, not an upper bound."""
        return self.count is not None and not self.uncertain and not self.reasons

    def as_json(self, encode_key: EncodeKey) -> dict[str, Any]:
        """The field `returning_keys` of strip --json."""
        return {
            "count": self.count, "exact": self.is_exact, "uncertain": self.uncertain,
            "dbs": {str(db): count for db, count in sorted(self.by_db.items())},
            "names": [{"db": db, "key": encode_key(name)} for db, name in self.names],
        }  # fmt: skip


def find_returning_keys(
    aof: AOF, drops: DropFactory, counts: Sequence[int], keys: int | None, commands_max: int = COMMANDS_MAX
) -> ReturningKeys:
    """Find the keys that exist at the end of the AOF only if the commands in `drops` are dropped.

    `counts` has the number of commands by command id, `keys` is the number of keys of RDBs in the AOF (None: unknown).
    With more than `commands_max` commands and keys, the result is an upper bound from these numbers alone.
    """
    if sum(counts) + (keys or 0) > commands_max:
        return ReturningKeys(_upper_bound(counts, keys), reasons=["the log is too long to follow each key"])
    walk = _Walk(aof, drops)
    walk.run()
    found = ReturningKeys(reasons=walk.reasons)
    for db, name, uncertain in keys_only_in(walk.edited, walk.current):
        found.by_db[db] += 1
        found.uncertain += uncertain
        if len(found.names) < NAMES_KEPT:
            found.names.append((db, name))
    found.count = found.by_db.total()
    return found


def _upper_bound(counts: Sequence[int], keys: int | None) -> int | None:
    """The most keys that the commands can create, plus the keys of RDBs; None if there is no limit."""
    table = command_table()
    unbounded = table.ids_of(_CREATES_ANY_NUMBER) | {UNKNOWN}
    if keys is None or any(counts[number] for number in unbounded):
        return None
    creating = table.with_effect("write") - table.with_effect("flush") - table.ids_of(_CREATES_NONE)
    return keys + sum(counts[number] for number in creating)


class _Walk:
    """One pass over the AOF that tracks the existing keys in two states.

    `current` is the state with all commands, `edited` the one without the dropped commands.
    """

    def __init__(self, aof: AOF, drops: DropFactory) -> None:
        self.aof, self.current, self.edited = aof, KeyPresence(), KeyPresence()
        self.reasons: list[str] = []
        self._drops = drops()
        self._drop: Drop | None = next(self._drops, None)
        table = command_table()
        self._flush_ids = table.with_effect("flush")
        self._write_ids = table.with_effect("write")
        self._script_ids = table.ids_of(frozenset({"eval", "evalsha", "fcall"}))

    def run(self) -> None:
        tracker = ContextTracker(columns=True)
        for index, part, tile, _ in walk_aof(self.aof, tracker):
            if isinstance(tile, RecordBatch):
                tracker.track(tile)
                self._add_batch(index, tile, tracker)
            elif isinstance(tile, Damage):
                self._note("parts of the log are damaged")
            elif part.source is not None:
                self._add_rdb(part.source, tile)

    def _note(self, reason: str) -> None:
        if reason not in self.reasons:
            self.reasons.append(reason)

    def _add_rdb(self, source: Source, tile: Preamble) -> None:
        if not tile.is_intact:
            self._note("an RDB is damaged")
        rdb = decompressed(source)
        cursor = Cursor(rdb)
        for batch in ItemReader(rdb, verify=False):
            for item in batch:
                if isinstance(item, KeyItem):
                    name = key_name(cursor, item)
                    for state in (self.current, self.edited):
                        state.in_db(item.db)[name] = item.expire_ms >= 0

    def _add_batch(self, index: int, batch: RecordBatch, tracker: ContextTracker) -> None:
        for i in range(batch.count):
            number = batch.ids[i]
            if number in self._flush_ids:
                command = command_table().get(number)
                assert command is not None
                db = tracker.db[i] if command.name == "flushdb" else None
                for state in self._states(index, batch.record_span(i).start):
                    state.flush(db)
            elif number in self._write_ids and not batch.oversized:
                self._apply(index, batch, i, tracker.db[i])
            elif number in self._script_ids or number == UNKNOWN:
                self._note("it has scripts or unknown commands, which may write other keys")
            elif number in self._write_ids:
                self._apply_large(index, batch, i, tracker.db[i])

    def _apply(self, index: int, batch: RecordBatch, i: int, db: int) -> None:
        command = command_table().get(batch.ids[i])
        assert command is not None
        argv = batch.argv(i)
        for state in self._states(index, batch.record_span(i).start):
            state.apply(command, argv, db)

    def _apply_large(self, index: int, batch: RecordBatch, i: int, db: int) -> None:
        """Apply a command that is too large to hold in memory: for most commands the first arguments are enough."""
        command = command_table().get(batch.ids[i])
        assert command is not None
        arguments = islice(batch.args(i), _ARGUMENTS_MAX)
        argv = [arg if isinstance(arg, bytes) else arg.head(NAME_LIMIT) for arg in arguments]
        if batch.argc[i] > _ARGUMENTS_MAX:
            self._note(f"it has commands of more than {_ARGUMENTS_MAX:,} arguments")
        for state in self._states(index, batch.record_span(i).start):
            state.apply(command, argv, db)

    def _states(self, index: int, offset: int) -> Iterator[KeyPresence]:
        """The states to which a command at a file offset applies: a dropped command only to the current state."""
        drop = self._drop
        while drop and (drop.part, drop.span.end) <= (index, offset):
            drop = self._drop = next(self._drops, None)
        yield self.current
        if not (drop and drop.part == index and drop.span.start <= offset):
            yield self.edited


def describe_returning_keys(found: ReturningKeys) -> str:
    """The note of a plan about the keys that exist only because the plan drops commands."""
    if found.count is None:
        return (
            "the keys that come back are not counted: the log is too long to follow each key. "
            "aofdoctor verify on the result counts its keys"
        )
    if not found.count:
        return "no key comes back: each was written again or deleted by other commands"
    if not found.by_db:
        reasons = "; ".join(found.reasons)
        return f"at most {text.format_count(found.count, 'key')} come back: {reasons}"
    databases = ", ".join(f"db{db} {count:,}" for db, count in sorted(found.by_db.items())[:8])
    names = ", ".join(text.quote(name[:40]) for _, name in found.names[:_NAMES_SHOWN])
    more = ", ..." if found.count > _NAMES_SHOWN else ""
    bound = "" if found.is_exact else "at most "
    verb = "comes" if found.count == 1 else "come"
    note = f"{bound}{text.format_count(found.count, 'key')} {verb} back ({databases}): {names}{more}"
    if found.uncertain:
        note += f"; {found.uncertain:,} of them may be empty or expired"
    return note + "".join(f"; {reason}" for reason in found.reasons)
