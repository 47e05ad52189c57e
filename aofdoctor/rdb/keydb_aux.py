"""The AUX fields that KeyDB writes between the keys: change stamps, and the expiries of members of sets.

Redis and Valkey skip AUX fields that they do not know, so the keys load, and the member expiries are lost.
"""

from collections.abc import Iterator
from typing import NamedTuple

from aofdoctor.rdb.encoding.short_strings import encoded_size, read_short_string
from aofdoctor.rdb.items import ItemReader, KeyItem
from aofdoctor.rdb.opcodes import Opcode
from aofdoctor.source import Source, pread
from aofdoctor.span import Span

CHANGE_STAMP_HINT = "change stamps of KeyDB, one before each key"
_MEMBER, _WHEN = b"keydb-subexpire-key", b"keydb-subexpire-when"
_MEMBER_MAX = 1 << 10
_NAME_HEAD = 64


class MemberExpiry(NamedTuple):
    """When one member of a key expires; `when` is in unix milliseconds, as KeyDB wrote it."""

    db: int
    key: bytes
    member: bytes
    when: bytes


def keydb_field(source: Source, body: int) -> bytes:
    """Return the name of the AUX field at a body offset if it belongs to KeyDB's keys, or an empty name."""
    head = pread(source, _NAME_HEAD, body)
    size = encoded_size(head)
    name = read_short_string(source, Span(body, body + size), _NAME_HEAD) if 0 < size <= len(head) else b""
    return name if name in (b"mvcc-tstamp", _MEMBER, _WHEN) else b""


def has_member_expiries(aux: dict[bytes, bytes]) -> bool:
    """True if the AUX fields of an RDB include the expiry of a member."""
    return _MEMBER in aux


def member_expiries(source: Source) -> Iterator[MemberExpiry]:
    """Yield the member expiries of the RDB at the start of `source`, each with the key before it."""
    last: tuple[int, bytes] = (0, b"")
    member = b""
    for batch in ItemReader(source, verify=False):
        columns = batch.columns
        for i in range(len(batch)):
            if columns.kind[i] != Opcode.AUX or columns.name[i] >= 0:
                continue
            name, value = _field(source, columns.value[i], columns.edges[i + 1])
            if name == _MEMBER:
                last, member = (_key_before(source, batch[i - 1]) if i else last) or last, value
            elif name == _WHEN:
                yield MemberExpiry(*last, member, value)


def _key_before(source: Source, item: object) -> tuple[int, bytes] | None:
    return (max(item.db, 0), item.name(source, _MEMBER_MAX)) if isinstance(item, KeyItem) else None


def _field(source: Source, body: int, end: int) -> tuple[bytes, bytes]:
    """The name of an AUX field of KeyDB, and the start of its value."""
    name = keydb_field(source, body)
    value = body + encoded_size(pread(source, _NAME_HEAD, body))
    return name, read_short_string(source, Span(value, end), _MEMBER_MAX) if name else b""
