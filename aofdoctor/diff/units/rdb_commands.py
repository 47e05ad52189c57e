"""Stream the commands that recreate an RDB's keys, each paired with its key.

The stream starts at the first or at any other key and follows the order of the
file.  The commands are those for one target version, whatever server wrote the
RDB, and have the chunks of a server's own AOF rewrite, so that they can be
compared with those of an AOF.  Contents that no command can represent, and
damage, become OpaqueBytes.  The module does not know why the commands are
compared.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import takewhile
from typing import NamedTuple

from aofdoctor import text
from aofdoctor.aof.records import Preamble
from aofdoctor.diff.units.unit import Unit, UnitRun
from aofdoctor.log.base_keys import BaseKey
from aofdoctor.rdb import header
from aofdoctor.rdb.capabilities import ALL_CAPABILITIES
from aofdoctor.rdb.conversion import read_key_name
from aofdoctor.rdb.encoding.cursor import CorruptValue, Cursor, DecodeError, String
from aofdoctor.rdb.export.command_args import CommandArgs, Unsupported
from aofdoctor.rdb.export.commands import function_load_command, value_commands
from aofdoctor.rdb.items import ItemBatch, KeyItem, OpcodeItem
from aofdoctor.rdb.key_prefix import has_key_meta
from aofdoctor.rdb.opcodes import Opcode, RdbType
from aofdoctor.rdb.preamble import creation_time
from aofdoctor.rdb.values.decoders import ValueRef, type_name
from aofdoctor.rdb.walk.layouts import layout_of
from aofdoctor.rdb.walk.walker import KIND_UNPARSED, StopReason
from aofdoctor.rdb.walk.window import BATCH_ITEMS, WINDOW_SIZE, WalkWindow
from aofdoctor.source import Source
from aofdoctor.span import Span

_TEMPLATE, _TEMPLATES_SINCE = Opcode.HASH_TEMPLATE, 15  # the RDB version that introduced templates (Redis 8.10)
_OLD_STREAM = int(RdbType.STREAM_LISTPACKS)  # written before 7.0: without the counters of later types
FUNCTION = Opcode.FUNCTION2
# Items that a server's own AOF rewrite leaves out too: auxiliary fields, slots, size hints, SELECTDB.
IGNORED_OPCODES = frozenset({Opcode.AUX, Opcode.SLOT_INFO, Opcode.RESIZEDB, Opcode.SELECTDB})


class OpaqueBytes(NamedTuple):
    """Bytes of an RDB that no command can represent (such as module data), with a description for the user."""

    span: Span
    description: str


class ExportedCommand(NamedTuple):
    """A command or opaque bytes of an RDB item; `chunk` is the number of the item's commands before it."""

    item: KeyItem | OpcodeItem
    db: int
    chunk: int
    command: CommandArgs | OpaqueBytes


@dataclass(slots=True)
class _ResumableKey:
    """A large RDB key, exported in several steps; `chunk` of its commands have been returned already."""

    start: int
    commands: Iterator[ExportedCommand]
    chunk: int = 0


