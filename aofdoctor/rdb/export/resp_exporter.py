"""A whole RDB as the bytes of commands: what told.py tells, as RESP, a window of keys at a time.

The common keys are written where they stand in the walk's window, by bulk.py;
every other one is told as before.  A key that reaches over the window's edge
is read once more.
"""

from collections.abc import Callable, Iterator

from aofdoctor.rdb.bulk.encoder import TYPE_NAMES, BulkEncoder, BulkStop
from aofdoctor.rdb.bulk.powers_of_ten import powers
from aofdoctor.rdb.encoding.cursor import CorruptValue
from aofdoctor.rdb.export.capabilities import Capabilities, Command, Unsupported
from aofdoctor.rdb.export.exporter import IDLE_HINT, CommandExporter, trouble
from aofdoctor.rdb.export.report import ConversionReport
from aofdoctor.rdb.export.resp import resp
from aofdoctor.rdb.items import Item, ItemBatch, ItemReader, Key
from aofdoctor.rdb.walk.walker import SLACK
from aofdoctor.rdb.walk.window import WINDOW
from aofdoctor.source import Source, pread

ROOM = 1 << 20  # of the output; what does not fit in is told
_PIECE = 1 << 18
_AGAIN = 1 << 20  # a key that is larger is not read at once

Moved = Callable[[Command], Command]
Piece = bytes | Unsupported | CorruptValue


class RespExporter:
    """The bytes of the commands that make all keys of the RDB at the head of `source`.

    `moved`, where `shift_ms` is not 0, moves the expiries of a command by it.
    `db` is the database that is selected after what was given.
    """

    def __init__(
        self,
        source: Source,
        capabilities: Capabilities,
        report: ConversionReport,
        shift_ms: int,
        moved: Moved,
        window: int = WINDOW,
    ) -> None:
        self.source, self.report = source, report
        self._exporter = CommandExporter(source, capabilities, report)
        self._moved = moved if shift_ms else None
        self._encoder = BulkEncoder(powers(), shift_ms, ROOM)
        self._items = ItemReader(source, window, by_window=True)

    @property
    def db(self) -> int:
        """The database of the last command."""
        return self._exporter.db

    def __iter__(self) -> Iterator[Piece]:
        for batch in self._items:
            for piece in self._batch(batch):
                yield piece
                if isinstance(piece, CorruptValue):
                    return
        yield self._encoder.take()
        if problem := trouble(self._items):
            yield problem

    def _batch(self, batch: ItemBatch) -> Iterator[Piece]:
        at = batch.first
        while at < batch.stop:
            why, at = self._run(batch, at)
            if self._encoder.size >= _PIECE or why == BulkStop.FULL:
                yield self._encoder.take()
            if why == BulkStop.KEY and not self._run_again(batch, at):
                yield self._encoder.take()
                yield from resp(self._told(batch[at - batch.first]))
            at += why == BulkStop.KEY

    def _run(self, batch: ItemBatch, at: int) -> tuple[int, int]:
        sweep = self._items.window
        self._encoder.db = self._exporter.db
        why, at = self._encoder.run(batch.columns, at, batch.stop, sweep.buffer, sweep.base, sweep.fill)
        self._count()
        return why, at

    def _run_again(self, batch: ItemBatch, at: int) -> bool:
        """True if a key that is not in the window as a whole was written after it had been read once more."""
        start, end = batch.columns.edges[at], batch.columns.edges[at + 1]
        if start >= self._items.window.base or end - start > _AGAIN or batch.columns.name[at] < 0:
            return False
        data = pread(self.source, end - start, start) + bytes(SLACK)
        why, _ = self._encoder.run(batch.columns, at, at + 1, bytearray(data), start, len(data) - SLACK)
        self._count()
        return why == BulkStop.DONE

    def _count(self) -> None:
        """Note what was written; its keys are of one database."""
        keys, hints = self._encoder.counted()
        self._exporter.db = self._encoder.db
        for shape, count in zip(TYPE_NAMES, keys, strict=True):
            if count:
                self.report.keys[self._encoder.db, shape] += count
        if hints:
            self.report.dropped_hints[IDLE_HINT] += hints

    def _told(self, item: Key | Item) -> Iterator[Command | CorruptValue]:
        for said in self._exporter.item(item):
            yield self._moved(said) if self._moved and isinstance(said, list) else said
