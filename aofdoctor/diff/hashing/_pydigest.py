"""Compute digests of records: the pure Python fallback of digest.h.

The numbers differ from those of the compiled functions, but the same records
have equal digests.  Unless `exact` is set, records are equal if their arguments
are: the case of the command's name and leading zeros of lengths do not matter.
"""

import hashlib
from array import array
from typing import Any

from aofdoctor.aof.constants import ANNOTATION
from aofdoctor.aof.records import RecordBatch


class Digest:
    """A keyed 64-bit digest of numbers and byte strings that are added one after another; `key` has 16 bytes."""

    def __init__(self, key: bytes) -> None:
        self._hash = hashlib.blake2b(key=key, digest_size=8)

    def add_number(self, value: int) -> "Digest":
        """Add a number, for instance the size of the bytes that follow."""
        self._hash.update(value.to_bytes(8, "little", signed=True))
        return self

    def add_bytes(self, data: bytes, lowercase: bool = False) -> "Digest":
        """Add bytes; if an argument is added in pieces, all but the last must have a multiple of eight bytes."""
        self._hash.update((data.lower() if lowercase else data) + bytes(-len(data) % 8))
        return self

    def value(self) -> int:
        """Return the digest; nothing may be added afterwards."""
        return int.from_bytes(self._hash.digest(), "little")


def record_digests(key: bytes, batch: RecordBatch, names: bytes | bytearray, exact: bool, out: "array[int]") -> None:
    """Fill `out` with the digest of each record, 0 for annotations.

    The first names[id] arguments are names, compared in lower case.  With `exact`, all bytes are compared.
    """
    for i in range(batch.count):
        number = batch.ids[i]
        digest = Digest(key)
        if exact:
            digest.add_number(batch.record_span(i).size).add_bytes(bytes(batch.raw(i)))
        elif number != ANNOTATION:
            lower = names[number] if number < len(names) else 1
            for n, arg in enumerate(batch.argv(i)):
                digest.add_number(len(arg)).add_bytes(arg, n < lower)
        out[i] = 0 if number == ANNOTATION else digest.value()


def key_digests(key: bytes, batch: RecordBatch, out: "array[int]") -> None:
    """Fill `out` with the digest of each record's second argument, the key of most commands; 0 if it has none."""
    for i in range(batch.count):
        argv = batch.argv(i, 2) if batch.argc[i] > 1 else []
        out[i] = Digest(key).add_number(len(argv[1])).add_bytes(argv[1]).value() if argv else 0


def common_prefix_length(a: Any, at: int, b: Any, other: int, size: int) -> int:
    """Return how many of the first `size` bytes of a[at:] and b[other:] are equal, in buffers of any item type."""
    done, step = 0, 1 << 14
    with memoryview(a).cast("B") as one, memoryview(b).cast("B") as two:
        while step and done < size:
            end = min(size, done + step)
            if bytes(one[at + done : at + end]) == bytes(two[other + done : other + end]):
                done = end
            else:
                step = (end - done) // 2
    return done
