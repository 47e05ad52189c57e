"""The commands that make the keys of an RDB, as columns of units.

They are encoded into a buffer that stays small, scanned and digested there by
the code that does so with an AOF: there is one definition of what is equal.
"""

from array import array
from collections.abc import Iterator
from typing import TYPE_CHECKING

from aofdoctor.aof.records import RecordBatch
from aofdoctor.aof.records import encode_command as encode_argv
from aofdoctor.aof.scan import SLACK, ScanColumns, scan
from aofdoctor.diff.hashing.digest import Digest, records
from aofdoctor.diff.units._pyunits import Column, Kind, Open
from aofdoctor.diff.units.rdb_commands import ExportedCommand, OpaqueBytes, RdbCommandStream
from aofdoctor.diff.units.unit import ComparisonRules, DiffPosition, large_digest, pieces, signed
from aofdoctor.rdb.export.capabilities import Command
from aofdoctor.rdb.export.resp import encode
from aofdoctor.rdb.items import Key
from aofdoctor.server.command_table import table
from aofdoctor.source import BytesSource

if TYPE_CHECKING:
    from aofdoctor.diff.units._pyunits import run
else:
    try:
        from aofdoctor.diff.units._units import run
    except ImportError:
        from aofdoctor.diff.units._pyunits import run

_ROOM = 1 << 12
_SIZE = 1 << 18
_HEAD = 1 << 12
Rows = list["array[int]"]


def told_units(rules: ComparisonRules, stream: RdbCommandStream, position: DiffPosition) -> Iterator[Rows]:
    """The units of an RDB from a place on, some at a time, as columns."""
    buffer = _Buffer(rules, position)
    for said in stream.all(position.offset, position.db, position.chunk):
        if isinstance(said.said, OpaqueBytes):
            yield buffer.columns()
            yield _bytes(rules, stream, position, said, said.said)
        else:
            buffer.add(said, said.said)
            if buffer.full:
                yield buffer.columns()
    yield buffer.columns()


def stand_in(command: Command) -> bytes:
    """A record that has the beginning of each argument: enough for a name, and for a key that is held."""
    return encode_argv([word if isinstance(word, bytes) else word.read(_HEAD) for word in command])


class _Buffer:
    def __init__(self, rules: ComparisonRules, position: DiffPosition) -> None:
        self.rules, self.position = rules, position
        self._records, self._columns = bytearray(), ScanColumns(_ROOM)
        self._own: Rows = [array("q") for _ in range(4)]  # start, end, database, chunk of each command
        self._large: list[tuple[int, Command]] = []
        self._digests, self._none = array("Q", bytes(8 * _ROOM)), array("q", bytes(8 * _ROOM))
        self._out = [array("q", bytes(8 * (_ROOM + 1))) for _ in Column]

    @property
    def full(self) -> bool:
        """True if it holds as much as it may."""
        return len(self._own[0]) == _ROOM or len(self._records) >= _SIZE

    def add(self, said: ExportedCommand, command: Command) -> None:
        """Take a command in."""
        record = encode(command)
        if record is None:
            self._large.append((len(self._own[0]), command))
            record = stand_in(command)
        self._records += record
        for column, value in zip(self._own, (*said.item.span, said.db, said.chunk), strict=True):
            column.append(value)

    def columns(self) -> Rows:
        """The units of what it holds, of which it is emptied."""
        starts, ends, dbs, chunks = self._own
        count, rules, position = len(starts), self.rules, self.position
        end = len(self._records)
        self._records += bytes(SLACK)
        found = scan(self._records, 0, end, table().names.scan_names, self._columns)
        assert found == count, "a command that was just encoded reads back"
        columns = self._columns
        batch = RecordBatch(BytesSource(b""), 0, count, self._records, 0, columns.edges, columns.argc, columns.ids)
        records(rules.key, batch, rules.names, rules.exact, self._digests)
        for i, command in self._large:
            self._digests[i] = large_digest(rules, command, columns.ids[i])
        state = array("q", bytes(8 * len(Open)))
        run(rules.key, state, batch, self._digests, dbs, self._none, self._none, rules.act, self._out)
        out = {
            Column.DIGEST: self._out[Column.DIGEST][:count], Column.START: starts, Column.END: ends, Column.DB: dbs,
            Column.CHUNK: chunks,
        }  # fmt: skip
        self._records, self._large = bytearray(), []
        self._own = [array("q") for _ in range(4)]
        return [out[column] if column in out else array("q", [_same(position, column)]) * count for column in Column]


def _same(position: DiffPosition, column: Column) -> int:
    """What all units of an RDB have in a column; no command of the AOF is among them."""
    return {
        Column.PART: position.part, Column.TX: 0, Column.TIME: -1, Column.NUMBER: position.commands + 1,
        Column.LAST: position.commands, Column.COMMANDS: 1, Column.KIND: Kind.KEY,
    }[column]  # fmt: skip


def _bytes(
    rules: ComparisonRules, stream: RdbCommandStream, position: DiffPosition, said: ExportedCommand, unsaid: OpaqueBytes
) -> Rows:
    """The unit of bytes that no command says; it stands where its item does."""
    digest = Digest(rules.key).number(-Kind.RDB).number(said.db if isinstance(said.item, Key) else -1)
    for piece in pieces(stream.source, unsaid.span):
        digest.piece(piece)
    own = {
        Column.DIGEST: signed(digest.value()), Column.START: said.item.span.start, Column.END: said.item.span.end,
        Column.DB: said.db, Column.CHUNK: said.chunk, Column.KIND: Kind.RDB, Column.COMMANDS: 0,
    }  # fmt: skip
    return [array("q", [own[column] if column in own else _same(position, column)]) for column in Column]
