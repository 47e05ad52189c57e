"""Count the commands and annotations of an AOF that a judged server version does not know, by name.

A well-framed command that is in no table is a command of a module, of a newer server, or one that a server has renamed;
it is never damage.  Names are counted without regard to case, as servers compare them.  The number of names that are
kept is limited, because a hostile file can have a new name in every record.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from aofdoctor.aof.constants import ANNOTATION, UNKNOWN
from aofdoctor.aof.records import RecordBatch
from aofdoctor.server.command_table import CommandSpec, command_table
from aofdoctor.server.context.tracker import ContextTracker
from aofdoctor.server.module_commands import module_of
from aofdoctor.server.near_names import near_command
from aofdoctor.server.versions import VERSIONS, ServerVersion, table_column
from aofdoctor.span import Span

NAMES_MAX = 1000  # names that are counted one by one
_NAME_BYTES_KEPT = 64
_NEAR_MAX = 50  # names that are compared with the names of the table
_FLUSH_ARGUMENTS = (b"async", b"sync")


@dataclass(slots=True)
class UnknownName:
    """A name of commands or annotations in an AOF that a judged server version does not know.

    `flush_like` counts the commands that look like a renamed FLUSHALL or FLUSHDB: without an argument, or with ASYNC
    or SYNC only.  `module` is the prefix of a module's commands.  `since` are the titles of the first versions that
    have the command, and `lacking` the names of the judged versions that do not.  `is_in_no_table`: no version has it.
    `near` is the command that it probably was before one bit or one letter of its name changed.
    """

    name: bytes
    part: str
    span: Span
    count: int = 0
    flush_like: int = 0
    first_flush_like: tuple[str, Span] | None = None
    module: str = ""
    since: tuple[str, ...] = ()
    lacking: tuple[str, ...] = ()
    is_in_no_table: bool = False
    near: str = ""


@dataclass(slots=True)
class UnknownNames:
    """The commands and annotations of an AOF that a judged server version does not know, by lower-case name.

    At most NAMES_MAX names are kept; `uncounted` is the number of records with other names.
    """

    versions: Sequence[ServerVersion]
    tracker: ContextTracker
    commands: dict[bytes, UnknownName] = field(default_factory=dict)
    annotations: dict[bytes, UnknownName] = field(default_factory=dict)
    uncounted: int = 0
    _lacked_ids: frozenset[int] = frozenset()

    def __post_init__(self) -> None:
        columns = [table_column(version) for version in self.versions]
        self._lacked_ids = frozenset(c.id for c in command_table().commands if not all(c.arity[at] for at in columns))
        self._flag()

    def add(self, part: str, batch: RecordBatch, i: int) -> None:
        """Count record `i` of a batch if its name is unknown to a judged server version.

        The record is one of those that the ContextTracker has selected.  Of a command that some versions know, only the
        first record is noted here; the tracker counts the others.
        """
        number = batch.ids[i]
        if number == ANNOTATION:
            self._count(self.annotations, _annotation_name(batch, i), part, batch.record_span(i))
        elif number == UNKNOWN:
            self._add_command(part, batch, i)
        elif number in self._lacked_ids:
            command = command_table().get(number)
            assert command is not None
            name = command.name.replace("|", " ").upper().encode()
            shown = self._count(self.commands, name, part, batch.record_span(i))
            if shown:
                shown.since, shown.lacking = _first_versions(command), self._versions_lacking(command)
            self._lacked_ids -= {number}
            self._flag()

    def finish(self) -> None:
        """Complete the counts of commands that only some versions know, with the counts of the ContextTracker."""
        for name, shown in self.commands.items():
            if shown.since:
                command = command_table().find_by_name(name.decode("utf-8", "surrogateescape"))
                assert command is not None
                shown.count = self.tracker.counts[command.id]

    def _flag(self) -> None:
        self.tracker.flag("unknown names", self._lacked_ids | {UNKNOWN})

    def _add_command(self, part: str, batch: RecordBatch, i: int) -> None:
        first = next(batch.args(i))
        name = first if isinstance(first, bytes) else first.head(_NAME_BYTES_KEPT)
        shown = self._count(self.commands, name[:_NAME_BYTES_KEPT], part, batch.record_span(i))
        if not shown:
            return
        if shown.count == 1:
            shown.module, shown.lacking = module_of(shown.name), tuple(version.name for version in self.versions)
            shown.is_in_no_table = True
            shown.near = near_command(shown.name, batch.argc[i]) if len(self.commands) <= _NEAR_MAX else ""
        if is_flush_like(batch, i):
            shown.flush_like += 1
            shown.first_flush_like = shown.first_flush_like or (part, batch.record_span(i))

    def _count(self, names: dict[bytes, UnknownName], name: bytes, part: str, span: Span) -> UnknownName | None:
        shown = names.get(name.lower())
        if shown is None:
            if len(names) >= NAMES_MAX:
                self.uncounted += 1
                return None
            shown = names[name.lower()] = UnknownName(name, part, span)
        shown.count += 1
        return shown

    def _versions_lacking(self, command: CommandSpec) -> tuple[str, ...]:
        return tuple(version.name for version in self.versions if not command.arity[table_column(version)])


def is_flush_like(batch: RecordBatch, i: int) -> bool:
    """Whether an unknown command has the arguments of FLUSHALL: none, or ASYNC or SYNC only."""
    if batch.argc[i] == 1:
        return True
    return batch.argc[i] == 2 and not batch.oversized and batch.argv(i)[1].lower() in _FLUSH_ARGUMENTS


def _annotation_name(batch: RecordBatch, i: int) -> bytes:
    """Return the kind of an annotation line, such as #HDR: its text up to the first colon, blank or line end."""
    line = b"#" if batch.oversized else bytes(batch.raw(i)[:_NAME_BYTES_KEPT])
    return line.split(b":")[0].split(b" ")[0].rstrip(b"\r\n")


def _first_versions(command: CommandSpec) -> tuple[str, ...]:
    """Return the titles of the first Redis and the first Valkey version that have a command."""
    titles: dict[str, str] = {}
    for version in VERSIONS.values():
        if command.arity[table_column(version)]:
            titles.setdefault(version.name.partition("-")[0], version.title)
    return tuple(titles.values())
