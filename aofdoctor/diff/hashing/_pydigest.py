"""Digests of records, in plain Python: the twin of digest.h.

Equal where its twin's are, though not the same numbers.  Records are equal
where their arguments are: the case of a command's name and the padding of
lengths do not count, unless `exact` is asked for.
"""

import hashlib
from array import array
from typing import Any

from aofdoctor.aof.constants import ANNOTATION
from aofdoctor.aof.records import RecordBatch


class Digest:
    """The digest of numbers and bytes, in the order in which they are given; `key` has 16 bytes."""

    def __init__(self, key: bytes) -> None:
        self._hash = hashlib.blake2b(key=key, digest_size=8)

    def add_number(self, value: int) -> "Digest":
        """A number, or the size of the bytes that follow."""
        self._hash.update(value.to_bytes(8, "little", signed=True))
        return self

    def add_bytes(self, data: bytes, lowercase: bool = False) -> "Digest":
        """Bytes; all pieces of an argument but the last have a multiple of eight."""
        self._hash.update((data.lower() if lowercase else data) + bytes(-len(data) % 8))
        return self

    def value(self) -> int:
        """The digest; the state is spent."""
        return int.from_bytes(self._hash.digest(), "little")


def record_digests(key: bytes, batch: RecordBatch, names: bytes | bytearray, exact: bool, out: "array[int]") -> None:
    """Fill `out` with the digest of each record, 0 of an annotation."""
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
    """Fill `out` with the digest of the second argument of each record, 0 where there is none."""
    for i in range(batch.count):
        argv = batch.argv(i, 2) if batch.argc[i] > 1 else []
        out[i] = Digest(key).add_number(len(argv[1])).add_bytes(argv[1]).value() if argv else 0


def common_prefix_length(a: Any, at: int, b: Any, other: int, size: int) -> int:
    """How many bytes are the same in a[at:] and b[other:], of the first `size`; a and b are buffers of any items."""
    done, step = 0, 1 << 14
    with memoryview(a).cast("B") as one, memoryview(b).cast("B") as two:
        while step and done < size:
            end = min(size, done + step)
            if bytes(one[at + done : at + end]) == bytes(two[other + done : other + end]):
                done = end
            else:
                step = (end - done) // 2
    return done
