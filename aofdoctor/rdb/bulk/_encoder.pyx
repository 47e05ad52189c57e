# cython: language_level=3, boundscheck=False, wraparound=False, freethreading_compatible=True
"""Compiled encoder of RDB keys: Python bindings of encoder.h, preview.h and double_text.h."""
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
    int preview_key(encoder *b, const encoder_columns *c, size_t i, unsigned words_max, preview_state *g)


cdef const double_power *check_powers(bytes powers) except NULL:
    if len(powers) != 16 * (DOUBLE_EXPONENT_MAX - DOUBLE_EXPONENT_MIN + 1):
        raise ValueError("as many powers as there are")
    return <const double_power *><const uint8_t *>powers


cdef class _BatchColumns:
    """Holds pointers to the columns of a batch of RDB items, and to the buffer with their bytes, during one call."""

    cdef encoder_columns columns
    cdef Py_buffer views[9]
    cdef int acquired

    def __cinit__(self, columns, window):
        cdef list sources = [window, columns.edges, columns.name, columns.value, columns.expire, columns.idle,
                             columns.db, columns.kind, columns.freq]
        self.acquired = 0
        for source in sources:
            PyObject_GetBuffer(source, &self.views[self.acquired], PyBUF_SIMPLE)
            self.acquired += 1
        self.columns.edges = <const int64_t *>self.views[1].buf
        self.columns.name = <const int64_t *>self.views[2].buf
        self.columns.value = <const int64_t *>self.views[3].buf
        self.columns.expire = <const int64_t *>self.views[4].buf
        self.columns.idle = <const int64_t *>self.views[5].buf
        self.columns.db = <const int64_t *>self.views[6].buf
        self.columns.kind = <const uint16_t *>self.views[7].buf
        self.columns.freq = <const int16_t *>self.views[8].buf

    def __dealloc__(self):
        while self.acquired:
            self.acquired -= 1
            PyBuffer_Release(&self.views[self.acquired])


cdef class BulkEncoder:
    """Encode RDB keys as RESP commands; NullBulkEncoder in encoder.py documents the interface."""

    cdef encoder state
    cdef bytes _powers

    def __cinit__(self, bytes powers, int64_t shift_ms, size_t output_size):
        memset(&self.state, 0, sizeof(self.state))
        self._powers = powers
        self.state.powers = check_powers(powers)
        self.state.shift_ms = shift_ms
        self.state.out = <uint8_t *>calloc(1, output_size + ENCODER_SLACK)
        self.state.packed = <uint8_t *>calloc(1, <size_t>ENCODER_LARGE + ENCODER_SLACK)
        if not self.state.out or not self.state.packed:
            raise MemoryError
        self.state.at = self.state.out
        self.state.end = self.state.out + output_size

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
        """The number of encoded bytes that `take` will return."""
        return self.state.at - self.state.out

    cdef _set_window(self, _BatchColumns held, columns, size_t at, size_t stop, int64_t base, size_t fill):
        if stop > <size_t>columns.count or at > stop:
            raise IndexError(stop)
        if fill + ENCODER_SLACK > <size_t>held.views[0].len:
            raise ValueError("the window is too short")
        self.state.bytes = <const uint8_t *>held.views[0].buf
        self.state.base = base
        self.state.fill = fill

    def encode(self, columns, size_t at, size_t stop, window, int64_t base, size_t fill):
        """Encode the RDB items `at` up to, not including, `stop`; return (a BulkStop, the index of the next item)."""
        cdef _BatchColumns held = _BatchColumns(columns, window)
        cdef int reason
        self._set_window(held, columns, at, stop, base, fill)
        with nogil:
            reason = encoder_encode(&self.state, &held.columns, &at, stop)
        return reason, at

    def previews(self, columns, size_t at, size_t stop, window, int64_t base, size_t fill, unsigned words_max):
        """Return for each RDB item [name, word, ...] with at most `words_max` words of the value, or None."""
        cdef _BatchColumns held = _BatchColumns(columns, window)
        cdef preview_state g
        cdef uint8_t *start
        cdef unsigned k
        cdef list previews = [], pieces
        self._set_window(held, columns, at, stop, base, fill)
        if self.state.at != self.state.out:
            raise ValueError("bytes wait to be taken")
        for i in range(at, stop):
            if not preview_key(&self.state, &held.columns, i, words_max, &g):
                previews.append(None)
                continue
            start, pieces = self.state.out, []
            for k in range(g.count):
                pieces.append(PyBytes_FromStringAndSize(<char *>start, g.ends[k] - start))
                start = g.ends[k]
            previews.append(pieces)
        self.state.at = self.state.out
        return previews

    def take_counts(self):
        """Return and reset the counts of encoded keys: (keys by type, keys with an idle time or frequency)."""
        cdef int i
        keys = [self.state.keys[i] for i in range(ENCODER_TYPES)]
        hints = self.state.hints
        for i in range(ENCODER_TYPES):
            self.state.keys[i] = 0
        self.state.hints = 0
        return keys, hints

    def take(self):
        """Return the encoded RESP bytes and empty the output buffer."""
        out = PyBytes_FromStringAndSize(<char *>self.state.out, self.state.at - self.state.out)
        self.state.at = self.state.out
        return out


def double_to_text(bytes powers, double value):
    """Format a double as the shortest text that parses to the same double; b"" if it is NaN."""
    cdef char text[64]
    return PyBytes_FromStringAndSize(text, double_format(check_powers(powers), value, text))


def text_to_double(bytes powers, bytes text):
    """Parse text as a double; None for rare texts that double_text.h leaves to its caller."""
    cdef double value = 0
    return value if double_parse(check_powers(powers), <const uint8_t *>text, len(text), &value) else None
