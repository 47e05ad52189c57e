"""The keys of RDB bases in numbers: by type, database and prefix, how many expire, and the largest.

What a selection means of them is asked as `log --base` asks it.  The RDB is
read again for it, which a pipe does not allow: of one only the census is had.
"""

from array import array
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from aofdoctor.aof.records import Preamble
from aofdoctor.damage import Damage
from aofdoctor.log.base_keys import BaseKeySelection, key_name, rdb_batches
from aofdoctor.log.selection import Selection
from aofdoctor.rdb.compressed.source import decompressed
from aofdoctor.rdb.items import ItemBatch, KeyItem, OpcodeItem
from aofdoctor.rdb.key_counts import OTHER_DBS
from aofdoctor.rdb.values.decoders import ValueRef, type_name
from aofdoctor.rdb.walk.window import BATCH_ITEMS
from aofdoctor.source import PipeSource, Source, pread
from aofdoctor.stats.counting.counters import DBS, NO_DB, SHOWN, RdbKeyCounters
from aofdoctor.stats.top_n import TopN


class KeyRow(NamedTuple):
    """Keys of one kind: how many, their bytes as they are encoded (None: not known), and how many have a TTL."""

    name: str | int | bytes | None
    keys: int
    bytes: int | None
    expires: int | None


class LargeKey(NamedTuple):
    """A key of a base: `key` are its first bytes, of `length`."""

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
    """All RDBs together; `counted_only`: one came through a pipe, so that sizes and prefixes are not known of it."""

    keys: int = 0
    bytes: int = 0
    expires: int = 0
    damages: int = 0
    counted_only: bool = False
    by_type: list[KeyRow] = field(default_factory=list)
    by_db: list[KeyRow] = field(default_factory=list)
    by_prefix: list[KeyRow] | None = None
    other_prefixes: KeyRow | None = None
    largest: list[LargeKey] = field(default_factory=list)


_WINDOW, _SMALL_WINDOW = 1 << 18, 1 << 9  # bytes that are read where names stand close together, and where they do not
_FAR = 1 << 14


