# cython: language_level=3, boundscheck=False, wraparound=False, freethreading_compatible=True
"""bulk.h for Python: the same names and answers as bulk.py's plain one."""
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_FromStringAndSize
from libc.stdint cimport int16_t, int64_t, uint8_t, uint16_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memset


cdef extern from "score.h" nogil:
    enum:
        SCORE_LEAST, SCORE_MOST, SCORE_TEXT
    ctypedef struct score_power:
        pass
    unsigned score_text(const score_power *powers, double value, char *text)
    int score_read(const score_power *powers, const uint8_t *text, size_t size, double *value)

cdef extern from "bulk.h" nogil:
    enum:
        BULK_SLACK, BULK_LARGE, BULK_SHAPES
    ctypedef struct bulk_columns:
        const int64_t *edges
        const int64_t *name
        const int64_t *value
        const int64_t *expire
        const int64_t *idle
        const int64_t *db
        const uint16_t *kind
        const int16_t *freq
    ctypedef struct bulk:
        const uint8_t *bytes
        int64_t base
        size_t fill
        uint8_t *out
        uint8_t *at
        uint8_t *end
        uint8_t *packed
        const score_power *powers
        int64_t db, shift_ms
        int64_t keys[5]
        int64_t hints
    int bulk_run(bulk *b, const bulk_columns *c, size_t *at, size_t stop)


cdef const score_power *checked(bytes powers) except NULL:
    if len(powers) != 16 * (SCORE_MOST - SCORE_LEAST + 1):
        raise ValueError("as many powers as there are")
    return <const score_power *><const uint8_t *>powers


cdef class Bulk:
    """Keys as RESP; as in bulk.py."""

    cdef bulk state
    cdef bytes _powers

    def __cinit__(self, bytes powers, int64_t shift_ms, size_t room):
        memset(&self.state, 0, sizeof(self.state))
        self._powers = powers
        self.state.powers = checked(powers)
        self.state.shift_ms = shift_ms
        self.state.out = <uint8_t *>calloc(1, room + BULK_SLACK)
        self.state.packed = <uint8_t *>calloc(1, <size_t>BULK_LARGE + BULK_SLACK)
        if not self.state.out or not self.state.packed:
            raise MemoryError
        self.state.at = self.state.out
        self.state.end = self.state.out + room

    def __dealloc__(self):
        free(self.state.out)
        free(self.state.packed)

    @property
    def db(self):
        return self.state.db

    @db.setter
    def db(self, int64_t db):
        self.state.db = db

    @property
    def size(self):
        """How many bytes wait to be taken."""
        return self.state.at - self.state.out

    def run(self, columns, size_t at, size_t stop, window, int64_t base, size_t fill):
        """(why it stopped, at which item); window[0] is at `base` in the file."""
        cdef bulk_columns c
        cdef Py_buffer views[9]
        cdef int held = 0, why
        cdef list sources = [window, columns.edges, columns.name, columns.value, columns.expire, columns.idle,
                             columns.db, columns.kind, columns.freq]
        if stop > <size_t>columns.count or at > stop:
            raise IndexError(stop)
        try:
            for source in sources:
                PyObject_GetBuffer(source, &views[held], PyBUF_SIMPLE)
                held += 1
            if fill + BULK_SLACK > <size_t>views[0].len:
                raise ValueError("the window is too short")
            self.state.bytes = <const uint8_t *>views[0].buf
            self.state.base = base
            self.state.fill = fill
            c.edges = <const int64_t *>views[1].buf
            c.name = <const int64_t *>views[2].buf
            c.value = <const int64_t *>views[3].buf
            c.expire = <const int64_t *>views[4].buf
            c.idle = <const int64_t *>views[5].buf
            c.db = <const int64_t *>views[6].buf
            c.kind = <const uint16_t *>views[7].buf
            c.freq = <const int16_t *>views[8].buf
            with nogil:
                why = bulk_run(&self.state, &c, &at, stop)
        finally:
            while held:
                held -= 1
                PyBuffer_Release(&views[held])
        return why, at

    def counted(self):
        """(keys by shape, hints) since it was asked last."""
        cdef int i
        keys = [self.state.keys[i] for i in range(BULK_SHAPES)]
        hints = self.state.hints
        for i in range(BULK_SHAPES):
            self.state.keys[i] = 0
        self.state.hints = 0
        return keys, hints

    def take(self):
        """The bytes that wait."""
        out = PyBytes_FromStringAndSize(<char *>self.state.out, self.state.at - self.state.out)
        self.state.at = self.state.out
        return out


def text_of(bytes powers, double value):
    """A double as text; empty if it is not a number."""
    cdef char text[64]
    return PyBytes_FromStringAndSize(text, score_text(checked(powers), value, text))


def score_of(bytes powers, bytes text):
    """The double that a text stands for; None where that is not decided."""
    cdef double value = 0
    return value if score_read(checked(powers), <const uint8_t *>text, len(text), &value) else None
