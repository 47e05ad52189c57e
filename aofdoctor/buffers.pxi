# The buffers of one call, which the compiled modules of more than one room hold: included, not imported, so that each
# module stands alone.
from cpython.buffer cimport PyBUF_SIMPLE, PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer


cdef enum:
    _MOST_BUFFERS = 24


cdef class _Buffers:
    """Up to 24 buffers, released together."""
    cdef Py_buffer views[_MOST_BUFFERS]
    cdef int held

    cdef void *get(self, source, Py_ssize_t least, bint writable) except? NULL:
        if self.held == _MOST_BUFFERS:
            raise ValueError("too many columns")
        PyObject_GetBuffer(source, &self.views[self.held], PyBUF_WRITABLE if writable else PyBUF_SIMPLE)
        self.held += 1
        if self.views[self.held - 1].len < least:
            raise ValueError("a column is too short")
        return self.views[self.held - 1].buf

    def __dealloc__(self):
        for i in range(self.held):
            PyBuffer_Release(&self.views[i])
