"""Collect deletions (DEL, UNLINK) of many keys with one prefix: by clients, scripts, evictions and expiries.

Reading the keys of all deletions of a large log would take longer than scanning it.  So a limited number of deletions
is read, spread over the log, and those with many adjacent ones first.  The counts are lower bounds if there are more.
"""

import sys
from collections.abc import Iterator
from dataclasses import dataclass, field

from aofdoctor.aof.records import RecordBatch
from aofdoctor.server.command_table import command_table
from aofdoctor.server.context.tracker import ContextTracker

MANY_KEYS = 100  # deleted keys of one prefix from which on they are reported
_PREFIXES_MAX = 4096
_PREFIX_SIZE_MAX = 64
_SMALL_LOG = 1 << 27  # bytes; a small log is scanned in a fraction of a second, so more keys may be read
_READS_OF_SMALL_LOG, _READS_OF_LARGE_LOG = 10_000, 1_000
_READS_AT_ONCE = 100  # in a large log, no keys are read until this number of keys may be read
_ADJACENT = 32  # adjacent deletions that mark the start of a mass deletion
_ROW_GAP_MAX = 2  # largest difference of the record numbers of two deletions in a row, in a log without times


@dataclass(slots=True)
class DeletionBurst:
    """Deletions of keys with one prefix within one second by #TS annotations, or in a row if `time` is None.

    `start` is the offset of the first command in the file `part`, `last` that of the last one in the file `last_part`.
    `keys` counts the deleted keys.
    """

    part: str
    start: int
    time: int | None
    last_part: str = ""
    last: int = 0
    keys: int = 0
    last_number: int = 0


@dataclass(slots=True)
class PrefixDeletions:
    """The number of deleted keys with one prefix in one database, and the bursts (deletions close together) among them.

    `current` is the burst that the next deletion may extend; `largest` is the burst with the most keys.
    """

    prefix: bytes
    db: int | None
    keys: int = 0
    commands: set[str] = field(default_factory=set)
    current: DeletionBurst | None = None
    largest: DeletionBurst | None = None


@dataclass(slots=True)
class MassDeletions:
    """Collects the DEL and UNLINK commands of an AOF by the prefix of the deleted keys, during a pass over it.

    A prefix ends at the first colon.  `size` is the size of the AOF in bytes (None: unknown).  `count` is the number of
    DEL and UNLINK commands, of which the keys of `unread` were not read, to save time.
    """

    tracker: ContextTracker
    size: int | None = None
    count: int = 0
    unread: int = 0
    _by_prefix: dict[tuple[bytes, int], PrefixDeletions] = field(default_factory=dict)
    _ids: dict[int, str] = field(default_factory=dict)
    _reads_left: float = 0
    _reads_per_byte: float = 0

    def __post_init__(self) -> None:
        if self.size is not None and self.size <= _SMALL_LOG:
            self._reads_left = _READS_OF_SMALL_LOG
        else:
            self._reads_per_byte = _READS_OF_LARGE_LOG / (self.size or 1 << 30)
        table = command_table()
        self._ids = {table.names.ids[name.lower().encode()]: name for name in ("DEL", "UNLINK")}

    def add_batch(self, part: str, batch: RecordBatch, commands_before: int) -> None:
        """Add the DEL and UNLINK commands of a batch, which was passed to the ContextTracker just before."""
        self._reads_left += batch.span.size * self._reads_per_byte
        count = sum(map(self.tracker.counts.__getitem__, self._ids))
        new, self.count = count - self.count, count
        if not new:
            return
        if self._reads_per_byte and self._reads_left < _READS_AT_ONCE:
            self.unread += new
            return
        for i in self._positions(batch):
            if batch.oversized or self._reads_left < batch.argc[i]:
                break
            new -= 1
            self._reads_left -= batch.argc[i]
            self._add(part, batch, i, commands_before + i)
        self.unread += new

    def _positions(self, batch: RecordBatch) -> Iterator[int]:
        """Yield the indexes of the DEL and UNLINK commands in a batch, in order.

        In a large log, if the batch has 32 adjacent ones, those before them are skipped.  The bytes of the column of
        command ids are searched.
        """
        column = memoryview(batch.ids)[: batch.count].tobytes()  # type: ignore[arg-type]
        patterns = [number.to_bytes(2, sys.byteorder) for number in self._ids]
        runs = [_find_aligned(column, pattern * _ADJACENT, 0) for pattern in patterns] if self._reads_per_byte else []
        start = min((run for run in runs if run >= 0), default=0)
        places = [_find_aligned(column, pattern, start) for pattern in patterns]
        while any(place >= 0 for place in places):
            which = min((place, k) for k, place in enumerate(places) if place >= 0)[1]
            yield places[which] // 2
            places[which] = _find_aligned(column, patterns[which], places[which] + 2)

    def _add(self, part: str, batch: RecordBatch, i: int, number: int) -> None:
        db, time = self.tracker.db[i], self.tracker.time[i]
        for key in batch.argv(i)[1:]:
            prefix, colon, _ = key.partition(b":")
            if not colon or len(prefix) > _PREFIX_SIZE_MAX:
                continue
            found = self._by_prefix.get((prefix, db))
            if found is None:
                if len(self._by_prefix) >= _PREFIXES_MAX:
                    continue
                found = PrefixDeletions(prefix + b":", None if db < 0 else db)
                self._by_prefix[prefix, db] = found
            found.keys += 1
            found.commands.add(self._ids[batch.ids[i]])
            _extend_burst(found, part, batch.record_span(i).start, number, None if time < 0 else time)

    def found(self) -> list[PrefixDeletions]:
        """Return the prefixes with at least 100 deleted keys, those with the most deleted keys first."""
        many = [prefix for prefix in self._by_prefix.values() if prefix.keys >= MANY_KEYS]
        return sorted(many, key=lambda deletions: (-deletions.keys, deletions.prefix))


def _extend_burst(deletions: PrefixDeletions, part: str, offset: int, number: int, time: int | None) -> None:
    """Add one deleted key to the current burst of its prefix, or begin a new burst if it is too far away."""
    burst = deletions.current
    is_continued = burst is not None and (
        number - burst.last_number <= _ROW_GAP_MAX
        if time is None or burst.time is None
        else burst.time <= time <= burst.time + 1
    )
    if burst is None or not is_continued:
        burst = deletions.current = DeletionBurst(part, offset, time)
    burst.keys += 1
    burst.last_part, burst.last, burst.last_number = part, offset, number
    if deletions.largest is None or burst.keys > deletions.largest.keys:
        deletions.largest = burst


def _find_aligned(column: bytes, pattern: bytes, start: int) -> int:
    """Return the offset in bytes of a series of 2-byte command ids in a column of such ids, or -1."""
    at = column.find(pattern, start)
    while at >= 0 and at % 2:
        at = column.find(pattern, at + 1)
    return at
