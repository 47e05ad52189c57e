"""Which keys two histories wrote otherwise, which also tells apart two that share no bytes.

What both have byte for byte is read once.  Where a side has an RDB, or only
some commands are selected, a deleted key counts as touched; else it is as if
it had never been there.
"""

from typing import NamedTuple

from aofdoctor.analysis.diff_census import Census, Written, hashed, names_of
from aofdoctor.analysis.diff_entries import heads
from aofdoctor.analysis.diff_fork import forward
from aofdoctor.analysis.diff_side import Place, Side
from aofdoctor.analysis.where import Where
from aofdoctor.aof.reader import read_batches
from aofdoctor.errors import Refused
from aofdoctor.rdb.crc64 import crc64
from aofdoctor.rdb.preamble import is_rdb, walk
from aofdoctor.server.commands import table
from aofdoctor.source import Source, pread

_PIECE = 1 << 20


class KeyDiff(NamedTuple):
    """Keys that differ, (database, digest): where only one side has them, and where both do; `same` are the others."""

    a: Census
    b: Census
    only_a: list[tuple[int, int]]
    only_b: list[tuple[int, int]]
    differ: list[tuple[int, int]]
    same: int


def compare_keys(a: Side, b: Side, where: tuple[Where, Where]) -> KeyDiff:
    """The keys of two histories; what both have byte for byte is read once."""
    deleted = _has_rdb(a) or _has_rdb(b) or any(w != Where(keys=w.keys, dbs=w.dbs) for w in where)
    one = Census(where[0], deleted)
    start = forward(a, b, (Place(), Place())).resume if where[0] == where[1] else (Place(), Place())
    one.feed(a, Place(), start[0])
    two = one.copy(where[1])
    one.feed(a, start[0])
    two.feed(b, start[1])
    found = _compared(one, two)
    said = found.only_a or found.only_b or found.differ
    if not said and (_has_rdb(a) or _has_rdb(b)) and (one.flushes != two.flushes or _rdbs(a) != _rdbs(b)):
        raise Refused(
            "the keys of an RDB base are not compared yet, and these bases differ or were flushed on one side",
            "aofdoctor convert --base resp makes commands of each, which are compared",
        )
    return found


def _has_rdb(side: Side) -> bool:
    return any(source and is_rdb(source) for source in side.sources)


def _rdbs(side: Side) -> list[tuple[int, int]]:
    """The sizes and checksums of a side's RDBs."""
    return [_digest(source, walk(source).end) for source in side.sources if source and is_rdb(source)]


def _digest(source: Source, end: int) -> tuple[int, int]:
    crc = 0
    for at in range(0, end, _PIECE):
        crc = crc64(pread(source, min(_PIECE, end - at), at), crc)
    return end, crc


def _compared(a: Census, b: Census) -> KeyDiff:
    only: tuple[list[tuple[int, int]], list[tuple[int, int]]] = ([], [])
    differ: list[tuple[int, int]] = []
    same = 0
    for db in sorted(a.dbs.keys() | b.dbs.keys()):
        ours, theirs = a.dbs.get(db, {}), b.dbs.get(db, {})
        only[0].extend((db, key) for key in ours if key not in theirs)
        only[1].extend((db, key) for key in theirs if key not in ours)
        both = [key for key in ours if key in theirs]
        other = [(db, key) for key in both if a.made(db, key) != b.made(db, key)]
        same += len(both) - len(other)
        differ += other
    for keys, census in ((only[0], a), (only[1], b), (differ, a)):
        keys.sort(key=lambda key: _place(census, key))
    return KeyDiff(a, b, *only, differ, same)


def _place(census: Census, key: tuple[int, int]) -> tuple[int, int]:
    written = census.written(*key)
    assert written is not None
    return written.part, written.start


def key_name(side: Side, written: Written, key: int) -> bytes:
    """The name of a key, read from its last write."""
    source = side.sources[written.part]
    assert source is not None
    batch = next(read_batches(source, table().words, written.start, 1 << 13))
    names = (*names_of(batch, 0), *heads(batch, 0))
    return next((name for name in names if hashed(side.rules.key, name) == key), b"")
