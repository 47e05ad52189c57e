"""Parse the payload of DUMP and RESTORE, and decide which server versions accept it.

Layout: a value type (1 byte), the value, the RDB version (2 bytes, little endian) and a CRC-64 of all bytes before it
(8 bytes, little endian).  Source: createDumpPayload in cluster.c; the acceptance was tested on real servers.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from aofdoctor.rdb.encoding.crc64 import crc64
from aofdoctor.server.versions import ServerVersion, version_number

FOOTER_SIZE = 10
_VALKEY_RDB_MIN = 80
MODULE_TYPES = (6, 7)
# From 8.4 a checksum of 0 counts as "none"; 8.2.3 and earlier, and Valkey 9.1, refuse it (8.10.2 accepts it).
_ZERO_CHECKSUM_SINCE = (8, 4)


@dataclass(frozen=True, slots=True)
class DumpPayload:
    """The properties of a RESTORE payload that decide whether a server accepts it.

    `checksum` is ok, bad or none (0).
    """

    value_type: int
    rdb_version: int
    checksum: str

    @property
    def dialect(self) -> str:
        """The product that numbers its RDB versions as the payload does: redis or valkey."""
        return "valkey" if self.rdb_version >= _VALKEY_RDB_MIN else "redis"


def read_payload(pieces: Iterable[bytes], size: int) -> DumpPayload | None:
    """Read the properties of a RESTORE payload of `size` bytes, given in pieces; None if it is too short to be one."""
    if size <= FOOTER_SIZE:
        return None
    crc, left, value_type, footer = 0, size - 8, -1, b""
    for piece in pieces:
        if value_type < 0 and piece:
            value_type = piece[0]
        crc = crc64(piece[: max(0, left)], crc)
        left -= len(piece)
        footer = (footer + piece)[-FOOTER_SIZE:]
    stored = int.from_bytes(footer[2:], "little")
    checksum = "ok" if stored == crc else "bad" if stored else "none"
    return DumpPayload(value_type, int.from_bytes(footer[:2], "little"), checksum)


def payload_rejection(version: ServerVersion, payload: DumpPayload | None) -> str:
    """Return why a server version refuses a RESTORE payload, in a few words; empty if it accepts the payload."""
    if payload is None:
        return "a RESTORE payload that is too short"
    written = version.rdb_written[1] if payload.dialect == version.rdb_written[0] else 0
    if payload.rdb_version > max(version.newest_rdb(payload.dialect), written):
        return f"a RESTORE payload of RDB version {payload.rdb_version}, which it does not read"
    if payload.checksum == "bad" or (payload.checksum == "none" and not _ignores_zero_checksum(version)):
        return "a RESTORE payload with a wrong checksum"
    if payload.value_type > version.newest_rdb_type and payload.value_type not in MODULE_TYPES:
        return f"a RESTORE payload of value type {payload.value_type}, which it does not read"
    return ""


def _ignores_zero_checksum(version: ServerVersion) -> bool:
    return version.name.startswith("redis") and version_number(version.name) >= _ZERO_CHECKSUM_SINCE
