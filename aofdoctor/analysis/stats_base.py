"""The keys of RDB bases in numbers: by type, database and prefix, how many expire, and the largest.

What a selection means of them is asked as `log --base` asks it.  The RDB is
read again for it, which a pipe does not allow: of one only the census is had.
"""

from collections import defaultdict
from dataclasses import dataclass, field
from typing import NamedTuple

from aofdoctor.analysis.base import Chosen, batches, name_of
from aofdoctor.analysis.biggest import Biggest
from aofdoctor.analysis.where import Where
from aofdoctor.aof.record import Preamble
from aofdoctor.damage import Damage
from aofdoctor.rdb.census import OTHER_DBS
from aofdoctor.rdb.elements import Value, shape
from aofdoctor.rdb.keys import Key
from aofdoctor.server.weigh import DBS, SHOWN, Prefixes
from aofdoctor.source import PipeSource, Source


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


_Counts = dict[str | int | None, list[int]]


class BaseTally:
    """Adds up the RDBs that a walk meets."""

    def __init__(self, where: Where, prefixes: Prefixes | None) -> None:
        self.where, self.prefixes = where, prefixes
        self.seen = 0
        self._damages, self._counted_only = 0, False
        self._types: _Counts = defaultdict(lambda: [0, 0, 0])
        self._dbs: _Counts = defaultdict(lambda: [0, 0, 0])
        self._largest: Biggest[LargeKey] = Biggest()

    def add(self, index: int, part: str, before: int, source: Source, rdb: Preamble) -> None:
        """The RDB at the head of a part; `before` commands came before it."""
        self.seen += 1
        chosen = Chosen(self.where, index, before, source, rdb)
        if isinstance(source, PipeSource):
            self._count_only(rdb)
        elif not chosen.nothing:
            self._read(part, source, rdb, chosen)

    def _read(self, part: str, source: Source, rdb: Preamble, chosen: Chosen) -> None:
        for batch in batches(source, rdb):
            if isinstance(batch, Damage):
                self._damages += 1
                continue
            for item in batch:
                if isinstance(item, Key) and chosen.means(item):
                    self._key(part, rdb.dialect, item, chosen)

    def _key(self, part: str, dialect: str, key: Key, chosen: Chosen) -> None:
        size, expires = key.end - key.start, key.expire_ms != -1
        kind = _shape(key, dialect)
        for row in (self._types[kind], self._dbs[_db(key.db)]):
            row[0] += 1
            row[1] += size
            row[2] += expires
        if self.prefixes is not None:
            self.prefixes.add(name_of(chosen.cursor, key)[:SHOWN], size, expires)
        if size > self._largest.least:
            self._largest.offer(size, lambda: _large(part, kind, key, chosen))

    def _count_only(self, rdb: Preamble) -> None:
        self._counted_only = True
        if rdb.census is None or not self.where.everything:
            return
        for kind, keys in rdb.census.types(rdb.dialect).items():
            self._types[kind][0] += keys
        for db, row in rdb.census.dbs.items():
            counts = self._dbs[_db(db)]
            counts[0] += row.keys
            counts[2] += row.expires

    def result(self) -> BaseStats | None:
        """What there is to say; None where no RDB was met."""
        if not self.seen:
            return None
        keys, size, expires = (sum(row[column] for row in self._dbs.values()) for column in range(3))
        blind = self._counted_only
        found = BaseStats(keys, size, expires, self._damages, blind, self._rows(self._types, ttl=not blind),
                          self._rows(self._dbs), largest=self._largest.ranked())  # fmt: skip
        if self.prefixes is not None and not blind:
            found.by_prefix = ranked([KeyRow(*row) for row in self.prefixes.rows])
            others = self.prefixes.others
            found.other_prefixes = KeyRow(None, *others) if others[0] else None
        return found

    def _rows(self, counts: _Counts, ttl: bool = True) -> list[KeyRow]:
        known = not self._counted_only
        return ranked([KeyRow(name, row[0], row[1] if known else None, row[2] if ttl else None)
                       for name, row in counts.items()])  # fmt: skip


def ranked(rows: list[KeyRow]) -> list[KeyRow]:
    """The most bytes first, then the most keys."""
    return sorted(rows, key=lambda row: (-(row.bytes or 0), -row.keys, str(row.name)))


def _shape(key: Key, dialect: str) -> str:
    return shape(Value(0, key.type, dialect)) or f"type {key.type}"


def _db(db: int) -> int | None:
    """A database's number; None where it is not known, OTHER_DBS past those that have a row of their own."""
    if db < 0:
        return db if db == OTHER_DBS else None
    return db if db < DBS else OTHER_DBS


def _large(part: str, kind: str, key: Key, chosen: Chosen) -> LargeKey:
    name = name_of(chosen.cursor, key)
    return LargeKey(part, key.start, key.end - key.start, None if key.db < 0 else key.db, kind, name[:SHOWN], len(name),
                    None if key.expire_ms == -1 else key.expire_ms)  # fmt: skip
