"""What can be counted of records in one pass, compiled where it was built; and where a command's first key stands.

RecordCounters looks at the columns of a batch alone, KeyCounters at first keys, RdbKeyCounters at the keys of an RDB.
"""

import functools
from array import array
from itertools import islice
from typing import TYPE_CHECKING

from aofdoctor.aof.constants import UNKNOWN
from aofdoctor.aof.records import RecordBatch
from aofdoctor.server.command_table import CommandSpec, command_table
from aofdoctor.stats.counting._pyheavy_hitters import KEY_BYTES_COMPARED, KEY_BYTES_KEPT, HeavyHitterRow, NameRow
from aofdoctor.stats.counting._pyrecord_counters import OTHER_DBS_ROW, TRACKED_DBS, UNKNOWN_DB_ROW, Bucket, BucketRow

if TYPE_CHECKING:
    from aofdoctor.stats.counting._pyheavy_hitters import KeyCounters
    from aofdoctor.stats.counting._pyrdb_counters import RdbKeyCounters
    from aofdoctor.stats.counting._pyrecord_counters import RecordCounters
else:
    try:
        from aofdoctor.stats.counting._counters import KeyCounters, RdbKeyCounters, RecordCounters
    except ImportError:
        from aofdoctor.stats.counting._pyheavy_hitters import KeyCounters
        from aofdoctor.stats.counting._pyrdb_counters import RdbKeyCounters
        from aofdoctor.stats.counting._pyrecord_counters import RecordCounters

DELETE_COMMANDS = frozenset({"del", "unlink"})
EXPIRE_COMMANDS = frozenset({"expire", "pexpire", "expireat", "pexpireat"})

_UNKNOWN_COMMAND_RULE = (1, 0, 0, 0)  # of a command that no server knows: most have their key first


@functools.cache
def burst_kinds() -> bytes:
    """By id: 1 for a command that deletes whole keys, 2 for one that has them expire."""
    kind_by_id = bytearray(command_table().size)
    for number, names in ((1, DELETE_COMMANDS), (2, EXPIRE_COMMANDS)):
        for command_id in command_table().ids_of(names):
            kind_by_id[command_id] = number
    return bytes(kind_by_id)


@functools.cache
def first_key_rules() -> bytes:
    """By id, in four bytes: where the first key stands, as KeyCounters takes it."""
    table_bytes = bytearray(4 * command_table().size)
    table_bytes[4 * UNKNOWN : 4 * UNKNOWN + 4] = bytes(_UNKNOWN_COMMAND_RULE)
    for command in command_table().commands:
        table_bytes[4 * command.id : 4 * command.id + 4] = bytes(_first_key_rule(command))
    return bytes(table_bytes)


def _first_key_rule(command: CommandSpec) -> tuple[int, int, int, int]:
    """The first of a command's key specifications; none where a word has to be sought, as in XREADGROUP."""
    if not command.key_specs or not isinstance(command.key_specs[0][0], int):
        return 0, 0, 0, 0
    begin, last, *more = command.key_specs[0]
    if last == "num":
        index, first, _ = more
        return begin + first, 0, begin + index, 0
    return begin, max(0, -last - 1), 0, 0


def first_key(batch: RecordBatch, i: int) -> tuple[bytes, int] | None:
    """(the first bytes, at most HEAD, of the first key of a record; its size), or None; of far records too."""
    number = batch.ids[i]
    at, tail, numkeys_at, _ = first_key_rules()[4 * number : 4 * number + 4]
    if not at or at + tail >= batch.argc[i]:
        return None
    for place, arg in enumerate(islice(batch.args(i), at + 1)):
        if place == numkeys_at and numkeys_at and not _is_positive(arg if isinstance(arg, bytes) else b""):
            return None
    return (arg[:KEY_BYTES_COMPARED], len(arg)) if isinstance(arg, bytes) else (arg.head(KEY_BYTES_COMPARED), arg.size)


def _is_positive(count: bytes) -> bool:
    return count.isdigit() and len(count) < 10 and int(count) > 0


def to_index_array(indexes: list[int]) -> "array[int]":
    """Records of a batch as the counters take them."""
    return array("I", indexes)


__all__ = [
    "KEY_BYTES_COMPARED",
    "KEY_BYTES_KEPT",
    "OTHER_DBS_ROW",
    "TRACKED_DBS",
    "UNKNOWN_DB_ROW",
    "Bucket",
    "BucketRow",
    "HeavyHitterRow",
    "KeyCounters",
    "NameRow",
    "RdbKeyCounters",
    "RecordCounters",
    "burst_kinds",
    "first_key",
    "first_key_rules",
    "to_index_array",
]  # fmt: skip
