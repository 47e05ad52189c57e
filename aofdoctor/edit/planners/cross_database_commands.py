"""Find commands that use a selected database and one that is not selected: MOVE, COPY with DB, SWAPDB.

They run in one database and change another, so a selection by databases covers only half of their effect.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from aofdoctor import text
from aofdoctor.aof.model import AOF
from aofdoctor.aof.patched_source import PatchedSource
from aofdoctor.aof.records import RecordBatch
from aofdoctor.edit.edit import EncodeKey
from aofdoctor.log.selection import Selection
from aofdoctor.server.command_table import command_table
from aofdoctor.server.context.tracker import ContextTracker
from aofdoctor.span import Span

LISTED_MAX = 1000  # commands that are listed
_SHOWN_MAX = 10
_DIGITS_MAX = 9


class CrossDatabaseCommand(NamedTuple):
    """A MOVE, COPY or SWAPDB from database `source_db` to `target_db`, with its position; SWAPDB has no key."""

    part: str
    span: Span
    name: str
    source_db: int
    target_db: int
    key: bytes | None


@dataclass(slots=True)
class CrossDatabaseCommands:
    """Collects the MOVE, COPY and SWAPDB commands between a selected and an unselected database.

    `count` is the number of these commands, of which the first are listed. Nothing is collected unless the selection
    names databases.
    """

    aof: AOF
    selection: Selection
    count: int = 0
    listed: list[CrossDatabaseCommand] = field(default_factory=list)
    _ids: frozenset[int] = frozenset()

    def __post_init__(self) -> None:
        if self.selection.dbs:
            self._ids = command_table().ids_of(frozenset({"move", "copy", "swapdb"}))

    def add_batch(self, part: int, batch: RecordBatch, tracker: ContextTracker) -> None:
        """Collect the MOVE, COPY and SWAPDB commands of a batch; `tracker` has the database of each command."""
        if not self._ids or batch.oversized:
            return
        for i in (i for i in range(batch.count) if batch.ids[i] in self._ids):
            command = command_table().get(batch.ids[i])
            assert command is not None
            argv = batch.argv(i, 16)
            databases = _databases(command.name, argv, tracker.db[i])
            if databases and len(self.selection.dbs.intersection(databases)) == 1 and self._has_selected_key(argv):
                self.count += 1
                if len(self.listed) < LISTED_MAX:
                    key = None if command.name == "swapdb" else argv[1]
                    span = file_span(batch, i)
                    self.listed.append(
                        CrossDatabaseCommand(self.aof.parts[part].name, span, command.name.upper(), *databases, key)
                    )

    def _has_selected_key(self, argv: list[bytes]) -> bool:
        return not self.selection.keys or any(p.match(arg) for p in self.selection.keys for arg in argv[1:3])

    def as_json(self, encode_key: EncodeKey) -> dict[str, Any]:
        """The field `cross_database_commands` of slice --json and strip --json."""
        return {
            "count": self.count,
            "commands": [
                {"part": c.part, "start": c.span.start, "end": c.span.end, "cmd": c.name, "from_db": c.source_db,
                 "to_db": c.target_db, "key": None if c.key is None else encode_key(c.key)}
                for c in self.listed
            ],
        }  # fmt: skip

    def notes(self) -> Iterator[str]:
        """The notes of a plan about MOVE, COPY and SWAPDB between databases; none if no such command was found."""
        if not self.count:
            return
        count, verb = text.format_count(self.count, "command"), "uses" if self.count == 1 else "use"
        yield f"{count} {verb} a selected database and another one: the keys they move or copy may be missing or remain"
        for c in self.listed[:_SHOWN_MAX]:
            key = "" if c.key is None else f" {text.quote(c.key[:40])}"
            place = f"{text.display_path(c.part)}@{c.span.start}"
            yield f"  {c.name}{key} at {place}: database {c.source_db} and database {c.target_db}"
        if self.count > _SHOWN_MAX:
            yield f"  and {text.format_count(self.count - _SHOWN_MAX, 'more command')}; --json lists them"


def file_span(batch: RecordBatch, i: int) -> Span:
    """The byte range of a command in its file on disk, even if the batch was read through a patched view."""
    span = batch.record_span(i)
    return batch.source.file_span(span) if isinstance(batch.source, PatchedSource) else span


def _databases(name: str, argv: list[bytes], db: int) -> tuple[int, int] | None:
    """(source, target) database of a command that runs in database `db`; None if they are equal or unknown."""
    source, target = db, -1
    if name == "copy":
        words = [arg.lower() for arg in argv]
        target = _number(argv[words.index(b"db", 3) + 1]) if b"db" in words[3:-1] else db
    elif len(argv) > 2:
        target = _number(argv[2])
        source = _number(argv[1]) if name == "swapdb" else db
    return None if source == target or source < 0 or target < 0 else (source, target)


def _number(word: bytes) -> int:
    return int(word) if word.isdigit() and len(word) <= _DIGITS_MAX else -1
