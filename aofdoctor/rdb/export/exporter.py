"""Export an RDB as commands, in file order, with a SELECT before each change of database.

Information that the target cannot represent is recorded in a report, by key.
Damage ends the export with a CorruptValue.  Information that only tunes a server
(table sizes, slots, idle times) is counted as a dropped hint, because a server's
own rewrite does not write it either.
"""

from collections.abc import Callable, Iterator

from aofdoctor.rdb.capabilities import Capabilities
from aofdoctor.rdb.conversion import (
    IDLE_HINT,
    KEY_METADATA_LOSS,
    SLOT_HINT,
    ConversionReport,
    library_name,
    opcode_loss,
    rdb_damage,
    read_key_name,
    unknown_type_damage,
)
from aofdoctor.rdb.encoding.cursor import CorruptValue, Cursor, DecodeError
from aofdoctor.rdb.export.command_args import CommandArgs, Unsupported
from aofdoctor.rdb.export.commands import function_load_command, select_command, value_commands
from aofdoctor.rdb.header import read_dialect
from aofdoctor.rdb.items import ItemReader, KeyItem, OpcodeItem
from aofdoctor.rdb.key_prefix import has_key_meta
from aofdoctor.rdb.opcodes import Opcode
from aofdoctor.rdb.values.decoders import ValueRef, type_name
from aofdoctor.rdb.walk.walker import KIND_MAGIC, KIND_UNPARSED
from aofdoctor.source import Source

OnProgress = Callable[[int], None]
_FUNCTION = Opcode.FUNCTION2
_TEMPLATE = Opcode.HASH_TEMPLATE  # not exported itself: each hash that uses it is exported with its field names
_NOT_EXPORTED = frozenset({KIND_MAGIC, Opcode.AUX, Opcode.EOF, Opcode.RESIZEDB, Opcode.SELECTDB})
_HINTS: dict[int, str] = {Opcode.SLOT_INFO: SLOT_HINT}


def export_commands(
    source: Source, capabilities: Capabilities, report: ConversionReport, on_progress: OnProgress | None = None
) -> Iterator[CommandArgs | CorruptValue]:
    """Yield the commands that recreate the RDB at the beginning of `source`; at damage, a CorruptValue comes last.

    `report` records counts and losses; `on_progress` is called with the number of bytes read so far.
    """
    items, exporter = ItemReader(source), CommandExporter(source, capabilities, report)
    for batch in items:
        for item in batch:
            for command in exporter.export(item):
                yield command
                if isinstance(command, CorruptValue):
                    return
        if on_progress:
            on_progress(items.rdb.end)
    if problem := rdb_damage(items):
        yield problem


class CommandExporter:
    """Exports the items of an RDB one at a time; `db` is the database that the commands so far have selected."""

    def __init__(self, source: Source, capabilities: Capabilities, report: ConversionReport) -> None:
        self.source, self.capabilities, self.report = source, capabilities, report
        self.cursor, self.db, self.dialect = Cursor(source), 0, read_dialect(source)

    def export(self, item: KeyItem | OpcodeItem) -> Iterator[CommandArgs | CorruptValue]:
        """Yield the commands for one RDB item, a key or an opcode; at damage, a CorruptValue comes last."""
        return self._export_key(item) if isinstance(item, KeyItem) else self._export_item(item)

    def _export_key(self, key: KeyItem) -> Iterator[CommandArgs | CorruptValue]:
        value = ValueRef(key.value_offset, key.type, self.dialect)
        kind = type_name(value)
        try:
            name = read_key_name(self.cursor, key)
        except DecodeError as problem:
            yield CorruptValue(problem.offset, problem.note)
            return
        self._count_hints(key, name, kind)
        if not kind:
            self.report.record_loss(key.db, name, f"type {key.type}", "no command of this version makes it")
            return
        any_command, any_loss, expire = False, False, None if key.expire_ms == -1 else key.expire_ms
        for command in value_commands(self.cursor, value, name, expire, self.capabilities):
            if isinstance(command, Unsupported):
                self.report.record_loss(key.db, name, kind, command.description)
                any_loss = True
                continue
            if not any_command and max(key.db, 0) != self.db and not isinstance(command, CorruptValue):
                self.db = max(key.db, 0)
                yield select_command(self.db)
            any_command = True
            yield command
        if any_command:
            self.report.keys[self.db, kind] += 1
        elif not any_loss:
            self.report.dropped_hints["keys without an element, which no server keeps"] += 1

    def _export_item(self, item: OpcodeItem) -> Iterator[CommandArgs | CorruptValue]:
        if item.kind == KIND_UNPARSED:
            yield unknown_type_damage(item.span.start)
        elif item.kind == _FUNCTION:
            yield from self._export_library(item)
        elif item.kind in _HINTS:
            self.report.dropped_hints[_HINTS[item.kind]] += 1
        elif item.kind not in _NOT_EXPORTED and not (item.kind == _TEMPLATE and self.dialect == "redis"):
            self.report.record_loss(0, b"", *opcode_loss(self.cursor, item, "no command says it"))

    def _export_library(self, item: OpcodeItem) -> Iterator[CommandArgs | CorruptValue]:
        self.cursor.seek(item.body_offset)
        try:
            code = self.cursor.string()
            command = function_load_command(code, self.capabilities)
        except DecodeError as problem:
            yield CorruptValue(problem.offset, problem.note)
            return
        if isinstance(command, Unsupported):
            self.report.record_loss(0, library_name(code), "function", command.description)
        else:
            yield command

    def _count_hints(self, key: KeyItem, name: bytes, kind: str) -> None:
        if key.idle >= 0 or key.freq >= 0:
            self.report.dropped_hints[IDLE_HINT] += 1
        if self.dialect == "redis" and has_key_meta(self.source, key.start, key.name_offset):
            self.report.record_loss(key.db, name, kind, KEY_METADATA_LOSS)
