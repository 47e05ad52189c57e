# cython: language_level=3, boundscheck=False, wraparound=False
"""Python bindings of units.h, with the functions of _pyunits.py."""
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint64_t
from libc.string cimport memcpy


cdef extern from "units.h" nogil:
    enum:
        UNITS_FIELDS
        UNITS_COLUMNS
    size_t units_close_transaction(const uint64_t *key, int64_t *state, int finished, int64_t **out, size_t n)
    size_t units_make(const uint64_t *key, int64_t *state, int64_t base, const int64_t *edges, const uint16_t *ids,
                     const uint64_t *digests, const int64_t *db, const int64_t *tx, const int64_t *time,
                     size_t count, const uint8_t *actions, size_t known, int64_t **out)


include "../../buffers.pxi"


cdef int _begin(_Buffers b, bytes key, uint64_t *words, out, Py_ssize_t unit_count, int64_t **columns) except -1:
    cdef const uint8_t *p = key
    if len(key) != 16 or len(out) != UNITS_COLUMNS:
        raise ValueError("a key has 16 bytes, and the columns are %d" % UNITS_COLUMNS)
    memcpy(words, p, 16)
    for i in range(UNITS_COLUMNS):
        columns[i] = <int64_t *>b.get(out[i], 8 * unit_count, True)
    return 0


def make_units(bytes key not None, state, batch, digests, db, tx, time, actions, out):
    """Write the units that end in a batch to the columns `out`; return their number.  See _pyunits.py."""
    cdef _Buffers b = _Buffers()
    cdef uint64_t words[2]
    cdef int64_t *columns[UNITS_COLUMNS]
    cdef size_t n, count = batch.count, known
    cdef int64_t base = batch.base
    _begin(b, key, words, out, count + 1, columns)
    cdef int64_t *state_p = <int64_t *>b.get(state, 8 * UNITS_FIELDS, True)
    cdef const int64_t *edges = <const int64_t *>b.get(batch.edges, 8 * (count + 1), False)
    cdef const uint16_t *ids = <const uint16_t *>b.get(batch.ids, 2 * count, False)
    cdef const uint64_t *digests_p = <const uint64_t *>b.get(digests, 8 * count, False)
    cdef const int64_t *db_p = <const int64_t *>b.get(db, 8 * count, False)
    cdef const int64_t *tx_p = <const int64_t *>b.get(tx, 8 * count, False)
    cdef const int64_t *time_p = <const int64_t *>b.get(time, 8 * count, False)
    cdef const uint8_t *actions_p = <const uint8_t *>b.get(actions, 1, False)
    known = b.views[b.count - 1].len
    with nogil:
        n = units_make(words, state_p, base, edges, ids, digests_p, db_p, tx_p, time_p, count, actions_p, known, columns)
    return n


def close_transaction(bytes key not None, state, bint finished, out):
    """Close the open transaction, if any, and write it as unit 0; return the number of units, 0 or 1."""
    cdef _Buffers b = _Buffers()
    cdef uint64_t words[2]
    cdef int64_t *columns[UNITS_COLUMNS]
    _begin(b, key, words, out, 1, columns)
    cdef int64_t *state_p = <int64_t *>b.get(state, 8 * UNITS_FIELDS, True)
    return units_close_transaction(words, state_p, finished, columns, 0)