class RdbCommandStream:
    """The commands of the RDB at the head of a source; it can be read any number of times."""

    def __init__(self, part: str, source: Source, rdb: Preamble) -> None:
        self.part, self.source, self.rdb = part, source, rdb
        self.cursor = Cursor(source)
        self._resumable: _ResumableKey | None = None
        self.is_opaque = bool(rdb.codec) or not header.MAGIC_PATTERN.fullmatch(rdb.magic)  # cannot be read at all

    @cached_property
    def has_templates(self) -> bool:
        """Whether hash templates (Redis 8.10) precede the keys.

        Decoding a key needs them, so a walk must pass them first.
        """
        if self.rdb.dialect != "redis" or self.rdb.version < _TEMPLATES_SINCE:
            return False
        items = iter(_ItemWalk(self, header.MAGIC_SIZE, 0, self.rdb.span.end, pass_templates=False))
        before = takewhile(lambda item: not isinstance(item, KeyItem), items)
        return any(isinstance(item, OpcodeItem) and item.kind == _TEMPLATE for item in before)

    def base_key(self, key: KeyItem) -> BaseKey:
        """Return the RDB key in the form in which the verb log shows it."""
        return BaseKey(self.part, self.cursor, key, self.rdb.dialect, creation_time(self.rdb.aux))

    def key_name(self, key: KeyItem) -> bytes | None:
        """Return a key's name; None if it is too large for memory or damaged."""
        self.cursor.seek(key.name_offset)
        try:
            name = self.cursor.string()
        except DecodeError:
            return None
        return name if isinstance(name, bytes) else None

    def type_name(self, key: KeyItem) -> str:
        """Return the type of a key's value as TYPE would; empty if it is not supported."""
        return type_name(ValueRef(key.value_offset, key.type, self.rdb.dialect))

    def commands_from(self, start: int = 0, db: int = 0, chunk: int = 0) -> Iterator[ExportedCommand]:
        """Yield the commands that recreate an RDB's keys, from one key on, without the first `chunk` of that key.

        Damage ends the stream with one OpaqueBytes for the rest.
        """
        if self.is_opaque:
            yield self._opaque_rest(0, self._damage_note())
            return
        items = _ItemWalk(self, start or header.MAGIC_SIZE, db, self.rdb.span.end)
        yield from self._export(items, chunk)
        if items.stop_reason != StopReason.DONE or not self.rdb.complete or self.rdb.checksum == "bad":
            yield self._opaque_rest(items.end, self._damage_note())

    def commands_in_run(
        self, run: UnitRun, is_selected: Callable[[KeyItem | OpcodeItem], bool] | None = None
    ) -> Iterator[ExportedCommand]:
        """Yield the commands of a range of an RDB (a run without opaque bytes); `is_selected` restricts the keys."""
        first, last = run.first, run.last
        if first.start == last.start:
            yield from self._commands_in_key(run, is_selected)
            return
        for command in self._export(_ItemWalk(self, first.start, first.db, last.end), first.chunk, is_selected):
            past = command.item.span.start == last.start and command.chunk > last.chunk
            if not past and not isinstance(command.command, OpaqueBytes):
                yield command

    def _commands_in_key(
        self, run: UnitRun, is_selected: Callable[[KeyItem | OpcodeItem], bool] | None
    ) -> Iterator[ExportedCommand]:
        """Yield the commands of a range (a run of units) that lies within one RDB key.

        The end of the last such run is remembered, because a key may have a million commands.
        """
        first, last = run.first, run.last
        if self._resumable is None or self._resumable.start != first.start or self._resumable.chunk > first.chunk:
            # A stream with its own cursor, which other readers cannot move.
            own_stream = RdbCommandStream(self.part, self.source, self.rdb)
            self._resumable = _ResumableKey(
                first.start, own_stream._export(_ItemWalk(own_stream, first.start, first.db, first.end), 0)
            )
        resumable = self._resumable
        while resumable.chunk <= last.chunk and (command := next(resumable.commands, None)):
            resumable.chunk = command.chunk + 1
            if (
                first.chunk <= command.chunk
                and not isinstance(command.command, OpaqueBytes)
                and (not is_selected or is_selected(command.item))
            ):
                yield command

    def items(self, run: UnitRun | None = None) -> Iterator[KeyItem | OpcodeItem]:
        """Yield the keys and function libraries of a range of an RDB, or all of them as far as they can be read."""
        if self.is_opaque:
            return iter(())
        if run is None:
            return iter(_ItemWalk(self, header.MAGIC_SIZE, 0, self.rdb.span.end))
        return iter(_ItemWalk(self, run.first.start, run.first.db, run.last.end))

    def describe_opaque(self, unit: Unit) -> str:
        """Describe bytes that no command can represent (an opaque unit), for the user."""
        for command in (
            () if self.is_opaque else self._export(_ItemWalk(self, unit.start, unit.db, unit.end), unit.chunk)
        ):
            if isinstance(command.command, OpaqueBytes):
                item = command.item
                key = f"key {text.quote(self.base_key(item).name[:1024])}: " if isinstance(item, KeyItem) else ""
                return key + command.command.description
        return self._damage_note()

    def _export(
        self, items: "_ItemWalk", skip: int, is_selected: Callable[[KeyItem | OpcodeItem], bool] | None = None
    ) -> Iterator[ExportedCommand]:
        db = items.db
        for item in items:
            if is_selected and not is_selected(item):
                skip = 0
                continue
            chunk, opaque = 0, None
            db = max(0, item.db) if isinstance(item, KeyItem) else db
            for command in self._export_key(item) if isinstance(item, KeyItem) else self._export_item(item):
                if isinstance(command, OpaqueBytes):
                    opaque = opaque or command
                    continue
                if chunk >= skip:
                    yield ExportedCommand(item, db, chunk, command)
                chunk += 1
            if opaque:
                yield ExportedCommand(item, db, chunk, opaque)
            skip = 0

    def _export_key(self, key: KeyItem) -> Iterator[CommandArgs | OpaqueBytes]:
        span = Span(key.name_offset - 1, key.end)  # from the type byte to the end of the value
        value = ValueRef(key.value_offset, key.type, self.rdb.dialect)
        try:
            name = read_key_name(self.cursor, key)
        except DecodeError as problem:
            yield OpaqueBytes(span, problem.note)
            return
        if (
            key.start < span.start
            and self.rdb.dialect == "redis"
            and has_key_meta(self.source, key.start, key.name_offset)
        ):
            yield OpaqueBytes(key.span, "its metadata")
        if not type_name(value):
            yield OpaqueBytes(span, f"type {key.type}, which is not read")
            return
        expire = None if key.expire_ms < 0 else key.expire_ms
        target = ALL_CAPABILITIES._replace(has_stream_counters=False) if key.type == _OLD_STREAM else ALL_CAPABILITIES
        for command in value_commands(self.cursor, value, name, expire, target):
            if isinstance(command, list):
                yield command
            else:
                yield OpaqueBytes(span, command.note if isinstance(command, CorruptValue) else command.description)

    def _export_item(self, item: OpcodeItem) -> Iterator[CommandArgs | OpaqueBytes]:
        if item.kind in IGNORED_OPCODES or (item.kind == _TEMPLATE and self.rdb.dialect == "redis"):
            return
        code = self.function_code(item) if item.kind == FUNCTION else None
        command = (
            function_load_command(code, ALL_CAPABILITIES) if code is not None else Unsupported(f"opcode {item.kind}")
        )
        yield command if isinstance(command, list) else OpaqueBytes(item.span, command.description)

    def function_code(self, item: OpcodeItem) -> String | None:
        """Return the Lua code of a function library in an RDB; None if it is damaged."""
        self.cursor.seek(item.body_offset)
        try:
            return self.cursor.string()
        except DecodeError:
            return None

    def _damage_note(self) -> str:
        compressed = f"an RDB compressed by {self.rdb.codec}" if self.rdb.codec else ""
        return self.rdb.note or compressed or "it is damaged"

    def _opaque_rest(self, start: int, description: str) -> ExportedCommand:
        span = Span(start, self.rdb.span.end)
        return ExportedCommand(OpcodeItem(KIND_UNPARSED, span, start), 0, 0, OpaqueBytes(span, description))


