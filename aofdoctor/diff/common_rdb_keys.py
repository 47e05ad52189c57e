"""Skip keys that two RDBs have in common byte for byte, without decoding them into commands.

The items of A's RDB are walked, and their bytes compared with those of B's RDB.
From the start of an item on, equal bytes are equal items if both RDBs have the
same version.  The comparison stops at the first differing byte and before the EOF
opcode.
"""

from bisect import bisect_right
from collections import deque

from aofdoctor.diff.common_bytes import CommonBytes, count_common_bytes
from aofdoctor.diff.units.rdb_commands import IGNORED_OPCODES
from aofdoctor.diff.units.side import Side
from aofdoctor.diff.units.unit import DiffPosition
from aofdoctor.rdb import header
from aofdoctor.rdb.items import KeyItem
from aofdoctor.rdb.walk.layouts import layout_of
from aofdoctor.rdb.walk.walker import StopReason
from aofdoctor.rdb.walk.window import WalkWindow

_CONTEXT_KEYS = 3  # equal keys before the fork that are read again as commands, to be shown as context
_TRAILER_SIZE = 9  # bytes of the EOF opcode and the checksum


def is_in_rdb(side: Side, position: DiffPosition) -> bool:
    """Whether a position in a file is inside an intact RDB, before its EOF opcode; False in LZ4 and Zstd streams."""
    rdb = side.rdbs.get(position.part)
    readable = rdb is not None and rdb.complete and rdb.checksum != "bad" and not rdb.codec
    return rdb is not None and readable and position.offset < _keys_end(side, position.part)


def skip_common_keys(a: Side, b: Side, at: tuple[DiffPosition, DiffPosition]) -> CommonBytes:
    """Skip the RDB keys that are equal byte for byte on both sides, from `at` on: one key position for each side."""
    one, two = at
    shift, source, other = two.offset - one.offset, a.sources[one.part], b.sources[two.part]
    assert source is not None
    assert other is not None
    limit = min(_keys_end(a, one.part), _keys_end(b, two.part) - shift)
    window = WalkWindow(source, layout_of(a.rdbs[one.part].magic), one.offset, one.db, verify=False, limit=limit)
    columns, checkpoints = window.columns, deque([(one.offset, one.db)], _CONTEXT_KEYS + 1)
    keys, start, stop_reason = 0, one.offset, StopReason.FULL
    while stop_reason == StopReason.FULL:
        columns.edges[0] = start
        stop_reason, _ = window.run()
        end = columns.edges[columns.count]
        common_end = start + count_common_bytes(source, start, other, start + shift, end - start)
        count = (
            columns.count if common_end == end else bisect_right(columns.edges, common_end, 0, columns.count + 1) - 1
        )
        key_indexes = [i for i in range(count) if columns.name[i] >= 0]
        checkpoints.extend((columns.edges[i], columns.db[i]) for i in key_indexes[-_CONTEXT_KEYS - 1 :])
        keys += len(key_indexes)
        columns.truncate(0)
        if common_end < end:
            break
        start = end
    offset, db = checkpoints[0]
    resume = one._replace(offset=offset, db=db, chunk=0), two._replace(offset=offset + shift, db=db, chunk=0)
    return CommonBytes(resume, -1, resume, 0, max(0, keys - len(checkpoints)))


def have_comparable_keys(a: Side, b: Side, at: tuple[DiffPosition, DiffPosition]) -> bool:
    """Whether equal bytes at two positions mean equal keys: RDBs of the same version, the same database."""
    one, two = at
    return (
        is_in_rdb(a, one)
        and is_in_rdb(b, two)
        and one.db == two.db
        and a.rdbs[one.part].magic == b.rdbs[two.part].magic
    )


def _keys_end(side: Side, part: int) -> int:
    """Return the offset in the file of the EOF opcode of the RDB at its head."""
    rdb = side.rdbs[part]
    return rdb.span.end - (_TRAILER_SIZE if header.has_checksum(rdb.magic) else 1)


def first_key_positions(
    a: Side, b: Side, at: tuple[DiffPosition, DiffPosition]
) -> tuple[DiffPosition, DiffPosition] | None:
    """Return the positions of the first keys of the RDBs at the heads of two parts.

    None if the RDBs are not comparable, or if anything but auxiliary fields, size hints and SELECTDB precedes the keys.
    """
    one, two = (_first_key_position(side, place) for side, place in zip((a, b), at, strict=True))
    return (one, two) if one and two and have_comparable_keys(a, b, (one, two)) else None


def _first_key_position(side: Side, position: DiffPosition) -> DiffPosition | None:
    if position.offset or position.part >= len(side.sources) or side.rdb(position.part) is None:
        return None
    for item in side.rdb_commands(position.part).items():
        if isinstance(item, KeyItem):
            return position._replace(offset=item.start, db=max(0, item.db))
        if item.kind not in IGNORED_OPCODES:
            return None
    return None