class BaseTally:
    """Adds up the RDBs that a walk meets; with `depth` 0 not by prefix."""

    def __init__(self, selection: Selection, delimiter: int, depth: int) -> None:
        self.selection, self.depth = selection, depth
        self.seen = 0
        self._selects_all = selection.selects_all
        self._counters: dict[str, RdbKeyCounters] = {}  # by dialect, which gives the types their meaning
        self._delimiter = delimiter
        self._damages = 0
        self._counted_only: list[Preamble] = []
        self._largest: TopN[LargeKey] = TopN()
        self._larger = array("I", bytes(4 * BATCH_ITEMS))

    def add(self, index: int, part: str, before: int, source: Source, rdb: Preamble) -> None:
        """The RDB at the head of a part; `before` commands came before it."""
        self.seen += 1
        if isinstance(source, PipeSource):
            self._counted_only.append(rdb)
            return
        source = decompressed(source)
        chosen = BaseKeySelection(self.selection, index, before, source, rdb)
        if chosen.selects_none:
            return
        counters = self._counters.setdefault(rdb.dialect, RdbKeyCounters(self._delimiter, self.depth))
        for batch in rdb_batches(source, rdb):
            if isinstance(batch, Damage):
                self._damages += 1
            elif self._selects_all:
                self._whole(part, counters, batch, chosen)
            else:
                self._selected(part, counters, batch, chosen)

    def _whole(self, part: str, counters: RdbKeyCounters, batch: ItemBatch, chosen: BaseKeySelection) -> None:
        """Every key of a batch; where a name is not in what was read of the file, that is read."""
        columns, at, data, base = batch.columns, batch.first, b"", 0
        if len(self._larger) < batch.stop:
            self._larger = array("I", bytes(4 * batch.stop))
        while at < batch.stop:
            at, noted = counters.run(columns, at, batch.stop, data, base, self._largest.least, self._larger)
            for i in self._larger[:noted]:
                self._large(part, batch[i - batch.first], chosen)
            if at == batch.stop:
                return
            if base == columns.name[at] and data:
                self._one(part, counters, batch[at - batch.first], chosen)
                at += 1
            else:
                base = columns.name[at]
                size = _SMALL_WINDOW if columns.edges[at + 1] - base > _FAR else _WINDOW
                data = pread(chosen.cursor.source, min(size, batch.span.end - base), base)

    def _selected(self, part: str, counters: RdbKeyCounters, batch: ItemBatch, chosen: BaseKeySelection) -> None:
        for i in chosen.filter(batch):
            self._one(part, counters, batch.key_at(i), chosen)

    def _one(self, part: str, counters: RdbKeyCounters, key: KeyItem | OpcodeItem, chosen: BaseKeySelection) -> None:
        assert isinstance(key, KeyItem)
        name = key_name(chosen.cursor, key)[:SHOWN] if self.depth else b""
        counters.one(name, key.type, key.db, key.end - key.start, key.expire_ms != -1)
        self._large(part, key, chosen)

    def _large(self, part: str, key: KeyItem | OpcodeItem, chosen: BaseKeySelection) -> None:
        if isinstance(key, KeyItem) and (size := key.end - key.start) > self._largest.least:
            self._largest.offer(size, lambda: _large(part, key, chosen))

    # -- what was counted --

    def result(self) -> BaseStats | None:
        """What there is to say; None where no RDB was met."""
        if not self.seen:
            return None
        types, dbs, prefixes = _Counts(_none), _Counts(_none), _Counts(_none)
        for dialect, counters in self._counters.items():
            _add(types, ((_shape(kind, dialect), row) for kind, row in enumerate(counters.by_type)))
            _add(dbs, ((_db(at), row) for at, row in enumerate(counters.by_db)))
            _add(prefixes, ((name, tuple(row)) for name, *row in counters.prefixes))
            _add(prefixes, ((None, counters.other_prefixes),))
        for rdb in self._counted_only if self._selects_all else ():
            _add_key_counts(types, dbs, rdb)
        blind = bool(self._counted_only)
        keys, size, expires = (sum(row[column] for row in dbs.values()) for column in range(3))
        others = prefixes.pop(None, None)
        found = BaseStats(keys, size, expires, self._damages, blind, _rows(types, not blind, not blind),
                          _rows(dbs, not blind), largest=self._largest.ranked())  # fmt: skip
        if self.depth and not blind:
            found.by_prefix = _rows(prefixes)
            found.other_prefixes = KeyRow(None, *others) if others else None
        return found


_Counts = defaultdict[str | int | bytes | None, list[int]]


def _none() -> list[int]:
    return [0, 0, 0]


def _add(counts: _Counts, rows: "Iterable[tuple[str | int | bytes | None, tuple[int, ...]]]") -> None:
    for name, row in rows:
        if row[0]:
            counts[name] = [a + b for a, b in zip(counts[name], row, strict=True)]


def _add_key_counts(types: _Counts, dbs: _Counts, rdb: Preamble) -> None:
    """What was counted of an RDB while it went by."""
    if rdb.key_counts:
        _add(types, ((kind, (keys, 0, 0)) for kind, keys in rdb.key_counts.types(rdb.dialect).items()))
        _add(dbs, ((None if db == -1 else db, (row.keys, 0, row.expires)) for db, row in rdb.key_counts.dbs.items()))


def _rows(counts: _Counts, sized: bool = True, ttl: bool = True) -> list[KeyRow]:
    """The most bytes first, then the most keys."""
    rows = [KeyRow(name, row[0], row[1] if sized else None, row[2] if ttl else None) for name, row in counts.items()]
    return sorted(rows, key=lambda row: (-(row.bytes or 0), -row.keys, str(row.name)))


def _shape(kind: int, dialect: str) -> str:
    return type_name(ValueRef(0, kind, dialect)) or f"type {kind}"


def _db(at: int) -> int | None:
    """A database's number; None where it is not known, OTHER_DBS past those that have a row of their own."""
    if at < DBS:
        return at
    return None if at == NO_DB else OTHER_DBS


def _large(part: str, key: KeyItem, chosen: BaseKeySelection) -> LargeKey:
    name, kind = key_name(chosen.cursor, key), _shape(key.type, chosen.dialect)
    return LargeKey(part, key.start, key.end - key.start, None if key.db < 0 else key.db, kind, name[:SHOWN], len(name),
                    None if key.expire_ms == -1 else key.expire_ms)  # fmt: skip
