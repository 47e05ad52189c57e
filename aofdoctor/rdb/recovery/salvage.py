"""Salvage a damaged RDB: find the intact keys before and after each damaged range, to the end of the file.

An RDB has no synchronization marks, only a structure that is consistent or not.  Where the walk stops, resync.py
searches for an offset from which keys can be walked again.  The search also looks back a little before the stop,
because a damaged length swallows what follows it and the walk fails only later.  All of this is a guess and labelled as
one.  Whether a server would load a key is decided by the caller.
"""

from collections.abc import Iterator

from aofdoctor import text
from aofdoctor.damage import Damage, DamageKind
from aofdoctor.rdb import header
from aofdoctor.rdb.items import STOP_NOTES, ItemBatch, KeyItem
from aofdoctor.rdb.opcodes import Opcode
from aofdoctor.rdb.recovery.resync import LOOKBACK_BYTES, KeyDefect, KeySearch, end_after_eof
from aofdoctor.rdb.walk.layouts import layout_of
from aofdoctor.rdb.walk.walker import KIND_MAGIC, StopReason
from aofdoctor.rdb.walk.window import WalkWindow
from aofdoctor.source import Source, pread
from aofdoctor.span import Span

_NAME_SHOWN = 80  # bytes of a name in a note
_LOOKBACK_ITEMS = 4  # items before a stop that can have swallowed the following keys


def salvage_items(
    source: Source, end_hint: int | None = None, key_defect: KeyDefect | None = None
) -> Iterator[ItemBatch | Damage]:
    """Yield the intact items of a damaged RDB in batches, and the Damage between them, without gaps to its end.

    `end_hint` is the latest possible end, such as the start of RESP; the default is the end of the source.  A key for
    which `key_defect` gives a reason is damage.  After damage `db` is -1 until the next SELECTDB.  A batch is valid
    until the next one is requested.
    """
    yield from _RdbSalvager(source, end_hint, key_defect).run()


class _RdbSalvager:
    def __init__(self, source: Source, end: int | None, key_defect: KeyDefect | None) -> None:
        magic = pread(source, header.MAGIC_SIZE, 0)
        self.source, self.magic, self.key_defect = source, magic, key_defect
        self.end = source.size if end is None else end
        self.window = WalkWindow(source, layout_of(magic), header.MAGIC_SIZE, verify=False, limit=self.end)
        self.search = KeySearch(source, layout_of(magic), self.end, key_defect)

    def run(self) -> Iterator[ItemBatch | Damage]:
        window, columns = self.window, self.window.columns
        if len(self.magic) < header.MAGIC_SIZE:
            if self.magic:
                yield Damage(Span(0, len(self.magic)), DamageKind.TRUNCATED_PREAMBLE, "the file ends inside the magic")
            return
        columns.append(KIND_MAGIC, header.MAGIC_SIZE, header.MAGIC_SIZE)
        while True:
            reason, _ = window.run()
            if reason == StopReason.FULL:
                yield from self._flush_batch()
            elif reason == StopReason.DONE and (end := end_after_eof(self.source, window.offset, self.end, self.magic)):
                columns.append(Opcode.EOF, window.offset, end)
                yield from self._flush_batch()
                yield from self._trailing_damage(end)
                return
            else:
                place = self._find_resume_offset()
                yield from self._damage_at_stop(reason, place)
                if place is None:
                    return
                window.restart(place, -1)

    def _find_resume_offset(self) -> int | None:
        """Return the offset where keys begin again after the place where the walk failed, or None.

        Drops the last items from the columns if a damaged length had made one item of several keys.
        """
        columns, search = self.window.columns, self.search
        stop_offset = columns.edges[columns.count]
        next_start = search.find_outside_value(max(stop_offset, header.MAGIC_SIZE) + 1, stop_offset)
        for i in range(columns.count - 1, max(-1, columns.count - 1 - _LOOKBACK_ITEMS), -1):
            start, end = max(columns.edges[i] + 1, stop_offset - LOOKBACK_BYTES), columns.edges[i + 1]
            place = search.find(start, stop_offset, end) if start < end and columns.name[i] >= 0 else None
            if place is not None and search.count_keys(place, next_start) > columns.count - i:
                columns.truncate(i)
                return search.skip_false_keys(start, place)
        return next_start

    def _damage_at_stop(self, reason: StopReason, place: int | None) -> Iterator[ItemBatch | Damage]:
        columns = self.window.columns
        start = columns.edges[columns.count]
        end = (
            _find_size(self.source, start)
            if place is None and self.end is None
            else self.end
            if place is None
            else place
        )
        yield from self._flush_batch()
        if end is None or end <= start:
            return
        cuts_checksum = reason == StopReason.DONE and self.end is not None and self.window.offset + 8 > self.end
        is_truncated = place is None and (reason == StopReason.END_OF_DATA or cuts_checksum)
        kind = DamageKind.TRUNCATED_PREAMBLE if is_truncated else DamageKind.CORRUPT_PREAMBLE
        yield Damage(Span(start, end), kind, STOP_NOTES[reason].format(start), end_is_guess=place is not None)

    def _trailing_damage(self, start: int) -> Iterator[Damage]:
        end = self.end if self.end is not None else start
        if start < end and not header.CAN_FOLLOW_RDB.match(pread(self.source, 24, start)):
            yield Damage(Span(start, end), DamageKind.CORRUPT_PREAMBLE, f"bytes after the RDB's end at {start}")

    def _flush_batch(self) -> Iterator[ItemBatch | Damage]:
        columns = self.window.columns
        end = columns.edges[columns.count]
        if self.key_defect is None:
            if columns.count:
                yield ItemBatch(columns)
        else:
            yield from self._plausible_items(self.key_defect)
        columns.truncate(0)
        columns.edges[0] = end

    def _plausible_items(self, key_defect: KeyDefect) -> Iterator[ItemBatch | Damage]:
        columns, first = self.window.columns, 0
        for i, item in enumerate(ItemBatch(columns)):
            defect = key_defect(self.source, item) if isinstance(item, KeyItem) else ""
            if not defect or not isinstance(item, KeyItem):
                continue
            if first < i:
                yield ItemBatch(columns, first, i)
            note = f"key {text.quote(item.name(self.source, _NAME_SHOWN))}: {defect}"
            # The end is a guess, because it can lie in the middle of another key.
            yield Damage(item.span, DamageKind.CORRUPT_VALUE, note, end_is_guess=True)
            first = i + 1
        if first < columns.count:
            yield ItemBatch(columns, first)


def _find_size(source: Source, offset: int) -> int:
    probe = memoryview(bytearray(1 << 16))
    while source.size is None:
        offset += source.readinto(probe, offset)
    return source.size
