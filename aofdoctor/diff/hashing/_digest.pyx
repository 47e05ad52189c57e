# cython: language_level=3, boundscheck=False, wraparound=False
"""Python bindings of digest.h, with the names of _pydigest.py."""
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy


cdef extern from "digest.h" nogil:
    ctypedef struct digest_state:
        uint64_t v[4]
    void digest_begin(digest_state *s, const uint64_t *key)
    void digest_word(digest_state *s, uint64_t word)
    void digest_bytes(digest_state *s, const uint8_t *p, size_t size, int lower)
    uint64_t digest_end(digest_state *s)
    void digest_records(const uint64_t *key, const uint8_t *data, const int64_t *edges, const uint16_t *ids,
                        size_t count, const uint8_t *names, size_t known, int exact, uint64_t *out)
    void digest_keys(const uint64_t *key, const uint8_t *data, const int64_t *edges, const uint32_t *argc,
                     size_t count, uint64_t *out)
    size_t digest_common_prefix(const uint8_t *a, const uint8_t *b, size_t size)


include "../../buffers.pxi"


cdef class Digest:
    """A keyed digest of 64 bits of a sequence of numbers and bytes; `key` has 16 bytes."""

    cdef digest_state state

    def __cinit__(self, bytes key not None):
        cdef uint64_t words[2]
        _key(key, words)
        digest_begin(&self.state, words)

    def add_number(self, int64_t value):
        """Add a number, for instance the size of the bytes that follow."""
        digest_word(&self.state, <uint64_t>value)
        return self

    def add_bytes(self, bytes data not None, bint lowercase=False):
        """Add bytes; if an argument is added in pieces, all but the last must have a multiple of eight bytes."""
        cdef const uint8_t *p = data
        digest_bytes(&self.state, p, len(data), lowercase)
        return self

    def value(self):
        """Return the digest; nothing may be added afterwards."""
        return digest_end(&self.state)


cdef int _key(bytes key, uint64_t *words) except -1:
    cdef const uint8_t *p = key
    if len(key) != 16:
        raise ValueError("a key has 16 bytes")
    memcpy(words, p, 16)
    return 0


cdef const uint8_t *_batch_bytes(_Buffers b, batch, const int64_t **edges) except NULL:
    """Return the bytes of a batch; a batch with an oversized record is refused."""
    cdef Py_ssize_t count = batch.count, origin = batch.origin
    cdef const uint8_t *data = <const uint8_t *>b.get(batch.buffer, origin, False)
    cdef Py_ssize_t size = b.views[b.count - 1].len - origin
    edges[0] = <const int64_t *>b.get(batch.edges, 8 * (count + 1), False)
    if batch.oversized or not 0 <= edges[0][0] <= edges[0][count] <= size - 64:
        raise ValueError("the buffer is too short")
    return data + origin


def record_digests(bytes key not None, batch, names, bint exact, out):
    """Fill `out` with the digest of each record, 0 for annotations; see _pydigest.py."""
    cdef _Buffers b = _Buffers()
    cdef const int64_t *edges
    cdef uint64_t words[2]
    cdef Py_ssize_t count = batch.count, known
    _key(key, words)
    cdef const uint8_t *data = _batch_bytes(b, batch, &edges)
    cdef const uint16_t *ids = <const uint16_t *>b.get(batch.ids, 2 * count, False)
    cdef const uint8_t *names_p = <const uint8_t *>b.get(names, 1, False)
    known = b.views[b.count - 1].len
    cdef uint64_t *out_p = <uint64_t *>b.get(out, 8 * count, True)
    with nogil:
        digest_records(words, data, edges, ids, count, names_p, known, exact, out_p)


def key_digests(bytes key not None, batch, out):
    """Fill `out` with the digest of each record's second argument; 0 if there is none."""
    cdef _Buffers b = _Buffers()
    cdef const int64_t *edges
    cdef uint64_t words[2]
    cdef Py_ssize_t count = batch.count
    _key(key, words)
    cdef const uint8_t *data = _batch_bytes(b, batch, &edges)
    cdef const uint32_t *argc = <const uint32_t *>b.get(batch.argc, 4 * count, False)
    cdef uint64_t *out_p = <uint64_t *>b.get(out, 8 * count, True)
    with nogil:
        digest_keys(words, data, edges, argc, count, out_p)


def common_prefix_length(a, Py_ssize_t at, b, Py_ssize_t other, Py_ssize_t size):
    """Return how many of the first `size` bytes of a[at:] and b[other:] are equal."""
    cdef _Buffers held = _Buffers()
    if at < 0 or other < 0 or size < 0:
        raise ValueError("no such place")
    cdef const uint8_t *p = <const uint8_t *>held.get(a, at + size, False)
    cdef const uint8_t *q = <const uint8_t *>held.get(b, other + size, False)
    cdef size_t same
    with nogil:
        same = digest_common_prefix(p + at, q + other, size)
    return same
