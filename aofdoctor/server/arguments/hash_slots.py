"""Compute the hash slot of a key in a cluster: CRC16 (XMODEM) of the key, or of its hash tag, modulo 16,384."""

from binascii import crc_hqx
from collections.abc import Iterable

SLOTS = 16384


def key_slot(key: bytes) -> int:
    """Return the cluster hash slot of a key.

    Only the bytes between the first { and the next } count, if there are any (the hash tag).
    """
    start = key.find(b"{")
    if start >= 0:
        end = key.find(b"}", start + 1)
        if end > start + 1:
            key = key[start + 1 : end]
    return crc_hqx(key, 0) % SLOTS


def spans_slots(keys: Iterable[bytes]) -> bool:
    """Whether the keys are in more than one cluster hash slot."""
    return len({key_slot(key) for key in keys}) > 1
