"""What exporting an RDB as commands and rewriting it for another version have in common.

Holds the report of a conversion (keys converted, information lost), the names
of the losses that both can report, and the helpers that both need.  The report
is bounded: the first losses are kept by name, the rest is only counted.
"""

import re
from collections import Counter
from dataclasses import dataclass, field
from typing import NamedTuple

from aofdoctor.rdb.encoding.cursor import CorruptValue, Cursor, DecodeError, String
from aofdoctor.rdb.items import ItemReader, KeyItem, OpcodeItem
from aofdoctor.rdb.opcodes import Opcode, ValkeyOpcode
from aofdoctor.rdb.values.modules import read_module_type

LOSSES_NAMED_MAX = 1000  # losses that are kept by name
IDLE_HINT = "idle times or frequencies of keys"
SLOT_HINT = "sizes of slots"
KEY_METADATA_LOSS = "the metadata of a key"
# What is lost with an opcode between the keys.
OPCODE_LOSSES: dict[int, str] = {
    ValkeyOpcode.UPDATE: "commands between the keys",
    ValkeyOpcode.SLOT_IMPORT: "a slot import",
    Opcode.FUNCTION2: "a library of functions",
    Opcode.FUNCTION_PRE_GA: "a function of a release candidate",
    Opcode.MODULE_AUX: "data of a module",
}
_KEY_NAME_MAX = 1 << 26  # bytes of a key's name that are read into memory
_SHEBANG_MAX = 1 << 12  # bytes of a library's code that are searched for its name
_LIBRARY_NAME = re.compile(rb"#![^\r\n]*\bname=([^\s]+)")
_EXPIRY_MAX_MS = (1 << 63) - 1


class Loss(NamedTuple):
    """A piece of information that the target cannot represent; `key` is empty where it belongs to no key."""

    db: int
    key: bytes
    type: str
    why: str


@dataclass(slots=True)
class ConversionReport:
    """The result of a conversion, filled in while it runs.

    `keys` counts keys by (database, type name), `reencoded_keys` those written
    with another RDB type, `shifted_commands` the commands with a changed expiry.
    `losses` are the first LOSSES_NAMED_MAX of `loss_count` losses.
    `dropped_hints` counts, by description, information that a server works
    without, such as idle times: its own rewrite drops it as well.
    """

    keys: Counter[tuple[int, str]] = field(default_factory=Counter)
    reencoded_keys: int = 0
    shifted_commands: int = 0
    losses: list[Loss] = field(default_factory=list)
    loss_count: int = 0
    dropped_hints: Counter[str] = field(default_factory=Counter)

    def record_loss(self, db: int, key: bytes, type_name: str, reason: str) -> None:
        """Count a loss, and keep it by name if there is room; an unknown database (-1) is recorded as 0."""
        self.loss_count += 1
        if len(self.losses) < LOSSES_NAMED_MAX:
            self.losses.append(Loss(max(db, 0), key[:1024], type_name, reason))


def rdb_damage(items: ItemReader) -> CorruptValue | None:
    """Return the damage of an RDB that `items` has read to its end, or None if it is intact."""
    rdb = items.rdb
    if rdb.complete and rdb.checksum != "bad":
        return None
    return CorruptValue(rdb.end, rdb.note or "it is damaged")


def unknown_type_damage(offset: int) -> CorruptValue:
    """Return the damage for an item of unknown type at `offset`: everything after it is unreadable as well."""
    return CorruptValue(offset, "a type that this version does not read stands here, and all after it")


def read_key_name(cursor: Cursor, key: KeyItem) -> bytes:
    """Read a key's name; raises DecodeError if it is larger than 64 MiB."""
    cursor.seek(key.name_offset)
    return cursor.string_in_memory(_KEY_NAME_MAX)


def opcode_loss(cursor: Cursor, item: OpcodeItem, otherwise: str) -> tuple[str, str]:
    """Return (kind, reason) of the loss of an item between the keys; auxiliary data is named with its module."""
    if item.kind == Opcode.MODULE_AUX:
        cursor.seek(item.body_offset)
        try:
            return "module", f"auxiliary data of the module type {read_module_type(cursor).name}"
        except DecodeError:
            pass
    return f"opcode {item.kind}", OPCODE_LOSSES.get(item.kind, otherwise)


def library_name(code: String) -> bytes:
    """Return the name of a function library from the first line of its code; empty if it has none."""
    head = code if isinstance(code, bytes) else code.read(_SHEBANG_MAX)
    match = _LIBRARY_NAME.match(head[:_SHEBANG_MAX])
    return match[1] if match else b""


def clamp_expiry(expiry: int, ms_per_unit: int = 1, minimum: int = 1) -> int:
    """Limit an absolute expiry, after a shift, to the values that a server accepts.

    `expiry` is in units of `ms_per_unit` milliseconds; its milliseconds have to
    fit an int64.  A command rejects 0, hence the default minimum of 1.
    """
    return min(_EXPIRY_MAX_MS // ms_per_unit, max(minimum, expiry))
