"""The commands that make the keys of an RDB, as columns of units.

They are encoded into a buffer that stays small, scanned and digested there by
the code that does so with an AOF: there is one definition of what is equal.
"""

from array import array
from collections.abc import Iterator

from aofdoctor.aof.records import RecordBatch
from aofdoctor.aof.records import encode_command as encode_argv
from aofdoctor.aof.scan import SLACK, ScanColumns, scan
from aofdoctor.diff.hashing.digest import Digest, record_digests
from aofdoctor.diff.units.columns import OpenUnitField, UnitColumn, UnitKind
from aofdoctor.diff.units.rdb_commands import ExportedCommand, OpaqueBytes, RdbCommandStream
from aofdoctor.diff.units.unit import ComparisonRules, DiffPosition, large_command_digest, read_pieces, to_signed
from aofdoctor.diff.units.units import make_units
from aofdoctor.rdb.export.capabilities import CommandArgs
from aofdoctor.rdb.export.resp import encode_if_bytes
from aofdoctor.rdb.items import KeyItem
from aofdoctor.server.command_table import command_table
from aofdoctor.source import BytesSource

_ROOM = 1 << 12
_BUFFER_BYTES = 1 << 18
_ARGUMENT_HEAD = 1 << 12
UnitColumns = list["array[int]"]


def read_rdb_units(rules: ComparisonRules, stream: RdbCommandStream, position: DiffPosition) -> Iterator[UnitColumns]:
    """The units of an RDB from a place on, some at a time, as columns."""
    buffer = _CommandBuffer(rules, position)
    for command in stream.commands_from(position.offset, position.db, position.chunk):
        if isinstance(command.command, OpaqueBytes):
            yield buffer.columns()
            yield _opaque_unit(rules, stream, position, command, command.command)
        else:
            buffer.add(command, command.command)
            if buffer.is_full:
                yield buffer.columns()
    yield buffer.columns()


def truncated_record(command: CommandArgs) -> bytes:
    """A record that has the beginning of each argument: enough for a name, and for a key that is held."""
    return encode_argv([word if isinstance(word, bytes) else word.read(_ARGUMENT_HEAD) for word in command])


class _CommandBuffer:
    def __init__(self, rules: ComparisonRules, position: DiffPosition) -> None:
        self.rules, self.position = rules, position
        self._records, self._columns = bytearray(), ScanColumns(_ROOM)
        self._item_columns: UnitColumns = [array("q") for _ in range(4)]  # start, end, database, chunk of each command
        self._large: list[tuple[int, CommandArgs]] = []
        self._digests, self._no_context = array("Q", bytes(8 * _ROOM)), array("q", bytes(8 * _ROOM))
        self._out = [array("q", bytes(8 * (_ROOM + 1))) for _ in UnitColumn]

    @property
    def is_full(self) -> bool:
        """True if it holds as much as it may."""
        return len(self._item_columns[0]) == _ROOM or len(self._records) >= _BUFFER_BYTES

    def add(self, rdb_command: ExportedCommand, command: CommandArgs) -> None:
        """Take a command in."""
        record = encode_if_bytes(command)
        if record is None:
            self._large.append((len(self._item_columns[0]), command))
            record = truncated_record(command)
        self._records += record
        for column, value in zip(
            self._item_columns, (*rdb_command.item.span, rdb_command.db, rdb_command.chunk), strict=True
        ):
            column.append(value)

    def columns(self) -> UnitColumns:
        """The units of what it holds, of which it is emptied."""
        starts, ends, dbs, chunks = self._item_columns
        count, rules, position = len(starts), self.rules, self.position
        end = len(self._records)
        self._records += bytes(SLACK)
        scanned = scan(self._records, 0, end, command_table().names.scan_names, self._columns)
        assert scanned == count, "a command that was just encoded reads back"
        columns = self._columns
        batch = RecordBatch(BytesSource(b""), 0, count, self._records, 0, columns.edges, columns.argc, columns.ids)
        record_digests(rules.key, batch, rules.name_counts, rules.exact, self._digests)
        for i, command in self._large:
            self._digests[i] = large_command_digest(rules, command, columns.ids[i])
        state = array("q", bytes(8 * len(OpenUnitField)))
        make_units(
            rules.key, state, batch, self._digests, dbs, self._no_context, self._no_context, rules.actions, self._out
        )
        out = {
            UnitColumn.DIGEST: self._out[UnitColumn.DIGEST][:count],
            UnitColumn.START: starts,
            UnitColumn.END: ends,
            UnitColumn.DB: dbs,
            UnitColumn.CHUNK: chunks,
        }
        self._records, self._large = bytearray(), []
        self._item_columns = [array("q") for _ in range(4)]
        return [
            out[column] if column in out else array("q", [_constant_value(position, column)]) * count
            for column in UnitColumn
        ]


def _constant_value(position: DiffPosition, column: UnitColumn) -> int:
    """What all units of an RDB have in a column; no command of the AOF is among them."""
    return {
        UnitColumn.PART: position.part,
        UnitColumn.TX: 0,
        UnitColumn.TIME: -1,
        UnitColumn.FIRST_COMMAND: position.commands + 1,
        UnitColumn.LAST_COMMAND: position.commands,
        UnitColumn.COMMANDS: 1,
        UnitColumn.KIND: UnitKind.KEY,
    }[column]


def _opaque_unit(
    rules: ComparisonRules,
    stream: RdbCommandStream,
    position: DiffPosition,
    rdb_command: ExportedCommand,
    opaque: OpaqueBytes,
) -> UnitColumns:
    """The unit of bytes that no command says; it stands where its item does."""
    digest = (
        Digest(rules.key)
        .add_number(-UnitKind.RDB)
        .add_number(rdb_command.db if isinstance(rdb_command.item, KeyItem) else -1)
    )
    for piece in read_pieces(stream.source, opaque.span):
        digest.add_bytes(piece)
    own = {
        UnitColumn.DIGEST: to_signed(digest.value()),
        UnitColumn.START: rdb_command.item.span.start,
        UnitColumn.END: rdb_command.item.span.end,
        UnitColumn.DB: rdb_command.db,
        UnitColumn.CHUNK: rdb_command.chunk,
        UnitColumn.KIND: UnitKind.RDB,
        UnitColumn.COMMANDS: 0,
    }
    return [array("q", [own[column] if column in own else _constant_value(position, column)]) for column in UnitColumn]