class _ItemWalk:
    """The items that start at `start` or later and before `limit`; `db` is the database before the first.

    After the iteration `end` is the offset after the last item, and `stop_reason` why the walk stopped.
    """

    def __init__(self, stream: RdbCommandStream, start: int, db: int, limit: int, pass_templates: bool = True) -> None:
        self.db, self._start, self._limit = db, start, limit
        if pass_templates and start > header.MAGIC_SIZE and stream.has_templates:
            start, db = header.MAGIC_SIZE, 0
        self.end, self.stop_reason = start, StopReason.FULL
        window, room = min(WINDOW_SIZE, max(1 << 10, limit - start)), min(BATCH_ITEMS, 2 + (limit - start) // 3)
        # One byte more than the limit: if the range ended with a large payload that is skipped, the walker would not
        # see the end of its item.
        layout, end = layout_of(stream.rdb.magic), min(limit + 1, stream.rdb.span.end)
        self._window = WalkWindow(stream.source, layout, start, db, window, room, verify=False, limit=end)

    def __iter__(self) -> Iterator[KeyItem | OpcodeItem]:
        columns = self._window.columns
        while self.stop_reason == StopReason.FULL and self.end < self._limit:
            columns.edges[0] = self.end
            self.stop_reason, _ = self._window.run()
            end = columns.edges[columns.count]
            for item in ItemBatch(columns):
                if item.span.start >= self._limit:
                    return
                if item.span.start >= self._start:
                    yield item
            self.end = end
            columns.truncate(0)
