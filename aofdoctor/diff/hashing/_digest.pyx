# cython: language_level=3, boundscheck=False, wraparound=False
"""digest.h for Python: the same names as digest.py."""
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
    """The digest of numbers and bytes, in the order in which they are given; `key` has 16 bytes."""

    cdef digest_state state

    def __cinit__(self, bytes key not None):
        cdef uint64_t words[2]
        _key(key, words)
        digest_begin(&self.state, words)

    def add_number(self, int64_t value):
        """A number, or the size of the bytes that follow."""
        digest_word(&self.state, <uint64_t>value)
        return self

    def add_bytes(self, bytes data not None, bint lower=False):
        """Bytes; all pieces of an argument but the last have a multiple of eight."""
        cdef const uint8_t *p = data
        digest_bytes(&self.state, p, len(data), lower)
        return self

    def value(self):
        """The digest; the state is spent."""
        return digest_end(&self.state)


cdef int _key(bytes key, uint64_t *words) except -1:
    cdef const uint8_t *p = key
    if len(key) != 16:
        raise ValueError("a key has 16 bytes")
    memcpy(words, p, 16)
    return 0


cdef const uint8_t *_records(_Buffers b, batch, const int64_t **edges) except NULL:
    """The bytes of a batch that is not far, which hold all its records."""
    cdef Py_ssize_t count = batch.count, origin = batch.origin
    cdef const uint8_t *data = <const uint8_t *>b.get(batch.buffer, origin, False)
    cdef Py_ssize_t size = b.views[b.held - 1].len - origin
    edges[0] = <const int64_t *>b.get(batch.edges, 8 * (count + 1), False)
    if batch.oversized or not 0 <= edges[0][0] <= edges[0][count] <= size - 64:
        raise ValueError("the buffer is too short")
    return data + origin


def record_digests(bytes key not None, batch, names, bint exact, out):
    """Fill `out` with the digest of each record, 0 of an annotation."""
    cdef _Buffers b = _Buffers()
    cdef const int64_t *edges
    cdef uint64_t words[2]
    cdef Py_ssize_t count = batch.count, known
    _key(key, words)
    cdef const uint8_t *data = _records(b, batch, &edges)
    cdef const uint16_t *ids = <const uint16_t *>b.get(batch.ids, 2 * count, False)
    cdef const uint8_t *names_p = <const uint8_t *>b.get(names, 1, False)
    known = b.views[b.held - 1].len
    cdef uint64_t *out_p = <uint64_t *>b.get(out, 8 * count, True)
    with nogil:
        digest_records(words, data, edges, ids, count, names_p, known, exact, out_p)


def key_digests(bytes key not None, batch, out):
    """Fill `out` with the digest of the second argument of each record, 0 where there is none."""
    cdef _Buffers b = _Buffers()
    cdef const int64_t *edges
    cdef uint64_t words[2]
    cdef Py_ssize_t count = batch.count
    _key(key, words)
    cdef const uint8_t *data = _records(b, batch, &edges)
    cdef const uint32_t *argc = <const uint32_t *>b.get(batch.argc, 4 * count, False)
    cdef uint64_t *out_p = <uint64_t *>b.get(out, 8 * count, True)
    with nogil:
        digest_keys(words, data, edges, argc, count, out_p)


def common_prefix_length(a, Py_ssize_t at, b, Py_ssize_t other, Py_ssize_t size):
    """How many bytes are the same in a[at:] and b[other:], of the first `size`."""
    cdef _Buffers held = _Buffers()
    if at < 0 or other < 0 or size < 0:
        raise ValueError("no such place")
    cdef const uint8_t *p = <const uint8_t *>held.get(a, at + size, False)
    cdef const uint8_t *q = <const uint8_t *>held.get(b, other + size, False)
    cdef size_t same
    with nogil:
        same = digest_common_prefix(p + at, q + other, size)
    return same
