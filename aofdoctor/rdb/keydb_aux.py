"""Read the AUX fields that KeyDB writes between the keys of an RDB: change stamps, and expiries of set or hash members.

Redis and Valkey skip AUX fields that they do not know, so they load the keys, but lose the expiries of members.
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
    """The expiry of one member of a set or hash in a KeyDB RDB; `when` is unix milliseconds as text."""

    db: int
    key: bytes
    member: bytes
    when: bytes


def keydb_field(source: Source, body: int) -> bytes:
    """Return the name of the AUX field at offset `body`, after its opcode, if KeyDB wrote it for a key; else b""."""
    head = pread(source, _NAME_HEAD, body)
    size = encoded_size(head)
    name = read_short_string(source, Span(body, body + size), _NAME_HEAD) if 0 < size <= len(head) else b""
    return name if name in (b"mvcc-tstamp", _MEMBER, _WHEN) else b""


def has_member_expiries(aux: dict[bytes, bytes]) -> bool:
    """Whether the AUX fields of an RDB include the expiry of a set or hash member, which only KeyDB writes."""
    return _MEMBER in aux


def member_expiries(source: Source) -> Iterator[MemberExpiry]:
    """Yield the expiries of set and hash members in a KeyDB RDB; each belongs to the key before its AUX field."""
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
    """Return (name, value) of the KeyDB AUX field from offset `body` to `end`; (b"", b"") if it is not KeyDB's."""
    name = keydb_field(source, body)
    value = body + encoded_size(pread(source, _NAME_HEAD, body))
    return name, read_short_string(source, Span(value, end), _MEMBER_MAX) if name else b""
