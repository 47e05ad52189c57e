"""Export an RDB as RESP bytes quickly, many keys at a time.

The output is the same as that of exporter.py.  Common keys are encoded by the
compiled encoder (rdb/bulk) directly from the window in which the RDB is walked;
every other item goes through CommandExporter.  A key that crosses the edge of the
window is read again.
"""

from collections.abc import Callable, Iterator

from aofdoctor.rdb.bulk.encoder import TYPE_NAMES, BulkEncoder, BulkStop
from aofdoctor.rdb.bulk.powers_of_ten import powers_of_ten
from aofdoctor.rdb.capabilities import Capabilities
from aofdoctor.rdb.conversion import IDLE_HINT, ConversionReport, rdb_damage
from aofdoctor.rdb.encoding.cursor import CorruptValue
from aofdoctor.rdb.export.command_args import CommandArgs, Unsupported
from aofdoctor.rdb.export.exporter import CommandExporter
from aofdoctor.rdb.export.resp import encode_commands
from aofdoctor.rdb.items import ItemBatch, ItemReader, KeyItem, OpcodeItem
from aofdoctor.rdb.walk.walker import SLACK
from aofdoctor.rdb.walk.window import WINDOW_SIZE
from aofdoctor.source import Source, pread

OUTPUT_SIZE = 1 << 20  # bytes of the encoder's output buffer; a key that does not fit goes through CommandExporter
_PIECE = 1 << 18
_REREAD_MAX = 1 << 20  # the size up to which a key that crosses the window's edge is read again

ShiftExpiry = Callable[[CommandArgs], CommandArgs]
RespPiece = bytes | Unsupported | CorruptValue


class RespExporter:
    """Iterates over the RESP bytes of the commands that recreate the RDB at the beginning of `source`.

    Damage ends the iteration with a CorruptValue.  If `shift_ms` is not 0, all
    expiries are shifted by it; `shift_expiry` does so for a single command.
    """

    def __init__(
        self,
        source: Source,
        capabilities: Capabilities,
        report: ConversionReport,
        shift_ms: int,
        shift_expiry: ShiftExpiry,
        window: int = WINDOW_SIZE,
    ) -> None:
        self.source, self.report = source, report
        self._exporter = CommandExporter(source, capabilities, report)
        self._shift_expiry = shift_expiry if shift_ms else None
        self._encoder = BulkEncoder(powers_of_ten(), shift_ms, OUTPUT_SIZE)
        self._items = ItemReader(source, window, stop_at_window_end=True)

    @property
    def db(self) -> int:
        """The database that the commands yielded so far have selected."""
        return self._exporter.db

    def __iter__(self) -> Iterator[RespPiece]:
        for batch in self._items:
            for piece in self._encode_batch(batch):
                yield piece
                if isinstance(piece, CorruptValue):
                    return
        yield self._encoder.take()
        if problem := rdb_damage(self._items):
            yield problem

    def _encode_batch(self, batch: ItemBatch) -> Iterator[RespPiece]:
        at = batch.first
        while at < batch.stop:
            stop, at = self._encode_window(batch, at)
            if self._encoder.size >= _PIECE or stop == BulkStop.FULL:
                yield self._encoder.take()
            if stop == BulkStop.NOT_HANDLED and not self._encode_reread_key(batch, at):
                yield self._encoder.take()
                yield from encode_commands(self._export_item(batch[at - batch.first]))
            at += stop == BulkStop.NOT_HANDLED

    def _encode_window(self, batch: ItemBatch, at: int) -> tuple[int, int]:
        window = self._items.window
        self._encoder.db = self._exporter.db
        stop, at = self._encoder.encode(batch.columns, at, batch.stop, window.buffer, window.base, window.data_end)
        self._take_counts()
        return stop, at

    def _encode_reread_key(self, batch: ItemBatch, at: int) -> bool:
        """Encode a key that is only partly in memory, by reading it again from the file; return False if impossible."""
        start, end = batch.columns.edges[at], batch.columns.edges[at + 1]
        if start >= self._items.window.base or end - start > _REREAD_MAX or batch.columns.name[at] < 0:
            return False
        data = pread(self.source, end - start, start) + bytes(SLACK)
        stop, _ = self._encoder.encode(batch.columns, at, at + 1, bytearray(data), start, len(data) - SLACK)
        self._take_counts()
        return stop == BulkStop.DONE

    def _take_counts(self) -> None:
        """Add the numbers of keys that the compiled encoder has encoded since the last call to the report.

        All these keys are in one database.
        """
        keys, hints = self._encoder.take_counts()
        self._exporter.db = self._encoder.db
        for name, count in zip(TYPE_NAMES, keys, strict=True):
            if count:
                self.report.keys[self._encoder.db, name] += count
        if hints:
            self.report.dropped_hints[IDLE_HINT] += hints

    def _export_item(self, item: KeyItem | OpcodeItem) -> Iterator[CommandArgs | CorruptValue]:
        for command in self._exporter.export(item):
            yield self._shift_expiry(command) if self._shift_expiry and isinstance(command, list) else command
