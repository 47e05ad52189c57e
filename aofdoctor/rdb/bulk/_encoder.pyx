# cython: language_level=3, boundscheck=False, wraparound=False, freethreading_compatible=True
"""encoder.h for Python: the same names and answers as encoder.py's plain one."""
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_FromStringAndSize
from libc.stdint cimport int16_t, int64_t, uint8_t, uint16_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memset


cdef extern from "double_text.h" nogil:
    enum:
        DOUBLE_EXPONENT_MIN, DOUBLE_EXPONENT_MAX, DOUBLE_TEXT_MAX
    ctypedef struct double_power:
        pass
    unsigned double_format(const double_power *powers, double value, char *text)
    int double_parse(const double_power *powers, const uint8_t *text, size_t size, double *value)

cdef extern from "encoder.h" nogil:
    enum:
        ENCODER_SLACK, ENCODER_LARGE, ENCODER_TYPES
    ctypedef struct encoder_columns:
        const int64_t *edges
        const int64_t *name
        const int64_t *value
        const int64_t *expire
        const int64_t *idle
        const int64_t *db
        const uint16_t *kind
        const int16_t *freq
    ctypedef struct encoder:
        const uint8_t *bytes
        int64_t base
        size_t fill
        uint8_t *out
        uint8_t *at
        uint8_t *end
        uint8_t *packed
        const double_power *powers
        int64_t db, shift_ms
        int64_t keys[5]
        int64_t hints
    int encoder_encode(encoder *b, const encoder_columns *c, size_t *at, size_t stop)


cdef extern from "preview.h" nogil:
    enum:
        PREVIEW_WORDS_MAX
    ctypedef struct preview_state "preview":
        unsigned count
        uint8_t **ends
    int preview_key(encoder *b, const encoder_columns *c, size_t i, unsigned most, preview_state *g)


cdef const double_power *checked(bytes powers) except NULL:
    if len(powers) != 16 * (DOUBLE_EXPONENT_MAX - DOUBLE_EXPONENT_MIN + 1):
        raise ValueError("as many powers as there are")
    return <const double_power *><const uint8_t *>powers


cdef class _Columns:
    """The columns of a batch, and the window, held."""

    cdef encoder_columns columns
    cdef Py_buffer views[9]
    cdef int held

    def __cinit__(self, columns, window):
        cdef list sources = [window, columns.edges, columns.name, columns.value, columns.expire, columns.idle,
                             columns.db, columns.kind, columns.freq]
        self.held = 0
        for source in sources:
            PyObject_GetBuffer(source, &self.views[self.held], PyBUF_SIMPLE)
            self.held += 1
        self.columns.edges = <const int64_t *>self.views[1].buf
        self.columns.name = <const int64_t *>self.views[2].buf
        self.columns.value = <const int64_t *>self.views[3].buf
        self.columns.expire = <const int64_t *>self.views[4].buf
        self.columns.idle = <const int64_t *>self.views[5].buf
        self.columns.db = <const int64_t *>self.views[6].buf
        self.columns.kind = <const uint16_t *>self.views[7].buf
        self.columns.freq = <const int16_t *>self.views[8].buf

    def __dealloc__(self):
        while self.held:
            self.held -= 1
            PyBuffer_Release(&self.views[self.held])


cdef class BulkEncoder:
    """Keys as RESP; as in encoder.py."""

    cdef encoder state
    cdef bytes _powers

    def __cinit__(self, bytes powers, int64_t shift_ms, size_t room):
        memset(&self.state, 0, sizeof(self.state))
        self._powers = powers
        self.state.powers = checked(powers)
        self.state.shift_ms = shift_ms
        self.state.out = <uint8_t *>calloc(1, room + ENCODER_SLACK)
        self.state.packed = <uint8_t *>calloc(1, <size_t>ENCODER_LARGE + ENCODER_SLACK)
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

    cdef _look(self, _Columns held, columns, size_t at, size_t stop, int64_t base, size_t fill):
        if stop > <size_t>columns.count or at > stop:
            raise IndexError(stop)
        if fill + ENCODER_SLACK > <size_t>held.views[0].len:
            raise ValueError("the window is too short")
        self.state.bytes = <const uint8_t *>held.views[0].buf
        self.state.base = base
        self.state.fill = fill

    def encode(self, columns, size_t at, size_t stop, window, int64_t base, size_t fill):
        """(why it stopped, at which item); window[0] is at `base` in the file."""
        cdef _Columns held = _Columns(columns, window)
        cdef int why
        self._look(held, columns, at, stop, base, fill)
        with nogil:
            why = encoder_encode(&self.state, &held.columns, &at, stop)
        return why, at

    def previews(self, columns, size_t at, size_t stop, window, int64_t base, size_t fill, unsigned most):
        """Of each item its name and at most `most` words of its value, as they are shown; None where it is left."""
        cdef _Columns held = _Columns(columns, window)
        cdef preview_state g
        cdef uint8_t *start
        cdef unsigned k
        cdef list found = [], pieces
        self._look(held, columns, at, stop, base, fill)
        if self.state.at != self.state.out:
            raise ValueError("bytes wait to be taken")
        for i in range(at, stop):
            if not preview_key(&self.state, &held.columns, i, most, &g):
                found.append(None)
                continue
            start, pieces = self.state.out, []
            for k in range(g.count):
                pieces.append(PyBytes_FromStringAndSize(<char *>start, g.ends[k] - start))
                start = g.ends[k]
            found.append(pieces)
        self.state.at = self.state.out
        return found

    def take_counts(self):
        """(keys by shape, hints) since it was asked last."""
        cdef int i
        keys = [self.state.keys[i] for i in range(ENCODER_TYPES)]
        hints = self.state.hints
        for i in range(ENCODER_TYPES):
            self.state.keys[i] = 0
        self.state.hints = 0
        return keys, hints

    def take(self):
        """The bytes that wait."""
        out = PyBytes_FromStringAndSize(<char *>self.state.out, self.state.at - self.state.out)
        self.state.at = self.state.out
        return out


def double_to_text(bytes powers, double value):
    """A double as text; empty if it is not a number."""
    cdef char text[64]
    return PyBytes_FromStringAndSize(text, double_format(checked(powers), value, text))


def text_to_double(bytes powers, bytes text):
    """The double that a text stands for; None where that is not decided."""
    cdef double value = 0
    return value if double_parse(checked(powers), <const uint8_t *>text, len(text), &value) else None
