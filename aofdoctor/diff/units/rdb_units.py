"""Turn the commands that recreate the keys of an RDB into rows that are comparable with the commands of an AOF.

The commands are encoded into a small buffer, then scanned and digested by the
same code as an AOF, so that one definition of equality holds for both.
"""

from array import array
from collections.abc import Iterator

from aofdoctor.aof.records import RecordBatch
from aofdoctor.aof.scan import SLACK, ScanColumns, scan
from aofdoctor.diff.hashing.arguments import feed_span
from aofdoctor.diff.hashing.digest import Digest, record_digests
from aofdoctor.diff.units.columns import OpenUnitField, UnitColumn, UnitKind
from aofdoctor.diff.units.comparison_rules import ComparisonRules
from aofdoctor.diff.units.large_records import large_command_digest
from aofdoctor.diff.units.rdb_commands import ExportedCommand, OpaqueBytes, RdbCommandStream
from aofdoctor.diff.units.unit import DiffPosition, to_signed
from aofdoctor.diff.units.units import make_units
from aofdoctor.rdb.export.command_args import CommandArgs
from aofdoctor.rdb.export.resp import encode_if_bytes
from aofdoctor.rdb.items import KeyItem
from aofdoctor.resp import encode_command as encode_argv
from aofdoctor.server.command_table import command_table
from aofdoctor.source import BytesSource

_ROOM = 1 << 12
_BUFFER_BYTES = 1 << 18
_ARGUMENT_HEAD = 1 << 12
UnitColumns = list["array[int]"]


def read_rdb_units(rules: ComparisonRules, stream: RdbCommandStream, position: DiffPosition) -> Iterator[UnitColumns]:
    """Yield the commands that recreate an RDB's keys as columns of units, from a position on, one buffer at a time."""
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
    """Encode a command with at most the first _ARGUMENT_HEAD bytes of each large argument.

    The scanner needs no more than the name to find the command id.
    """
    return encode_argv([word if isinstance(word, bytes) else word.read(_ARGUMENT_HEAD) for word in command])


class _CommandBuffer:
    """A buffer of RESP-encoded commands of an RDB, which are scanned and digested together."""

    def __init__(self, rules: ComparisonRules, position: DiffPosition) -> None:
        self.rules, self.position = rules, position
        self._records, self._columns = bytearray(), ScanColumns(_ROOM)
        # Start, end, database and chunk of each command.
        self._item_columns: UnitColumns = [array("q") for _ in range(4)]
        self._large: list[tuple[int, CommandArgs]] = []
        self._digests, self._no_context = array("Q", bytes(8 * _ROOM)), array("q", bytes(8 * _ROOM))
        self._out = [array("q", bytes(8 * (_ROOM + 1))) for _ in UnitColumn]

    @property
    def is_full(self) -> bool:
        """Whether the buffer of encoded commands has reached its limit of commands or bytes."""
        return len(self._item_columns[0]) == _ROOM or len(self._records) >= _BUFFER_BYTES

    def add(self, rdb_command: ExportedCommand, command: CommandArgs) -> None:
        """Append a command, encoded as RESP, to the buffer."""
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
        """Return the buffered commands as columns of units (one array per property), and empty the buffer."""
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
    """Return the value of a column that is the same for all commands of one RDB, such as the file's index."""
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
    """Return the unit of bytes that no command can represent, at the position of their item."""
    digest = (
        Digest(rules.key)
        .add_number(-UnitKind.RDB)
        .add_number(rdb_command.db if isinstance(rdb_command.item, KeyItem) else -1)
    )
    feed_span(digest, stream.source, opaque.span)
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
