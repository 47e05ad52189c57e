"""Count the keys in the RDBs of an AOF by type, database and prefix, those with a TTL, and list the largest keys.

A selection applies to keys as it does for `log --base`.  The keys are read in a second pass over the RDB, which a pipe
does not allow: for a pipe, only the key counts of the first pass are available.
"""

from array import array
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from aofdoctor.aof.records import Preamble
from aofdoctor.damage import Damage
from aofdoctor.log.base_keys import BaseKeySelection, key_name, rdb_batches, type_label
from aofdoctor.log.selection import Selection
from aofdoctor.rdb.compressed.source import decompressed
from aofdoctor.rdb.items import ItemBatch, KeyItem, OpcodeItem
from aofdoctor.rdb.key_counts import OTHER_DBS
from aofdoctor.rdb.walk.window import BATCH_ITEMS
from aofdoctor.source import PipeSource, Source, pread
from aofdoctor.stats.counting.counters import KEY_BYTES_KEPT, TRACKED_DBS, UNKNOWN_DB_ROW, RdbKeyCounters
from aofdoctor.stats.top_n import TopN


class RdbKeyRow(NamedTuple):
    """The number of RDB keys with one type, database or prefix, their encoded bytes, and how many have a TTL.

    Numbers that are not known are None.
    """

    name: str | int | bytes | None
    keys: int
    bytes: int | None
    expires: int | None


class LargeKey(NamedTuple):
    """One of the largest keys in the RDB files of an AOF: its place, size, database, type and name.

    `part` is the file name, `offset` the offset in the RDB.  `key` holds the first bytes of the name, `length` is the
    size of the name.  `size` is that of the encoded key and value; `expire_ms` is in unix milliseconds.
    """

    part: str
    offset: int
    size: int
    db: int | None
    type: str
    key: bytes
    length: int
    expire_ms: int | None


@dataclass(slots=True)
class BaseStats:
    """Statistics of the keys in all RDBs of an AOF: totals, by type, by database, by prefix, and the largest keys.

    `counted_only`: an RDB came through a pipe, so its sizes, prefixes and largest keys are not known.
    """

    keys: int = 0
    bytes: int = 0
    expires: int = 0
    damages: int = 0
    counted_only: bool = False
    by_type: list[RdbKeyRow] = field(default_factory=list)
    by_db: list[RdbKeyRow] = field(default_factory=list)
    by_prefix: list[RdbKeyRow] | None = None
    other_prefixes: RdbKeyRow | None = None
    largest: list[LargeKey] = field(default_factory=list)


_WINDOW, _SMALL_WINDOW = 1 << 18, 1 << 9  # bytes read at once for key names: where values are small, where large
_SPARSE_SIZE = 1 << 14  # bytes from a name to the next key from which on _SMALL_WINDOW is used


