"""Find the first key of a command, by the key specifications of the command table.

Statistics by key count a command under its first key.  The rules are packed into bytes for the compiled code.
"""

import functools
from itertools import islice

from aofdoctor.aof.constants import UNKNOWN
from aofdoctor.aof.records import RecordBatch
from aofdoctor.server.command_table import CommandSpec, command_table
from aofdoctor.stats.counting.constants import KEY_BYTES_COMPARED

DELETE_COMMANDS = frozenset({"del", "unlink"})
EXPIRE_COMMANDS = frozenset({"expire", "pexpire", "expireat", "pexpireat"})

_UNKNOWN_COMMAND_RULE = (1, 0, 0, 0)  # for commands that no server knows: most commands have their key first


@functools.cache
def burst_kinds() -> bytes:
    """Return a byte for each command id: 1 if the command deletes keys, 2 if it sets an expiry, else 0."""
    kind_by_id = bytearray(command_table().size)
    for number, names in ((1, DELETE_COMMANDS), (2, EXPIRE_COMMANDS)):
        for command_id in command_table().ids_of(names):
            kind_by_id[command_id] = number
    return bytes(kind_by_id)


@functools.cache
def first_key_rules() -> bytes:
    """Return the rules by which KeyCounters finds the first key of a command: four bytes for each command id."""
    table_bytes = bytearray(4 * command_table().size)
    table_bytes[4 * UNKNOWN : 4 * UNKNOWN + 4] = bytes(_UNKNOWN_COMMAND_RULE)
    for command in command_table().commands:
        table_bytes[4 * command.id : 4 * command.id + 4] = bytes(_first_key_rule(command))
    return bytes(table_bytes)


def _first_key_rule(command: CommandSpec) -> tuple[int, int, int, int]:
    """Convert a command's first key specification to the four numbers that KeyCounters needs to find the key.

    All are 0 if the key comes after a keyword that must be searched, as in XREADGROUP.
    """
    if not command.key_specs or not isinstance(command.key_specs[0][0], int):
        return 0, 0, 0, 0
    begin, last, *more = command.key_specs[0]
    if last == "num":
        index, first, _ = more
        return begin + first, 0, begin + index, 0
    return begin, max(0, -last - 1), 0, 0


def first_key(batch: RecordBatch, i: int) -> tuple[bytes, int] | None:
    """Return (beginning of the first key of record `i` of a batch, the key's size in bytes), or None without a key.

    The beginning has up to KEY_BYTES_COMPARED bytes.  Records that are too large for memory are read from the file.
    """
    number = batch.ids[i]
    at, tail, numkeys_at, _ = first_key_rules()[4 * number : 4 * number + 4]
    if not at or at + tail >= batch.argc[i]:
        return None
    for place, arg in enumerate(islice(batch.args(i), at + 1)):
        if place == numkeys_at and numkeys_at and not is_positive(arg if isinstance(arg, bytes) else b""):
            return None
    return (arg[:KEY_BYTES_COMPARED], len(arg)) if isinstance(arg, bytes) else (arg.head(KEY_BYTES_COMPARED), arg.size)


def is_positive(count: bytes) -> bool:
    """Whether an argument of a command is a decimal number greater than 0 of at most nine digits."""
    return count.isdigit() and len(count) < 10 and int(count) > 0
