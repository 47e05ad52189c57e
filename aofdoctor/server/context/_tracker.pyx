# cython: language_level=3, boundscheck=False, wraparound=False
"""The compiled form of the ContextTracker: bindings of tracker.h with the same function as _pytracker.py."""
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memset

cdef extern from "tracker.h" nogil:
    enum:
        TRACKER_FIELDS
    ctypedef struct tracker_rules:
        const uint8_t *actions
        const uint32_t *argc_min
        const uint32_t *argc_max
        size_t ids
    ctypedef struct tracker_columns:
        int64_t *db
        int64_t *tx
        int64_t *time
    size_t tracker_track_batch(int64_t *state, int64_t base, const uint8_t *data, int64_t size, const int64_t *edges,
                     const uint32_t *argc, const uint16_t *ids, size_t count, const tracker_rules *rules,
                     uint64_t *counts, uint32_t *flagged, const tracker_columns *out)


include "../../buffers.pxi"


def track_batch(state, batch, actions, argc_min, argc_max, counts, flagged, columns):
    """Update the context with a batch of AOF records; return how many are flagged (arguments: see _pytracker.py)."""
    cdef _Buffers b = _Buffers()
    cdef tracker_rules rules
    cdef tracker_columns out
    cdef Py_ssize_t count = batch.count, origin = batch.origin, size
    cdef int64_t base = batch.base
    cdef int64_t *context_p = <int64_t *>b.get(state, 8 * TRACKER_FIELDS, True)
    cdef const uint8_t *data = <const uint8_t *>b.get(batch.buffer, origin, False)
    size = b.views[b.count - 1].len - origin
    cdef const int64_t *edges = <const int64_t *>b.get(batch.edges, 8 * (count + 1), False)
    cdef const uint32_t *argc = <const uint32_t *>b.get(batch.argc, 4 * count, False)
    cdef const uint16_t *ids = <const uint16_t *>b.get(batch.ids, 2 * count, False)
    rules.actions = <const uint8_t *>b.get(actions, 1, False)
    rules.ids = b.views[b.count - 1].len
    rules.argc_min = <const uint32_t *>b.get(argc_min, 4 * rules.ids, False)
    rules.argc_max = <const uint32_t *>b.get(argc_max, 4 * rules.ids, False)
    cdef uint64_t *counts_p = <uint64_t *>b.get(counts, 8 * rules.ids, True)
    cdef uint32_t *flagged_p = <uint32_t *>b.get(flagged, 4 * count, True)
    memset(&out, 0, sizeof(tracker_columns))
    if columns is not None:
        out.db = <int64_t *>b.get(columns[0], 8 * count, True)
        out.tx = <int64_t *>b.get(columns[1], 8 * count, True)
        out.time = <int64_t *>b.get(columns[2], 8 * count, True)
    cdef size_t flagged_count
    with nogil:
        flagged_count = tracker_track_batch(context_p, base, data + origin, size, edges, argc, ids, count, &rules, counts_p, flagged_p, &out)
    return flagged_count
