"""Find commands that use both selected and unselected keys: RENAME, LMOVE, SUNIONSTORE, MSET, DEL of several keys.

If such a command is kept, it may read a key that the output does not have; if it is dropped, a key that was not
selected loses a write. Which of both is wanted cannot be decided here, so each such command is named.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any, NamedTuple

from aofdoctor import text
from aofdoctor.aof.model import AOF
from aofdoctor.aof.records import RecordBatch
from aofdoctor.edit.edit import EncodeKey
from aofdoctor.edit.plan import Plan
from aofdoctor.edit.planners.cross_database_commands import CrossDatabaseCommands, file_span
from aofdoctor.log.base_keys import NAME_LIMIT
from aofdoctor.log.selection import Selection
from aofdoctor.server.command_table import CommandSpec, command_table, key_uses
from aofdoctor.server.context.tracker import ContextTracker
from aofdoctor.span import Span

LISTED_MAX = 1000  # commands that are listed
_SHOWN_MAX = 10
_KEYS_MAX = 100  # keys of one command that are listed
_ARGUMENTS_MAX = 1 << 16  # arguments of one command that are examined


class MixedCommand(NamedTuple):
    """A command with both selected and unselected keys; `reads_other`: it reads a key that is not selected."""

    part: str
    span: Span
    name: str
    selected_keys: tuple[bytes, ...]
    other_keys: tuple[bytes, ...]
    reads_other: bool


@dataclass(slots=True)
class MixedCommands:
    """Collects the commands that use both selected and unselected keys: `count` of them, of which the first are listed.

    `crossing` collects the MOVE, COPY and SWAPDB commands between a selected and an unselected database.
    `is_complete` becomes true after one pass over the AOF; later passes, which find the dropped commands again, count
    nothing.
    """

    aof: AOF
    selection: Selection
    count: int = 0
    reading_count: int = 0
    listed: list[MixedCommand] = field(default_factory=list)
    is_complete: bool = False
    crossing: CrossDatabaseCommands = field(init=False)
    _ids: frozenset[int] = frozenset()

    def __post_init__(self) -> None:
        self.crossing = CrossDatabaseCommands(self.aof, self.selection)
        if self.selection.keys:
            self._ids = frozenset(c.id for c in command_table().commands if _may_have_several_keys(c))

    def add_selected(
        self, part: int, batch: RecordBatch, tracker: ContextTracker, commands_before: int, selected: list[int]
    ) -> None:
        """Collect the commands of a batch of the AOF that use both selected and unselected keys.

        `selected` are the indexes of the commands in the batch that the selection matches.
        """
        if self.is_complete:
            return
        self.crossing.add_batch(part, batch, tracker)
        if not self._ids:
            return
        if self.selection.invert:  # The others are the ones with a key that a pattern matches.
            selected = replace(self.selection, invert=False).matches(part, batch, tracker, commands_before)
        for i in selected:
            if batch.ids[i] in self._ids and batch.argc[i] > 2:
                self._add(part, batch, i)

    def _add(self, part: int, batch: RecordBatch, i: int) -> None:
        command = command_table().get(batch.ids[i])
        assert command is not None
        arguments = islice(batch.args(i), _ARGUMENTS_MAX)
        argv = [arg if isinstance(arg, bytes) else arg.head(NAME_LIMIT) for arg in arguments]
        selected: list[bytes] = []
        others: list[bytes] = []
        reads_other = False
        for at, access in key_uses(command, argv):
            is_selected = any(pattern.match(argv[at]) for pattern in self.selection.keys)
            (selected if is_selected else others).append(argv[at])
            reads_other = reads_other or (not is_selected and access != "OW")
        if not (selected and others):
            return
        reads_other = reads_other and command.name not in _INDEPENDENT_KEYS
        self.count += 1
        self.reading_count += reads_other
        if len(self.listed) < LISTED_MAX:
            self.listed.append(MixedCommand(
                self.aof.parts[part].name, file_span(batch, i), command.name.upper().replace("|", " "),
                tuple(selected[:_KEYS_MAX]), tuple(others[:_KEYS_MAX]), reads_other,
            ))  # fmt: skip

    def add_to_plan(self, plan: Plan, keeps: bool) -> None:
        """Add notes and JSON about mixed commands to a plan after its first pass over the AOF.

        `keeps`: the plan keeps the mixed commands, as slice does.
        """
        self.is_complete = True
        notes = [*describe_mixed_commands(self, keeps), *self.crossing.notes()]
        plan.notes += notes
        plan.result_notes += notes
        if self.count:
            plan.json_fields["mixed_commands"] = self.as_json
        if self.crossing.count:
            plan.json_fields["cross_database_commands"] = self.crossing.as_json

    def as_json(self, encode_key: EncodeKey) -> dict[str, Any]:
        """The field `mixed_commands` of slice --json and strip --json."""
        return {
            "count": self.count,
            "commands": [
                {"part": c.part, "start": c.span.start, "end": c.span.end, "cmd": c.name,
                 "selected_keys": [encode_key(key) for key in c.selected_keys],
                 "other_keys": [encode_key(key) for key in c.other_keys], "reads_other_keys": c.reads_other}
                for c in self.listed
            ],
        }  # fmt: skip


_INDEPENDENT_KEYS = frozenset({"del", "unlink", "mset", "msetnx", "touch"})  # each key is handled by itself


def _may_have_several_keys(command: CommandSpec) -> bool:
    return len(command.key_specs) > 1 or any(spec[1] == "num" or spec[1] != 0 for spec in command.key_specs)


def describe_mixed_commands(mixed: MixedCommands, keeps: bool) -> Iterator[str]:
    """The notes of a plan about commands with both selected and unselected keys.

    `keeps`: the plan keeps these commands, as slice does.
    """
    if not mixed.count:
        return
    count, verb = text.format_count(mixed.count, "command"), "uses" if mixed.count == 1 else "use"
    consequence = _consequence(mixed, keeps)
    yield f"{count} {verb} both selected and other keys{consequence}"
    for c in mixed.listed[:_SHOWN_MAX]:
        selected, others = _key_list(c.selected_keys), _key_list(c.other_keys)
        yield (f"  {c.name} at {text.display_path(c.part)}@{c.span.start}: selected {selected}; not selected {others}")
    if mixed.count > _SHOWN_MAX:
        yield f"  and {text.format_count(mixed.count - _SHOWN_MAX, 'more command')}; --json lists them"


def _consequence(mixed: MixedCommands, keeps: bool) -> str:
    if not keeps:
        return ": dropping them changes keys that are not selected"
    if mixed.reading_count:
        verb = "reads" if mixed.reading_count == 1 else "read"
        return (
            f", and {mixed.reading_count:,} of them {verb} keys that the result may lack: "
            "their selected keys may be missing or differ there. Select the other keys too with a second --key"
        )
    return ", and the result has those other keys too"


def _key_list(keys: tuple[bytes, ...]) -> str:
    shown = ", ".join(text.quote(key[:40]) for key in keys[:3])
    return f"{shown} and {len(keys) - 3:,} more" if len(keys) > 3 else shown
