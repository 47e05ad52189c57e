# cython: language_level=3, boundscheck=False, wraparound=False, freethreading_compatible=True
"""Compiled RDB walker: Python bindings of walker.h, probe.h and count.h, with the interface of the pure Python one."""
from cpython.buffer cimport PyBUF_SIMPLE, PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
from libc.stdint cimport int16_t, int64_t, uint8_t, uint16_t, uint64_t
from libc.stdlib cimport calloc, free


cdef extern from "walker.h" nogil:
    enum:
        WALK_SLACK
        WALK_TEMPLATE_SLOTS
    ctypedef struct walk_layout:
        const uint8_t *code
        const uint16_t *entry
    ctypedef struct walk_template:
        pass
    ctypedef struct walk_state:
        uint64_t skip
        int64_t start, db
        uint16_t kind
    ctypedef struct walk_columns:
        int64_t *edges
        int64_t *name
        int64_t *value
        int64_t *expire
        int64_t *idle
        int64_t *db
        uint16_t *kind
        int16_t *freq
        size_t capacity, count, key_count
    void walk_start(walk_state *s, int64_t start, int64_t db, walk_template *templates)
    int walk_run(walk_state *s, const walk_layout *layout, const uint8_t *buffer, size_t *at, size_t end_at, int64_t base,
                walk_columns *c, int64_t *budget_left)

cdef extern from "probe.h" nogil:
    size_t probe_find_key_start(const walk_layout *layout, const uint8_t *buffer, size_t at, size_t stop, size_t end,
                                size_t min_end, uint64_t bytes_after, int64_t *budget, int *reason)

cdef extern from "count.h" nogil:
    enum:
        COUNT_SIZE
    size_t count_walked_items(const walk_columns *c, size_t at, int64_t db, int64_t now_ms, int64_t *counts)


SLACK = WALK_SLACK


cdef class _View:
    cdef Py_buffer view
    cdef bint is_acquired

    def __cinit__(self, source, bint writable):
        PyObject_GetBuffer(source, &self.view, PyBUF_WRITABLE if writable else PyBUF_SIMPLE)
        self.is_acquired = True

    def __dealloc__(self):
        if self.is_acquired:
            PyBuffer_Release(&self.view)


cdef class _Layout:
    cdef walk_layout layout
    cdef _View _code, _entry

    def __cinit__(self, layout):
        self._code = _View(layout.code, False)
        self._entry = _View(layout.entry, False)
        if self._entry.view.len != 512:
            raise ValueError("256 places")
        self.layout.code = <const uint8_t *>self._code.view.buf
        self.layout.entry = <const uint16_t *>self._entry.view.buf


cdef class ItemColumns:
    """Columns that describe up to `capacity` adjacent items of an RDB; documented in _pywalker.py."""

    cdef readonly object edges, kind, name, value, expire, idle, freq, db
    cdef walk_columns columns
    cdef list _views

    def __cinit__(self, Py_ssize_t capacity):
        from array import array
        self.columns.capacity = capacity
        self.columns.count = self.columns.key_count = 0
        self.edges = array("q", bytes(8 * (capacity + 1)))
        self.kind = array("H", bytes(2 * capacity))
        self.freq = array("h", bytes(2 * capacity))
        self.name, self.value, self.expire, self.idle, self.db = [array("q", bytes(8 * capacity)) for _ in range(5)]
        self._views = []
        self.columns.edges = <int64_t *>self._hold(self.edges)
        self.columns.kind = <uint16_t *>self._hold(self.kind)
        self.columns.freq = <int16_t *>self._hold(self.freq)
        self.columns.name = <int64_t *>self._hold(self.name)
        self.columns.value = <int64_t *>self._hold(self.value)
        self.columns.expire = <int64_t *>self._hold(self.expire)
        self.columns.idle = <int64_t *>self._hold(self.idle)
        self.columns.db = <int64_t *>self._hold(self.db)

    cdef void *_hold(self, column) except NULL:
        cdef _View view = _View(column, True)
        self._views.append(view)
        return view.view.buf

    @property
    def capacity(self):
        return self.columns.capacity

    @property
    def count(self):
        return self.columns.count

    @property
    def key_count(self):
        return self.columns.key_count

    def truncate(self, size_t count):
        """Keep only the first `count` of the RDB items in these columns."""
        if count > self.columns.count:
            raise ValueError(count)
        self.columns.count = count
        self.columns.key_count = 0
        for i in range(count):
            self.columns.key_count += self.columns.name[i] >= 0

    def append(self, uint16_t kind, int64_t value, int64_t end):
        """Append an RDB item that is no key and that begins where the previous one ended; see _pywalker.py."""
        cdef walk_columns *c = &self.columns
        cdef size_t i = c.count
        if i >= c.capacity:
            raise IndexError(i)
        c.kind[i] = kind
        c.name[i] = c.expire[i] = c.idle[i] = c.db[i] = -1
        c.freq[i] = -1
        c.value[i] = value
        c.edges[i + 1] = end
        c.count += 1


