"""Shared parts of the two RDB conversions: export as commands, and rewrite as an RDB of another version.

Holds the report of a conversion (keys converted, information lost), the names
of the losses that both conversions can report, and helper functions.  The report
has a bounded size: the first losses are kept with their key, the rest is only counted.
"""

import re
from collections import Counter
from dataclasses import dataclass, field
from typing import NamedTuple

from aofdoctor.rdb.encoding.cursor import CorruptValue, Cursor, DecodeError, String
from aofdoctor.rdb.items import ItemReader, KeyItem, OpcodeItem
from aofdoctor.rdb.opcodes import Opcode, ValkeyOpcode
from aofdoctor.rdb.values.modules import read_module_type

LOSSES_NAMED_MAX = 1000  # losses that a report keeps with their key; further ones are only counted
IDLE_HINT = "idle times or frequencies of keys"
SLOT_HINT = "sizes of slots"
KEY_METADATA_LOSS = "the metadata of a key"
# By opcode between the keys: the description of what a target that does not know it loses.
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
    """A piece of information in an RDB that the target of a conversion cannot represent.

    `key` is the name of the affected key, empty if the information belongs to no key.  `type` is the name of the key's
    data type, such as hash, or of the opcode; `why` says what is lost.
    """

    db: int
    key: bytes
    type: str
    why: str


@dataclass(slots=True)
class ConversionReport:
    """The result of converting an RDB to commands or to another RDB version, filled in while the conversion runs.

    `keys` counts the converted keys by (database, type name), `reencoded_keys` those written
    with another RDB type, `shifted_commands` the commands with a changed expiry.
    `losses` are the first LOSSES_NAMED_MAX of `loss_count` losses.
    `dropped_hints` counts, by description, dropped information that a server works
    without, such as idle times: its own AOF rewrite drops it as well.
    """

    keys: Counter[tuple[int, str]] = field(default_factory=Counter)
    reencoded_keys: int = 0
    shifted_commands: int = 0
    losses: list[Loss] = field(default_factory=list)
    loss_count: int = 0
    dropped_hints: Counter[str] = field(default_factory=Counter)

    def record_loss(self, db: int, key: bytes, type_name: str, reason: str) -> None:
        """Count information that the target cannot represent; keep its details for the first LOSSES_NAMED_MAX losses.

        An unknown database (-1) is recorded as 0, and only the first 1,024 bytes of the key's name are kept.
        """
        self.loss_count += 1
        if len(self.losses) < LOSSES_NAMED_MAX:
            self.losses.append(Loss(max(db, 0), key[:1024], type_name, reason))


def rdb_damage(items: ItemReader) -> CorruptValue | None:
    """Return the damage of an RDB that the ItemReader `items` has read to its end, or None if it is intact."""
    rdb = items.rdb
    if rdb.complete and rdb.checksum != "bad":
        return None
    return CorruptValue(rdb.end, rdb.note or "it is damaged")


def unknown_type_damage(offset: int) -> CorruptValue:
    """Describe the damage at an item with a type byte that this version cannot read, at `offset` of the RDB.

    The length of such an item is unknown, so everything after it is unreadable as well.
    """
    return CorruptValue(offset, "a type that this version does not read stands here, and all after it")


def read_key_name(cursor: Cursor, key: KeyItem) -> bytes:
    """Read the complete name of a key of the RDB; raises DecodeError if it is larger than 64 MiB."""
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
    """Return the name of a function library from its first line, such as `#!lua name=mylib`; empty if it has none."""
    head = code if isinstance(code, bytes) else code.read(_SHEBANG_MAX)
    match = _LIBRARY_NAME.match(head[:_SHEBANG_MAX])
    return match[1] if match else b""


def clamp_expiry(expiry: int, ms_per_unit: int = 1, minimum: int = 1) -> int:
    """Limit an absolute expiry that was shifted in time to the values that a server accepts.

    `expiry` counts units of `ms_per_unit` milliseconds since 1970; in milliseconds it must
    fit an int64.  A command such as PEXPIREAT rejects 0, hence the default minimum of 1.
    """
    return min(_EXPIRY_MAX_MS // ms_per_unit, max(minimum, expiry))
