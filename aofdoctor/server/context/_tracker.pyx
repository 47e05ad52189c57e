# cython: language_level=3, boundscheck=False, wraparound=False
"""steps.h for Python: the same function as plain.py."""
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memset

cdef extern from "tracker.h" nogil:
    enum:
        STATE_SIZE
    ctypedef struct steps_rules:
        const uint8_t *act
        const uint32_t *least
        const uint32_t *most
        size_t ids
    ctypedef struct steps_out:
        int64_t *db
        int64_t *tx
        int64_t *time
    size_t steps_run(int64_t *state, int64_t base, const uint8_t *data, int64_t size, const int64_t *edges,
                     const uint32_t *argc, const uint16_t *ids, size_t count, const steps_rules *rules,
                     uint64_t *counts, uint32_t *notes, const steps_out *out)


include "../../buffers.pxi"


def track_batch(state, batch, act, least, most, counts, notes, columns):
    """How many of a batch's records are noted; `notes` holds their indexes.

    `columns` is None, or (db, tx, time) to be filled by record.
    """
    cdef _Buffers b = _Buffers()
    cdef steps_rules rules
    cdef steps_out out
    cdef Py_ssize_t count = batch.count, origin = batch.origin, size
    cdef int64_t base = batch.base
    cdef int64_t *state_p = <int64_t *>b.get(state, 8 * STATE_SIZE, True)
    cdef const uint8_t *data = <const uint8_t *>b.get(batch.buffer, origin, False)
    size = b.views[b.held - 1].len - origin
    cdef const int64_t *edges = <const int64_t *>b.get(batch.edges, 8 * (count + 1), False)
    cdef const uint32_t *argc = <const uint32_t *>b.get(batch.argc, 4 * count, False)
    cdef const uint16_t *ids = <const uint16_t *>b.get(batch.ids, 2 * count, False)
    rules.act = <const uint8_t *>b.get(act, 1, False)
    rules.ids = b.views[b.held - 1].len
    rules.least = <const uint32_t *>b.get(least, 4 * rules.ids, False)
    rules.most = <const uint32_t *>b.get(most, 4 * rules.ids, False)
    cdef uint64_t *counts_p = <uint64_t *>b.get(counts, 8 * rules.ids, True)
    cdef uint32_t *notes_p = <uint32_t *>b.get(notes, 4 * count, True)
    memset(&out, 0, sizeof(steps_out))
    if columns is not None:
        out.db = <int64_t *>b.get(columns[0], 8 * count, True)
        out.tx = <int64_t *>b.get(columns[1], 8 * count, True)
        out.time = <int64_t *>b.get(columns[2], 8 * count, True)
    cdef size_t noted
    with nogil:
        noted = steps_run(state_p, base, data + origin, size, edges, argc, ids, count, &rules, counts_p, notes_p, &out)
    return noted