cdef class Walker:
    """Step through the items of an RDB, able to stop at a buffer's end and resume; documented in _pywalker.py."""

    cdef walk_state state
    cdef walk_template *templates
    cdef _Layout layout

    def __cinit__(self, layout, int64_t start, int64_t db=0):
        self.layout = _Layout(layout)
        self.templates = <walk_template *>calloc(WALK_TEMPLATE_SLOTS, sizeof(walk_template))
        if not self.templates:
            raise MemoryError
        walk_start(&self.state, start, db, self.templates)

    def __dealloc__(self):
        free(self.templates)

    def restart(self, int64_t start, int64_t db):
        """Continue at an item at file offset `start`; all state is reset except for the known hash templates."""
        walk_start(&self.state, start, db, self.templates)

    @property
    def start(self):
        return self.state.start

    @property
    def kind(self):
        return self.state.kind

    @property
    def skip(self):
        return self.state.skip

    @skip.setter
    def skip(self, uint64_t skip):
        self.state.skip = skip

    def run(self, buffer, Py_ssize_t at, Py_ssize_t end, int64_t base, ItemColumns columns, int64_t step_budget=1 << 62):
        """Walk the items in buffer[at:end]; return (why it stopped, the buffer index reached, the remaining budget)."""
        cdef _View view = _View(buffer, False)
        cdef size_t place = at
        cdef int reason
        if not 0 <= at <= end <= view.view.len - WALK_SLACK:
            raise ValueError("the buffer is too short")
        with nogil:
            reason = walk_run(&self.state, &self.layout.layout, <const uint8_t *>view.view.buf, &place, end, base,
                          &columns.columns, &step_budget)
        return reason, place, step_budget


def find_key_start(buffer, Py_ssize_t at, Py_ssize_t stop, Py_ssize_t end, layout,
                   Py_ssize_t min_end, uint64_t bytes_after, int64_t step_budget):
    """Find the first index in buffer[at:stop] where RDB keys seem to begin; return (index, reason, budget left)."""
    cdef _View view = _View(buffer, False)
    cdef _Layout held_layout = _Layout(layout)
    cdef int reason
    cdef size_t place
    if not 0 <= at <= stop <= end <= view.view.len - WALK_SLACK:
        raise ValueError("the buffer is too short")
    with nogil:
        place = probe_find_key_start(&held_layout.layout, <const uint8_t *>view.view.buf, at, stop, end, min_end if min_end > 0 else 0, bytes_after,
                         &step_budget, &reason)
    return place, reason, step_budget


def count_items(ItemColumns columns, size_t at, int64_t db, int64_t now_ms, counts):
    """Add the RDB items in `columns` from index `at` on to `counts`; return the index of the first key outside `db`."""
    cdef _View view = _View(counts, True)
    if view.view.len != COUNT_SIZE * 8:
        raise ValueError("as many places as counts")
    return count_walked_items(&columns.columns, at, db, now_ms, <int64_t *>view.view.buf)