class BaseStatsCollector:
    """Adds up statistics of the keys in each RDB that an AOF contains; `depth` 0 turns off the counts by prefix.

    A prefix ends at the `delimiter` number `depth` of a key's name.
    """

    def __init__(self, selection: Selection, delimiter: int, depth: int) -> None:
        self.selection, self.depth = selection, depth
        self.rdb_count = 0
        self._selects_all = selection.selects_all
        self._counters: dict[str, RdbKeyCounters] = {}  # By dialect, because type bytes differ between dialects.
        self._delimiter = delimiter
        self._damages = 0
        self._counted_only: list[Preamble] = []
        self._largest: TopN[LargeKey] = TopN()
        self._larger_indexes = array("I", bytes(4 * BATCH_ITEMS))

    def add(self, part_index: int, part: str, commands_before: int, source: Source, rdb: Preamble) -> None:
        """Add the keys of the RDB at the start of an AOF file; `commands_before` commands are in earlier files."""
        self.rdb_count += 1
        if isinstance(source, PipeSource):
            self._counted_only.append(rdb)
            return
        source = decompressed(source)
        key_selection = BaseKeySelection(self.selection, part_index, commands_before, source, rdb)
        if key_selection.selects_none:
            return
        counters = self._counters.setdefault(rdb.dialect, RdbKeyCounters(self._delimiter, self.depth))
        for batch in rdb_batches(source, rdb):
            if isinstance(batch, Damage):
                self._damages += 1
            elif self._selects_all:
                self._add_batch(part, counters, batch, key_selection)
            else:
                self._add_selected(part, counters, batch, key_selection)

    def _add_batch(
        self, part: str, counters: RdbKeyCounters, batch: ItemBatch, key_selection: BaseKeySelection
    ) -> None:
        """Count every key of a batch of RDB keys, reading the names from the file a block at a time.

        The counters stop at the first key with a name that is not completely in the block.  If the block already begins
        at that name, the name is too long for it, and the key is counted alone.
        """
        columns, at, data, base = batch.columns, batch.first, b"", 0
        if len(self._larger_indexes) < batch.stop:
            self._larger_indexes = array("I", bytes(4 * batch.stop))
        while at < batch.stop:
            at, larger_count = counters.count_items(
                columns, at, batch.stop, data, base, self._largest.threshold, self._larger_indexes
            )
            for i in self._larger_indexes[:larger_count]:
                self._offer_key(part, batch[i - batch.first], key_selection)
            if at == batch.stop:
                return
            if base == columns.name[at] and data:
                self._add_key(part, counters, batch[at - batch.first], key_selection)
                at += 1
            else:
                base = columns.name[at]
                size = _SMALL_WINDOW if columns.edges[at + 1] - base > _SPARSE_SIZE else _WINDOW
                data = pread(key_selection.cursor.source, min(size, batch.span.end - base), base)

    def _add_selected(
        self, part: str, counters: RdbKeyCounters, batch: ItemBatch, key_selection: BaseKeySelection
    ) -> None:
        for i in key_selection.filter(batch):
            self._add_key(part, counters, batch.key_at(i), key_selection)

    def _add_key(
        self, part: str, counters: RdbKeyCounters, key: KeyItem | OpcodeItem, key_selection: BaseKeySelection
    ) -> None:
        assert isinstance(key, KeyItem)
        name = key_name(key_selection.cursor, key)[:KEY_BYTES_KEPT] if self.depth else b""
        counters.count_key(name, key.type, key.db, key.end - key.start, key.expire_ms != -1)
        self._offer_key(part, key, key_selection)

    def _offer_key(self, part: str, key: KeyItem | OpcodeItem, key_selection: BaseKeySelection) -> None:
        if isinstance(key, KeyItem) and (size := key.end - key.start) > self._largest.threshold:
            self._largest.offer(size, lambda: _large_key(part, key, key_selection))

    # -- results --

    def result(self) -> BaseStats | None:
        """Return the statistics of all RDB keys added, or None if the AOF contains no RDB."""
        if not self.rdb_count:
            return None
        types, dbs, prefixes = _CountsByName(_zero_counts), _CountsByName(_zero_counts), _CountsByName(_zero_counts)
        for dialect, counters in self._counters.items():
            _add_counts(types, ((type_label(kind, dialect), row) for kind, row in enumerate(counters.by_type)))
            _add_counts(dbs, ((_database_number(at), row) for at, row in enumerate(counters.by_db)))
            _add_counts(prefixes, ((name, tuple(row)) for name, *row in counters.prefixes))
            _add_counts(prefixes, ((None, counters.other_prefixes),))
        for rdb in self._counted_only if self._selects_all else ():
            _add_key_counts(types, dbs, rdb)
        counted_only = bool(self._counted_only)
        keys, size, expires = (sum(row[column] for row in dbs.values()) for column in range(3))
        others = prefixes.pop(None, None)
        stats = BaseStats(
            keys,
            size,
            expires,
            self._damages,
            counted_only,
            _ranked_rows(types, not counted_only, not counted_only),
            _ranked_rows(dbs, not counted_only),
            largest=self._largest.ranked(),
        )
        if self.depth and not counted_only:
            stats.by_prefix = _ranked_rows(prefixes)
            stats.other_prefixes = RdbKeyRow(None, *others) if others else None
        return stats


_CountsByName = defaultdict[str | int | bytes | None, list[int]]


def _zero_counts() -> list[int]:
    return [0, 0, 0]


def _add_counts(counts: _CountsByName, rows: "Iterable[tuple[str | int | bytes | None, tuple[int, ...]]]") -> None:
    """Add rows of (name, (keys, bytes, keys with a TTL)) to the counts by type, database or prefix in `counts`."""
    for name, row in rows:
        if row[0]:
            counts[name] = [a + b for a, b in zip(counts[name], row, strict=True)]


def _add_key_counts(types: _CountsByName, dbs: _CountsByName, rdb: Preamble) -> None:
    """Add an RDB's key counts from the first pass, which are all that is known of an RDB from a pipe."""
    if rdb.key_counts:
        _add_counts(types, ((kind, (keys, 0, 0)) for kind, keys in rdb.key_counts.types(rdb.dialect).items()))
        _add_counts(
            dbs, ((None if db == -1 else db, (row.keys, 0, row.expires)) for db, row in rdb.key_counts.dbs.items())
        )


def _ranked_rows(counts: _CountsByName, sized: bool = True, ttl: bool = True) -> list[RdbKeyRow]:
    """Turn the key counts by type, database or prefix into rows, the most bytes first, then the most keys.

    Without `sized` the bytes are None, without `ttl` the keys with a TTL.
    """
    rows = [RdbKeyRow(name, row[0], row[1] if sized else None, row[2] if ttl else None) for name, row in counts.items()]
    return sorted(rows, key=lambda row: (-(row.bytes or 0), -row.keys, str(row.name)))


def _database_number(at: int) -> int | None:
    """Return the label for an index in the key counts by database: a number, None for the unknown one, or OTHER_DBS."""
    if at < TRACKED_DBS:
        return at
    return None if at == UNKNOWN_DB_ROW else OTHER_DBS


def _large_key(part: str, key: KeyItem, key_selection: BaseKeySelection) -> LargeKey:
    name, kind = key_name(key_selection.cursor, key), type_label(key.type, key_selection.dialect)
    return LargeKey(
        part,
        key.start,
        key.end - key.start,
        None if key.db < 0 else key.db,
        kind,
        name[:KEY_BYTES_KEPT],
        len(name),
        None if key.expire_ms == -1 else key.expire_ms,
    )
